"""The objects of archives. Pure.

Those of a run are named by their content, so that two steps that save the same store it once. Those of a cache have
names of their own: a key is written once, and its object goes with its record.
"""

from __future__ import annotations

import re

from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.objectstorage.layout import Folder

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOLDERS = {
    ArchiveKind.WORKSPACE: Folder.WORKSPACES,
    ArchiveKind.ARTIFACT: Folder.ARTIFACTS,
    # Reports are for people, too, and kept for as long.
    ArchiveKind.REPORT: Folder.ARTIFACTS,
}


def run_object(kind: ArchiveKind, run_id: str, digest: str) -> str:
    """Name the object of an archive of a run, below the prefix."""
    return f"{run_folder(kind, run_id)}{digest}"


def run_folder(kind: ArchiveKind, run_id: str) -> str:
    """Name the folder of the archives of one kind of a run."""
    return f"{_FOLDERS[kind]}/{run_id}/"


def kind_folder(kind: ArchiveKind) -> str:
    """Name the folder of all archives of a kind."""
    return f"{_FOLDERS[kind]}/"


def cache_object(id_: str) -> str:
    """Name the object of a cache."""
    return f"{Folder.CACHES}/{id_}"


def is_digest(text: str) -> bool:
    """Return whether a text is a SHA-256 in hex."""
    return bool(_SHA256.fullmatch(text))
