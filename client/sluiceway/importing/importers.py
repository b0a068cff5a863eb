"""The systems whose configurations can be converted, and the conversion of files of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from sluiceway.importing import github, gitlab, woodpecker
from sluiceway.importing.building import unique_name
from sluiceway.importing.document import Document
from sluiceway.importing.jsonnet_text import document_text
from sluiceway.importing.yaml_values import Value, read_yaml

__all__ = ["System", "comments_in", "convert"]


class System(StrEnum):
    """A system of which configurations are converted."""

    GITHUB_ACTIONS = "github-actions"
    GITLAB = "gitlab"
    WOODPECKER = "woodpecker"


_CONVERT: Final[Mapping[System, Callable[[dict[str, Value], str, Document], None]]] = {
    System.GITHUB_ACTIONS: github.convert,
    System.GITLAB: gitlab.convert,
    System.WOODPECKER: woodpecker.convert,
}


def convert(system: System, files: Sequence[tuple[str, bytes]]) -> str:
    """Return the configuration in jsonnet that files of a system become, a run each.

    Args:
        system: whose files they are.
        files: the name and the content of each.

    Raises:
        InvalidInput: a file is no YAML, or exceeds a limit.
    """
    names = ", ".join(name for name, _ in files)
    document = Document(notes=[f"Converted from {names} of {system}. Comments say what has no counterpart."])
    for name, content in files:
        stem = PurePosixPath(name).stem.lstrip(".")
        _CONVERT[system](read_yaml(content, name), "ci" if stem in {"gitlab-ci", "woodpecker"} else stem, document)
    taken: set[str] = set()
    for run in document.runs:
        if isinstance(run.name, str):
            run.name = unique_name(run.name, taken)
    return document_text(document)


def comments_in(text: str) -> int:
    """Return how many things of a converted file have a comment."""
    lines = [line.strip() for line in text.splitlines()]
    return sum(line.startswith("// ") for line in lines[1:])
