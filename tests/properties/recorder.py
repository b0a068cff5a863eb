"""Records what etcd and the object storage get while a history is executed, and why servers end.

What is certainly wrong is reported at once; all else is judged by `checker` afterwards.
"""

from __future__ import annotations

from typing import Any

from sluiceway_common.foundation.errors import DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_server.datamanager.engine.opening import RecoverIfRolledBack
from sluiceway_server.datamanager.log.entries import Catalogue, decode_entry, decode_transactions
from sluiceway_server.datamanager.log.segments import decode_segment
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE
from tests.properties.cluster import PREFIX, Cluster, Server, where
from tests.properties.history import Entry, Fact
from tests.properties.workload import TYPES

__all__ = ["Recorder"]

_CATALOGUE = Catalogue((*TYPES, TOMBSTONE))
_NOT_READY = frozenset({*Kind, "STORAGE_IN_USE"})
"""Reasons for which a server stays up without a database, and looks again."""


class Recorder:
    """Adds to the record of a history."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._history = cluster.history
        cluster.network.on_entry = self._entry_appended
        cluster.network.on_object = self._object_stored

    def server_failed(self, server: Server, error: BaseException) -> None:
        """Check why a server ended by itself: a store is not available at the start, or etcd was lost."""
        if _only(error, Unavailable | DeadlineExceeded):
            return
        if isinstance(error, DatabaseLost) and error.reason == "LOG_GAP" and self._cluster.is_aged:
            return  # it was behind for longer than segments are kept; it starts again from a manifest
        if self._history.losses and isinstance(error, DatabaseLost):
            self._check_saved_by(server, error)
            if error.seen is not None and not self._cluster.plan.own_etcd:
                server.policy = RecoverIfRolledBack(error.seen)
            return
        if self._history.losses and isinstance(error, SluicewayError) and error.reason in _NOT_READY:
            return
        self._cluster.problem(f"{server.name} ended by itself: {_describe(error)}")
        server.give_up()

    def _check_saved_by(self, server: Server, error: DatabaseLost) -> None:
        """Check that a server that saw etcd change has stored all that it knew, if the storage let it."""
        if error.reason != "ETCD_CHANGED" or error.seen is None or self._cluster.had_storage_trouble:
            return
        for entry in self._history.back_from(error.seen.digest):
            if entry.digest not in self._history.saved:
                self._cluster.problem(
                    f"{server.name} gave up, and {entry.sequence}, which it knew, is not in the storage"
                )
                return

    # -- what really happens

    def _entry_appended(self, raw: bytes) -> None:
        entry = decode_entry(raw)
        facts = tuple(Fact.of(item.applied) for item in decode_transactions(entry, _CATALOGUE))
        self._history.entries.append(
            Entry(entry.sequence, entry.digest, entry.previous_digest, facts, self._history.now())
        )

    def _object_stored(self, key: str, body: bytes) -> None:
        if key.startswith(f"{PREFIX}/epoch/"):
            self._history.epochs[int(key.rpartition("/")[2], 16)] = self._history.now()
        if not key.startswith(f"{PREFIX}/wal/"):
            return
        moment = self._history.now()
        known = {entry.digest for entry in self._history.entries}
        for entry in decode_segment(key, body).entries:
            if entry.digest not in known:
                self._cluster.problem(f"{key} holds {entry.sequence}, which was never in the log")
            self._history.saved.setdefault(entry.digest, moment)


def _only(error: BaseException, kinds: Any) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only(item, kinds) for item in error.exceptions)
    return isinstance(error, kinds)


def _describe(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_describe(item) for item in error.exceptions)
    return f"{error!r} {where(error)}"
