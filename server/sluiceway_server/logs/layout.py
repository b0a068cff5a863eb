"""The objects of a log: their names, the bytes that they cover, and the index of a complete log. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.times import Times
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.runrecords.types import SETUP_STEP

_COMPLETE = "log."

CHUNK_BYTES = 64 * 1024
"""The most bytes of a log that one message has."""

LINE_BLOCK = 64 * 1024
"""The spacing of `LogIndex.newlines_before`, in bytes."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """The identity of a log: an attempt of a task, and a step of it (`SETUP_STEP`: its setup).

    The run is the one in which the task ran: a restart that keeps the task shares its logs. It is empty for a log that
    an earlier version stored: then the run was not part of the path (decision 0240).

    The epoch of the attempt includes that of the database: an attempt that a recovery of the database made void may
    have left bytes, and the attempt that gets its number must not continue them.
    """

    run: str
    task: str
    epoch: Epoch
    step: int

    @property
    def attempt_path(self) -> str:
        """The folder of the logs of its attempt, below the prefix of the store."""
        run = f"{self.run}/" if self.run else ""
        return f"{Folder.LOGS}/{run}{self.task}/{self.epoch.database}.{self.epoch.attempt}/"

    @property
    def step_folder(self) -> str:
        """The folder of its own objects, below that of its attempt."""
        return f"{'setup' if self.step == SETUP_STEP else self.step}/"

    @property
    def path(self) -> str:
        """The folder of its own objects, below the prefix of the store."""
        return self.attempt_path + self.step_folder

    @property
    def of_earlier_version(self) -> LogKey:
        """The key that the same log has if an earlier version stored it."""
        return replace(self, run="")

    @staticmethod
    def parse(*parts: str) -> LogKey:
        """Parse the parts of a `path`. Raises ValueError if they are not those of a key."""
        *run, task, epoch, step = parts
        database, attempt = map(int, epoch.split("."))
        key = LogKey("/".join(run), task, Epoch(database, attempt), step_of(step))
        if len(run) > 1 or key.path.split("/")[1:-1] != [*parts]:
            raise ValueError("not the path of a log")
        return key


def step_of(folder: str) -> int:
    """Return the step whose log is in a folder of an attempt. Raises ValueError if it is none."""
    return SETUP_STEP if folder == "setup" else int(folder)


def is_attempt(folder: str) -> bool:
    """Return whether a folder has the name of one with the logs of an attempt: two numbers."""
    return re.fullmatch(r"[0-9]+\.[0-9]+", folder) is not None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored part of a log: `size` bytes from `offset` on.

    Attributes:
        offset: of its first byte in the log.
        size: in bytes.
        name: of the object, in the folder of the attempt.
        time: when the object was stored.
        begin: of its first byte in the object.
    """

    offset: int
    size: int
    name: str
    time: datetime | None = None
    begin: int = 0

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Cover:
    """The stored part of a log.

    Attributes:
        key: where it is stored.
        segments: contiguous from 0, in order; they may overlap.
        length: how many bytes are stored from 0 on without a gap.
        ended: no more will be stored; then `length` is the log's size.
        composed: there is an index. When it is not empty, `segments` is the one object that has all bytes.
        stored_beyond: the offset of the first segment after a gap; 0: there is no gap.
        packed: the index of a log that is in a pack.
    """

    key: LogKey
    segments: tuple[Segment, ...] = ()
    length: int = 0
    ended: bool = False
    composed: bool = False
    stored_beyond: int = 0
    packed: LogIndex | None = None


@dataclass(frozen=True, slots=True)
class LogIndex:
    """The index of a complete log.

    Attributes:
        size: in bytes.
        sha256: of all of them, in hex.
        newlines: how many line ends it has.
        newlines_before: `newlines_before[i]` is how many line ends are before the byte `(i + 1) * LINE_BLOCK`: a line
            is found by its block and by counting inside it.
        times: when its bytes were written, as (offset, seconds since 1970), see `LogTimes`; of parts that were stored
            by a server that is gone, and in logs of earlier versions, when their segments were stored.
        composed: when this was written, in seconds since 1970.
    """

    size: int
    sha256: str
    newlines: int
    newlines_before: tuple[int, ...]
    times: tuple[tuple[int, float], ...] = ()
    composed: float = 0.0

    def encode(self) -> bytes:
        """Return the stored form."""
        return json.dumps({"format": 1, **asdict(self)}).encode()

    @staticmethod
    def decode(stored: bytes) -> LogIndex:
        """Read the stored form. Raises ValueError, KeyError or TypeError if it is damaged."""
        return LogIndex.of_json(json.loads(stored))

    @staticmethod
    def of_json(raw: dict[str, Any]) -> LogIndex:
        """Read the stored form, parsed. Raises ValueError, KeyError or TypeError if it is damaged."""
        return LogIndex(
            size=raw["size"],
            sha256=raw["sha256"],
            newlines=raw["newlines"],
            newlines_before=tuple(raw["newlines_before"]),
            times=tuple((offset, seconds) for offset, seconds in raw["times"]),
            composed=raw["composed"],
        )


def complete_name(size: int) -> str:
    """Return the name of the object that has a complete log of `size` bytes, followed by its index."""
    return f"{_COMPLETE}{size:020d}"


def complete_size(name: str) -> int | None:
    """Return the size of the complete log in an object of this name; None: it is another kind of object."""
    last = name.rpartition("/")[2]
    size = last.removeprefix(_COMPLETE)
    return int(size) if size != last and len(size) == 20 and size.isdigit() else None


def cover_of(segments: tuple[Segment, ...]) -> tuple[tuple[Segment, ...], int]:
    """Return the segments that are needed to cover a log from 0 on without a gap, and the covered length."""
    chosen: list[Segment] = []
    length = 0
    # The longer of two at one offset first, so that the other one adds nothing.
    for segment in sorted(segments, key=lambda s: (s.offset, -s.size)):
        if segment.offset > length:
            break
        if segment.end > length:
            chosen.append(segment)
            length = segment.end
    return tuple(chosen), length


class LineCounter:
    """Counts the line ends of a log while its bytes pass."""

    def __init__(self) -> None:
        self.size = 0
        self.newlines = 0
        self.newlines_before: list[int] = []
        """As of `LogIndex`."""

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + LINE_BLOCK - self.size % LINE_BLOCK)
            self.newlines += data.count(b"\n", begin, end)
            self.size += end - begin
            if self.size % LINE_BLOCK == 0:
                self.newlines_before.append(self.newlines)
            begin = end


class LineIndex(LineCounter):
    """Builds the index of a log from its bytes. Not thread-safe; feed large chunks in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        self._digest.update(data)
        super().feed(data)

    def finish(self, *, times: Times = (), composed: float = 0.0) -> LogIndex:
        """Return the index of the bytes so far."""
        return LogIndex(
            size=self.size,
            sha256=self._digest.hexdigest(),
            newlines=self.newlines,
            newlines_before=tuple(self.newlines_before),
            times=tuple(times),
            composed=composed,
        )


def index_of(data: bytes, *, times: Times = (), composed: float = 0.0) -> LogIndex:
    """Return the index of a whole log."""
    lines = LineIndex()
    lines.feed(data)
    return lines.finish(times=times, composed=composed)
