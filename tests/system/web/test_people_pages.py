"""The pages of organizations, users, invitations, quotas and changes, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.browser import BrowserPage, browser_page
from tests.support.web_site import NEEDS_BROWSER, Site, log_in

pytestmark = [*NEEDS_BROWSER, pytest.mark.timeout(300)]


def person(site: Site, name: str) -> str:
    """Create a user; return a token of it."""
    site.post("users", {"user": {"name": name}})
    return str(site.post(f"users/{name}/tokens", {"tokenName": "web"})["token"])


@contextmanager
def page_of(site: Site, token: str, path: str) -> Iterator[BrowserPage]:
    """Yield a page of another user, 360 pixels wide."""
    with browser_page(site.browser, site.base) as page:
        page.page.set_viewport_size({"width": 360, "height": 740})
        log_in(page, token, path)
        yield page


def roles(site: Site, organization: str) -> dict[str, str]:
    members = site.get(f"organizations/{organization}/members")["members"]
    return {each["userName"]: each["role"].removeprefix("ORGANIZATION_ROLE_").lower() for each in members}


def fits(page: BrowserPage) -> bool:
    return bool(page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_members_are_added_changed_and_removed(site: Site, page: BrowserPage) -> None:
    person(site, "grace")
    page.page.click("nav >> text=Organizations")
    page.page.fill("input[name=organization]", "initech")
    page.page.get_by_role("button", name="Create").click()
    page.page.wait_for_url("**/organizations/initech")
    page.page.fill("input[name=member]", "grace")
    page.page.get_by_role("button", name="Add").click()
    page.wait_for_text("[role=status]", "grace is a member now")
    assert roles(site, "initech") == {"admin": "owner", "grace": "member"}
    page.page.get_by_label("Role of grace").select_option("reader")
    page.wait_for_text("[role=status]", "grace is reader now")
    assert roles(site, "initech")["grace"] == "reader"
    page.check_accessibility()
    # What is refused is said, and the list shows what is stored.
    page.expected.append("400 (Bad Request)")
    page.page.get_by_label("Role of admin").select_option("reader")
    page.wait_for_text("[role=alert]", "owner")
    page.wait_for("document.querySelector('select').value === 'ORGANIZATION_ROLE_OWNER'")
    page.page.get_by_role("button", name="Remove grace", exact=True).click()
    page.page.get_by_role("button", name="Remove grace now").click()
    page.wait_for_text("[role=status]", "grace is no member any more")
    assert roles(site, "initech") == {"admin": "owner"}


def test_invitation_by_link_makes_one_member(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "hooli"}})
    token = person(site, "linus")
    page.open("/organizations/hooli/invitations")
    page.wait_for_text("p", "No invitation is open")
    page.page.locator("form select[name=role]").select_option("reader")
    page.page.get_by_role("button", name="Invite").click()
    link = page.page.locator("code.text").inner_text()
    page.check_accessibility()
    assert link.startswith(f"{site.base}/invitations?code=")
    with page_of(site, token, link.removeprefix(site.base)) as invited:
        invited.wait_for_text("h2", "You were given a link")
        assert fits(invited)
        invited.check_accessibility()
        invited.page.get_by_role("button", name="Accept").click()
        invited.page.wait_for_url("**/organizations/hooli")
        # A reader sees the members, and no form.
        invited.wait_for_text("li", "linus you")
        assert invited.page.get_by_role("button", name="Add").count() == 0
        invited.expected.append("404 (Not Found)")
        invited.open(link.removeprefix(site.base))
        invited.page.get_by_role("button", name="Accept").click()
        invited.wait_for_text("[role=alert]", "There is no such invitation")
    assert roles(site, "hooli") == {"admin": "owner", "linus": "reader"}


def test_invitation_by_name_is_found_and_one_can_be_revoked(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "umbrella"}})
    token = person(site, "ken")
    for _ in range(2):
        page.open("/organizations/umbrella/invitations")
        page.page.fill("input[name=invited]", "ken")
        page.page.get_by_role("button", name="Invite").click()
        page.wait_for_text("[role=status]", "ken is invited")
        if _ == 0:
            page.page.get_by_role("button", name="Revoke the invitation of ken", exact=True).click()
            page.page.get_by_role("button", name="Revoke the invitation of ken now").click()
            page.wait_for_text("[role=status]", "The invitation is revoked")
    with page_of(site, token, "/account") as invited:
        invited.page.click("text=1 invitation waits for you")
        invited.wait_for_text("h2", "umbrella")
        invited.check_accessibility()
        invited.page.get_by_role("button", name="Accept umbrella").click()
        invited.page.wait_for_url("**/organizations/umbrella")
    assert roles(site, "umbrella")["ken"] == "member"


def test_quota_is_changed_by_operators_and_seen_by_members(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "stark"}})
    site.post("projects", {"project": {"name": "suit", "parentId": "org/stark"}})
    token = person(site, "pepper")
    with site.installation.http() as client:
        member = {"role": "ORGANIZATION_ROLE_MEMBER"}
        assert client.put("/api/v1/organizations/stark/members/pepper", json=member).is_success
    page.open("/organizations/stark/quota")
    page.page.get_by_role("button", name="Change limits").click()
    page.page.fill("input[name=projects]", "1")
    page.check_accessibility()
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The quota is stored")
    assert site.get("quotas/org%2Fstark")["quota"]["projects"] == 1
    with page_of(site, token, "/organizations/stark/quota") as member_page:
        member_page.wait_for_text("li", "of 1")
        member_page.page.get_by_label("Projects: 1 of 1").wait_for()
        assert member_page.page.get_by_role("button", name="Change limits").count() == 0
        assert fits(member_page)
        member_page.check_accessibility()


def test_changes_are_filtered_by_who_made_them_and_kind(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "wayne"}})
    site.post("projects", {"project": {"name": "cave", "parentId": "org/wayne"}})
    site.post("secrets", {"secret": {"name": "key", "parentId": "org/wayne/cave", "values": {"a": "aHVudGVyMg=="}}})
    page.open("/organizations/wayne/audit")
    page.wait_for_text("li", "create organization org/wayne")
    page.page.select_option("select[name=kind]", "secret")
    page.wait_for("document.querySelectorAll('section li').length === 1")
    page.wait_for_text("li", "admin: create secret org/wayne/cave")
    assert page.page.url.endswith("?kind=secret")
    page.check_accessibility()
    page.page.fill("input[name=by]", "nobody")
    page.page.get_by_role("button", name="Apply").click()
    page.wait_for_text("p", "No change matches")
    page.page.get_by_role("button", name="Clear").click()
    page.page.fill("input[name=since]", "2000-01-01")
    page.wait_for_text("li", "create project org/wayne/cave")
    page.page.fill("input[name=until]", "2000-01-02")
    page.wait_for_text("p", "No change matches")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open("/audit")
    page.wait_for_text("li", "create organization org/wayne")
    assert fits(page)
    page.check_accessibility()


def test_users_are_disabled_and_made_operators_by_operators(site: Site, page: BrowserPage) -> None:
    token = person(site, "zed")
    page.page.click("nav >> text=Users")
    page.page.fill("input[name=find]", "ze")
    row = page.page.locator("li", has_text="zed")
    row.get_by_role("button", name="Make operator zed", exact=True).click()
    row.get_by_role("button", name="Make operator zed now").click()
    page.wait_for_text("[role=status]", "zed is an operator now")
    row.get_by_role("button", name="Make no operator zed", exact=True).click()
    row.get_by_role("button", name="Make no operator zed now").click()
    page.wait_for_text("[role=status]", "zed is no operator any more")
    with page_of(site, token, "/users") as other:
        other.wait_for_text("p", "Only operators change users")
        assert other.page.locator("nav >> text=Users").count() == 0
        assert fits(other)
    row.get_by_role("button", name="Disable zed", exact=True).click()
    page.check_accessibility()
    row.get_by_role("button", name="Disable zed now").click()
    page.wait_for_text("[role=status]", "zed is disabled")
    row.get_by_text("disabled", exact=True).wait_for()
    row.get_by_role("button", name="Enable zed").click()
    page.wait_for_text("[role=status]", "zed may log in again")
    page.page.click("a >> text=zed")
    page.wait_for_text("h1", "zed")
    page.wait_for_text("b", "Tokens")


def test_account_changes_the_password(site: Site) -> None:
    token = person(site, "barbara")
    with page_of(site, token, "/account") as page:
        page.wait_for_text("h1", "Account: barbara")
        page.page.fill("input[name=password]", "correct horse battery")
        page.check_accessibility()
        page.page.locator("form", has=page.page.locator("input[name=password]")).get_by_role("button").click()
        page.wait_for_text("[role=status]", "The password is changed")
        assert fits(page)
