"""The settings of a datamanager, each with its default and when one would change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["DataManagerSettings"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DataManagerSettings:
    """See the module.

    Attributes:
        server_id: names this server in entries, segments and messages. Should be stable over restarts.
        etcd_name: how messages name etcd: its endpoints.
        flush_interval: between two segments. Longer: fewer objects, more to lose when all of etcd is lost.
        flush_bytes: as much unflushed is flushed at once; the size of a segment.
        flush_entries: entries in one segment, and so keys deleted by one etcd transaction.
        keep_log_entries: flushed entries that stay in etcd, so that servers that were away briefly need no segment.
        slow_at_bytes: as much unflushed slows writes down: the object storage is away or slow.
        refuse_at_bytes: as much unflushed refuses them.
        max_batch_bytes: of one group commit, before compression; etcd refuses requests above 1.5 MiB.
        etcd_timeout: of one call. Shorter than etcd's own election time-out: more unknown outcomes to settle.
        commit_patience: how long a transaction waits for an etcd that is away before it is refused.
        position_wait: how long a read waits for a position that another server answered.
        durable_wait: how long `durable` waits for the object storage.
        read_timeout: of one read of the read database.
        read_threads: for reads of the read database.
        history: how far back `subscribe` reaches. Costs disk in each server's read database.
        body_retention: the bodies of records that came to rest, such as ended runs, stay in each server's read database
            for so long after their last change; then they are read from the object storage. Shorter: less disk, and
            more reads of the object storage.
        body_interval: between two looks for such bodies.
        body_timeout: of one read of them from the object storage.
        ring_bytes: of memory for the newest transactions, for subscribers (eight times their encoding).
        subscriber_bytes: as much waiting for one subscriber cuts it.
        sweep_interval: between two looks for what tombstones have hidden and nobody has removed yet.
        check_interval: between two looks at etcd when nothing else talks to it.
        in_use_interval: between two looks whether somebody who wants to recover the database asks if it is in use. They
            wait for four times as long. Longer: fewer reads of the object storage, and slower recoveries.
        checkpoint_entries: as many log entries in the object storage since the newest manifest make a checkpoint due.
            Fewer: new servers start sooner, and more is written.
        checkpoint_bytes: as many bytes of them do.
        checkpoint_interval: so does this time since the newest manifest, when anything has changed.
        checkpoint_gives_up: a checkpoint that takes longer is of no use. Shorter than `orphans_after` by far: its files
            are nobody's until it ends.
        file_bytes: of a data file; one that would be larger is split. Larger: fewer objects, more to write anew for a
            change in the middle.
        duty_interval: between two looks whether a checkpoint or a clean is due, and for a newer manifest.
        clean_interval: between two cleans of the server that made the newest manifest.
        manifests_kept_for: a manifest, all that it names, and the log after it stay as long.
        manifests_kept: so do as many of the newest, however old they are.
        orphans_after: an object that nothing names goes after this time. Longer than any clock is wrong.
        stop_timeout: for finishing and flushing at the end.
        rescue_timeout: for storing what only this server knows, when its database is lost.
        recovery_wait: how long a recovery waits for etcd to answer, and for another recoverer to get on.
        etcd_quota_bytes: etcd's --quota-backend-bytes, where etcd does not tell it (before 3.6: in its metrics only).
        etcd_check_interval: between two looks at etcd's size and alarms; a fifth of it while it is nearly full.
        etcd_history: a healthy etcd has forgotten by then what was overwritten.
    """

    server_id: str = "server"
    etcd_name: str = "etcd"
    flush_interval: timedelta = timedelta(seconds=1)
    flush_bytes: int = 8 * _MIB
    flush_entries: int = 4000
    keep_log_entries: int = 1000
    slow_at_bytes: int = 64 * _MIB
    refuse_at_bytes: int = 96 * _MIB
    max_batch_bytes: int = _MIB // 2
    etcd_timeout: timedelta = timedelta(seconds=5)
    commit_patience: timedelta = timedelta(seconds=10)
    position_wait: timedelta = timedelta(seconds=2)
    durable_wait: timedelta = timedelta(seconds=60)
    read_timeout: timedelta = timedelta(seconds=30)
    read_threads: int = 4
    history: timedelta = timedelta(hours=24)
    body_retention: timedelta = timedelta(hours=24)
    body_interval: timedelta = timedelta(seconds=1)
    body_timeout: timedelta = timedelta(seconds=10)
    ring_bytes: int = 8 * _MIB
    subscriber_bytes: int = _MIB
    sweep_interval: timedelta = timedelta(seconds=1)
    check_interval: timedelta = timedelta(seconds=5)
    in_use_interval: timedelta = timedelta(seconds=3)
    checkpoint_entries: int = 10_000
    checkpoint_bytes: int = 64 * _MIB
    checkpoint_interval: timedelta = timedelta(minutes=10)
    checkpoint_gives_up: timedelta = timedelta(hours=6)
    file_bytes: int = 16 * _MIB
    duty_interval: timedelta = timedelta(seconds=10)
    clean_interval: timedelta = timedelta(hours=1)
    manifests_kept_for: timedelta = timedelta(hours=24)
    manifests_kept: int = 3
    orphans_after: timedelta = timedelta(hours=24)
    stop_timeout: timedelta = timedelta(seconds=5)
    rescue_timeout: timedelta = timedelta(seconds=30)
    recovery_wait: timedelta = timedelta(seconds=10)
    etcd_quota_bytes: int = 8 * 1024 * _MIB
    etcd_check_interval: timedelta = timedelta(seconds=30)
    etcd_history: timedelta = timedelta(hours=1)
