"""Parts that the importers share: names, rules for refs, steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sluiceway.importing.document import Noted

_MAX_NAME: Final = 100


def without_counterpart(what: str) -> Noted:
    """Return a step that fails in the place of one that cannot be converted, so that nobody misses it silently."""
    first = what.splitlines()[0] if what else ""
    said = re.sub(r"[^\w ./:@${}\[\](),=-]", "", first)
    note = f"`{first}` has no counterpart: write what it does as a command"
    return Noted({"run": f"echo 'not converted: {said}' >&2; exit 1"}, [note])


def long_form(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step in its long form, which takes more fields."""
    if "type" in step:
        return dict(step)
    ((type_, content),) = step.items()
    return {"type": type_, **({"command": content} if isinstance(content, str) else content)}


def unique_name(wanted: str, taken: set[str], most: int = _MAX_NAME) -> str:
    """Return a name that no other has, and add it to those that are taken."""
    name, number = short_name(wanted, most), 2
    while name in taken:
        name = f"{short_name(wanted, most - 5)} {number}"
        number += 1
    taken.add(name)
    return name


def short_name(wanted: str, most: int = _MAX_NAME) -> str:
    """Return a text as a name: one line without control characters, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in wanted).split()) or "unnamed"
    return line if len(line) <= most else line[: most - 3] + "..."


def environment_name(prefix: str, name: str) -> str:
    """Return the name of the environment variable for a value."""
    return f"{prefix}_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}"


def input_name(name: str) -> str:
    """Return the name of an input as it is written here: lower-case letters, digits and underscores."""
    made = re.sub(r"[^a-z0-9]", "_", name.lower())
    return made[:50] if made[:1].isalpha() else f"x{made}"[:50]


def exact_or_expression(pattern: str) -> str:
    """Return a rule for a pattern with `*`, `**`, `?` and brackets: the text, if it has none of them."""
    if not re.search(r"[*?+\[\]{}]", pattern):
        return f"/^{re.escape(pattern)}$/" if pattern[:1] in "/#" else pattern
    made, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            made, position = made + "(.*/)?", position + 3
        elif rest.startswith("**"):
            made, position = made + ".*", position + 2
        elif rest[0] == "*":
            made, position = made + "[^/]*", position + 1
        elif rest[0] == "{" and "}" in rest:
            end = rest.index("}")
            made += "(" + "|".join(re.escape(each) for each in rest[1:end].split(",")) + ")"
            position += end + 1
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            made, position = made + rest[: end + 1], position + end + 1
        elif rest[0] in "?+" and made:
            made, position = made + rest[0], position + 1
        else:
            made, position = made + re.escape(rest[0]), position + 1
    return f"#^{made}$#"


def _is_constant(key: str) -> bool:
    """Return whether a key of a cache is the same in all runs, so that what is stored under it would never change."""
    return "{{" not in key


def cache_steps(key: str, fallbacks: Sequence[str], paths: Sequence[str]) -> tuple[Any, Any]:
    """Return the step that restores a cache and the one that saves it."""
    contents: Mapping[str, Any] = {"source_dir": ".", "paths": list(paths)}
    if _is_constant(key):
        # What is stored under a key never changes; the newest that begins with it is restored.
        saved, wanted = f"{key}-{{{{ unixtime }}}}", [f"{key}-"]
    else:
        saved, wanted = key, [key]
    restore = {"restore_cache": {"keys": [*wanted, *fallbacks]}}
    return restore, {"save_cache": {"key": saved, "contents": [contents]}}
