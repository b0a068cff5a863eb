"""The mounts of a repository of this machine in a sandbox.

Its folder is at `/mnt/repository`, its git folder at `/mnt/git` when that is elsewhere, and the folders from which it
borrows objects at `/mnt/objects/N`. The files in which it names those (`objects/info/alternates`) hold paths of this
machine, so other files are mounted over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sluiceway_executor.drivers.launcher import MountEntry, bind
from sluiceway_executor.drivers.port import Repository

__all__ = ["clone_source", "repository_files", "repository_folders", "repository_mounts"]

_FOLDER = "/mnt/repository"
_GIT = "/mnt/git"
_OBJECTS = "/mnt/objects"
_FILES = "repository"


def clone_source(repository: Repository | None) -> str:
    """Return the path from which a command in the sandbox clones it; empty: there is none."""
    if repository is None:
        return ""
    usual = repository.git_folder in {repository.folder, repository.folder / ".git"}
    return _FOLDER if usual else _git_folder(repository)


def repository_folders(repository: Repository | None) -> dict[str, Path]:
    """Return the folders that the sandbox needs, each with a name of one word."""
    if repository is None:
        return {}
    folders = {"repository": repository.folder}
    if not repository.git_folder.is_relative_to(repository.folder):
        folders["git"] = repository.git_folder
    return folders | {f"objects{number}": path for number, path in enumerate(repository.alternates)}


def repository_files(repository: Repository | None) -> dict[str, str]:
    """Return the files that are mounted over those of the repository, by their paths in the pod's folder."""
    if repository is None or not repository.alternates:
        return {}
    paths = "".join(f"{_OBJECTS}/{number}\n" for number in range(len(repository.alternates)))
    return {f"{_FILES}/alternates": paths, f"{_FILES}/none": ""}


def repository_mounts(repository: Repository | None, sources: Mapping[str, Path]) -> list[MountEntry]:
    """Return the mounts of the pod; `sources`: the paths of the folders, and of the pod's, at that time."""
    if repository is None:
        return []
    mounts = [bind(_FOLDER, sources["repository"])]
    if "git" in sources:
        mounts.append(bind(_GIT, sources["git"]))
    files = sources["pod"] / _FILES
    if repository.alternates:
        mounts.append(bind(f"{_git_folder(repository)}/objects/info/alternates", files / "alternates"))
    for number, path in enumerate(repository.alternates):
        mounts.append(bind(f"{_OBJECTS}/{number}", sources[f"objects{number}"]))
        if (path / "info/alternates").exists():
            # The list of the first one includes what it borrows in turn.
            mounts.append(bind(f"{_OBJECTS}/{number}/info/alternates", files / "none"))
    return mounts


def _git_folder(repository: Repository) -> str:
    if not repository.git_folder.is_relative_to(repository.folder):
        return _GIT
    inside = repository.git_folder.relative_to(repository.folder)
    return f"{_FOLDER}/{inside}" if inside.parts else _FOLDER
