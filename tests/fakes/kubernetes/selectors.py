"""Selectors of labels and of fields, as query parameters have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.kubernetes.store import ApiFault

__all__ = ["field_selector", "label_selector"]

Selector = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")


def label_selector(text: str) -> Selector:
    """Parse `a=b,c!=d,e,!f,g in (h,i)`."""
    tests = [_label_test(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda found: all(test(found["metadata"].get("labels") or {}) for test in tests)


def _label_test(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        name, verb, listed = found.groups()
        values = {each.strip() for each in listed.split(",")}
        return lambda labels: (labels.get(name) in values) == (verb == "in")
    for sign, wanted in (("!=", False), ("==", True), ("=", True)):
        if sign in part:
            name, _, value = (each.strip() for each in part.partition(sign))
            return lambda labels: (labels.get(name) == value) == wanted
    if part.startswith("!"):
        return lambda labels: part[1:] not in labels
    return lambda labels: part in labels


def field_selector(text: str, allowed: frozenset[str]) -> Selector:
    """Parse `metadata.name=a,status.phase!=b`. Each kind has few fields that may be selected."""
    tests = []
    for part in filter(None, text.split(",")):
        name, sign, value = re.split(r"(!=|==|=)", part, maxsplit=1)
        if name not in allowed:
            raise ApiFault(400, "BadRequest", f'field label not supported: "{name}"')
        tests.append((name.split("."), sign != "!=", value))

    def selects(found: Mapping[str, Any]) -> bool:
        for path, wanted, value in tests:
            at: Any = found
            for each in path:
                at = (at or {}).get(each)
            if (str(at or "") == value) != wanted:
                return False
        return True

    return selects
