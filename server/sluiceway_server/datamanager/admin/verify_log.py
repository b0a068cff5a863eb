"""Whether segments make one log: contiguous along the history, each entry following from the one before. Pure.

Segments are given in the order of their names. What is found is faults, notes and gaps; whether a gap is a fault is for
the caller to say, who can look again: the cleaner removes what lies before the oldest manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sluiceway_server.datamanager.admin.findings import Finding
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.log.segments import Segment
from sluiceway_server.datamanager.log.walk import Gap
from sluiceway_server.datamanager.model import LogSequence

__all__ = ["LogCheck", "Mark", "findings_of_entries"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What something else says of an entry: a manifest, an epoch object, or a key of etcd."""

    name: str
    digest: bytes


@dataclass(slots=True)
class LogCheck:
    """Takes segments in the order of their names.

    Attributes:
        lineage: the history.
        marks: what is said of entries elsewhere.
        database_id: that segments should name.
        floor: the oldest manifest, as sequence and key: the segments must reach from it; None: from the beginning.
        keep_from: of entries from here on the digests are kept, to be compared with etcd's.
        kept: those.
        end: the last entry of the history so far; None: none yet.
        digest: of it.
        end_in: the object that has it.
    """

    lineage: Lineage
    marks: Mapping[LogSequence, Sequence[Mark]]
    database_id: str = ""
    floor: tuple[LogSequence, str] | None = None
    keep_from: LogSequence | None = None
    kept: dict[LogSequence, bytes] = field(default_factory=dict)
    end: LogSequence | None = None
    digest: bytes = GENESIS_DIGEST
    end_in: str = ""
    _total: int = 0
    _recent: dict[LogSequence, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.floor is None:
            self.end, self.end_in = LogSequence(self.lineage.epochs[0], 0), "the beginning"

    def take(self, key: str, segment: Segment) -> list[Finding | Gap]:
        """Take the next segment, which is whole by itself."""
        found: list[Finding | Gap] = []
        header = segment.header
        if header.database_id and self.database_id and header.database_id != self.database_id:
            found.append(
                Finding(key, f"it belongs to the database {header.database_id}, not to this one; move it away")
            )
            return found
        void = [entry for entry in segment.entries if not self.lineage.contains(entry.sequence)]
        if void:
            found.append(
                Finding(
                    key,
                    f"its entries {void[0].sequence} to {void[-1].sequence} are void: a recovery went on without them."
                    " They are never applied; the object goes when it is cleaned",
                    is_fault=False,
                )
            )
        total = segment.total_bytes - sum(len(entry.raw) for entry in segment.entries)
        recent: dict[LogSequence, bytes] = {}
        for entry in segment.entries:
            if self.lineage.contains(entry.sequence):
                found += self._take(key, entry, total)
                recent[entry.sequence] = entry.digest
            total += len(entry.raw)
        if recent:
            self._recent = recent
        return found

    def _take(self, key: str, entry: LogEntry, total_before: int) -> list[Finding | Gap]:
        found: list[Finding | Gap] = []
        sequence = entry.sequence
        if self.keep_from is not None and sequence >= self.keep_from:
            self.kept[sequence] = entry.digest
        for mark in self.marks.get(sequence, ()):
            if mark.digest != entry.digest:
                found.append(_different(key, sequence, mark.name))
        if self.end is None or sequence > self.end:
            if self.end is not None:
                found += self._follow(self.end, key, entry, total_before)
            elif self.floor is not None and sequence > self.lineage.following(self.floor[0]):
                found.append(Gap(*self.floor, self.lineage.following(self.floor[0]), sequence, key))
            self.end, self.digest, self.end_in = sequence, entry.digest, key
            self._total = total_before + len(entry.raw)
        elif self._recent.get(sequence, entry.digest) != entry.digest or (
            sequence == self.end and self.digest != entry.digest
        ):
            found.append(_different(key, sequence, self.end_in))
        return found

    def _follow(self, end: LogSequence, key: str, entry: LogEntry, total_before: int) -> list[Finding | Gap]:
        expected = self.lineage.following(end)
        if entry.sequence != expected:
            return [Gap(end, self.end_in, expected, entry.sequence, key)]
        if entry.previous_digest != self.digest:
            return [_different(key, entry.sequence, f"{self.end_in}, which it should follow")]
        # Bytes are counted from 0 in every epoch.
        if total_before != (self._total if expected.epoch == end.epoch else 0):
            return [
                Finding(
                    key,
                    f"it counts {total_before} bytes of the log before {entry.sequence}, and {self.end_in} counts"
                    f" {self._total}. No record is wrong, but limits on what is not flushed are; this is a fault of the"
                    " software, report it",
                )
            ]
        return []


def findings_of_entries(
    folder: str,
    entries: Sequence[LogEntry],
    *,
    head: HeadMark,
    flushed: LogSequence,
    known: Mapping[LogSequence, Sequence[Mark]],
) -> list[Finding]:
    """Say what is wrong with the entries that etcd has.

    Args:
        folder: of their keys.
        entries: of the head's epoch, in order, up to the head; the older ones are trimmed as it goes.
        head: as it was before they were read.
        flushed: the last entry that the object storage has, as etcd said after they were read.
        known: what is said of entries elsewhere.
    """
    found: list[Finding] = []
    before: LogEntry | None = None
    for entry in entries:
        key = f"{folder}{entry.sequence}"
        for mark in known.get(entry.sequence, ()):
            if mark.digest != entry.digest:
                found.append(_different(key, entry.sequence, mark.name))
        expected = before.sequence.next() if before is not None else min(flushed.next(), entry.sequence)
        if entry.sequence != expected:
            # What is missing and flushed was trimmed, now or by somebody's hand: the segments have it.
            if entry.sequence > flushed.next():
                found.append(_lost(key, max(expected, flushed.next()), entry.sequence))
        elif before is not None and entry.previous_digest != before.digest:
            found.append(_different(key, entry.sequence, f"{folder}{before.sequence}, which it should follow"))
        before = entry
    last = max(before.sequence if before is not None else flushed, flushed)
    if last < head.sequence:
        found.append(_lost(f"{folder}{last.next()}", last.next(), head.sequence.next()))
    return found


def _lost(key: str, first: LogSequence, next_: LogSequence) -> Finding:
    return Finding(
        key,
        f"etcd lacks the log from {first} to before {next_}, and the object storage does not have it either: somebody"
        " deleted keys. A server that runs still has them: let it run, and restart none. Otherwise restore etcd from a"
        " snapshot, or run `sluice db recover`, which says what is lost",
    )


def _different(key: str, sequence: LogSequence, other: str) -> Finding:
    return Finding(
        key,
        f"its entry {sequence} is another one than in {other}: two histories are in one place. Find out who else writes"
        " to this bucket or folder and prefix, and restore the objects that are not this database's from a copy",
    )
