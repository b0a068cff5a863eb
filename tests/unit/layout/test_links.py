"""Links between pages resolve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for folder in (".", "docs", "tests", "examples")
    for path in (ROOT.glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings, as the sites of git make them."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            yield target


def test_links_of_all_pages_resolve() -> None:
    assert [(str(page.relative_to(ROOT)), target) for page in PAGES for target in broken_links(page)] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/datamanager.md"])
def test_paths_that_a_page_names_exist(page: str) -> None:
    named = re.findall(
        r"`((?:proto|common|server|executor|client|tests|docs|bench)/[\w./-]+)`", (ROOT / page).read_text()
    )
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_modules_named_in_the_datamanager_page_exist() -> None:
    table = (ROOT / "docs" / "datamanager.md").read_text().partition("| to understand | read |")[2].partition("\n\n")[0]
    cells = "".join(line.split("|")[2] for line in table.splitlines()[2:])
    folder = ROOT / "server" / "sluiceway_server" / "datamanager"
    named = re.findall(r"`([\w/]+)`", cells)
    assert named
    assert [name for name in named if not name.startswith("app/") and not (folder / f"{name}.py").exists()] == []
