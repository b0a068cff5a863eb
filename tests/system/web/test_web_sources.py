"""The web UI without a browser: its types, the tests of its modules, and the size of what a browser loads first."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "server" / "sluiceway_server" / "gateway" / "web"
MOST_SCRIPT_BYTES = 150_000

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not (ROOT / "web" / "node_modules" / ".package-lock.json").exists(),
        reason="the packages of the web UI are not installed; `make web` installs them",
    ),
]


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "web.sh"), "npm", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL, cwd=ROOT
    )


@pytest.mark.parametrize("script", ["check", "test"])
def test_script_of_the_package_succeeds(script: str) -> None:
    done = npm("run", "--silent", script)
    assert done.returncode == 0, done.stdout + done.stderr


def _loaded_with(*names: str) -> dict[str, int]:
    """Return the compressed sizes of scripts, and of those that they import statically."""
    waiting = set(names)
    loaded: dict[str, int] = {}
    while waiting:
        name = waiting.pop()
        text = (BUILT / "assets" / name).read_text()
        loaded[name] = len(gzip.compress(text.encode()))
        waiting |= set(re.findall(r'(?:from|import)\s*"\./([^"]+\.js)"', text)) - loaded.keys()
    return loaded


def test_script_of_each_page_is_small() -> None:
    first = re.findall(r'(?:src|href)="/assets/([^"]+\.js)"', (BUILT / "index.html").read_text())
    assert first
    scripts = "".join((BUILT / "assets" / name).read_text() for name in _loaded_with(*first))
    # What is imported dynamically is a page.
    pages = set(re.findall(r'import\(["`]\./([^"`]+\.js)["`]\)', scripts))
    assert len(pages) >= 5
    for page in pages:
        loaded = _loaded_with(*first, page)
        assert sum(loaded.values()) <= MOST_SCRIPT_BYTES, loaded


def test_built_page_has_no_inline_script_or_style() -> None:
    page = (BUILT / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page) == []
