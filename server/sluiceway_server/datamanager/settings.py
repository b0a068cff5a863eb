"""The settings of a datamanager, each with its default and when one would change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DataManagerSettings:
    """The settings.

    Attributes:
        server_id: names this server in entries, segments and messages. Should be stable over restarts.
        etcd_name: how messages name etcd: its endpoints.
        flush_interval: between two segments. Longer: fewer objects, and more is lost with all of etcd.
        flush_bytes: unflushed bytes that are flushed at once; the size of a segment.
        flush_entries: entries in one segment, and so keys deleted by one etcd transaction.
        keep_log_entries: flushed entries that stay in etcd, for servers that were away briefly.
        slow_at_bytes: unflushed bytes that slow writes down: the object storage is away or slow.
        refuse_at_bytes: unflushed bytes at which writes are refused.
        max_batch_bytes: of one group commit, before compression; etcd refuses requests above 1.5 MiB.
        etcd_timeout: of one call. Shorter than etcd's election timeout: more unknown outcomes.
        commit_patience: how long a transaction waits for etcd before it is refused.
        position_wait: how long a read waits for a position of another server.
        durable_wait: how long `durable` waits for the object storage.
        read_timeout: of one read of the replica.
        read_threads: for reads of the replica.
        history: how far back `subscribe` reaches. Costs disk for each replica.
        body_retention: how long the bodies of settled records, such as ended runs, stay in the replica after their last
            change; then they are read from the object storage. Shorter: less disk, more reads of the object storage.
        body_interval: between two searches for such bodies.
        body_timeout: of one read of them from the object storage.
        ring_bytes: of memory for the newest transactions, for subscribers (eight times their encoding).
        subscriber_bytes: the limit of a subscriber's queue.
        sweep_interval: between two removals of records below tombstones.
        check_interval: between two checks of etcd when there is no other traffic.
        in_use_interval: between two checks whether a recovery asks if the object storage is in use. A recovery waits
            four times as long. Longer: fewer reads of the object storage, and slower recoveries.
        checkpoint_entries: entries in the object storage since the newest manifest that make a checkpoint due. Fewer:
            new servers start sooner, and more is written.
        checkpoint_bytes: bytes of these entries that make it due.
        checkpoint_interval: time since the newest manifest that makes it due, if anything has changed.
        checkpoint_gives_up: time limit of a checkpoint. Much shorter than `orphans_after`: no manifest names its files.
        file_bytes: of a data file; a larger one is split. Larger: fewer objects, and a change writes more again.
        duty_interval: between two checks for a due checkpoint or garbage collection, and for a newer manifest.
        clean_interval: between two garbage collections of the server that made the newest manifest.
        manifests_kept_for: how long a manifest, its files and the log after it are kept.
        manifests_kept: as many of the newest manifests are kept in any case.
        orphans_after: age after which an object that nothing names is deleted. Longer than any error of a clock.
        stop_timeout: for finishing and flushing at the end.
        rescue_timeout: for storing entries that only this server has, when its database is lost.
        recovery_wait: how long a recovery waits for etcd, and for another recovery.
        etcd_quota_bytes: etcd's --quota-backend-bytes, for etcd before 3.6, which does not report it.
        etcd_check_interval: between two checks of etcd's size and alarms; a fifth of it while etcd is nearly full.
        etcd_history: after this time a healthy etcd has compacted old revisions.
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
