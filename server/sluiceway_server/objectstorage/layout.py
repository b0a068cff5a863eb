"""The prefixes of an installation in its object storage, and which part owns each.

All objects of an installation are in one of these folders below its prefix (decision 0170). Whatever else is below the
prefix was put there by somebody else: it is reported (`sluice db status`) and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Owner(StrEnum):
    """The part of the server that writes the objects of a folder, reads them and deletes them."""

    DATABASE = "database"
    RUN_SERVICE = "run service"


class Folder(StrEnum):
    """The names of the folders."""

    EPOCH = "epoch"
    WAL = "wal"
    DATA = "data"
    INDEX = "index"
    MANIFEST = "manifest"
    IN_USE = "in-use"
    LOGS = "logs"
    LOG_WORK = "log-work"
    RUN_CONFIG = "run-config"
    WORKSPACES = "workspaces"
    ARTIFACTS = "artifacts"
    CACHES = "caches"


FOLDERS: Mapping[Folder, Owner] = MappingProxyType(
    {
        Folder.EPOCH: Owner.DATABASE,  # where each part of the log began
        Folder.WAL: Owner.DATABASE,  # the log, in segments
        Folder.DATA: Owner.DATABASE,  # records
        Folder.INDEX: Owner.DATABASE,  # columns of records, beside their data files
        Folder.MANIFEST: Owner.DATABASE,  # which data files there are
        Folder.IN_USE: Owner.DATABASE,  # whether servers work on this storage
        Folder.LOGS: Owner.RUN_SERVICE,  # what steps wrote
        Folder.LOG_WORK: Owner.RUN_SERVICE,  # what is due to be done with logs
        Folder.RUN_CONFIG: Owner.RUN_SERVICE,  # large configurations of runs, by their digest
        Folder.WORKSPACES: Owner.RUN_SERVICE,  # what tasks saved for each other
        Folder.ARTIFACTS: Owner.RUN_SERVICE,  # what tasks saved for people
        Folder.CACHES: Owner.RUN_SERVICE,  # what runs saved for later ones
    }
)
"""All of them."""

DATABASE_FOLDERS = (Folder.EPOCH, Folder.WAL, Folder.DATA, Folder.INDEX, Folder.MANIFEST)
"""Those that hold the records: what an operator counts, and what makes a prefix a database."""
