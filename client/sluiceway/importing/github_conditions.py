"""Conditions of GitHub Actions on the ref and the event, as rules of `when`."""

from __future__ import annotations

import re
from typing import Any, Final

from sluiceway.importing.document import ANY, PULL_REQUESTS, Unsupported

EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
"""An expression in a text; group 1 is what is in it."""


def stripped(condition: str) -> str:
    """Return a condition without the marks of an expression, and with single spaces."""
    found = EXPRESSION.fullmatch(condition.strip())
    return " ".join((found[1] if found else condition).split())


def when_of(condition: str) -> dict[str, Any]:
    """Return the rules that say what a condition on the ref or the event says.

    Raises:
        Unsupported: it says something else.
    """
    made: dict[str, Any] = {}
    pushes: dict[str, Any] = {"branch": ANY, "tag": ANY}
    for part in (each.strip() for each in condition.split("&&")):
        if part in {"success()", "github.event_name == 'push'", "github.event_name != 'pull_request'"}:
            made = {**pushes, **made} if part != "success()" and not made else made
            continue
        made = {key: value for key, value in made.items() if made != pushes}
        if made:
            raise Unsupported(condition)
        made = _one_condition(part)
    return made


def _one_condition(part: str) -> dict[str, Any]:
    if found := re.fullmatch(r"github\.ref == '(refs/[^']+)'", part):
        ref = found[1]
        if ref.startswith("refs/heads/"):
            return {"branch": ref.removeprefix("refs/heads/")}
        return {"ref": ref}
    if found := re.fullmatch(r"github\.ref_name == '([^']+)'", part):
        return {"branch": found[1], "tag": found[1]}
    if found := re.fullmatch(r"startsWith\(\s*github\.ref,\s*'refs/(heads|tags)/([^']*)'\s*\)", part):
        prefix = f"#^{re.escape(found[2])}#" if found[2] else ANY
        return {"branch" if found[1] == "heads" else "tag": prefix}
    if part == "github.ref_type == 'tag'":
        return {"tag": ANY}
    if part == "github.ref_type == 'branch'":
        return {"branch": ANY}
    if part == "github.event_name == 'pull_request'":
        return {"ref": PULL_REQUESTS}
    raise Unsupported(part)
