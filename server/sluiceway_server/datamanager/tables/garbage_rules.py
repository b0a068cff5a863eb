"""Decide what may be garbage collected. Pure.

    manifest/   of the history: the newest few and the young ones stay, older ones go
    data/       what a kept manifest names stays; anything else goes when it is old enough
    index/      as data/
    wal/        segments before the oldest kept manifest go
    epoch/      stays: it says what the history is

Manifests and segments outside the history go when they are old enough. "Old enough" is a day for everything that no
manifest names: the files of a running checkpoint are not named yet, and it times out long before. Objects that this
version does not know are reported and stay. Without a manifest of the history nothing goes: the whole log is needed.

What may go once may go at any later time, so a collector may be paused: a data file that no kept manifest names is
never named again, because each manifest is based on the newest one and file names are unique; and nothing becomes older
than the oldest kept manifest. Only a new manifest or a new epoch could change that, and the collector checks for both
before every few deletions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings

_FILE = re.compile(r"(?:data|index)/[^/]+/([0-9a-f]{8}-[0-9a-f]{16})-[^/]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A listed object: its key after the database's prefix, and when it was stored, if the storage says so."""

    key: str
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class JudgedManifests:
    """The manifests, each in one of these, oldest first.

    Attributes:
        kept: of the history; they stay with their files and the log after the first of them.
        going: older ones, and those outside the history that are old enough.
        void: outside the history, and not old enough.
    """

    kept: tuple[LogSequence, ...]
    going: tuple[LogSequence, ...]
    void: tuple[LogSequence, ...]


def why_not_now(
    lineage: Lineage,
    epochs: Iterable[tuple[int, Found]],
    sequences: Iterable[LogSequence],
    now: datetime,
    rules: DataManagerSettings,
) -> str:
    """Return why nothing may be deleted now; empty when it may.

    Args:
        lineage: the history, as this server knows it.
        epochs: all epoch objects.
        sequences: of manifests and segments, and in the names of files.
        now: the present time.
        rules: how long objects stay.
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
    found: Sequence[tuple[LogSequence, Found]], lineage: Lineage, now: datetime, rules: DataManagerSettings
) -> JudgedManifests:
    """Decide which manifests stay. `found` may be in any order."""
    of_history = sorted((item for item in found if lineage.contains(item[0])), key=itemgetter(0))
    newest = of_history[-rules.manifests_kept :] if rules.manifests_kept else []
    kept = {
        sequence
        for sequence, info in of_history
        if not _is_older(info, now, rules.manifests_kept_for) or (sequence, info) in newest
    }
    going, void = [], []
    for sequence, info in sorted(found, key=itemgetter(0)):
        if sequence in kept:
            continue
        if lineage.contains(sequence) or _is_older(info, now, rules.orphans_after):
            going.append(sequence)
        else:
            void.append(sequence)
    return JudgedManifests(tuple(sorted(kept)), tuple(going), tuple(void))


def may_go(found: Found, needed: Collection[str], now: datetime, rules: DataManagerSettings) -> bool:
    """Return whether a data file or index dump is old, and not among the `needed` keys of manifests."""
    is_ours = sequence_of_file(found.key) is not None
    return is_ours and found.key not in needed and _is_older(found, now, rules.orphans_after)


def sequence_of_file(key: str) -> LogSequence | None:
    """Return the sequence in the name of a data file or index dump; None: it is not such a name."""
    match = _FILE.fullmatch(key)
    return LogSequence.parse(match[1]) if match else None


def is_before(first: LogSequence, oldest: LogSequence, lineage: Lineage) -> bool:
    """Return whether `choose_segments` has to see the segment that begins with an entry."""
    return first <= LogSequence(oldest.epoch, oldest.counter + 1) or not lineage.contains(first)


def choose_segments(
    found: Iterable[tuple[LogSequence, Found]],
    oldest: LogSequence,
    lineage: Lineage,
    now: datetime,
    rules: DataManagerSettings,
) -> list[LogSequence]:
    """Return the segments that may go, those outside the history first, then in order: no gap arises at any time.

    `found` are those for which `is_before` is true, or more; `oldest` is the oldest kept manifest.
    """
    items = sorted(found, key=itemgetter(0))
    old = {first for first, info in items if _is_older(info, now, rules.orphans_after)}
    void = [first for first, _ in items if not lineage.contains(first) and first in old]
    firsts = [first for first, _ in items if lineage.contains(first)]
    # All entries of a segment are before the next one's first; those of an epoch before are before all of the next.
    ended = {one for one, other in pairwise(firsts) if other <= LogSequence(oldest.epoch, oldest.counter + 1)}
    ended |= {first for first in firsts if first.epoch < oldest.epoch}
    going = []
    for first in firsts:
        if first not in ended or first not in old:
            break  # a segment that stays keeps those after it
        going.append(first)
    return void + going


def _is_older(found: Found, now: datetime, than: timedelta) -> bool:
    return found.modified is not None and now - found.modified > than
