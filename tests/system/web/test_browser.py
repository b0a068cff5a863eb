"""The web UI of a real installation, in Chromium."""

from __future__ import annotations

from tests.support.browser import BrowserPage, browser_page
from tests.support.installation import config
from tests.support.web_site import NEEDS_BROWSER, Site

pytestmark = NEEDS_BROWSER

LARGE_LINES = 1_000_000
LARGE_LINE_BYTES = 100
RELEASE = config(
    {"name": "build", "steps": [{"run": {"name": "compile", "command": "printf '\\033[32mgreen\\033[0m <b>\\n'"}}]},
    {
        "name": "release of a package to all mirrors",
        "approval": True,
        "depends": ["build"],
        "steps": [{"run": {"name": "publish", "command": "echo published"}}],
    },
    name="release",
)
PRINT = r"""seq 1 400
printf 'error: it is \033[1;31mbroken\033[0m, \033[43;30mreally\033[0m \033[7mso\033[0m\n'
for n in 0 1 2 3 4 5 6 7; do
  printf "\033[3${n}mx\033[4${n};36mx\033[10${n}mx\033[0m\033[9${n}mx\033[0m\n"
done
seq 410 900
exit 3"""
BROKEN = config(
    {
        "name": "test",
        "steps": [
            {"run": {"name": "fetch", "command": "echo fetched"}},
            {"run": {"name": "check", "command": PRINT}},
        ],
    },
    name="broken",
)
LARGE = config(
    {
        "name": "talk",
        "steps": [{"run": {"name": "seq", "command": f"seq -f '%0{LARGE_LINE_BYTES - 1}.0f' {LARGE_LINES}"}}],
    },
    name="large",
)


def test_login_leads_to_the_page_that_was_asked_for(site: Site) -> None:
    with browser_page(site.browser, site.base, viewport={"width": 390, "height": 800}) as page:
        page.open("/runs?phase=RUNNING")
        page.page.wait_for_url("**/login?next=%2Fruns%3Fphase%3DRUNNING")
        page.page.locator("input[name=token]").wait_for()
        assert page.page.get_by_role("button", name="Password").count() == 0
        page.check_accessibility()
        page.expected.append("401 (Unauthorized)")
        page.page.fill("input[name=token]", "wrong")
        page.page.press("input[name=token]", "Enter")
        page.page.locator("[role=alert]").wait_for()
        page.page.fill("input[name=token]", site.installation.token)
        page.page.press("input[name=token]", "Enter")
        page.page.wait_for_url("**/runs?phase=RUNNING")
        page.wait_for_text("p", "No run matches")
        cookie = page.page.context.cookies()[0]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert site.installation.token not in cookie["value"]
        page.page.click("text=Log out")
        page.page.wait_for_url("**/login*")
        page.open("/runs")
        page.page.wait_for_url("**/login*")


def test_user_logs_in_with_a_password(site: Site) -> None:
    with site.installation.http() as client:
        assert client.post("/api/v1/users", json={"user": {"name": "ada"}}).status_code == 201
        password = {"password": "correct horse"}
        assert client.post("/api/v1/users/ada:setPassword", json=password).status_code == 204
    with browser_page(site.browser, site.base) as page:
        page.open("/login")
        # It is the first choice, since there is a password now.
        page.page.locator("input[name=user]").wait_for()
        assert page.page.locator("input[name=token]").count() == 0
        page.check_accessibility()
        page.page.fill("input[name=user]", "ada")
        page.page.fill("input[name=password]", "wrong horse")
        page.expected.append("401 (Unauthorized)")
        page.page.press("input[name=password]", "Enter")
        page.wait_for_text("[role=alert]", "password is wrong")
        page.page.fill("input[name=password]", "correct horse")
        page.page.press("input[name=password]", "Enter")
        page.page.wait_for_url("**/runs")
        page.wait_for_text("p", "There is no run yet")


def test_run_is_shown_live_and_its_task_is_approved(site: Site, page: BrowserPage) -> None:
    page.wait_for_text("h1", "Runs")
    run_id = site.create("release", RELEASE)
    # It appears in the list without a reload.
    page.page.click(f'a[href="/runs/{run_id}"]')
    page.page.get_by_role("button", name="Approve release of a package").wait_for()
    page.wait_for_text("section", "Why it waits")
    page.page.set_viewport_size({"width": 390, "height": 800})
    page.page.reload()
    page.page.get_by_role("button", name="Approve release of a package").wait_for()
    # The graph is made smaller to fit.
    page.wait_for("((svg) => svg.clientWidth < svg.viewBox.baseVal.width)(document.querySelector('svg[role=group]'))")
    page.page.locator("svg a[data-name=build]").focus()
    page.page.keyboard.press("ArrowRight")
    assert page.page.evaluate("document.activeElement.dataset.name").startswith("release")
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    page.page.get_by_role("button", name="Approve release of a package").click()
    page.page.get_by_role("link", name="release of a package to all mirrors: success").wait_for()
    page.wait_for_text(".line", "success")
    page.wait_for("document.title.endsWith('release: success · Sluiceway')")
    page.page.locator("svg a[data-name=build]").focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_url(f"**{site.path_of(run_id, 'build')}")
    # The last step of a task that succeeded is open.
    page.page.locator(".log-row .fg-2", has_text="green").wait_for()
    assert page.page.locator(".log-row").first.inner_text().endswith("green <b>")


def test_project_is_found_below_its_groups(site: Site, page: BrowserPage) -> None:
    with site.installation.http() as client:
        for path, body in (
            ("organizations", {"organization": {"name": "acme"}}),
            ("projectGroups", {"projectGroup": {"name": "backend", "parentId": "org/acme"}}),
            ("projects", {"project": {"name": "api", "parentId": "org/acme/backend"}}),
        ):
            assert client.post(f"/api/v1/{path}", json=body).status_code == 201, path
    # Before there is a project at a path, the page asks for one, and Chromium reports the answer.
    page.expected.append("404 (Not Found)")
    page.page.click("nav >> text=Projects")
    page.page.click("a >> text=org/acme/backend/api")
    page.wait_for_text("p", "The project has no runs")
    page.check_accessibility()
    page.page.click("nav[aria-label=Breadcrumb] >> text=acme")
    page.page.click("a >> text=org/acme/backend")
    page.page.locator("ul a", has_text="org/acme/backend/api").wait_for()
    page.check_accessibility()
    page.open("/projects/org/none")
    page.wait_for_text("[role=alert]", "There is no")


def test_failed_task_is_opened_at_its_first_error(site: Site, page: BrowserPage) -> None:
    run_id = site.create("broken", BROKEN)
    site.installation.wait_for(run_id)
    page.open(site.path_of(run_id, "test"))
    error = page.page.locator(".log-row.error:visible", has_text="error: it is broken")
    error.wait_for()
    page.page.locator(".log-row:visible", has_text="409xxxx").wait_for()
    page.page.locator(".log-row:visible", has_text="399399").wait_for()
    page.wait_for_text(".title", "exit code 3")
    assert page.page.locator(".log-view").count() == 1
    page.check_accessibility()
    error.locator("a").click()
    page.page.wait_for_url("**#step-1:L401")
    # From the task to its run, and to a new one.
    page.page.click("nav[aria-label=Breadcrumb] a >> nth=1")
    page.page.get_by_role("button", name="Restart what failed").click()
    page.wait_for_text("dt", "Restart of")
    assert run_id not in page.page.url
    # The link by itself leads to the line, on a small screen too.
    page.page.set_viewport_size({"width": 390, "height": 700})
    page.open("/runs")
    page.open(site.path_of(run_id, "test") + "#step-1:L850")
    page.page.locator(".log-row.marked:visible", has_text="850").wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    page.page.get_by_role("button", name="Times").click()
    page.wait_for(
        r"/^\d\d:\d\d:\d\d\.\d{3}$/.test(document.querySelector('.log-time:not([hidden])')?.textContent ?? '')"
    )
    page.check_accessibility()
    # A search in all logs of the run leads to the line.
    page.open(f"/runs/{run_id}")
    page.page.get_by_role("searchbox").fill("IT IS (broken|well)")
    page.page.get_by_label("regular expression").check()
    page.page.get_by_role("button", name="Search").click()
    found = page.page.locator(".found .row", has_text="error: it is broken")
    found.wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    found.locator("a").click()
    page.page.wait_for_url("**#step-1:L401")
    page.page.locator(".log-row.marked:visible", has_text="it is broken").wait_for()


def test_log_of_100_megabytes_scrolls_with_few_elements(site: Site, page: BrowserPage) -> None:
    run_id = site.create("large", LARGE)
    site.installation.wait_for(run_id)
    page.open(site.path_of(run_id, "talk"))
    page.wait_for_text(".log [role=status]", f"{LARGE_LINES:,} lines, 95.4 MiB")
    page.wait_for("!document.querySelector('.log [role=status]')?.textContent.includes('so far')")
    view = page.page.locator(".log-view")

    def row(line: int) -> str:
        return f"{line}{line:0{LARGE_LINE_BYTES - 1}d}"

    def wait_for_row(line: int) -> None:
        page.wait_for(
            f"[...document.querySelectorAll('.log-row:not([hidden])')].some((e) => e.textContent === '{row(line)}')"
        )
        assert page.page.evaluate("document.querySelectorAll('.log-view *').length") < 400

    wait_for_row(1)
    view.focus()
    page.page.keyboard.press("End")
    wait_for_row(LARGE_LINES)
    page.page.keyboard.press("PageUp")
    page.page.keyboard.press("Home")
    wait_for_row(1)
    # The middle was read long ago, and is read again.
    view.evaluate("(e) => { e.scrollTop = (e.scrollHeight - e.clientHeight) / 2; }")
    wait_for_row(LARGE_LINES // 2)
    page.open(site.path_of(run_id, "talk") + "#step-0:L654321")
    page.page.locator(".log-row.marked:visible", has_text="654321").wait_for()
