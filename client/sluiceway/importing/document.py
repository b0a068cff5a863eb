"""The document that an importer makes: objects of Sluiceway's configuration, notes, and expressions of jsonnet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

KEYWORDS: Final = frozenset(
    {"assert", "else", "error", "false", "for", "function", "if", "import", "importstr", "importbin", "in", "local"}
    | {"null", "self", "super", "tailstrict", "then", "true"}
)
"""The words of jsonnet that are no names."""
PULL_REQUESTS: Final = "#^refs/(pull|merge-requests)/#"
"""A rule that all pull and merge requests match."""
ANY: Final = "/.*/"


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression of jsonnet.

    Attributes:
        source: its text.
    """

    source: str


@dataclass(frozen=True, slots=True)
class Noted:
    """An object or a value with notes, which become comments before it.

    Attributes:
        value: what the notes are about.
        notes: a line or a few each.
    """

    value: Any
    notes: Sequence[str]


@dataclass(slots=True)
class Task:
    """A task that is being made.

    Attributes:
        name: unique in its run; an expression if it depends on the values of a matrix.
        fields: the others, in the order in which they are written.
        steps: in order.
        notes: what has no counterpart.
        matrix: the combinations of values of which each makes a task, in which `m` is the combination; None: one task.
        local: the name of the local variable that has the tasks of a matrix.
    """

    name: str | Expression
    fields: dict[str, Any] = field(default_factory=dict)
    steps: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    matrix: list[dict[str, str]] | None = None
    local: str = ""

    def set_environment(self, name: str, value: Any) -> None:
        """Add a variable, unless it is there."""
        self.fields.setdefault("environment", {}).setdefault(name, value)

    def made(self) -> dict[str, Any]:
        """Return its object."""
        shown = {key: value for key, value in self.fields.items() if value not in ({}, [], None, "")}
        return {"name": self.name, **shown, **({"steps": self.steps} if self.steps else {})}


@dataclass(slots=True)
class Run:
    """A run that is made.

    Attributes:
        name: unique in its file; an expression if it depends on the values of a matrix.
        tasks: in order.
        when: its rules; an empty one: always.
        inputs: what whoever starts it may choose, by name.
        notes: what has no counterpart.
        matrix: as of a task; None: one run.
        local: as of a task.
    """

    name: str | Expression
    tasks: list[Task]
    when: dict[str, Any]
    notes: list[str]
    inputs: dict[str, Any] = field(default_factory=dict)
    matrix: list[dict[str, str]] | None = None
    local: str = ""


@dataclass(slots=True)
class Document:
    """The configuration that is being made.

    Attributes:
        runs: in order.
        notes: about the whole.
        uses_context: some expression reads `ctx`.
        local_names: those of its variables.
    """

    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    uses_context: bool = False
    local_names: set[str] = field(default_factory=set)

    def local_name(self, name: str, what: str) -> str:
        """Return a name for a variable that has what a matrix makes, and that no other one has."""
        base = re.sub(r"^(?=[0-9])", "_", re.sub(r"[^A-Za-z0-9]", "_", name)) + f"_{what}"
        found, number = base, 2
        while found in self.local_names:
            found, number = f"{base}_{number}", number + 1
        self.local_names.add(found)
        return found


class Unsupported(Exception):
    """A condition that cannot be said in Sluiceway."""
