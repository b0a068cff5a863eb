"""Names of users, organizations, project groups, projects, secrets and variables. Pure."""

from __future__ import annotations

import re

__all__ = ["MAX_NAME_LENGTH", "is_uuid", "key_of", "name_fault"]

MAX_NAME_LENGTH = 40

# ASCII only, so that no two names look alike.
_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*", re.ASCII)
# Variables and secrets are often called as in an environment: `NPM_TOKEN`.
_VALUE_NAME = re.compile(r"[A-Za-z](?:[-_]?[A-Za-z0-9])*", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def name_fault(name: str, *, of_value: bool = False) -> str | None:
    """Return what is wrong with a name (api.md, "Projects"); None: nothing.

    Args:
        name: of a node of the tree, or of something in it.
        of_value: of a secret or a variable, which may have underscores where others have hyphens.
    """
    if not name:
        return "must not be empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed"
    if is_uuid(name):
        return "must not be a UUID, because it would look like an id"
    if (_VALUE_NAME if of_value else _NAME).fullmatch(name) is None:
        inner = "single inner hyphens or underscores" if of_value else "single inner hyphens"
        return f"must be letters (a to z), digits and {inner}, and begin with a letter"
    return None


def key_of(name: str) -> str:
    """Return what a name is compared by: names that differ only in case are the same."""
    return name.lower()


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID with hyphens, in any case."""
    return _UUID.fullmatch(text) is not None
