"""A directory of live executors that a test fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.placement import ExecutorView
from sluiceway_server.datamanager.model import Put
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import EXECUTOR


class FakeExecutorDirectory:
    """The list of live executors, with their records in the database, as sessions keep them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._live: dict[str, ExecutorView] = {}
        self._callbacks: list[Callable[[], None]] = []

    def live(self) -> Sequence[ExecutorView]:
        return tuple(self._live.values())

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def connect(self, view: ExecutorView) -> None:
        """Add an executor, as after its hello."""
        record = pb.ExecutorRecord(
            group=view.group,
            session_id=view.session,
            slots=view.slots,
            settled_epoch=self._db.epoch,
            archs=sorted(view.archs),
            labels=view.labels,
            drivers=sorted(view.drivers),
            privileged_allowed=view.privileged_allowed,
        )
        await self._db.commit([Put(EXECUTOR, view.id, record)])
        self._live[view.id] = view
        self._tell()

    def disconnect(self, executor_id: str) -> None:
        """Remove an executor, as when its key is deleted."""
        del self._live[executor_id]
        self._tell()

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback()


def executor(id_: str = "e1", *, slots: int = 4, session: str = "", **more: object) -> ExecutorView:
    """Return an executor that accepts every task."""
    fields: dict[str, object] = {"archs": frozenset({"amd64"}), "drivers": frozenset({"sandbox"}), **more}
    return ExecutorView(id=id_, group="default", slots=slots, session=session or f"session-of-{id_}", **fields)  # type: ignore[arg-type]  # what a test adds
