"""Finds the folders that a clone of a repository on the executor's machine needs.

A repository may be spread over several folders: the refs and objects of a worktree are in its main repository, and a
clone made with `--shared` or `--reference` borrows objects. Files in a repository say where (gitrepository-layout(5)).
These files are not trusted: each folder that they name must be below the executor's `--local-repositories`, too. This
module reads the disk, and does not run git.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.port import Repository

__all__ = ["is_local", "local_repository"]

_FILE_BYTES = 64 << 10
_ALTERNATES_DEPTH = 5
"""The depth to which git follows alternates of alternates."""
_ALTERNATES = 32
_PARTIAL = re.compile(rb"^\s*(?:partialclone\s*=|promisor\s*=\s*true\b)", re.IGNORECASE | re.MULTILINE)


def is_local(repository: str) -> bool:
    """Return whether a repository is a path of the executor's own machine."""
    return repository.startswith("/")


def local_repository(repository: str, allowed: Path | None, *, whole: bool = True) -> Repository:
    """Return a repository of this machine, with all folders that belong to it and links resolved. Reads the disk.

    Args:
        repository: its path.
        allowed: all that belongs to it must be below this folder; None: no repository may be used.
        whole: the clone needs the whole history, which a partial clone does not have.

    Raises:
        FailedPrecondition: this executor clones no such repositories, or not this one (`LOCAL_REPOSITORY`).
    """
    if allowed is None:
        raise _refused(
            f"this executor clones no repositories of its own machine, so not {repository}; "
            "name a URL instead, or start an executor with --local-repositories DIR"
        )
    folder, root = Path(repository).resolve(), allowed.resolve()
    if not folder.is_relative_to(root) or not folder.is_dir():
        raise _refused(
            f"{repository} is not a folder below {allowed}, this executor's --local-repositories; "
            "name a URL instead, or move the repository there"
        )
    git_folder = _git_folder(repository, folder)
    if not git_folder.is_relative_to(root):
        raise _refused(
            f"{repository} belongs to the git repository {git_folder}, which is not below {allowed}, this executor's "
            "--local-repositories; move it there, or name a URL"
        )
    objects = git_folder / "objects"
    if not objects.is_dir() or objects.is_symlink():
        raise _refused(f"{repository} is not a git repository that can be cloned: {objects} is not a folder")
    if whole and _PARTIAL.search(_read(git_folder / "config")):
        raise _refused(
            f"{repository} is a partial clone, which has not all objects of its history; "
            "name the URL that it was cloned from, or give the clone step a depth"
        )
    return Repository(folder, git_folder, tuple(_alternates(repository, objects, root=root, allowed=allowed)))


def _git_folder(repository: str, folder: Path) -> Path:
    """Return the folder with the refs and objects of a repository."""
    dot_git = folder / ".git"
    if dot_git.is_file():
        target = _read(dot_git).removeprefix(b"gitdir:").strip()
        found = _join(folder, target)
    elif dot_git.exists():
        found = dot_git.resolve()
    elif (folder / "HEAD").is_file() and (folder / "objects").is_dir():
        return folder
    else:
        raise _refused(f"{repository} is not a git repository")
    if not found.is_dir():
        raise _refused(f"{repository} is not a git repository: its git folder {found} does not exist")
    # The folder of the main repository, for a worktree.
    common = found / "commondir"
    return _join(found, _read(common).strip()) if common.is_file() else found


def _alternates(repository: str, objects: Path, *, root: Path, allowed: Path) -> list[Path]:
    """Return the folders of objects that a repository borrows, and those that these borrow."""
    found: list[Path] = []
    level = [objects]
    for _ in range(_ALTERNATES_DEPTH):
        level = [alternate for each in level for alternate in _alternates_of(each) if alternate not in found]
        for alternate in level:
            if not alternate.is_relative_to(root) or not alternate.is_dir():
                raise _refused(
                    f"{repository} borrows objects from {alternate}, which is not a folder below {allowed}, this "
                    "executor's --local-repositories; move that one there, or make the repository independent "
                    "(git repack -a -d; rm .git/objects/info/alternates)"
                )
        found += dict.fromkeys(level)
    if len(found) > _ALTERNATES:
        raise _refused(f"{repository} borrows objects from {len(found)} folders; {_ALTERNATES} are allowed")
    return found


def _alternates_of(objects: Path) -> list[Path]:
    lines = _read(objects / "info" / "alternates").split(b"\n")
    return [_join(objects, _unquoted(line)) for line in lines if line and not line.startswith(b"#")]


def _unquoted(line: bytes) -> bytes:
    """Return a name without quotes and escapes, if it begins with a quote, as git writes unusual names."""
    if not line.startswith(b'"'):
        return line
    return line[1:].rpartition(b'"')[0].decode("unicode_escape").encode("latin-1")


def _join(folder: Path, name: bytes) -> Path:
    try:
        found = (folder / os.fsdecode(name)).resolve()
        found.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise _refused(f"{folder} is not a git repository: it names a folder that cannot exist") from error
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_FILE_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}") from error


def _refused(message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason="LOCAL_REPOSITORY")
