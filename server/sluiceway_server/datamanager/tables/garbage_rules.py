"""What may be cleaned. Pure.

    manifest/   of the history: the newest few and the young ones stay, older ones go
    data/       what a manifest names that stays stays; anything else goes when it is old enough
    index/      so
    wal/        what is before the oldest manifest that stays goes; the rest is the way from there to the present
    epoch/      stays: it tells what the history is

Void manifests and segments go when they are old enough. "Old enough" is a day for everything that nothing names: a
checkpoint that is being made has files that nothing names yet, and gives up long before. What this version does not
know is told and stays. Where there is no manifest of the history, nothing goes at all: all of the log is needed.

What may go once may go for ever, and that is what lets a cleaner be paused and wake: a data file that no manifest which
stays names is never named again, because each manifest goes on from the newest one and file names are never used twice;
and nothing is ever older than the oldest manifest that stays. Only two things could make it wrong, and both are looked
at again before each few deletions: a manifest that is new, and an epoch that is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.model import LogSequence

__all__ = [
    "CleanRules",
    "Found",
    "JudgedManifests",
    "choose_files",
    "choose_segments",
    "is_before",
    "judge_manifests",
    "sequence_of_file",
    "why_not_now",
]

_FILE = re.compile(r"(?:data|index)/[^/]+/([0-9a-f]{8}-[0-9a-f]{16})-[^/]+")


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a list: its key after the database's prefix, and when it was stored, if the storage tells."""

    key: str
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class CleanRules:
    """For how long things stay (`DataManagerSettings`)."""

    manifests_kept_for: timedelta
    manifests_kept: int
    orphans_after: timedelta


@dataclass(frozen=True, slots=True)
class JudgedManifests:
    """The manifests, each in one of these, oldest first.

    Attributes:
        kept: of the history; they stay, and what they name, and the log after the first of them.
        going: older ones, and void ones that are old enough.
        void: those that are not.
    """

    kept: tuple[LogSequence, ...]
    going: tuple[LogSequence, ...]
    void: tuple[LogSequence, ...]


def why_not_now(
    lineage: Lineage,
    epochs: Iterable[tuple[int, Found]],
    sequences: Iterable[LogSequence],
    now: datetime,
    rules: CleanRules,
) -> str:
    """Tell why nothing may be cleaned; empty when it may.

    Args:
        lineage: the history, as this server knows it.
        epochs: all epoch objects.
        sequences: of manifests and segments, and those that files are named after.
        now: the time.
        rules: see there.
    """
    present = lineage.present
    for sequence in sequences:
        if sequence.epoch > present:
            return f"the storage has objects of epoch {sequence.epoch}, and this server is in epoch {present}"
    for number, found in epochs:
        if number > present and not _is_older(found, now, rules.orphans_after):
            return f"epoch {number} was begun lately, and this server is in epoch {present}: a recovery may be at work"
    return ""


def judge_manifests(
    found: Sequence[tuple[LogSequence, Found]], lineage: Lineage, now: datetime, rules: CleanRules
) -> JudgedManifests:
    """Decide which manifests stay. `found` may be in any order."""
    of_history = sorted((item for item in found if lineage.contains(item[0])), key=_sequence)
    newest = of_history[-rules.manifests_kept :] if rules.manifests_kept else []
    kept = {
        sequence
        for sequence, info in of_history
        if not _is_older(info, now, rules.manifests_kept_for) or (sequence, info) in newest
    }
    going, void = [], []
    for sequence, info in sorted(found, key=_sequence):
        if sequence in kept:
            continue
        if lineage.contains(sequence) or _is_older(info, now, rules.orphans_after):
            going.append(sequence)
        else:
            void.append(sequence)
    return JudgedManifests(tuple(sorted(kept)), tuple(going), tuple(void))


def choose_files(found: Iterable[Found], needed: Collection[str], now: datetime, rules: CleanRules) -> list[Found]:
    """Choose the data files and index dumps that may go.

    Args:
        found: all of them, or a part.
        needed: the keys that any manifest names which is not going.
        now: the time.
        rules: see there.
    """
    return [
        item
        for item in found
        if item.key not in needed
        and sequence_of_file(item.key) is not None
        and _is_older(item, now, rules.orphans_after)
    ]


def sequence_of_file(key: str) -> LogSequence | None:
    """Tell the sequence that a data file or index dump is named after; None for a key that neither has."""
    match = _FILE.fullmatch(key)
    return LogSequence.parse(match[1]) if match else None


def is_before(first: LogSequence, oldest: LogSequence, lineage: Lineage) -> bool:
    """Whether `choose_segments` has to see a segment that begins with an entry, for this oldest manifest."""
    return first <= LogSequence(oldest.epoch, oldest.counter + 1) or not lineage.contains(first)


def choose_segments(
    found: Iterable[tuple[LogSequence, Found]],
    oldest: LogSequence,
    lineage: Lineage,
    now: datetime,
    rules: CleanRules,
) -> list[LogSequence]:
    """Choose the segments that may go, void ones first, then in order: what is left has no gap at any time.

    Args:
        found: the segments that `is_before` wants, or more; each begins after all entries of the one before it in its
            epoch, as flushers make them.
        oldest: the oldest manifest that stays.
        lineage: the history.
        now: the time.
        rules: see there.
    """
    items = sorted(found, key=_sequence)
    old = {first for first, info in items if _is_older(info, now, rules.orphans_after)}
    void = [first for first, _ in items if not lineage.contains(first) and first in old]
    firsts = [first for first, _ in items if lineage.contains(first)]
    # All entries of a segment are before the next one's first; those of an epoch before are before all of the next.
    ended = {one for one, other in pairwise(firsts) if other <= LogSequence(oldest.epoch, oldest.counter + 1)}
    ended |= {first for first in firsts if first.epoch < oldest.epoch}
    going = []
    for first in firsts:
        if first not in ended or first not in old:
            break  # one that stays keeps those after it
        going.append(first)
    return void + going


def _is_older(found: Found, now: datetime, than: timedelta) -> bool:
    return found.modified is not None and now - found.modified > than


def _sequence(item: tuple[LogSequence, Found]) -> LogSequence:
    return item[0]
