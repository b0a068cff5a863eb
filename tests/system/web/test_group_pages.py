"""The pages of project groups, the settings of organizations, and those of git URLs, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fakes.forge import Kind
from tests.support.browser import BrowserPage, running_chromium
from tests.support.installation import installation
from tests.support.running_forge import running_forge
from tests.support.web_site import NEEDS_BROWSER, Site

pytestmark = [*NEEDS_BROWSER, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation that may call loopback addresses."""
    folder = tmp_path_factory.mktemp("groups")
    with installation(folder, "--allow-private-addresses", "127.0.0.0/8") as running, running_chromium() as browser:
        yield Site(running, browser)


def fits(page: BrowserPage) -> bool:
    return bool(page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def groups(site: Site, parent: str) -> list[tuple[str, str]]:
    found = site.get(f"projectGroups?parentId={quote(parent, safe='')}")["projectGroups"]
    return [(each["path"], each["visibility"].removeprefix("VISIBILITY_").lower()) for each in found]


def test_group_is_made_renamed_moved_and_deleted(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "acme", "visibility": "VISIBILITY_PUBLIC"}})
    site.post("projectGroups", {"projectGroup": {"name": "other", "parentId": "org/acme"}})
    # A path is looked for as that of a project first.
    page.expected.append("404 (Not Found)")
    page.page.set_viewport_size({"width": 390, "height": 800})
    page.open("/projects/org/acme")
    page.page.get_by_role("button", name="New group").click()
    page.page.fill("input[name=group]", "backend")
    page.check_accessibility()
    assert fits(page)
    page.page.get_by_role("button", name="Create").click()
    page.page.wait_for_url("**/projects/org/acme/backend")
    page.wait_for_text("p", "There is no project below it")
    page.page.get_by_role("link", name="Settings").click()
    page.wait_for_text("section[aria-labelledby=members] li", "owner")
    page.check_accessibility()
    assert fits(page)
    page.page.fill("input[name=name]", "services")
    page.page.select_option("select[name=visibility]", label="members")
    page.page.get_by_role("button", name="Save").click()
    page.page.wait_for_url("**/projects/org/acme/services/settings")
    assert groups(site, "org/acme") == [("org/acme/other", "public"), ("org/acme/services", "private")]
    page.page.get_by_role("navigation", name="Project group").get_by_role("link", name="Projects").click()
    page.wait_for_text("p", "There is no project below it")
    page.page.get_by_role("link", name="Settings").click()
    page.page.fill("input[name=parent]", "org/acme/other")
    page.page.get_by_role("button", name="Move").click()
    page.page.fill("input[name=confirm]", "org/acme/services")
    page.page.get_by_role("button", name="Move org/acme/services now").click()
    page.page.wait_for_url("**/projects/org/acme/other/services/settings")
    page.page.get_by_role("button", name="Delete org/acme/other/services").click()
    assert page.page.get_by_role("button", name="Delete org/acme/other/services now").is_disabled()
    page.page.fill("input[name=confirm]", "org/acme/other/services")
    page.page.get_by_role("button", name="Delete org/acme/other/services now").click()
    page.page.wait_for_url("**/projects/org/acme/other")
    assert groups(site, "org/acme/other") == []


def test_organization_is_renamed_published_and_deleted(site: Site, page: BrowserPage) -> None:
    site.post("organizations", {"organization": {"name": "globex"}})
    page.page.set_viewport_size({"width": 390, "height": 800})
    page.open("/organizations/globex")
    page.page.get_by_role("link", name="Settings").click()
    page.page.fill("input[name=name]", "acme2 ")
    page.page.select_option("select[name=visibility]", label="everybody who is logged in")
    page.check_accessibility()
    assert fits(page)
    page.page.get_by_role("button", name="Save").click()
    page.page.wait_for_url("**/organizations/acme2/settings")
    assert site.get("organizations/acme2")["visibility"] == "VISIBILITY_PUBLIC"
    # A name that is none is refused with a sentence.
    page.expected.append("400 (Bad Request)")
    page.page.fill("input[name=name]", "two words")
    page.page.get_by_role("button", name="Save").click()
    page.wait_for_text("[role=alert]", "ame")
    page.page.get_by_role("button", name="Delete acme2").click()
    assert page.page.get_by_role("button", name="Delete acme2 now").is_disabled()
    page.page.fill("input[name=confirm]", "acme2")
    page.page.get_by_role("button", name="Delete acme2 now").click()
    page.page.wait_for_url("**/organizations")
    names = [each["name"] for each in site.get("organizations")["organizations"]]
    assert not {"acme2", "globex"} & set(names)


def test_git_url_of_a_project_is_changed(site: Site, page: BrowserPage, tmp_path: Path) -> None:
    with running_forge(Kind.GITEA, tmp_path) as forge:
        first, second = (forge.repository(f"acme/{name}", {"a.txt": b"a"}) for name in ("first", "second"))
        git = {"url": forge.fake.ssh_url(first), "sshHostKey": forge.fake.ssh.host_key}
        site.post("projects", {"project": {"name": "plain", "parentId": "user/admin", "git": git}})
        page.page.set_viewport_size({"width": 390, "height": 800})
        page.open("/projects/user/admin/plain/settings")
        save = page.page.get_by_role("button", name="Save the repository")
        page.wait_for_text("section[aria-labelledby=git] .key", "ssh-ed25519")
        page.check_accessibility()
        assert fits(page)
        page.page.fill("input[name=git-url]", forge.fake.ssh_url(second))
        page.page.fill("input[name=poll-interval]", "90")
        save.click()
        page.wait_for_text("section[aria-labelledby=git] [role=status]", "Saved")
        stored = site.get("projects/user%2Fadmin%2Fplain")["git"]
        assert (stored["url"], stored["pollInterval"]) == (forge.fake.ssh_url(second), "90s")
        assert stored["sshHostKey"] == forge.fake.ssh.host_key
        # A password is asked for instead of a key; a URL that cannot be read is refused, and nothing is changed.
        page.expected.append("400 (Bad Request)")
        page.page.fill("input[name=git-url]", "https://127.0.0.1:1/app.git")
        page.page.fill("input[name=git-username]", "ada")
        save.click()
        page.wait_for_text("section[aria-labelledby=git] [role=alert]", "must be given too")
        page.page.fill("input[name=git-password]", "not for the log")
        page.expected.append("the server responded with a status of")
        save.click()
        page.wait_for_text("section[aria-labelledby=git] [role=alert]", "127.0.0.1:1")
        assert site.get("projects/user%2Fadmin%2Fplain")["git"]["url"] == forge.fake.ssh_url(second)
