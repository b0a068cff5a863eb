"""How a server comes to a database that it may open: check, rescue, and recover if it is allowed to.

The policy says when a database is recovered without being asked:

    RecoverManually      the operator decides: `sluice db recover`
    RecoverAlways        no other server uses this etcd (`standalone`): in every case
    RecoverIfRolledBack  this process had the database open in the same etcd cluster, and its log now ends before an
                         entry that this process had seen. An empty etcd, or another cluster, may be the wrong one

Whatever the policy, what the read database of this server knows and the storage lacks is put there first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, Unavailable
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import Seen
from sluiceway_server.datamanager.recovery.diagnosis import (
    Kind,
    OpenPoint,
    StoreDiagnosis,
    Stores,
    establish,
    judge,
    look,
)
from sluiceway_server.datamanager.recovery.recovery import Recovery
from sluiceway_server.datamanager.recovery.rescue import rescue_from_file, seen_by_file
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.settings import DataManagerSettings

__all__ = ["RecoverAlways", "RecoverIfRolledBack", "RecoverManually", "RecoverPolicy", "find_foundation"]

log = structlog.get_logger(__name__)

_OF_OWN_ETCD = frozenset({Kind.ETCD_EMPTY, Kind.ETCD_BEHIND, Kind.ETCD_TORN, Kind.OTHER_CLUSTER})


@dataclass(frozen=True, slots=True)
class RecoverManually:
    """Do not recover unasked."""

    def allows(self, standing: StoreDiagnosis) -> bool:
        """Whether to recover from this."""
        return False


@dataclass(frozen=True, slots=True)
class RecoverAlways:
    """Recover whatever became of an etcd that is this server's alone."""

    def allows(self, standing: StoreDiagnosis) -> bool:
        """Whether to recover from this."""
        return standing.kind in _OF_OWN_ETCD


@dataclass(frozen=True, slots=True)
class RecoverIfRolledBack:
    """Recover from an etcd that went back under this process.

    Attributes:
        seen: of the `DatabaseLost` that ended the database before.
    """

    seen: Seen

    def allows(self, standing: StoreDiagnosis) -> bool:
        """Whether to recover from this: the same cluster, and less in it than was seen there.

        A storage that is ahead is not enough: somebody may have recovered it with another etcd. To recover it again
        from here would make two halves of a database that take turns in giving up each other's entries.
        """
        found = standing.holdings
        cluster = next((epoch.cluster_id for epoch in found.epochs if epoch.number == self.seen.sequence.epoch), None)
        return (
            standing.kind is Kind.ETCD_BEHIND
            and cluster == found.cluster_id
            and found.head is not None
            and found.head.sequence < self.seen.sequence
        )


RecoverPolicy = RecoverManually | RecoverAlways | RecoverIfRolledBack


async def find_foundation(
    stores: Callable[[], Stores],
    *,
    file: Path,
    tables: Tables,
    policy: RecoverPolicy,
    settings: DataManagerSettings,
    clock: Clock,
    ids: IdSource,
) -> tuple[Stores, OpenPoint]:
    """Find a healthy database, or begin or recover one; answers the stores to work with.

    Args:
        stores: makes them; fresh ones for each attempt, because what they checked before a recovery is no more.
        file: this server's read database, which may not be there.
        tables: to read it.
        policy: see the module.
        settings: of the database.
        clock: for times and waits.
        ids: for the id of a new database.

    Raises:
        FailedPrecondition, DataLoss: how etcd and the storage stand; the reason is a `Kind`, and nothing was changed.
        DataLoss: there is a gap, or an object is damaged.
        DatabaseLost: etcd changed meanwhile; try again.
        Unavailable: etcd or the object storage is away.
    """

    async def attempt() -> tuple[Stores, OpenPoint | StoreDiagnosis]:
        made = stores()
        found = await establish(
            made, writer=settings.server_id, etcd_name=settings.etcd_name, now=clock.now(), new_id=ids.new_id
        )
        return made, found

    made, found = await attempt()
    leaving = None
    if isinstance(found, OpenPoint):
        ahead = await _seen_ahead(found, file, tables, policy)
        if ahead is None:
            return made, found
        leaving = found.epoch.number
        await _rescue(stores(), file, tables, settings)
        # With what was rescued the storage is ahead of etcd, too. If nothing could be, the words are ours.
        standing = judge(await look(stores(), etcd_name=settings.etcd_name), now=clock.now())
        if standing.is_healthy:
            why = f"etcd's log ends at {found.head.sequence}, and this server had seen {ahead}: etcd went back"
            standing = replace(standing, kind=Kind.ETCD_BEHIND, message=f"{why}; run `sluice db recover`")
    else:
        standing = found
        if standing.kind not in {Kind.OTHER_DATABASE, Kind.STORAGE_EMPTY, Kind.EPOCH_MISSING}:
            await _rescue(stores(), file, tables, settings)
    log.warning("database_needs_recovery", kind=standing.kind, found=standing.message, allowed=policy.allows(standing))
    if not policy.allows(standing):
        raise standing.error()
    recovery = Recovery(stores(), settings=settings, clock=clock)
    alone = isinstance(policy, RecoverAlways)
    # Other servers notice when their watch breaks, or at the next check; what they know shall be stored first.
    quiet = timedelta(0) if alone else settings.check_interval + 3 * settings.flush_interval
    try:
        await recovery.recover(cause=standing.message, leaving=leaving, quiet=quiet)
    except FailedPrecondition as error:
        # Somebody else recovered it since it was looked at. What became of it is found out below.
        if error.reason != "NOTHING_TO_RECOVER":
            raise
    made, found = await attempt()
    if isinstance(found, StoreDiagnosis):
        raise found.error()
    return made, found


async def _seen_ahead(found: OpenPoint, file: Path, tables: Tables, policy: RecoverPolicy) -> LogSequence | None:
    """Tell the newest entry that this server had seen, if etcd's head in the same epoch is before it."""
    seen = [await seen_by_file(file, tables, found.epoch.database_id)]
    if isinstance(policy, RecoverIfRolledBack):
        seen.append(policy.seen)
    newest = max((item.sequence for item in seen if item is not None), default=found.head.sequence)
    return newest if newest > found.head.sequence and newest.epoch == found.epoch.number else None


async def _rescue(stores: Stores, file: Path, tables: Tables, settings: DataManagerSettings) -> None:
    try:
        await rescue_from_file(file, tables, stores=stores, settings=settings)
    except (DataLoss, Unavailable) as error:
        # What is wrong with the storage is told by whoever needs it next.
        log.warning("entries_not_rescued", file=str(file), error=str(error))
