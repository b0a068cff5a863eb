"""Debian's Chromium for tests, headless, and what a page of it must never do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["CHROMIUM", "BrowserPage", "browser_page", "running_chromium"]

CHROMIUM = shutil.which("chromium")
_ROOT = Path(__file__).resolve().parents[2]
_AXE = _ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_WAIT_MILLISECONDS = 60_000
# Before any script of the page.
_NOTE_VIOLATIONS = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
_RUN_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.flatMap((each) =>
    each.nodes.map((node) => `${each.id}: ${node.target} ${node.failureSummary}`));
}"""


class BrowserPage:
    """A page, with the faults that it has shown."""

    def __init__(self, page: Page, base: str) -> None:
        """Watch a page of a site at `base`."""
        self.page = page
        self.base = base
        self.faults: list[str] = []
        # Parts of errors in the console that a test causes, such as the code of a refused call.
        self.expected: list[str] = []
        page.set_default_timeout(_WAIT_MILLISECONDS)
        page.add_init_script(_NOTE_VIOLATIONS)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)

    def open(self, path: str) -> None:
        """Load a page of the site."""
        self.page.goto(self.base + path)

    def wait_for(self, expression: str) -> None:
        """Wait until an expression in JavaScript is true."""
        # Polling: a policy without `unsafe-eval` forbids what Playwright otherwise does here.
        self.page.wait_for_function(f"() => {expression}", polling=100)

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element has a text in it."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def check(self) -> None:
        """Check that there was no exception, no error in the console, and no violation of the policy."""
        assert self.page.evaluate("window.violations") == []
        unexpected = [fault for fault in self.faults if not any(part in fault for part in self.expected)]
        assert unexpected == [], unexpected

    def check_accessibility(self) -> None:
        """Check with axe that what is shown now has no violation, in light and in dark."""
        self.check()
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.wait_for(f"document.documentElement.dataset.theme === '{scheme}'")
            self.page.evaluate(_AXE.read_text() + ";0")
            violations = self.page.evaluate(_RUN_AXE)
            assert violations == [], f"{scheme}: " + "\n".join(violations)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run Chromium for the block."""
    with sync_playwright() as playwright:
        # Without its own sandbox: root cannot use it, and the pages are ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browser_page(browser: Browser, base: str, **options: Any) -> Iterator[BrowserPage]:
    """Open a page in a profile of its own for the block, and check it at the end."""
    context = browser.new_context(**options)
    try:
        page = BrowserPage(context.new_page(), base)
        yield page
        page.check()
    finally:
        context.close()
