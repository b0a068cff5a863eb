"""Writes what is generated from the code: the pages of error reasons, options, the run configuration and decisions in
docs/, and the types of the web UI.

    python -m scripts.reference [--check]

`--check` writes nothing, and fails when a page is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.reference.decisions import decisions_page
from scripts.reference.markdown import ROOT, Fault
from scripts.reference.options import options_page
from scripts.reference.pipeline import pipeline_page
from scripts.reference.reasons import reasons_page
from scripts.reference.web_types import web_types

PAGES: dict[Path, Callable[[], str]] = {
    Path("docs/reference/errors.md"): reasons_page,
    Path("docs/reference/options.md"): options_page,
    Path("docs/reference/run-config.md"): pipeline_page,
    Path("docs/decisions/README.md"): decisions_page,
    Path("web/src/api/types.ts"): web_types,
}


def main() -> int:
    """Write the pages, or compare them; return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m scripts.reference")
    arguments.add_argument("--check", action="store_true")
    check = arguments.parse_args().check
    faults: list[str] = []
    for path, make in PAGES.items():
        try:
            text = make()
        except Fault as fault:
            faults.append(str(fault))
            continue
        file = ROOT / path
        if file.exists() and file.read_text() == text:
            continue
        if check:
            faults.append(f"{path} is not up to date; run: make generate")
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
