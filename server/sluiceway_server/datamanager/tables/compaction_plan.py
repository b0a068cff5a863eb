"""What a checkpoint decides: when one is due, which files are written anew, and where new ones begin. Pure.

A change touches the file whose key range holds its id. What falls between two files touches neither: it is written
beside them, into a file of its own, so that records that are only ever added at the end (ids that grow with time, as
most do) never make a full file be written again. Such files would become many and tiny. So each run of neighbours that
is written anyway takes in the files next to it, as long as these are no larger than itself and all of it fits into one
file; or, whatever it is itself, if they are tiny. Like that the files at the end of a growing type are each larger than
all that follow, and a record that never changes again is written once for each time that the file around it doubles.

    files          [ a..f 16 MiB ] [ g..k 9 MiB ] [ m..p 3 MiB ] [ q 0.2 MiB ]
    changes                            h             o                          r s t  4 MiB
    written anew                   `------------------------------------------------------'  -> 16 MiB + the rest
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.model import LogSequence

__all__ = [
    "Due",
    "Existing",
    "FileLimits",
    "OverlappingFiles",
    "Rewrite",
    "checkpoint_due",
    "entries_between",
    "plan_rewrites",
]


@dataclass(frozen=True, slots=True)
class Due:
    """When a checkpoint is due: as soon as one of these is reached and something has changed."""

    entries: int
    bytes: int
    age: timedelta


def entries_between(lineage: Lineage, after: LogSequence, up_to: LogSequence) -> int:
    """Count the entries of the history after one and up to another.

    Raises:
        ValueError: one of them is not part of the history.
    """
    for sequence in (after, up_to):
        if not lineage.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
    return sum(last.counter - first.counter + 1 for first, last in lineage.between(after, up_to))


def checkpoint_due(due: Due, *, entries: int, size: int, age: timedelta) -> str:
    """Tell why a checkpoint is due; empty when it is not.

    Args:
        due: the limits.
        entries: of the log in the object storage, after the newest manifest.
        size: of them, in bytes; of another epoch's it need not be known.
        age: of the newest manifest, or since the first entry when there is none.
    """
    if entries <= 0:
        return ""
    if entries >= due.entries:
        return f"{entries} entries"
    if size >= due.bytes:
        return f"{size} bytes"
    if age >= due.age:
        return f"{age} since the last one"
    return ""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large files are.

    Attributes:
        most: a file ends when it has as many bytes.
        tiny: a file of at most as many bytes is written again whenever one beside it is.
    """

    most: int
    tiny: int


@dataclass(frozen=True, slots=True)
class Existing:
    """A file of a type: the ids of its first and last record, its bytes, how many records it has."""

    first: str
    last: str
    size: int
    records: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Some neighbouring files that are written anew as one stream, with the changes in and between them.

    Attributes:
        start: the first of the files.
        end: the one after the last; equal to `start`: no file, the changes fall before this one.
        after: the changes with an id greater than this belong to it; None: from the first.
        before: and less than this; None: to the last.
        cut: a new file begins when the one that is written has as many bytes.
    """

    start: int
    end: int
    after: str | None
    before: str | None
    cut: int


@dataclass(slots=True)
class OverlappingFiles:
    """Where the changes of a type fall, filled piece by piece with `add`.

    Attributes:
        files: those of the type, sorted, without overlap.
        inside: file -> bytes of records stored within its range; a file that is only deleted from has an entry too.
        deleted: file -> how many of its records, at most, are deleted.
        between: place -> bytes of records stored before the file of that number, and after the one before it.
    """

    files: Sequence[Existing]
    inside: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, int] = field(default_factory=dict)
    between: dict[int, int] = field(default_factory=dict)
    _firsts: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._firsts = [file.first for file in self.files]

    def add(self, changes: Iterable[tuple[str, int | None]]) -> None:
        """Take in changes: an id with the bytes that are stored under it, None for a deletion."""
        for id_, size in changes:
            at = bisect_right(self._firsts, id_) - 1
            if at >= 0 and id_ <= self.files[at].last:
                self.inside[at] = self.inside.get(at, 0) + (size or 0)
                if size is None:
                    self.deleted[at] = self.deleted.get(at, 0) + 1
            elif size is not None:
                self.between[at + 1] = self.between.get(at + 1, 0) + size
            # What is deleted between two files was never in one.


@dataclass(slots=True)
class _Group:
    start: int
    end: int
    weight: int


def plan_rewrites(touched: OverlappingFiles, limits: FileLimits) -> tuple[Rewrite, ...]:
    """Decide which files are written anew, in order; the others are kept as they are.

    Weights are estimates, from above: what is stored is counted as it is before compression.
    """
    groups = _first_groups(touched)
    for at, group in enumerate(groups):
        least = groups[at - 1].end if at else 0
        most = groups[at + 1].start if at + 1 < len(groups) else len(touched.files)
        _grow(group, touched.files, limits, least, most)
    return tuple(_rewrite(group, touched.files, limits) for group in _joined(groups))


def _first_groups(touched: OverlappingFiles) -> list[_Group]:
    """Find the runs of neighbours that have to be written."""
    groups: list[_Group] = []
    for at in sorted({*touched.inside, *touched.between}):
        group = _Group(at, at, touched.between.get(at, 0))
        if at in touched.inside:
            group.end = at + 1
            group.weight += touched.inside[at] + _left(touched.files[at], touched.deleted.get(at, 0))
        groups.append(group)
    return _joined(groups)


def _left(file: Existing, deleted: int) -> int:
    return file.size * max(file.records - deleted, 0) // max(file.records, 1)


def _grow(group: _Group, files: Sequence[Existing], limits: FileLimits, least: int, most: int) -> None:
    """Take in neighbours, the smaller one first."""

    def fits(at: int) -> bool:
        size = files[at].size
        return size <= limits.tiny or (size <= group.weight and size + group.weight <= limits.most)

    while True:
        beside = [at for at in (group.start - 1, group.end) if least <= at < most and fits(at)]
        if not beside:
            return
        at = min(beside, key=lambda at: files[at].size)
        group.weight += files[at].size
        group.start, group.end = min(group.start, at), max(group.end, at + 1)


def _joined(groups: Sequence[_Group]) -> list[_Group]:
    """Make one of groups that touch each other: both are written anyway."""
    joined: list[_Group] = []
    for group in groups:
        if joined and joined[-1].end == group.start:
            joined[-1].end = group.end
            joined[-1].weight += group.weight
        else:
            joined.append(group)
    return joined


def _rewrite(group: _Group, files: Sequence[Existing], limits: FileLimits) -> Rewrite:
    pieces = max(-(-group.weight // limits.most), 1)
    at_end = group.end == len(files)
    # At the end more will follow, and takes in what is left over. Elsewhere the pieces are alike, and none is tiny.
    cut = limits.most if at_end else min(limits.most, -(-group.weight // pieces) + limits.tiny // 2)
    return Rewrite(
        start=group.start,
        end=group.end,
        after=files[group.start - 1].last if group.start else None,
        before=None if at_end else files[group.end].first,
        cut=cut if pieces > 1 else limits.most,
    )
