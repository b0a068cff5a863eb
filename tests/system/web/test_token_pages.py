"""The page of tokens, in Chromium."""

from __future__ import annotations

from tests.support.browser import BrowserPage, browser_page
from tests.support.installation import gateway_client
from tests.support.web_site import NEEDS_BROWSER, Site, log_in

pytestmark = NEEDS_BROWSER


def status_with(site: Site, token: str, path: str = "runs") -> int:
    """Return the status of a call with a token."""
    with gateway_client(site.installation.state["http"], token, {}) as client:
        return client.get(f"/api/v1/{path}").status_code


def test_operator_creates_and_revokes_tokens(site: Site, page: BrowserPage) -> None:
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.page.click("nav >> text=Tokens")
    page.page.wait_for_url("**/tokens")
    page.page.get_by_label("of an operator").check()
    page.page.fill("input[name=name]", "robot")
    page.page.fill("input[name=scopes]", "runs:read")
    page.page.get_by_role("button", name="Create").click()
    token = page.page.locator("code.text").inner_text()
    assert (status_with(site, token), status_with(site, token, "tokens")) == (200, 403)
    row = page.page.locator("li", has_text="robot")
    row.get_by_text("valid").wait_for()
    row.get_by_text("runs:read").wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    row.get_by_role("button", name="Revoke robot").click()
    row.get_by_role("button", name="Revoke robot now").click()
    page.wait_for_text("[role=status]", "The token robot is revoked")
    row.get_by_text("revoked", exact=True).wait_for()
    page.wait_for_text("[role=status]", "robot")
    # The text is gone with the page.
    page.page.reload()
    row.get_by_text("revoked", exact=True).wait_for()
    assert token not in page.page.content()
    page.page.get_by_label("of an executor group").check()
    page.page.fill("input[name=name]", "builders")
    page.page.fill("input[name=group]", "arm")
    page.page.get_by_role("button", name="Create").click()
    page.page.locator("li", has_text="builders").get_by_text("executor group arm").wait_for()


def test_user_has_tokens_of_their_own(site: Site) -> None:
    site.post("users", {"user": {"name": "ada"}})
    token = site.post("users/ada/tokens", {"tokenName": "web"})["token"]
    with browser_page(site.browser, site.base) as page:
        log_in(page, token, "/tokens")
        page.page.fill("input[name=name]", "laptop")
        page.page.get_by_role("button", name="Create").click()
        made = page.page.locator("code.text").inner_text()
        assert status_with(site, made) == 200
        row = page.page.locator("li", has_text="laptop")
        row.get_by_text("never used").wait_for()
        page.check_accessibility()
        row.get_by_role("button", name="Revoke laptop").click()
        row.get_by_role("button", name="Revoke laptop now").click()
        page.wait_for_text("[role=status]", "laptop is revoked")
        page.wait_for("![...document.querySelectorAll('li')].some((each) => each.textContent.includes('laptop'))")
        assert status_with(site, made) == 401
        # The session of this browser is there, too.
        page.page.locator("li", has_text="session").first.wait_for()
