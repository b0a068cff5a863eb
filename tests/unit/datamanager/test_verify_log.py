"""Whether segments and the entries in etcd make one log: what counts as a fault, a gap, a note, and as nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_server.datamanager.admin.verify_context import Finding, Mark
from sluiceway_server.datamanager.admin.verify_log import LogCheck, findings_of_entries
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, encode_entry
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.log.segments import Segment, decode_segment, encode_segment
from sluiceway_server.datamanager.log.walk import Gap
from sluiceway_server.datamanager.model import LogSequence

COMPRESSOR = zstandard.ZstdCompressor()


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def chain(epoch: int, first: int, last: int, *, after: bytes = GENESIS_DIGEST, writer: str = "one") -> list[LogEntry]:
    entries: list[LogEntry] = []
    for counter in range(first, last + 1):
        batch = log_pb2.Batch(transactions=[log_pb2.Transaction(groups=["g"])])
        after = entries[-1].digest if entries else after
        entries.append(
            encode_entry(
                batch,
                sequence=seq(epoch, counter),
                batch_id=b"x",
                writer=writer,
                time_us=counter,
                previous_digest=after,
                compressor=COMPRESSOR,
            )
        )
    return entries


def segment(entries: Sequence[LogEntry], *, before: int = 0, database_id: str = "") -> Segment:
    total = before + sum(len(entry.raw) for entry in entries)
    return decode_segment("s", encode_segment(entries, total_bytes=total, writer="one", database_id=database_id))


def size(entries: Sequence[LogEntry]) -> int:
    return sum(len(entry.raw) for entry in entries)


ONE = chain(1, 1, 6)
OTHER = chain(1, 1, 6, writer="other")
TWO = chain(2, 1, 4, after=ONE[3].digest)
LINEAGE = Lineage.of({1: None, 2: seq(1, 4)}, 2)


def check(*segments: Segment, lineage: Lineage = LINEAGE, **how: Any) -> list[Finding | Gap]:
    log = LogCheck(lineage, how.pop("marks", {}), **how)
    return [found for n, item in enumerate(segments) for found in log.take(f"s{n}", item)]


def faults(found: list[Finding | Gap]) -> list[Finding | Gap]:
    return [item for item in found if isinstance(item, Gap) or item.is_fault]


def test_void_entries_of_whole_segments_are_a_note() -> None:
    found = check(segment(ONE[:2]), segment(ONE[2:], before=size(ONE[:2])), segment(TWO))
    assert faults(found) == []
    (note,) = found
    assert isinstance(note, Finding)
    assert "void" in note.message
    assert str(seq(1, 5)) in note.message


def test_segments_that_overlap_and_agree_are_whole() -> None:
    found = check(segment(ONE[:3]), segment(ONE[1:4], before=size(ONE[:1])), segment(TWO))
    assert found == []


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        pytest.param([segment(ONE[:3]), segment(OTHER[1:4], before=size(OTHER[:1]))], "another one", id="overlap"),
        pytest.param(
            [segment(ONE[:2]), segment(OTHER[2:4], before=size(ONE[:2]))], "should follow", id="does not follow"
        ),
        pytest.param([segment(ONE[:4]), segment(chain(2, 1, 2))], "should follow", id="an epoch of nothing"),
        pytest.param([segment(ONE[:2]), segment(ONE[2:4], before=7)], "counts 7 bytes", id="bytes"),
        pytest.param([segment(ONE[:4]), segment(TWO, before=size(ONE))], "counts", id="bytes begin at 0 in an epoch"),
        pytest.param([segment(ONE[:2], database_id="x")], "belongs to the database x", id="database"),
    ],
)
def test_what_does_not_fit_is_a_fault(segments: list[Segment], says: str) -> None:
    found = faults(check(*segments, database_id="db"))
    assert found
    assert all(isinstance(item, Finding) and says in item.message for item in found)


@pytest.mark.parametrize(
    ("segments", "before", "after"),
    [
        pytest.param([segment(ONE[:2]), segment(ONE[3:4])], seq(1, 2), seq(1, 4), id="inside an epoch"),
        pytest.param([segment(ONE[:3]), segment(TWO)], seq(1, 3), seq(2, 1), id="at the end of an epoch"),
        pytest.param([segment(ONE[:4]), segment(TWO[1:])], seq(1, 4), seq(2, 2), id="at the beginning of one"),
        pytest.param([segment(ONE[1:4])], seq(1, 0), seq(1, 2), id="at the beginning of all"),
    ],
)
def test_a_gap_names_both_sides(segments: list[Segment], before: LogSequence, after: LogSequence) -> None:
    (gap, *_) = faults(check(*segments))
    assert isinstance(gap, Gap)
    assert (gap.before, gap.after) == (before, after)
    assert str(before) in str(gap)
    assert str(after) in str(gap)


def test_the_log_may_begin_anywhere_up_to_the_oldest_manifest() -> None:
    for floor, whole in ((seq(1, 2), True), (seq(1, 3), True), (seq(1, 1), False)):
        found = faults(check(segment(ONE[2:4]), lineage=Lineage((1,), {}), floor=(floor, "manifest")))
        assert (found == []) == whole


def test_what_others_say_of_an_entry_is_compared() -> None:
    right = {seq(1, 3): [Mark("manifest", ONE[2].digest)]}
    wrong = {seq(1, 3): [Mark("manifest", ONE[2].digest), Mark("epoch object", b"x")]}
    assert faults(check(segment(ONE[:4]), marks=right)) == []
    (fault,) = faults(check(segment(ONE[:4]), marks=wrong))
    assert isinstance(fault, Finding)
    assert "epoch object" in fault.message


def head_of(entry: LogEntry) -> HeadMark:
    return HeadMark.parse(
        log_pb2.Head(
            sequence=log_pb2.Sequence(epoch=entry.sequence.epoch, counter=entry.sequence.counter), digest=entry.digest
        ).SerializeToString()
    )


@pytest.mark.parametrize(
    ("counters", "flushed", "whole"),
    [
        pytest.param([1, 2, 3, 4, 5, 6], 3, True, id="all of them"),
        pytest.param([3, 4, 5, 6], 3, True, id="the older ones are trimmed"),
        pytest.param([4, 5, 6], 3, True, id="up to what is flushed"),
        pytest.param([1, 3, 4, 5, 6], 3, True, id="one that is flushed was deleted"),
        pytest.param([], 6, True, id="all are flushed and trimmed"),
        pytest.param([5, 6], 3, False, id="one that is not flushed is missing at the beginning"),
        pytest.param([3, 4, 6], 3, False, id="and in between"),
        pytest.param([1, 3, 5, 6], 3, False, id="after one that is flushed"),
        pytest.param([4, 5], 3, False, id="and at the end"),
        pytest.param([], 3, False, id="all of them are missing"),
    ],
)
def test_entries_of_etcd_may_lack_only_what_is_flushed(counters: list[int], flushed: int, whole: bool) -> None:
    entries = [ONE[counter - 1] for counter in counters]
    found = findings_of_entries("log/", entries, head=head_of(ONE[5]), flushed=seq(1, flushed), known={})
    assert (found == []) == whole, found


def test_entries_of_etcd_must_be_those_of_the_segments() -> None:
    head, flushed = head_of(ONE[5]), seq(1, 2)
    mixed = [*ONE[:3], *OTHER[3:]]
    assert findings_of_entries("log/", mixed, head=head, flushed=flushed, known={})
    known = {seq(1, 2): [Mark("wal/", OTHER[1].digest)]}
    (fault,) = findings_of_entries("log/", ONE, head=head, flushed=flushed, known=known)
    assert "wal/" in fault.message
