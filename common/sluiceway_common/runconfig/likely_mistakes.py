"""Warnings for values that are allowed but probably mistakes.

The checks of a configuration use them for a document, and the server for the tasks of a run that is created without
one, so that both have the same messages. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sluiceway_common.runconfig.environment import POD_VARIABLE

_REF_RULES: Final = ("branch", "tag", "ref")
# A smaller value is a mistake.
_LEAST_DURATION: Final = 1_000_000
_LEAST_MEMORY: Final = 1 << 20


def carriage_return(text: str, *, is_command: bool) -> str | None:
    """Warn of carriage returns in a text; None when it has none."""
    if "\r" not in text:
        return None
    if "\r\n" not in text:
        what = "it holds a carriage return"
    elif is_command:
        what = "its lines end in CR LF"
    else:
        what = "it has lines that end in CR LF"
    then = ", which a shell takes for a part of the command" if is_command else ""
    return f"{what}{then}; save the file with LF line ends, or take the carriage returns out"


def overwritten_variable(name: str, value: str | None, *, system: Collection[str], in_step: bool = False) -> str | None:
    """Warn of a variable that the system sets to something else; None for any other one.

    Args:
        name: of the variable.
        value: its value; None where that is not known yet.
        system: the names that the system sets (`environment.system_variables`).
        in_step: whether it is of a step, whose own variables win; else it is of a task or a container.
    """
    if name == POD_VARIABLE:
        return f"`{name}` is set by the executor; this value is not used"
    if in_step or name not in system or (name == "CI" and value == "true"):
        return None
    return f"`{name}` is set by the system; this value is not used, but a step's own `environment` can set it"


def small_duration(nanoseconds: int) -> str | None:
    """Warn of an integer that was most likely meant as seconds; None for one that was not."""
    if not 0 < nanoseconds < _LEAST_DURATION:
        return None
    return f'an integer counts nanoseconds; write "{nanoseconds}s" for seconds'


def small_amount_of_memory(size: int) -> str | None:
    """Warn of an integer that was most likely meant as mebibytes; None for one that was not."""
    if not 0 < size < _LEAST_MEMORY:
        return None
    return f'an integer counts bytes; write "{size}Mi" for mebibytes'


def rule_that_never_matches(rule: str) -> str | None:
    """Warn of a rule for refs that no ref can match (git-check-ref-format(1)); None for any other one."""
    if len(rule) > 2 and rule[0] in "/#" and rule[-1] == rule[0]:
        return None
    if rule[:1] == "/":
        return "this matches no ref: a regular expression begins and ends with `/`"
    if not set(rule).isdisjoint("*?["):
        return "this matches no ref: it is compared as it is; write a regular expression, such as /^release-/"
    return None


def never_applies(when: Mapping[str, Any]) -> bool:
    """Return whether rules for refs only exclude, so that what they belong to never applies."""
    rules = [when[name] for name in _REF_RULES if when.get(name) is not None]
    includes = [r.get("include") if isinstance(r, dict) else r for r in rules]
    return bool(rules) and not any(includes)
