"""Watches a history while it happens: what etcd and the object storage get, and how servers end.

What can be told at once is told here; all else is judged by `checker` afterwards.
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
from tests.properties.history import Entry, Fact
from tests.properties.scene import Scene, where
from tests.properties.servers import PREFIX, Server
from tests.properties.workload import TYPES

__all__ = ["Witness"]

_CATALOGUE = Catalogue((*TYPES, TOMBSTONE))
_KINDS = frozenset(Kind)


class Witness:
    """See the module."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._history = scene.history
        scene.network.on_entry = self._entry_appended
        scene.network.on_object = self._object_stored

    def server_failed(self, server: Server, error: BaseException) -> None:
        """A server ended by itself. A store that is away is a reason, at the start; else only a loss of etcd is."""
        if _only(error, Unavailable | DeadlineExceeded):
            return
        if isinstance(error, DatabaseLost) and error.reason == "LOG_GAP" and self._scene.aged:
            return  # it was behind for longer than segments are kept; it starts again from a manifest
        if self._history.losses and isinstance(error, DatabaseLost):
            self._check_saved_by(server, error)
            if error.seen is not None and not self._scene.plan.own_etcd:
                server.policy = RecoverIfRolledBack(error.seen)
            return
        if self._history.losses and isinstance(error, SluicewayError) and error.reason in _KINDS:
            return  # it stays up, not ready, and looks again
        self._scene.problem(f"{server.name} ended by itself: {_describe(error)}")
        server.give_up()

    def _check_saved_by(self, server: Server, error: DatabaseLost) -> None:
        """A server that saw etcd change has stored all that it knew, if the storage let it."""
        if error.reason != "ETCD_CHANGED" or error.seen is None or self._scene.storage_trouble:
            return
        for entry in self._history.back_from(error.seen.digest):
            if entry.digest not in self._history.saved:
                self._scene.problem(
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
                self._scene.problem(f"{key} holds {entry.sequence}, which was never in the log")
            self._history.saved.setdefault(entry.digest, moment)


def _only(error: BaseException, kinds: Any) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only(item, kinds) for item in error.exceptions)
    return isinstance(error, kinds)


def _describe(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_describe(item) for item in error.exceptions)
    return f"{error!r} {where(error)}"
