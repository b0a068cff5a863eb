"""The page of executors, in Chromium."""

from __future__ import annotations

from tests.support.browser import BrowserPage, browser_page
from tests.support.installation import config
from tests.support.web_site import NEEDS_BROWSER, Site, log_in

pytestmark = NEEDS_BROWSER

BUSY = config({"name": "work", "steps": [{"run": {"name": "sleep", "command": "sleep 600"}}]}, name="busy")


def test_executor_is_drained_and_undrained(site: Site, page: BrowserPage) -> None:
    (executor,) = site.get("executors")["executors"]
    name = executor["id"]
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.page.click("nav >> text=Executors")
    page.page.wait_for_url("**/executors")
    row = page.page.locator("li", has_text=name)
    row.get_by_text("idle").wait_for()
    row.get_by_text(f"0 of {executor['slots']} slots").wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    run_id = site.create("busy", BUSY)
    # It is shown without a reload.
    row.get_by_text("busy").wait_for()
    row.get_by_role("button", name=f"Drain {name}").click()
    row.get_by_text("draining").wait_for()
    site.post(f"runs/{run_id}:stop", {"force": True}, status=204)
    row.get_by_text("drained").wait_for()
    row.get_by_role("button", name=f"Undrain {name}").click()
    row.get_by_text("idle").wait_for()
    assert site.get(f"executors/{name}")["draining"] is False


def test_executor_is_deleted_after_a_question(site: Site, page: BrowserPage) -> None:
    (executor,) = site.get("executors")["executors"]
    name, session = executor["id"], executor["sessionTime"]
    page.open("/executors")
    row = page.page.locator("li", has_text=name)
    row.get_by_role("button", name=f"Delete {name}").click()
    page.check_accessibility()
    row.get_by_role("button", name="Keep").click()
    assert site.get("executors")["executors"][0]["sessionTime"] == session
    row.get_by_role("button", name=f"Delete {name}").click()
    row.get_by_role("button", name=f"Delete {name} now").click()
    # Its process still runs, and registers again.
    page.wait_for("!document.querySelector('form')")
    site.installation.wait_for(site.create("after", config({"name": "t", "steps": [{"run": "true"}]})))
    (again,) = site.get("executors")["executors"]
    assert again["sessionTime"] != session


def test_group_is_created_and_deleted(site: Site, page: BrowserPage) -> None:
    page.open("/executors")
    page.page.get_by_role("button", name="New group").click()
    page.page.get_by_label("Name").fill("gpu")
    page.page.get_by_label("Serves").fill("user/admin")
    page.check_accessibility()
    page.page.get_by_role("button", name="Create group").click()
    group = page.page.get_by_role("region", name="Group gpu")
    group.get_by_text("Serves the runs of user/admin.").wait_for()
    group.get_by_role("button", name="Delete group gpu").click()
    group.get_by_role("button", name="Delete group gpu now").click()
    group.wait_for(state="detached")
    assert "gpu" not in [each["name"] for each in site.get("executorGroups")["executorGroups"]]


def test_only_operators_drain_executors(site: Site) -> None:
    site.post("users", {"user": {"name": "ada"}})
    site.post("users/ada:setPassword", {"password": "correct horse"}, status=204)
    token = site.post("users/ada/tokens", {"tokenName": "web"})["token"]
    with browser_page(site.browser, site.base) as page:
        log_in(page, token, "/executors")
        page.expected.append("403 (Forbidden)")
        page.page.get_by_role("button", name="Drain").first.click()
        page.wait_for_text("[role=alert]", "operator")
