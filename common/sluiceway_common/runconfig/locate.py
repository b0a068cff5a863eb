"""Find the file of the configuration: in `.sluice/`, then `.agola/`; in it jsonnet, then JSON, then YAML. Pure.

A file that is not read but probably intended (`config.yaml`, `.sluice.yml`, `Config.json`, `config.jsonnet.txt`) is
named with what to do: `find_near_misses` where no configuration was found, `find_unread` beside one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sluiceway_common.runconfig.files import FileReader, FileRefused, RepositoryFiles
from sluiceway_common.runconfig.problems import quoted

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
    """Return whether a configuration lies where Agola keeps its own; its tasks then see Agola's names too."""
    return path.split("/", 1)[0] == AGOLA_FOLDER


def syntax_of(path: str) -> Syntax | None:
    """Return the syntax that a file's name stands for; None if it stands for none."""
    return next((syntax for suffix, syntax in _SYNTAX_BY_SUFFIX.items() if path.endswith(suffix)), None)


def find_source(files: FileReader) -> Source | None:
    """Read the first of `CANDIDATES` that is there; None when none is.

    Raises:
        FileRefused, Unavailable: see `FileReader.read`.
    """
    for path in CANDIDATES:
        content = files.read(path)
        if content is not None:
            syntax = syntax_of(path)
            assert syntax is not None, path  # noqa: S101 - the candidates above all have one
            return Source(path, syntax, content)
    return None


_FOLDERS: Final = (".sluice", AGOLA_FOLDER)
_MEANT_BY_SUFFIX: Final = {
    "jsonnet": "config.jsonnet",
    "libsonnet": "config.jsonnet",
    "json": "config.json",
    "json5": "config.json",
    "yml": "config.yml",
    "yaml": "config.yml",
}
_MEANT = re.compile(
    r"(?P<stem>.*?)\.(?P<suffix>jsonnet|libsonnet|json5?|ya?ml)(?:\.(?:txt|bak|orig))?\Z", re.IGNORECASE
)
_MAX_NEAR_MISSES: Final = 5
_STARLARK_NAME: Final = "config.star"
_STARLARK: Final = (
    f"{AGOLA_FOLDER}/{_STARLARK_NAME} is not read, though Agola reads it first: starlark is not supported; write the"
    " configuration in jsonnet"
)


def find_near_misses(files: RepositoryFiles) -> tuple[str, ...]:
    """Return the files that were probably intended, and what to do; for a repository in which `find_source` finds none.

    Raises:
        FileRefused, Unavailable: see `RepositoryFiles.list`.
    """
    found: list[str] = []
    root = files.list("")
    # The folders that are read, then others of nearly that name, then files beside them.
    for name in sorted(root, key=lambda n: (n not in _FOLDERS, n)):
        word = name.casefold().strip("._-")
        if word in {"sluice", "sluiceway", "agola"}:
            folder = name if name in _FOLDERS else AGOLA_FOLDER if word == "agola" else ".sluice"
            inside = files.list(name)
            if name == AGOLA_FOLDER and _STARLARK_NAME in inside:
                found.append(_STARLARK)
            for each in inside:
                meant = _meant_by(each)
                # In the right folder, any file of such a syntax may be meant; libraries are not.
                if meant is not None and (_stem(each) == "config" or not each.endswith("libsonnet")):
                    to = f"rename it to {meant}" if name == folder else f"move it to {folder}/{meant}"
                    found.append(f"{_shown(name)}/{_shown(each)} is not read; {to}")
            if name in _FOLDERS and not inside and _is_file(files, name):
                found.append(f"{name} is a file; the configuration is a file in a folder of that name")
        elif _stem(name).strip("._-") in {"sluice", "sluiceway", "agola"}:
            meant = _meant_by(name)
            folder = AGOLA_FOLDER if "agola" in _stem(name) else ".sluice"
            if meant is not None:
                found.append(f"{_shown(name)} is not read; move it to {folder}/{meant}")
    return tuple(found[:_MAX_NEAR_MISSES])


def find_unread(files: RepositoryFiles, path: str, imported: Collection[str] = ()) -> tuple[str, ...]:
    """Return the files beside the configuration at `path` that look like one too, are not read and not imported.

    Raises:
        FileRefused, Unavailable: see `RepositoryFiles.list`.
    """
    folder, _, own = path.rpartition("/")
    others = [
        name
        for name in files.list(folder)
        if name != own
        and _stem(name) == "config"
        and _meant_by(name) is not None
        and f"{folder}/{name}" not in imported
    ]
    unread = tuple(f"{folder}/{_shown(name)} is not read, since {path} is" for name in others[:_MAX_NEAR_MISSES])
    return (_STARLARK, *unread) if folder == AGOLA_FOLDER and _STARLARK_NAME in files.list(folder) else unread


def find_reason_unread(files: RepositoryFiles, path: str) -> tuple[str, ...]:
    """Return why runs do not read a file in one of the folders; empty when they do, or when it is anywhere else.

    Raises:
        Unavailable: see `FileReader.read`.
    """
    if path.rpartition("/")[0] not in _FOLDERS:
        return ()
    try:
        read = find_source(files)
    except FileRefused:
        return ()
    if read is not None and read.path == path:
        return ()
    instead = read.path if read is not None else f"one of {', '.join(CANDIDATES)}"
    return (f"runs do not read this file, but {instead}",)


def _meant_by(name: str) -> str | None:
    match = _MEANT.match(name)
    return _MEANT_BY_SUFFIX[match["suffix"].casefold()] if match else None


def _stem(name: str) -> str:
    match = _MEANT.match(name)
    return match["stem"].casefold() if match else ""


def _shown(name: str) -> str:
    return quoted(name)[1:-1]


def _is_file(files: FileReader, path: str) -> bool:
    try:
        return files.read(path) is not None
    except FileRefused:
        return False
