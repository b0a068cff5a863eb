"""Which file is the configuration: `.sluice/`, then `.agola/`; in it jsonnet, then JSON, then YAML. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sluiceway.runconfig.files import RepositoryFiles

__all__ = ["AGOLA_FOLDER", "CANDIDATES", "Source", "Syntax", "find_source", "is_agola", "syntax_of"]

AGOLA_FOLDER: Final = ".agola"


class Syntax(StrEnum):
    """How a configuration is written."""

    JSONNET = "jsonnet"
    JSON = "json"
    YAML = "yaml"


_SYNTAX_BY_SUFFIX: Final = {
    ".jsonnet": Syntax.JSONNET,
    ".json": Syntax.JSON,
    ".yml": Syntax.YAML,
    ".yaml": Syntax.YAML,
}

CANDIDATES: Final = tuple(
    f"{folder}/{name}"
    for folder in (".sluice", AGOLA_FOLDER)
    for name in ("config.jsonnet", "config.json", "config.yml")
)


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a configuration, as found. `path` is from the root of the repository."""

    path: str
    syntax: Syntax
    content: bytes


def is_agola(path: str) -> bool:
    """Tell whether a configuration lies where Agola keeps its own; its tasks then see Agola's names too."""
    return path.split("/", 1)[0] == AGOLA_FOLDER


def syntax_of(path: str) -> Syntax | None:
    """Tell the syntax by the name of a file; None for a name of none."""
    return next((syntax for suffix, syntax in _SYNTAX_BY_SUFFIX.items() if path.endswith(suffix)), None)


def find_source(files: RepositoryFiles) -> Source | None:
    """Read the first of `CANDIDATES` that is there; None when none is.

    Raises:
        FileRefused, Unavailable: see `RepositoryFiles.read`.
    """
    for path in CANDIDATES:
        content = files.read(path)
        if content is not None:
            syntax = syntax_of(path)
            assert syntax is not None, path  # noqa: S101 - the candidates above all have one
            return Source(path, syntax, content)
    return None
