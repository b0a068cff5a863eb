"""Logins with a git provider, and links of accounts there, in Chromium: a real installation and a fake Gitea."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fakes.forge import Kind
from tests.support.browser import CHROMIUM, BrowserPage, browser_page, running_chromium
from tests.support.installation import SLUICE, Installation, installation, run_sluice, sentence_of
from tests.support.provider_browser import answer_at_provider, query_of
from tests.support.running_forge import RunningForge, running_forge

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; `make browser` installs it"),
    pytest.mark.skipif(
        not (ROOT / "server" / "sluiceway_server" / "gateway" / "web" / "index.html").exists(),
        reason="the web UI is not built; `make web` builds it",
    ),
]


@dataclass(frozen=True)
class Site:
    """An installation with a provider, and a browser."""

    installation: Installation
    forge: RunningForge
    browser: Browser

    @property
    def base(self) -> str:
        return f"http://{self.installation.state['http']}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("provider-login")
    options = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8")
    (folder / "forge").mkdir()
    with (
        installation(folder, *options) as running,
        running_forge(Kind.GITEA, folder / "forge") as forge,
        running_chromium() as browser,
    ):
        site = Site(running, forge, browser)
        application = forge.fake.oauth2.register(f"{site.base}/oauth2/callback")
        secret = folder / "client-secret"
        secret.write_text(application.client_secret)
        command = ["remote-source", "create", "forge", "--type", "gitea", "--api-url", forge.fake.api_url]
        command += ["--oauth2-client-id", application.client_id, "--oauth2-client-secret-file", str(secret)]
        running.sluice(*command, "--login", "--registration")
        yield site


def sign_in_at_forge(site: Site, page: BrowserPage, name: str) -> None:
    page.page.goto(f"{site.forge.fake.url}/fake_login/{name}")


def accounts_of_eve(site: Site) -> list[dict[str, Any]]:
    lines = site.installation.sluice("linked-account", "list", "--user", "eve", "-o", "jsonl").stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_login_registers_and_opens_the_page_asked_for(site: Site) -> None:
    site.forge.fake.add_user("zoe")
    with browser_page(site.browser, site.base) as page:
        sign_in_at_forge(site, page, "zoe")
        page.open("/projects?x=1")
        page.wait_for("location.pathname === '/login'")
        page.page.get_by_role("button", name="Log in with forge").wait_for()
        page.check_accessibility()
        page.page.get_by_role("button", name="Log in with forge").click()
        page.page.get_by_role("button", name="Authorize").click()
        page.wait_for("location.pathname + location.search === '/projects?x=1'")
        page.page.get_by_role("button", name="Log out").wait_for()
        assert "oauth2" not in page.page.url
        # Nothing of the authorization is left, and no script reads the session.
        cookies = page.page.context.cookies(site.base)
        (session,) = [cookie for cookie in cookies if cookie["name"].startswith("sluice-session")]
        assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
        assert not [cookie for cookie in cookies if cookie["name"].startswith("sluice-oauth2")]
        page.page.reload()
        page.page.get_by_role("button", name="Log out").wait_for()
    assert " zoe " in f" {site.installation.sluice('user', 'list').stdout.replace(chr(10), ' ')} "


def test_denial_is_a_sentence_on_the_login_page(site: Site) -> None:
    site.forge.fake.add_user("dan")
    with browser_page(site.browser, site.base) as page:
        sign_in_at_forge(site, page, "dan")
        page.open("/login?next=%2Fprojects")
        page.page.get_by_role("button", name="Log in with forge").click()
        page.page.get_by_role("button", name="Cancel").click()
        page.wait_for_text("[role=alert]", "You did not authorize Sluiceway at the provider")
        page.check_accessibility()
        # The page that was asked for is not forgotten.
        page.page.get_by_role("button", name="Log in with forge").click()
        page.page.get_by_role("button", name="Authorize").click()
        page.wait_for("location.pathname === '/projects'")


def test_callback_of_another_browser_is_refused(site: Site) -> None:
    """A link with somebody else's code must not log its victim in to the account of the attacker."""
    site.forge.fake.add_user("mal")
    with browser_page(site.browser, site.base) as attacker, browser_page(site.browser, site.base) as victim:
        sign_in_at_forge(site, attacker, "mal")
        attacker.open("/login")
        attacker.page.get_by_role("button", name="Log in with forge").click()
        attacker.page.get_by_role("button", name="Authorize").wait_for()
        url = attacker.page.url
        link = site.forge.do(lambda: answer_at_provider(url, "mal"))
        assert query_of(link)["code"]
        victim.page.goto(link)
        victim.wait_for_text("[role=alert]", "was begun in another browser")
        assert victim.page.context.cookies(site.base) == []
        # The attacker's own browser could have used it.
        attacker.page.goto(link)
        attacker.page.get_by_role("button", name="Log out").wait_for()


def test_user_links_relinks_and_removes_an_account(site: Site) -> None:
    ann = site.forge.user
    site.installation.sluice("user", "create", "eve")
    token = site.installation.sluice("user", "create-token", "eve", "laptop").stdout.strip()
    with browser_page(site.browser, site.base) as page:
        sign_in_at_forge(site, page, ann.name)
        page.open("/login?next=%2Faccount")
        page.page.get_by_label("Token").fill(token)
        page.page.get_by_role("button", name="Log in", exact=True).click()
        page.page.get_by_role("button", name="Link forge").click()
        page.page.get_by_role("button", name="Authorize").click()
        page.wait_for_text("li", "ann")
        page.check_accessibility()
        (account,) = accounts_of_eve(site)
        assert (account["remoteName"], account["remoteUserId"], account["authorized"]) == ("ann", str(ann.id), True)
        # Revoked at the provider: found by the next call that needs it.
        site.forge.fake.oauth2.revoke(ann)
        command = ["project", "create", "user/eve/app", "--remote-source", "forge", "--repository", "acme/app"]
        done = run_sluice(*command, "--server", site.installation.state["grpc"], SLUICE_TOKEN=token)
        assert "link it again" in sentence_of(done)
        page.page.reload()
        page.wait_for_text("li .fault", "does not accept the authorization of the account ann")
        page.page.get_by_role("button", name="Link forge").click()
        page.page.get_by_role("button", name="Authorize").click()
        page.wait_for("document.querySelector('li .fault') === null && document.querySelector('li') !== null")
        page.page.get_by_role("button", name="Remove ann").click()
        page.wait_for_text("form p", "No project works with it. You cannot log in with forge any more")
        page.check_accessibility()
        assert len(accounts_of_eve(site)) == 1
        page.page.get_by_role("button", name="Remove ann now").click()
        page.wait_for_text("li", "not linked")
        assert accounts_of_eve(site) == []


def test_program_is_logged_in_by_a_confirmation(site: Site, tmp_path: Path) -> None:
    """From the link that `sluice login --browser` prints, through the login with the provider."""
    site.forge.fake.add_user("pam")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "SLUICE_SERVER": "", "SLUICE_TOKEN": ""}
    command = [*SLUICE, "login", "--server", site.installation.state["grpc"], "--browser"]
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program,
        browser_page(site.browser, site.base) as page,
    ):
        assert program.stderr is not None
        link = program.stderr.readline().split()[-1]
        sign_in_at_forge(site, page, "pam")
        page.page.goto(link)
        page.page.get_by_role("button", name="Log in with forge").click()
        page.page.get_by_role("button", name="Authorize").click()
        page.page.get_by_role("button", name="Continue").click()
        page.wait_for_text("code", link.rpartition("=")[2])
        page.check_accessibility()
        page.page.get_by_role("button", name="Confirm").click()
        page.wait_for_text("[role=status]", "logged in as you")
        out, err = program.communicate(timeout=120)
    assert program.returncode == 0, err
    assert "as pam; the token is in" in out


def test_account_that_nobody_linked_is_a_sentence(site: Site) -> None:
    site.forge.fake.add_user("max")
    site.installation.sluice("remote-source", "update", "forge", "--no-registration")
    try:
        with browser_page(site.browser, site.base) as page:
            sign_in_at_forge(site, page, "max")
            page.open("/login")
            page.page.get_by_role("button", name="Log in with forge").click()
            page.page.get_by_role("button", name="Authorize").click()
            page.wait_for_text("[role=alert]", "No user here has linked this account")
    finally:
        site.installation.sluice("remote-source", "update", "forge", "--registration")


def test_page_at_another_address_says_where_to_go(site: Site) -> None:
    port = site.installation.state["http"].rpartition(":")[2]
    with browser_page(site.browser, f"http://localhost:{port}") as page:
        page.open("/login")
        page.page.get_by_role("button", name="Log in with forge").click()
        page.wait_for_text("[role=alert]", f"open {site.base}/login")
        page.expected.append("400")


def test_error_in_the_address_is_no_text_of_the_page(site: Site) -> None:
    with browser_page(site.browser, site.base) as page:
        page.open("/login?error=call%200900%20123&next=https://evil.example")
        page.wait_for_text("[role=alert]", "This did not work")
        assert "0900" not in page.page.inner_text("main")
        assert json.dumps(page.page.evaluate("location.origin")) == json.dumps(site.base)
