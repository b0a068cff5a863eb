"""Decide when a checkpoint is due, which files it writes again, and where new files begin. Pure.

A change touches the file whose range of ids contains its id. A change between two files touches neither and goes into a
new file beside them, so that records which are only added at the end (most ids grow with time) never cause a full file
to be written again. To limit the number of small files, each run of neighbours that is written anyway also takes in the
files beside it, as long as these are no larger than the run and all of it fits into one file; tiny files are always
taken in. So each file at the end of a growing type is larger than all that follow, and a record that does not change
is written once for each time that the file around it doubles.

    files          [ a..f 16 MiB ] [ g..k 9 MiB ] [ m..p 3 MiB ] [ q 0.2 MiB ]
    changes                            h             o                          r s t  4 MiB
    written again                  `------------------------------------------------------'  -> 16 MiB + the rest
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sluiceway.records.storage.v1.storage_pb2 import FileRef
from sluiceway_server.datamanager.settings import DataManagerSettings


def checkpoint_due(limits: DataManagerSettings, *, entries: int, size: int, age: timedelta) -> str:
    """Return why a checkpoint is due: one of three limits is reached, and something has changed; empty: it is not.

    Args:
        limits: `checkpoint_entries`, `checkpoint_bytes` and `checkpoint_interval`.
        entries: in the object storage after the newest manifest.
        size: in bytes; entries of an earlier epoch need not be counted.
        age: of the newest manifest, or of the first entry.
    """
    if entries <= 0:
        return ""
    if entries >= limits.checkpoint_entries:
        return f"{entries} entries"
    if size >= limits.checkpoint_bytes:
        return f"{size} bytes"
    if age >= limits.checkpoint_interval:
        return f"{age} since the last one"
    return ""


_TINY_PART = 16
"""A file of at most this part of the usual size is written again whenever a file beside it is."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Neighbouring files that are written again as one stream, with the changes in and between them.

    Attributes:
        start: the first of the files.
        end: after the last of them; equal to `start`: none, the changes are before this file.
        after: changes with a greater id belong to it; None: from the first.
        before: and with a smaller id; None: to the last.
        cut: the bytes of a file after which a new one begins.
    """

    start: int
    end: int
    after: str | None
    before: str | None
    cut: int


@dataclass(slots=True)
class OverlappingFiles:
    """The files of a type that changes overlap.

    Attributes:
        files: of the type, sorted, without overlap.
        inside: file -> bytes that are stored within its range; 0 if there are only deletions.
        deleted: file -> the most records that are deleted from it.
        between: file -> bytes that are stored before it, and after the file before it.
    """

    files: Sequence[FileRef]
    inside: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, int] = field(default_factory=dict)
    between: dict[int, int] = field(default_factory=dict)
    _firsts: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._firsts = [file.first for file in self.files]

    def add(self, changes: Iterable[tuple[str, int | None]]) -> None:
        """Add changes: ids with the bytes that are stored; None: it is deleted."""
        for id_, size in changes:
            at = bisect_right(self._firsts, id_) - 1
            if at >= 0 and id_ <= self.files[at].last:
                self.inside[at] = self.inside.get(at, 0) + (size or 0)
                if size is None:
                    self.deleted[at] = self.deleted.get(at, 0) + 1
            elif size is not None:
                self.between[at + 1] = self.between.get(at + 1, 0) + size
            # What is deleted between two files is in none.


@dataclass(slots=True)
class _Group:
    start: int
    end: int
    weight: int


def plan_rewrites(touched: OverlappingFiles, file_bytes: int) -> tuple[Rewrite, ...]:
    """Choose the files that are written again, in order; the others are kept. A new file ends at `file_bytes`.

    Weights are upper estimates: stored bytes are counted before compression.
    """
    groups = _first_groups(touched)
    for at, group in enumerate(groups):
        least = groups[at - 1].end if at else 0
        most = groups[at + 1].start if at + 1 < len(groups) else len(touched.files)
        _grow(group, touched.files, file_bytes, least, most)
    return tuple(_rewrite(group, touched.files, file_bytes) for group in _joined(groups))


def _first_groups(touched: OverlappingFiles) -> list[_Group]:
    """Return the runs of neighbours that have to be written."""
    groups: list[_Group] = []
    for at in sorted({*touched.inside, *touched.between}):
        group = _Group(at, at, touched.between.get(at, 0))
        if at in touched.inside:
            group.end = at + 1
            group.weight += touched.inside[at] + _left(touched.files[at], touched.deleted.get(at, 0))
        groups.append(group)
    return _joined(groups)


def _left(file: FileRef, deleted: int) -> int:
    return file.size * max(file.records - deleted, 0) // max(file.records, 1)


def _grow(group: _Group, files: Sequence[FileRef], file_bytes: int, least: int, most: int) -> None:
    """Extend a group by neighbours, the smaller one first."""

    def fits(at: int) -> bool:
        size = files[at].size
        return size <= file_bytes // _TINY_PART or (size <= group.weight and size + group.weight <= file_bytes)

    while True:
        beside = [at for at in (group.start - 1, group.end) if least <= at < most and fits(at)]
        if not beside:
            return
        at = min(beside, key=lambda at: files[at].size)
        group.weight += files[at].size
        group.start, group.end = min(group.start, at), max(group.end, at + 1)


def _joined(groups: Sequence[_Group]) -> list[_Group]:
    """Merge groups that touch each other: both are written anyway."""
    joined: list[_Group] = []
    for group in groups:
        if joined and joined[-1].end == group.start:
            joined[-1].end = group.end
            joined[-1].weight += group.weight
        else:
            joined.append(group)
    return joined


def _rewrite(group: _Group, files: Sequence[FileRef], file_bytes: int) -> Rewrite:
    pieces = max(-(-group.weight // file_bytes), 1)
    at_end = group.end == len(files)
    # At the end the rest is taken in by what follows later. Elsewhere the pieces are equal, so that none is tiny.
    cut = file_bytes if at_end else min(file_bytes, -(-group.weight // pieces) + file_bytes // _TINY_PART // 2)
    return Rewrite(
        start=group.start,
        end=group.end,
        after=files[group.start - 1].last if group.start else None,
        before=None if at_end else files[group.end].first,
        cut=cut if pieces > 1 else file_bytes,
    )
