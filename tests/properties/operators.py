"""Losses of etcd, and operators, who recover the database or restore it to an earlier entry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import (
    Conflict,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    SluicewayError,
    Unavailable,
)
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.recovery.recovery import Recovery
from sluiceway_server.datamanager.tables.stores import Stores
from tests.fakes.kv import Snapshot
from tests.properties.cluster import PREFIX, Cluster, where
from tests.properties.network import KvWire, StorageWire
from tests.properties.plan import PlannedStep
from tests.properties.simulation import Process

__all__ = ["Operators"]


class Operators:
    """Takes the steps of operators, and those that operators have to repair."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._history = cluster.history
        self._snapshot: Snapshot | None = None
        self._clusters = 0
        self._etcd_was_lost = False  # a restore cannot count what nobody can read any more

    def snapshot(self, step: PlannedStep) -> None:
        self._snapshot = self._cluster.network.store.snapshot()

    def loss(self, step: PlannedStep) -> None:
        """Wipe etcd, or restore its last snapshot; an operator recovers the database after a while."""
        self._clusters += 1
        cluster = 1001 if step.arguments["cluster"] == "same" else 1001 + self._clusters
        if step.arguments["how"] == "wiped" or self._snapshot is None:
            # With nothing stored yet it looks like a first start that did not end, and the same epoch begins again.
            unseen = step.arguments["cluster"] == "same" and not self._history.saved
            self._cluster.network.store.wipe(cluster_id=cluster)
        else:
            self._snapshot.cluster_id = cluster
            unseen = step.arguments["cluster"] == "same"
            self._cluster.network.store.restore(self._snapshot)
        if unseen:
            self._history.put_back.append(self._history.now())
        self._history.losses.append(self._history.now())
        self._etcd_was_lost = True
        self._cluster.later(step.arguments["recover_after"], lambda: self._cluster.begin_operation(self.recover()))

    async def recover(self) -> None:
        """Recover the database, as `sluice db recover` does; again when it fails."""

        gap: LogSequence | None = None

        async def work(recovery: Recovery) -> None:
            nonlocal gap
            try:
                await recovery.recover(cause="the history says so")
            except DataLoss as error:
                # An etcd that was put back under its old cluster id, and written: a flush of the time before may have
                # trimmed what was written since. The message offers to give up what is after the gap.
                if error.reason != "LOG_GAP" or not self._history.put_back:
                    raise
                gap = LogSequence.parse(error.metadata["before"])

        async def give_up(recovery: Recovery) -> None:
            assert gap is not None
            self._history.restored.append((await recovery.restore(gap, cause="the history says so")).epoch)

        if await self._operate("recovery", work) and gap is not None:
            await self._operate("restore before a gap", give_up)

    async def _operate(self, what: str, work: Callable[[Recovery], Coroutine[Any, Any, None]]) -> bool:
        for _ in range(20):
            process = Process("operator")
            self._cluster.processes.append(process)
            settings = replace(self._cluster.plan.settings, server_id="operator")
            stores = Stores(
                KvWire(self._cluster.network, process),
                StorageWire(self._cluster.network, process),
                prefix=PREFIX,
                etcd_timeout=settings.etcd_timeout,
            )
            recovery = Recovery(stores, settings=settings, clock=self._cluster.clock)
            try:
                async with asyncio.timeout(100):
                    await process.call(work(recovery))
            except (Unavailable, DeadlineExceeded, Conflict, DatabaseLost, TimeoutError, Crashed):
                await asyncio.sleep(0.5)
            except FailedPrecondition as error:
                if error.reason not in ("NOTHING_TO_RECOVER", "SEQUENCE_UNKNOWN", "SEQUENCE_UNREACHABLE"):
                    self._cluster.problem(f"the {what} failed: {error!r}")
                return False
            except SluicewayError as error:
                self._cluster.problem(f"the {what} failed: {error!r} {where(error)}")
                return False
            else:
                return True
        return False

    def restore(self, step: PlannedStep) -> None:
        """Restore the database to an earlier entry."""
        entries = self._history.entries
        if not entries:
            return
        target = entries[int(len(entries) * step.arguments["part"])].sequence
        self._history.losses.append(self._history.now())

        async def work(recovery: Recovery) -> None:
            before, losses = len(self._history.entries), len(self._history.losses)
            done = await recovery.restore(target, cause="the history says so")
            if not done.won:
                return
            self._history.restored.append(done.epoch)
            if losses == len(self._history.losses) and not self._etcd_was_lost:
                reported = sum(void.entries for void in done.void)
                self._check_reported(done.epoch, reported, len(self._history.entries) - before)

        async def chore() -> None:
            await self._operate("restore", work)

        self._cluster.begin_operation(chore())

    def _check_reported(self, epoch: int, reported: int, meanwhile: int) -> None:
        """Check how many void entries a restore reported; it may have missed those that were appended meanwhile."""
        first = next(entry for entry in self._history.entries if entry.sequence == LogSequence(epoch, 1))
        before = self._history.entries[self._history.entries.index(first) - 1]
        void = 0
        for entry in self._history.back_from(before.digest):
            if entry.digest == first.previous_digest:
                break
            void += 1
        else:
            return
        if not void - meanwhile <= reported <= void:
            self._cluster.problem(f"a restore made {void} entries void, and reported {reported}")
