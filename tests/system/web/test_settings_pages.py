"""The settings of a project, in Chromium."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.fakes.forge import Kind
from tests.support.browser import BrowserPage, running_chromium
from tests.support.installation import HOST_TASK, installation, until
from tests.support.running_forge import running_forge
from tests.support.web_site import NEEDS_BROWSER, LinkedProject, Site, linked_project

pytestmark = [*NEEDS_BROWSER, pytest.mark.timeout(300)]

STEP = {"run": {"command": "printf %s $TOKEN | sha256sum", "environment": {"TOKEN": {"from_variable": "deploy-token"}}}}
CONFIG = {"runs": [{"name": "build", "tasks": [{"name": "use", "runtime": HOST_TASK, "steps": [STEP]}]}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation that may call loopback addresses."""
    folder = tmp_path_factory.mktemp("settings")
    with installation(folder, "--allow-private-addresses", "127.0.0.0/8") as running, running_chromium() as browser:
        yield Site(running, browser)


@pytest.fixture(scope="module")
def project(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkedProject]:
    with running_forge(Kind.GITEA, tmp_path_factory.mktemp("forge")) as forge:
        yield linked_project(site, forge, "app", {".sluice/config.json": json.dumps(CONFIG).encode()})


def organization_project(site: Site, name: str) -> str:
    """Make a project in a group of an organization; return its path."""
    site.post("organizations", {"organization": {"name": name}})
    site.post("projectGroups", {"projectGroup": {"name": "backend", "parentId": f"org/{name}"}})
    made = site.post("projects", {"project": {"name": "api", "parentId": f"org/{name}/backend"}})
    return str(made["path"])


def own(site: Site, kind: str, parent: str) -> list[Any]:
    found = site.get(f"{kind}?parentId={parent.replace('/', '%2F')}")
    return list(found[kind])


def test_secret_is_stored_and_its_values_changed(site: Site, page: BrowserPage) -> None:
    path = organization_project(site, "secrets")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{path}/settings")
    page.wait_for_text("p", "The project has no secret")
    page.page.get_by_role("button", name="New secret").click()
    page.page.fill("input[name=secret]", "npm")
    page.page.fill("input[name=key]", "token")
    page.page.fill("textarea[name=value]", "correct horse")
    page.check_accessibility()
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The secret npm is stored")
    (secret,) = own(site, "secrets", path)
    assert (secret["name"], secret["keys"], secret["version"]) == ("npm", ["token"], "1")
    # Rotated, and a second value added; no value is ever shown.
    for key in ("token", "other"):
        page.page.get_by_role("button", name="Set a value of npm").click()
        page.page.fill("input[name=key]", key)
        page.page.fill("textarea[name=value]", "battery staple")
        page.page.get_by_role("button", name="Set", exact=True).click()
        page.wait_for_text("[role=status]", "A value of npm is set")
        page.wait_for("!document.querySelector('textarea')")
    (secret,) = own(site, "secrets", path)
    assert (secret["keys"], secret["version"]) == (["other", "token"], "3")
    assert "battery" not in page.page.content()
    page.page.get_by_role("button", name="Set a value of npm").click()
    page.page.get_by_role("button", name="Delete other of npm").click()
    page.page.get_by_role("button", name="Delete other of npm now").click()
    page.wait_for_text("[role=status]", "The value other of npm is deleted")
    assert own(site, "secrets", path)[0]["keys"] == ["token"]
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.page.get_by_role("button", name="Delete npm", exact=True).click()
    page.page.get_by_role("button", name="Delete npm now").click()
    page.wait_for_text("[role=status]", "The secret npm is deleted")
    assert own(site, "secrets", path) == []


def test_secret_that_is_refused_says_why(site: Site, page: BrowserPage) -> None:
    path = organization_project(site, "refused")
    page.open(f"/projects/{path}/settings")
    page.page.get_by_role("button", name="New secret").click()
    page.page.fill("input[name=secret]", "no name at all!")
    page.page.fill("input[name=key]", "token")
    page.page.fill("textarea[name=value]", "correct horse")
    page.expected.append("400 (Bad Request)")
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=alert]", "name")
    # What was typed is still there, so that it can be corrected.
    assert page.page.input_value("textarea[name=value]") == "correct horse"
    page.page.fill("input[name=secret]", "good")
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The secret good is stored")
    assert page.page.locator("[role=alert]").count() == 0


def test_variable_is_used_by_a_run(project: LinkedProject, page: BrowserPage) -> None:
    page.open(f"/projects/{project.path}/settings")
    page.page.get_by_role("button", name="New secret").click()
    page.page.fill("input[name=secret]", "deploy")
    page.page.fill("input[name=key]", "main")
    page.page.fill("textarea[name=value]", "correct horse")
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The secret deploy is stored")
    page.page.get_by_role("button", name="New variable").click()
    page.page.fill("input[name=variable]", "deploy-token")
    page.page.fill("input[name=secret-key]", "main")
    page.page.fill("input[name=when-branch]", "main /^release-/ !release-0")
    page.check_accessibility()
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The variable deploy-token is stored")
    page.wait_for_text("ol li", "branch main /^release-/ !release-0")
    (variable,) = own(project.site, "variables", project.path)
    when = {"branch": {"include": ["main", "/^release-/"], "exclude": ["release-0"]}}
    assert variable["values"] == [{"secretName": "deploy", "key": "main", "when": when}]
    page.page.get_by_role("link", name="Run by hand").click()
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.page.get_by_role("button", name="Start", exact=True).click()
    page.page.get_by_label("What came of it").get_by_role("link", name="build").click()
    page.page.get_by_role("link", name="use: success").wait_for()


def test_variables_of_ancestors_are_shown_and_overridden(site: Site, page: BrowserPage) -> None:
    path = organization_project(site, "inherit")
    secret = {"name": "deploy", "values": {"a": "c2VjcmV0", "b": "c2VjcmV0"}}
    site.post("secrets", {"secret": {**secret, "parentId": "org/inherit"}})
    for name in ("token", "other"):
        value = {"secretName": "deploy", "key": "a"}
        site.post("variables", {"variable": {"name": name, "parentId": "org/inherit", "values": [value]}})
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{path}/settings")
    above = page.page.get_by_role("list", name="Variables of org/inherit")
    above.get_by_text("token").wait_for()
    assert above.get_by_text("overridden").count() == 0
    page.page.get_by_role("button", name="New variable").click()
    page.page.fill("input[name=variable]", "token")
    page.page.fill("input[name=secret-key]", "a")
    page.page.get_by_role("button", name="Add a value").click()
    page.page.locator("input[name=secret-key]").nth(1).fill("b")
    page.page.locator("input[name=when-tag]").nth(1).fill("/^v/")
    page.page.get_by_role("button", name="Move up value 2").click()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.page.get_by_role("button", name="Store").click()
    above.locator("li", has_text="token").get_by_text("overridden nearer to the project").wait_for()
    (variable,) = own(site, "variables", path)
    assert [each["key"] for each in variable["values"]] == ["b", "a"]
    page.check_accessibility()
    page.page.get_by_role("button", name="Change token").click()
    page.page.get_by_role("button", name="Remove value 1").click()
    page.page.get_by_role("button", name="Store").click()
    page.wait_for("!document.querySelector('form[aria-label=Variable]')")
    assert [each["key"] for each in own(site, "variables", path)[0]["values"]] == ["a"]
    page.page.get_by_role("button", name="Delete token").click()
    page.page.get_by_role("button", name="Delete token now").click()
    page.wait_for_text("[role=status]", "The variable token is deleted")
    above.get_by_text("overridden").wait_for(state="detached")


def test_schedule_is_stored_paused_and_deleted(project: LinkedProject, page: BrowserPage) -> None:
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{project.path}/settings")
    page.page.get_by_role("button", name="New schedule").click()
    page.page.fill("input[name=cron]", "70 2 * * *")
    page.page.fill("input[name=time-zone]", "Europe/Berlin")
    page.page.fill("input[name=schedule-ref]", "main")
    page.check_accessibility()
    page.expected.append("400 (Bad Request)")
    page.page.get_by_role("button", name="Store").click()
    page.page.locator("[role=alert]").wait_for()
    page.page.fill("input[name=cron]", "30 2 * * mon-fri")
    page.page.get_by_role("button", name="Store").click()
    page.wait_for_text("[role=status]", "The schedule is stored")
    page.wait_for_text("li", "due next at")
    page.page.get_by_role("button", name="Pause 30 2").click()
    page.wait_for_text("[role=status]", "It is paused")
    (schedule,) = project.site.get(f"projects/{project.id}/schedules")["schedules"]
    assert (schedule["paused"], schedule["timeZone"]) == (True, "Europe/Berlin")
    page.page.get_by_role("button", name="Resume 30 2").click()
    page.wait_for_text("li", "due next at")
    page.page.get_by_role("button", name="Delete 30 2").click()
    page.page.locator("form button", has_text="Delete").click()
    page.wait_for_text("[role=status]", "The schedule is deleted")
    assert project.site.get(f"projects/{project.id}/schedules")["schedules"] == []


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[Any, bytes]]]]:
    """Run a server that takes every request, for the block; yield its URL and the headers and bodies that it got."""
    taken: list[tuple[Any, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.headers, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_webhook_is_signed_with_the_secret_that_is_shown(project: LinkedProject, page: BrowserPage) -> None:
    page.page.set_viewport_size({"width": 360, "height": 740})
    with receiver() as (url, taken):
        page.open(f"/projects/{project.path}/settings")
        page.page.get_by_role("button", name="New webhook").click()
        page.page.fill("input[name=url]", url)
        page.page.get_by_role("button", name="Store").click()
        secret = page.page.locator("code.text").inner_text()
        page.check_accessibility()
        delivery = project.site.post(f"projects/{project.id}:run", {"ref": "main"})
        until(lambda: len(taken) >= 2, f"events of the runs of delivery {delivery['id']} are received")
        headers, body = taken[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        sent = page.page.get_by_role("list", name=f"Deliveries to {url}")
        (webhook,) = project.site.get(f"webhooks?parentId={project.id}")["webhooks"]

        def is_delivered() -> bool:
            found = project.site.get(f"webhooks/{webhook['id']}/deliveries")["deliveries"]
            return any(each["phase"] == "WEBHOOK_DELIVERY_PHASE_DELIVERED" for each in found)

        until(is_delivered, "a delivery is known to be received")
        page.page.get_by_role("button", name=f"Deliveries to {url}").click()
        sent.get_by_text("delivered, status 204").first.wait_for()
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.page.get_by_role("button", name=f"Disable {url}").click()
        page.wait_for_text("[role=status]", "No more events are sent")
        page.page.get_by_role("button", name=f"Delete {url}").click()
        page.page.get_by_role("button", name=f"Delete {url} now").click()
        page.wait_for_text("[role=status]", "The webhook is deleted")
    page.page.reload()
    page.wait_for_text("p", "The project has no outgoing webhook")
    assert secret not in page.page.content()


def test_project_is_changed_moved_and_deleted(site: Site, page: BrowserPage) -> None:
    path = organization_project(site, "moving")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{path}/settings")
    page.wait_for_text("section[aria-labelledby=members] li", "owner")
    page.check_accessibility()
    page.page.fill("input[name=concurrency]", "3")
    page.page.get_by_label("A new run cancels older queued runs").check()
    page.page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_text("[role=status]", "Saved")
    changed = site.get(f"projects/{path.replace('/', '%2F')}")
    assert (changed["concurrency"], changed["cancelSuperseded"]) == (3, True)
    page.page.fill("input[name=name]", "service")
    page.page.get_by_role("button", name="Save", exact=True).click()
    page.page.wait_for_url("**/projects/org/moving/backend/service/settings")
    # The move and the deletion want the path typed.
    page.page.fill("input[name=parent]", "org/moving")
    page.page.get_by_role("button", name="Move").click()
    move = page.page.get_by_role("button", name="Move org/moving/backend/service now")
    assert move.is_disabled()
    page.page.fill("input[name=confirm]", "org/moving/backend/service")
    page.check_accessibility()
    move.click()
    page.page.wait_for_url("**/projects/org/moving/service/settings")
    page.page.get_by_role("button", name="Delete org/moving/service").click()
    page.page.fill("input[name=confirm]", "service")
    delete = page.page.get_by_role("button", name="Delete org/moving/service now")
    assert delete.is_disabled()
    page.page.fill("input[name=confirm]", "org/moving/service")
    page.expected.append("404 (Not Found)")
    delete.click()
    page.page.wait_for_url("**/projects/org/moving")
    page.wait_for_text("a", "org/moving/backend")
    assert site.get("projects?parentId=org%2Fmoving")["projects"] == []


def test_retention_of_a_project_is_shown_and_changed(site: Site, page: BrowserPage) -> None:
    path = organization_project(site, "keeping")
    page.page.set_viewport_size({"width": 390, "height": 800})
    page.open(f"/projects/{path}/settings")
    page.wait_for_text("#kept-logs", "now: 30 days")
    page.wait_for_text("#kept-runs", "now: for ever")
    page.page.fill("input[name=kept-logs]", "2")
    page.page.fill("input[name=kept-caches]", "0.5")
    page.page.get_by_role("button", name="Save how long things are kept").click()
    page.wait_for_text("section[aria-labelledby=retention] [role=status]", "Saved")
    page.wait_for_text("#kept-logs", "now: 2 days")
    page.check_accessibility()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    stored = site.get(f"projects/{path.replace('/', '%2F')}")
    assert stored["retention"] == {"logs": "172800s", "caches": "43200s"}
    page.page.fill("input[name=kept-logs]", "")
    page.page.get_by_role("button", name="Save how long things are kept").click()
    page.wait_for_text("#kept-logs", "now: 30 days")


def test_account_is_linked_and_a_project_made_of_a_repository(project: LinkedProject, page: BrowserPage) -> None:
    site, fake = project.site, project.forge.fake
    project.forge.repository("acme/second", {".sluice/config.json": json.dumps(CONFIG).encode()})
    source = {"name": "second", "type": fake.kind.product, "apiUrl": fake.api_url}
    site.post("remoteSources", {"remoteSource": source})
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open("/account")
    page.page.fill("input[name=token-second]", project.forge.user.token)
    page.page.get_by_role("button", name="Link second").click()
    page.page.locator("li", has_text="second").get_by_text(project.forge.user.name, exact=True).first.wait_for()
    # What works with an account is said before it is removed.
    row = page.page.locator("li", has=page.page.locator("strong", has_text="app"))
    row.get_by_role("button", name=f"Remove {project.forge.user.name}").click()
    page.wait_for_text("form p", "user/admin/app works with it: pushes start no runs there any more")
    page.page.get_by_role("button", name="Keep").click()
    page.open("/projects")
    page.page.get_by_role("button", name="New project").click()
    page.page.select_option("select[name=source]", label="second")
    page.page.fill("input[name=repository]", "acme/second")
    page.check_accessibility()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.page.get_by_role("button", name="Create").click()
    page.page.wait_for_url("**/projects/user/admin/second")
    page.wait_for_text("p", "The project has no runs yet")
    assert site.get("projects/user%2Fadmin%2Fsecond")["repositoryPath"] == "acme/second"
    page.open("/runs/nothing/here")
    page.wait_for_text("h1", "There is no such page")
    assert page.page.title() == "No such page · Sluiceway"
