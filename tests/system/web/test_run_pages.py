"""The page of a run that failed, is stopped, cancelled or restarted, in Chromium."""

from __future__ import annotations

import zipfile

from tests.support.browser import BrowserPage
from tests.support.installation import config
from tests.support.web_site import NEEDS_BROWSER, Site

pytestmark = NEEDS_BROWSER

PRINT = r"""seq 1 400
printf '\033[1merror:\033[0m it is \033[1;31mbroken\033[0m, %0200d\n' 7
seq 402 900
exit 3"""
FAILING = config(
    {"name": "lint", "steps": [{"run": {"name": "look", "command": "echo fine"}}]},
    {
        "name": "test",
        "steps": [
            {"run": {"name": "fetch", "command": "echo fetched"}},
            {"run": {"name": "check", "command": PRINT}},
        ],
    },
    {"name": "silent", "steps": [{"run": {"name": "say nothing", "command": "exit 4"}}]},
    {"name": "ignored", "ignore_failure": True, "steps": [{"run": {"name": "shrug", "command": "exit 5"}}]},
    name="failing",
)


def test_failed_run_shows_why_at_once(site: Site, page: BrowserPage) -> None:
    run_id = site.create("failing", FAILING)
    site.installation.wait_for(run_id)
    # What a commit status links to.
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/runs/{run_id}")
    failure = page.page.get_by_role("article", name="Failure of test")
    failure.get_by_text("exit code 3").wait_for()
    failure.locator(".row.error", has_text="error: it is broken").wait_for()
    failure.get_by_text("400", exact=True).first.wait_for()
    silent = page.page.get_by_role("article", name="Failure of silent")
    silent.get_by_text("The step wrote nothing.").wait_for()
    assert page.page.get_by_role("article").count() == 2
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    # A reason is visible without scrolling; which task failed first is up to chance here.
    assert page.page.get_by_role("article").first.bounding_box()["y"] < 500  # type: ignore[index]
    failure.get_by_role("link", name="test", exact=True).click()
    page.page.wait_for_url(f"**{site.path_of(run_id, 'test')}#step-1:L401")
    page.page.locator(".log-row.marked:visible", has_text="error: it is broken").wait_for()
    page.page.go_back()
    failure.get_by_role("link", name="403", exact=True).click()
    page.page.locator(".log-row.marked:visible", has_text="403").wait_for()
    # A deleted log is said to be deleted.
    with site.installation.http() as client:
        tasks = site.installation.tasks(run_id)
        assert client.delete(f"/api/v1/runs/{run_id}/tasks/{tasks['test']['id']}/log").status_code == 204
    page.expected.append("404 (Not Found)")
    page.open(f"/runs/{run_id}")
    failure.get_by_text("The log was deleted.").wait_for()


WORKING = config(
    {"name": "work", "steps": [{"run": {"name": "sleep", "command": "sleep 600"}}]},
    {
        "name": "tidy",
        "depends": [{"task": "work", "conditions": ["always"]}],
        "steps": [{"run": {"name": "sweep", "command": "sleep 600"}}],
    },
    name="working",
)
CHAIN = config(
    {"name": "build", "steps": [{"run": {"command": "echo built"}}]},
    {"name": "test", "depends": ["build"], "steps": [{"run": {"command": "echo tested"}}]},
    {"name": "publish", "depends": ["test"], "steps": [{"run": {"command": "echo published"}}]},
    {"name": "docs", "depends": ["build"], "steps": [{"run": {"command": "echo written"}}]},
    name="chain",
)


def test_run_is_stopped_and_a_queued_one_cancelled(site: Site, page: BrowserPage) -> None:
    first = site.create("working", WORKING)
    second = site.installation.create(site.installation.repositories / "working")
    page.open(f"/runs/{second}")
    page.wait_for_text("section", "Why it waits")
    page.page.get_by_role("button", name="Cancel").click()
    page.wait_for_text(".line", "cancelled")
    page.check_accessibility()
    assert site.installation.run(second)["phase"] == "RUN_PHASE_CANCELLED"
    page.page.get_by_role("button", name="Restart all").wait_for()
    assert page.page.get_by_role("button", name="Choose tasks").count() == 0

    page.open(f"/runs/{first}")
    page.page.get_by_role("link", name="work: running").wait_for()
    page.page.get_by_role("button", name="Stop", exact=True).click()
    # What cleans up after a stop runs, and can be stopped as well.
    page.page.get_by_role("link", name="tidy: running").wait_for()
    page.page.get_by_role("button", name="Stop clean-up too").click()
    page.page.get_by_role("link", name="tidy: stopped").wait_for()
    page.page.locator(".line", has_text="stopped").wait_for()
    assert site.installation.wait_for(first)["result"] == "RUN_RESULT_STOPPED"
    page.page.get_by_role("button", name="Restart what failed").wait_for()


def test_action_that_is_refused_says_why(site: Site, page: BrowserPage) -> None:
    run_id = site.create("refused", WORKING)
    page.open(f"/runs/{run_id}")
    page.page.get_by_role("link", name="work: running").wait_for()
    # As if somebody else had been faster.
    page.page.route(
        "**/*:stop",
        lambda route: route.continue_(url=route.request.url.replace(":stop", ":cancel"), post_data="{}"),
    )
    page.expected.append("400 (Bad Request)")
    page.page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_text("[role=alert]", "running")
    page.page.unroute_all()
    site.post(f"runs/{run_id}:stop", {"force": True}, status=204)
    page.wait_for_text(".line", "stopped")


def test_chosen_tasks_run_again(site: Site, page: BrowserPage) -> None:
    run_id = site.create("chain", CHAIN)
    site.installation.wait_for(run_id)
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/runs/{run_id}")
    page.page.get_by_role("button", name="Choose tasks").click()
    page.page.get_by_role("button", name="Restart 0 tasks").wait_for()
    page.page.locator(".tasks").get_by_role("checkbox", name="docs").check()
    page.page.get_by_role("button", name="Restart 1 task", exact=True).wait_for()
    # In the graph, by keyboard: what descends from it runs again too.
    box = page.page.locator("svg a[data-name=test]")
    box.focus()
    page.page.keyboard.press(" ")
    page.page.locator("svg a[data-name=test][aria-checked=true]").wait_for()
    page.page.get_by_role("button", name="Restart 3 tasks").wait_for()
    page.wait_for_text(".tasks label", "publish runs again")
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    # And away again, by the pointer.
    page.page.locator("svg a[data-name=docs]").click()
    page.page.get_by_role("button", name="Restart 2 tasks").click()
    page.wait_for_text("dt", "Restart of")
    restarted = page.page.url.rpartition("/")[2]
    assert restarted != run_id
    site.installation.wait_for(restarted)
    before, after = site.installation.tasks(run_id), site.installation.tasks(restarted)
    kept = {name for name in before if before[name]["id"] == after[name]["id"]}
    assert kept == {"build", "docs"}
    page.wait_for_text(".line", "success")


KEEPING = config(
    {
        "name": "build",
        "steps": [
            {"run": {"name": "make", "command": "mkdir dist; echo one > dist/one; echo two > dist/two"}},
            {"type": "save_artifacts", "name": "binaries", "paths": ["dist/**"]},
        ],
    },
    name="keeping",
)


def test_artifacts_of_a_run_are_downloaded(site: Site, page: BrowserPage) -> None:
    run_id = site.create("keeping", KEEPING)
    page.open(f"/runs/{run_id}")
    link = page.page.get_by_role("list", name="Artifacts").get_by_role("link", name="binaries")
    link.wait_for()
    page.check_accessibility()
    with page.page.expect_download() as started:
        link.click()
    assert started.value.suggested_filename == "binaries.zip"
    with zipfile.ZipFile(started.value.path()) as found:
        assert sorted(found.namelist()) == ["dist/one", "dist/two"]


REPORT = """<testsuite name="unit">
<testcase classname="pkg.Sums" name="adds" time="0.25"/>
<testcase classname="pkg.Sums" name="divides" time="1.5">
<failure message="by zero">Traceback:\n  1 / 0 &lt;b&gt;</failure></testcase>
<testcase classname="pkg.Sums" name="later"><skipped message="not yet"/></testcase>
</testsuite>"""
REPORTING = config(
    {
        "name": "unit",
        "steps": [
            {"run": {"name": "test", "command": f"cat > r.xml <<'END'\n{REPORT}\nEND\nexit 1"}},
            {"type": "save_reports", "paths": ["r.xml"], "always": True},
        ],
    },
    name="reporting",
)


def test_tests_of_a_run_are_listed_failed_ones_first(site: Site, page: BrowserPage) -> None:
    run_id = site.create("reporting", REPORTING)
    page.open(f"/runs/{run_id}")
    tests = page.page.get_by_role("list", name="Tests", exact=True)
    tests.get_by_text("pkg.Sums › divides").wait_for()
    page.wait_for_text("section .head", "1 failed, 1 skipped, 1 passed")
    assert tests.locator("li").count() == 1
    tests.get_by_text("by zero").wait_for()
    tests.get_by_text("Output").click()
    tests.get_by_text("1 / 0 <b>").wait_for()
    page.check_accessibility()
    page.page.get_by_label("show all").check()
    tests.get_by_text("pkg.Sums › adds").wait_for()
    assert tests.locator("li").count() == 3
    tests.get_by_role("link", name="unit").first.click()
    page.page.wait_for_url(f"**/runs/{run_id}/tasks/*")


HELD = config(
    {"name": "build", "hold_on_failure": "30m", "steps": [{"run": {"name": "make", "command": "test -e ~/mended"}}]},
    name="held",
)


def test_held_task_is_continued_and_released(site: Site, page: BrowserPage) -> None:
    run_id = site.create("held", HELD)
    page.open(f"/runs/{run_id}")
    page.page.get_by_role("link", name="build: held (failed)").click()
    held = page.page.locator("section", has_text="Held after a failed step")
    held.get_by_text(f"sluice task shell {run_id}").wait_for()
    held.get_by_text('step "make" failed with exit status 1').first.wait_for()
    page.check_accessibility()
    held.get_by_role("button", name="Run the failed step again").click()
    # It fails again, and is held once more.
    while site.installation.tasks(run_id)["build"].get("hold", {}).get("number") != 2:
        page.page.wait_for_timeout(100)
    held.get_by_role("button", name="Release").and_(page.page.locator(":enabled")).wait_for()
    held.get_by_role("button", name="Release").click()
    page.wait_for_text(".line", "failed")
    assert site.installation.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"


def test_failed_task_is_retried_on_its_page(site: Site, page: BrowserPage) -> None:
    # Its first attempt fails; the other task keeps the run running.
    flaky = {"name": "flaky", "steps": [{"run": {"name": "try", "command": "exit 3"}}]}
    long = {"name": "long", "steps": [{"run": {"name": "wait", "command": "sleep 120"}}]}
    run_id = site.create("retried", config(flaky, long, name="retried"))
    page.open(site.path_of(run_id, "flaky"))
    page.page.get_by_role("button", name="Retry").click()
    page.page.get_by_label("Attempt").wait_for()
    page.page.get_by_role("button", name="Retry").wait_for()
    page.check_accessibility()
    assert site.installation.tasks(run_id)["flaky"]["attempt"] == 2
    page.open(site.path_of(run_id, "long"))
    assert page.page.get_by_role("button", name="Retry").count() == 0
    site.installation.sluice("run", "stop", run_id, "--force")
