"""How etcd and the object storage stand to each other: the table of what may be found, and what it means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, micros, sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark
from sluiceway_server.datamanager.log.walk import LogEnd
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import Holdings, Kind, diagnose

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, OTHER = bytes([1]) * 32, bytes([2]) * 32


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def head(epoch: int, counter: int, digest: bytes = ONE) -> HeadMark:
    return HeadMark.parse(log_pb2.Head(sequence=sequence_proto(seq(epoch, counter)), digest=digest).SerializeToString())


def flushed(epoch: int, counter: int) -> FlushMark:
    mark = log_pb2.Flushed(sequence=sequence_proto(seq(epoch, counter)), digest=ONE, database_id="db")
    return FlushMark.parse(mark.SerializeToString())


def stored(epoch: int, counter: int) -> LogEnd:
    return LogEnd(seq(epoch, counter), ONE, 0, micros(NOW - timedelta(hours=1)), "a segment", "server-7", "db")


def epoch(
    number: int,
    accepted: LogSequence | None = None,
    cluster: int = 5,
    *,
    digest: bytes = ONE,
    from_manifest: bool = False,
) -> Epoch:
    return Epoch(
        number=number,
        cluster_id=cluster,
        writer="server-1",
        time_us=micros(NOW - timedelta(hours=2)),
        database_id="db",
        accepted=None if accepted is None else sequence_proto(accepted),
        accepted_digest=GENESIS_DIGEST if accepted is None else digest,
        from_manifest=from_manifest,
    )


HEALTHY = Holdings(
    etcd_name="etcd.example",
    cluster_id=5,
    head=head(1, 9),
    flushed=flushed(1, 6),
    epochs=(epoch(1),),
    present=1,
    newest_stored=1,
    lineage=Lineage((1,), {}),
    before=stored(1, 6),
    after=stored(1, 6),
    digest_at_before=ONE,
    databases=frozenset({"db"}),
    has_manifest=False,
    strange=frozenset(),
)
SECOND = replace(
    HEALTHY,
    head=head(2, 1),
    flushed=flushed(2, 0),
    epochs=(epoch(1), epoch(2, seq(1, 6))),
    present=2,
    lineage=Lineage((1, 2), {1: seq(1, 6)}),
)
EMPTY_ETCD = replace(HEALTHY, head=None, flushed=None)
NOTHING = replace(
    EMPTY_ETCD,
    epochs=(),
    present=0,
    newest_stored=0,
    lineage=None,
    before=None,
    after=None,
    digest_at_before=None,
    databases=frozenset(),
)

TABLE = [
    ("both hold the same", HEALTHY, Kind.HEALTHY),
    ("the storage is a little behind etcd", replace(HEALTHY, after=stored(1, 8)), Kind.HEALTHY),
    ("nothing is flushed yet", replace(HEALTHY, flushed=flushed(1, 0), before=None, after=None), Kind.HEALTHY),
    ("an epoch that has just begun", SECOND, Kind.HEALTHY),
    (
        "a newer epoch object that came to nothing",
        replace(HEALTHY, epochs=(epoch(1), epoch(2, seq(1, 6)))),
        Kind.HEALTHY,
    ),
    ("nothing anywhere", NOTHING, Kind.NEW),
    ("a first start that crashed", replace(NOTHING, epochs=(epoch(1),), present=1), Kind.NEW),
    (
        "a first start that crashed, at another etcd",
        replace(NOTHING, epochs=(epoch(1, cluster=6),), present=1),
        Kind.ETCD_EMPTY,
    ),
    ("etcd is empty", EMPTY_ETCD, Kind.ETCD_EMPTY),
    ("etcd went back inside an epoch", replace(HEALTHY, head=head(1, 5), flushed=flushed(1, 4)), Kind.ETCD_BEHIND),
    ("etcd went back to an earlier epoch", replace(HEALTHY, newest_stored=2), Kind.ETCD_BEHIND),
    ("head was deleted", replace(HEALTHY, head=None), Kind.ETCD_TORN),
    ("flushed was deleted", replace(HEALTHY, flushed=None), Kind.ETCD_TORN),
    ("the head is in another cluster", replace(HEALTHY, cluster_id=8), Kind.OTHER_CLUSTER),
    ("two databases", replace(HEALTHY, databases=frozenset({"db", "other"})), Kind.OTHER_DATABASE),
    (
        "the storage is empty",
        replace(NOTHING, head=head(1, 9), flushed=flushed(1, 6), present=1),
        Kind.STORAGE_EMPTY,
    ),
    ("the storage lost its end", replace(HEALTHY, before=stored(1, 3), after=stored(1, 3)), Kind.STORAGE_BEHIND),
    (
        "the storage lost what the present epoch continues from",
        replace(SECOND, before=stored(1, 3), after=stored(1, 3)),
        Kind.STORAGE_BEHIND,
    ),
    (
        "an import without its manifest",
        replace(HEALTHY, epochs=(epoch(1, from_manifest=True),)),
        Kind.STORAGE_BEHIND,
    ),
    ("segments without epoch objects", replace(EMPTY_ETCD, epochs=(), lineage=None), Kind.EPOCH_MISSING),
    ("the object of the present epoch is gone", replace(SECOND, epochs=(epoch(1),)), Kind.EPOCH_MISSING),
    ("both have an entry, and not the same", replace(HEALTHY, digest_at_before=OTHER), Kind.DIVERGED),
    (
        "the epoch continues from another entry than the one that is stored",
        replace(SECOND, epochs=(epoch(1), epoch(2, seq(1, 6), digest=OTHER))),
        Kind.DIVERGED,
    ),
]


@pytest.mark.parametrize(("found", "kind"), [pytest.param(found, kind, id=name) for name, found, kind in TABLE])
def test_what_is_found_means(found: Holdings, kind: Kind) -> None:
    standing = diagnose(found, now=NOW)
    assert standing.kind is kind
    assert standing.is_healthy is (kind is Kind.HEALTHY)
    assert "etcd" in standing.message or "object storage" in standing.message
    error = standing.error()
    assert isinstance(error, DataLoss | FailedPrecondition)
    assert error.reason == kind


def test_empty_etcd_message_has_epoch_age_writer_and_advice() -> None:
    assert diagnose(EMPTY_ETCD, now=NOW).message == (
        "etcd at etcd.example is empty, storage holds epoch 1, last written 1:00:00 ago by server-7;"
        " run `sluice db recover`"
    )


def test_two_databases_are_named() -> None:
    message = diagnose(replace(HEALTHY, databases=frozenset({"db", "other"})), now=NOW).message
    assert "db, other" in message
