"""What a log is made of: where its objects are, what they cover, and the index of one that is over. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.runrecords.types import SETUP_STEP

__all__ = [
    "LINE_BLOCK",
    "SETUP_STEP",
    "Cover",
    "LineIndex",
    "LogIndex",
    "LogKey",
    "Segment",
    "complete_name",
    "complete_size",
    "cover_of",
]

_COMPLETE = "log."

LINE_BLOCK = 64 * 1024
"""The spacing of `LogIndex.newlines_before`, in bytes."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """Which log: of which attempt of which task, and of which step (`SETUP_STEP`: of the setup).

    The run is the one in which the task ran: a restart that keeps the task shares its logs. It is empty for a log that
    an earlier version stored: then the run was not part of the path (decision 0240).

    The attempt with its database epoch: one that a recovery of the database made void may have left bytes here, and
    the attempt that takes its number must not go on with them.
    """

    run: str
    task: str
    epoch: Epoch
    step: int

    @property
    def path(self) -> str:
        """Where its objects are, below the prefix of the store."""
        step = "setup" if self.step == SETUP_STEP else str(self.step)
        run = f"{self.run}/" if self.run else ""
        return f"{Folder.LOGS}/{run}{self.task}/{self.epoch.database}.{self.epoch.attempt}/{step}/"

    @property
    def of_earlier_version(self) -> LogKey:
        """The key of the same log, if an earlier version stored it."""
        return replace(self, run="")

    @staticmethod
    def parse(*parts: str) -> LogKey:
        """Read the parts of a path back. Raises ValueError for what no key printed."""
        *run, task, epoch, step = parts
        database, attempt = map(int, epoch.split("."))
        key = LogKey("/".join(run), task, Epoch(database, attempt), SETUP_STEP if step == "setup" else int(step))
        if len(run) > 1 or key.path.split("/")[1:-1] != [*parts]:
            raise ValueError("no key is printed like this")
        return key


@dataclass(frozen=True, slots=True)
class Segment:
    """Stored bytes: from `offset`, `size` of them, in the object `name`."""

    offset: int
    size: int
    name: str
    time: datetime | None = None

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Cover:
    """What is stored of a log.

    Attributes:
        key: where it is stored.
        segments: contiguous from 0, in order; they may overlap.
        length: bytes from 0 on without a gap.
        ended: no more will come; then `length` is the log's size.
        composed: there is an index. When it is not empty, `segments` is the one object that has all bytes.
        stored_beyond: where the first segment begins that does not follow; 0: all follow.
    """

    key: LogKey
    segments: tuple[Segment, ...] = ()
    length: int = 0
    ended: bool = False
    composed: bool = False
    stored_beyond: int = 0


@dataclass(frozen=True, slots=True)
class LogIndex:
    """What is known of a log that is over.

    Attributes:
        size: in bytes.
        sha256: of all of them, in hex.
        newlines: how many line ends it holds.
        newlines_before: `newlines_before[i]` is how many line ends stand before the byte `(i + 1) * LINE_BLOCK`: a
            reader who wants a line finds its block here and counts inside it.
        times: when its segments were stored, as (offset, seconds since 1970).
        composed: when this was written, in seconds since 1970.
    """

    size: int
    sha256: str
    newlines: int
    newlines_before: tuple[int, ...]
    times: tuple[tuple[int, float], ...] = ()
    composed: float = 0.0

    def encode(self) -> bytes:
        """Return it as it is stored."""
        return json.dumps({"format": 1, **asdict(self)}).encode()

    @staticmethod
    def decode(stored: bytes) -> LogIndex:
        """Read what was stored. Raises ValueError, KeyError or TypeError for anything else."""
        raw = json.loads(stored)
        return LogIndex(
            size=raw["size"],
            sha256=raw["sha256"],
            newlines=raw["newlines"],
            newlines_before=tuple(raw["newlines_before"]),
            times=tuple((offset, seconds) for offset, seconds in raw["times"]),
            composed=raw["composed"],
        )


def complete_name(size: int) -> str:
    """Return the name of the object that holds a complete log of so many bytes, and its index after them."""
    return f"{_COMPLETE}{size:020d}"


def complete_size(name: str) -> int | None:
    """Return the size of the log of which this is the complete object; None: it is another object."""
    size = name.removeprefix(_COMPLETE)
    return int(size) if size != name and len(size) == 20 and size.isdigit() else None


def cover_of(segments: tuple[Segment, ...]) -> tuple[tuple[Segment, ...], int]:
    """Find what segments cover from 0 on without a gap: those that are needed, and the length. Pure."""
    chosen: list[Segment] = []
    length = 0
    # Of two at one offset the longer one first, so that the other adds nothing.
    for segment in sorted(segments, key=lambda s: (s.offset, -s.size)):
        if segment.offset > length:
            break
        if segment.end > length:
            chosen.append(segment)
            length = segment.end
    return tuple(chosen), length


class LineIndex:
    """Counts line ends by block, and digests, as bytes pass. Not thread-safe; large chunks belong in a thread."""

    def __init__(self) -> None:
        self.size = 0
        self.newlines = 0
        self._before: list[int] = []
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(data)
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + LINE_BLOCK - self.size % LINE_BLOCK)
            self.newlines += data.count(b"\n", begin, end)
            self.size += end - begin
            if self.size % LINE_BLOCK == 0:
                self._before.append(self.newlines)
            begin = end

    def finish(self, *, times: tuple[tuple[int, float], ...] = (), composed: float = 0.0) -> LogIndex:
        """Return the index of the bytes so far."""
        return LogIndex(
            size=self.size,
            sha256=self._digest.hexdigest(),
            newlines=self.newlines,
            newlines_before=tuple(self._before),
            times=times,
            composed=composed,
        )
