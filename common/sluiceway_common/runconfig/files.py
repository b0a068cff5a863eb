"""The files of a repository that a configuration may read: those of one commit.

`RepositoryFiles` is the port. `FolderFiles` serves a folder (a working tree), `GitFiles` a commit of a local
repository, `MappingFiles` texts in memory. All of them refuse paths that leave the repository: `..`, absolute paths,
links. They block; callers on an event loop use them from a thread.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import subprocess
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_common.runconfig.problems import quoted

MAX_FILE_BYTES: Final = 1 << 20
MAX_NAMES: Final = 10_000
_GIT_SECONDS: Final = 30
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


class FileRefused(InvalidInput):
    """The path leads out of the repository, or to something that is not a file, or is too large."""

    reason = "FILE_REFUSED"


class FileReader(Protocol):
    """Reads the files of a repository."""

    def read(self, path: str) -> bytes | None:
        """Read a file by its path from the root, with `/` and without `..`; None when there is none.

        May be repeated. A missing file is None; a failure to read is an error, because a caller may retry.

        Raises:
            FileRefused: it is there, and may not be read: a link that leaves, a folder, too large.
            Unavailable: the repository cannot be read at present.
        """
        ...


class RepositoryFiles(FileReader, Protocol):
    """Reads and lists the files of a repository."""

    def list(self, folder: str) -> tuple[str, ...]:
        """List the names in a folder, sorted; empty where there is no such folder. `""` is the root.

        May be repeated. Links are listed and not followed. Names that are not UTF-8 are left out, and so is what is
        beyond `MAX_NAMES`.

        Raises:
            FileRefused: the path leads out of the repository.
            Unavailable: the repository cannot be read at present.
        """
        ...


def join_inside(folder: str, path: str) -> str:
    """Resolve `path`, as written in a file of `folder`, to a path from the root.

    Raises:
        FileRefused: it is absolute, or leaves the root.
    """
    if path.startswith("/") or "\0" in path or "\n" in path or "\\" in path:
        raise FileRefused(f"{quoted(path)} is not a path inside the repository")
    joined = posixpath.normpath(posixpath.join(folder, path))
    if joined == ".." or joined.startswith("../"):
        raise FileRefused(f"{quoted(path)} leaves the repository")
    return joined


def _prefix_of(folder: str) -> str:
    inside = join_inside("", folder) if folder else "."
    return "" if inside == "." else f"{inside}/"


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _check_size(path: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise FileRefused(f"{quoted(path)} has {size} bytes; at most {MAX_FILE_BYTES} are read")


class MappingFiles:
    """Files held in memory, by path."""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self._files = files

    def read(self, path: str) -> bytes | None:
        content = self._files.get(join_inside("", path))
        if isinstance(content, str):
            content = content.encode()
        if content is not None:
            _check_size(path, len(content))
        return content

    def list(self, folder: str) -> tuple[str, ...]:
        prefix = _prefix_of(folder)
        names = {path.removeprefix(prefix).split("/", 1)[0] for path in self._files if path.startswith(prefix)}
        return tuple(sorted(names - {""}))[:MAX_NAMES]


class FolderFiles:
    """The files below a folder. `.git` is no file of the repository: it may hold credentials."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: str) -> bytes | None:
        target = self._find(path)
        try:
            # The file may have been replaced since: do not follow links, and do not wait for a pipe.
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as cause:
            raise FileRefused(f"{quoted(path)} cannot be read: {cause.strerror}") from cause
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileRefused(f"{quoted(path)} is not a plain file")
            _check_size(path, status.st_size)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as cause:
            raise FileRefused(f"{quoted(path)} cannot be read: {cause.strerror}") from cause
        finally:
            os.close(descriptor)
        _check_size(path, len(content))
        return content

    def list(self, folder: str) -> tuple[str, ...]:
        try:
            with os.scandir(self._find(folder)) as entries:
                names = [entry.name for entry in islice(entries, MAX_NAMES)]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as cause:
            raise FileRefused(f"{quoted(folder)} cannot be read: {cause.strerror}") from cause
        return tuple(sorted(name for name in names if _is_text(name) and name != ".git"))

    def _find(self, path: str) -> Path:
        inside = join_inside("", path)
        try:
            target = (self._root / inside).resolve()
        except (OSError, RuntimeError) as cause:  # RuntimeError: a cycle of links
            raise FileRefused(f"{quoted(path)} cannot be read: {cause}") from cause
        if not target.is_relative_to(self._root) or ".git" in target.relative_to(self._root).parts:
            raise FileRefused(f"{quoted(path)} is a link that leaves the repository, or a part of .git")
        return target


class GitFiles:
    """The files of one commit of a repository on this machine."""

    def __init__(self, repository: Path, commit: str) -> None:
        """Name the repository (a working tree or a bare one) and the commit, as 40 or 64 hex digits.

        Raises:
            InvalidInput: `commit` is not an object id.
        """
        if not _COMMIT.match(commit):
            raise InvalidInput(f"{quoted(commit)} is not the id of a commit")
        self._repository = repository
        self._commit = commit

    def read(self, path: str) -> bytes | None:
        """Read a file of the commit; git follows links inside the commit itself."""
        inside = join_inside("", path)
        # With --follow-symlinks git distinguishes a blob, a link that leaves the tree, a loop, and what is missing.
        # Request the commit too: one that was not fetched looks like a missing file, and must not be the same to a
        # caller.
        asked = f"{self._commit}^{{commit}}\n{self._commit}:{inside}\n"
        answer = self._git("cat-file", "--batch-check", "--follow-symlinks", text=asked)
        commit, _, found = answer.decode("utf-8", "replace").partition("\n")
        words = found.split("\n", 1)[0].split(" ")
        if len(words) == 3 and words[1] == "blob":
            _check_size(path, int(words[2]))
            return self._git("cat-file", "blob", words[0])
        if words[0] in {"dangling", "notdir"} or words[-1] == "missing":
            if commit.endswith(" missing"):
                raise Unavailable(f"the commit {self._commit} is not in {self._repository}")
            return None
        raise FileRefused(f"{quoted(path)} is not a plain file, or a link that leaves the repository")

    def list(self, folder: str) -> tuple[str, ...]:
        prefix = _prefix_of(folder)
        found = self._git("ls-tree", "-z", "--name-only", self._commit, "--", *([prefix] if prefix else []))
        paths = found.decode("utf-8", "surrogateescape").split("\0")
        names = {path.removeprefix(prefix) for path in paths if path.startswith(prefix) and _is_text(path)}
        return tuple(sorted(names - {""}))[:MAX_NAMES]

    def _git(self, *arguments: str, text: str = "") -> bytes:
        command = ["git", "-C", str(self._repository), "--no-replace-objects", *arguments]
        # No lazy fetch, no prompt: use only objects that are here.
        environment = {
            "PATH": os.defpath,
            "HOME": "/nonexistent",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            # Only objects are read, and no hook or filter runs, so a folder of another owner is safe.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        try:
            done = subprocess.run(
                command, input=text.encode(), capture_output=True, timeout=_GIT_SECONDS, env=environment, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as cause:
            raise Unavailable(f"git could not read {self._repository}: {cause}") from cause
        if done.returncode != 0:
            detail = done.stderr.decode("utf-8", "replace").strip()[:500]
            raise Unavailable(f"git could not read {self._repository}: {detail}")
        return done.stdout
