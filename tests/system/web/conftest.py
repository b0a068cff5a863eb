from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import BrowserPage, browser_page, running_chromium
from tests.support.installation import installation
from tests.support.web_site import Site, log_in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installation(tmp_path_factory.mktemp("web")) as running, running_chromium() as browser:
        yield Site(running, browser)


@pytest.fixture
def page(site: Site) -> Iterator[BrowserPage]:
    """Return a page that is logged in."""
    with browser_page(site.browser, site.base) as page:
        log_in(page, site.installation.token, "/runs")
        yield page
