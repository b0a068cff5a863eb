"""Logs on the executor's disk, from the moment a byte is masked until a server says that it is stored.

One `Spool` is the log of one step: append-only, read by offset, dropped from the front as it is stored. It lives in a
folder of its own in files of a few MiB, so that a restarted executor finds what was not stored yet. `Spools` holds them
all, knows how much waits, and slows the writers when that is too much: a slow storage slows output, and loses nothing.

Methods that touch the disk block; callers put them into threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

__all__ = ["LogName", "Spool", "Spools"]

_PART_BYTES = 4 << 20
_MAX_TIMES = 4096


@dataclass(frozen=True, slots=True, order=True)
class LogName:
    """Which log: of an assignment, and of which step; -1 is the setup."""

    assignment_id: str
    step: int


class Spool:
    """The log of one step. One writer; readers in other threads."""

    def __init__(self, name: LogName, folder: Path) -> None:
        self.name = name
        self.size = 0
        self.stored = 0
        self.ended = False
        self.complete = False
        self._folder = folder
        self._digest = hashlib.sha256()
        self._part: BinaryIO | None = None
        self._starts: list[int] = []
        self._times: list[tuple[int, datetime]] = []
        self._lock = threading.Lock()

    @classmethod
    def create(cls, name: LogName, folder: Path) -> Spool:
        """Make an empty one; what was in the folder goes. Blocks."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
        spool = cls(name, folder)
        spool._save()
        return spool

    @classmethod
    def load(cls, folder: Path) -> Spool:
        """Take up what an earlier process left; nothing more can be written, so it has ended. Blocks.

        Raises:
            ValueError: the folder holds no log.
        """
        try:
            note = json.loads((folder / "log.json").read_text())
            name = LogName(note["assignment"], int(note["step"]))
        except (OSError, KeyError) as error:
            raise ValueError(f"{folder} holds no log") from error
        spool = cls(name, folder)
        spool._starts = sorted(int(part.stem) for part in folder.glob("*.part"))
        spool.stored = spool.size = spool._starts[0] if spool._starts else int(note.get("size", 0))
        if spool._starts:
            last = spool._starts[-1]
            spool.size = last + spool._path(last).stat().st_size
        spool.ended = True
        spool.complete = bool(note.get("complete"))
        return spool

    @property
    def waiting(self) -> int:
        """Bytes that are not stored."""
        return self.size - self.stored

    @property
    def sha256(self) -> str:
        """The digest of all that was written by this process, in hex."""
        return self._digest.hexdigest()

    def append(self, data: bytes, now: datetime) -> None:
        """Write at the end. Blocks."""
        if not data:
            return
        with self._lock:
            if self._part is None or self.size - self._starts[-1] >= _PART_BYTES:
                if self._part is not None:
                    self._part.close()
                self._part = self._path(self.size).open("wb", buffering=0)
                self._starts.append(self.size)
            view = memoryview(data)
            while view:
                view = view[self._part.write(view) :]
            self._digest.update(data)
            self._times.append((self.size, now))
            if len(self._times) > _MAX_TIMES:
                # Coarser, not endless: every other one goes.
                self._times = [*self._times[: _MAX_TIMES // 2 : 2], *self._times[_MAX_TIMES // 2 :]]
            self.size += len(data)

    def read(self, offset: int, limit: int) -> bytes:
        """Read up to `limit` bytes from `offset`, which must not be dropped yet. Blocks."""
        with self._lock:
            parts = []
            while limit > 0 and offset < self.size:
                start = self._starts[bisect_right(self._starts, offset) - 1]
                with self._path(start).open("rb") as part:
                    part.seek(offset - start)
                    data = part.read(limit)
                if not data:
                    break
                parts.append(data)
                offset += len(data)
                limit -= len(data)
            return b"".join(parts)

    def time_of(self, offset: int) -> datetime | None:
        """Say when the byte at `offset` was written, about; None when that is not known any more."""
        index = bisect_right(self._times, offset, key=lambda entry: entry[0]) - 1
        return self._times[index][1] if index >= 0 else None

    def drop(self, stored: int) -> None:
        """All bytes before `stored` are stored: let them go. Blocks. Going back changes nothing."""
        with self._lock:
            self.stored = max(self.stored, min(stored, self.size))
            while len(self._starts) > 1 and self._starts[1] <= self.stored:
                self._path(self._starts.pop(0)).unlink(missing_ok=True)
            keep = max(0, bisect_right(self._times, self.stored, key=lambda entry: entry[0]) - 1)
            del self._times[:keep]

    def end(self) -> None:
        """Nothing more is written. May be repeated. Blocks."""
        with self._lock:
            self.ended = True
            if self._part is not None:
                self._part.close()
                self._part = None
        self._save()

    def finish(self) -> None:
        """The log is whole and stored, or nobody wants it: only a note of it stays. Blocks."""
        self.complete = True
        self.ended = True
        with self._lock:
            self.stored = self.size
            if self._part is not None:
                self._part.close()
                self._part = None
            for start in self._starts:
                self._path(start).unlink(missing_ok=True)
            self._starts.clear()
        self._save()

    def close(self) -> None:
        """Let go of the file; what was written stays. Blocks."""
        with self._lock:
            if self._part is not None:
                self._part.close()
                self._part = None

    def remove(self) -> None:
        """Remove all of it. May be repeated. Blocks."""
        self.complete = True
        self.ended = True
        with self._lock:
            if self._part is not None:
                self._part.close()
                self._part = None
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020}.part"

    def _save(self) -> None:
        note = {
            "assignment": self.name.assignment_id,
            "step": self.name.step,
            "size": self.size,
            "ended": self.ended,
            "complete": self.complete,
        }
        temporary = self._folder / "log.json.new"
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            temporary.write_text(json.dumps(note))
            os.replace(temporary, self._folder / "log.json")  # noqa: PTH105


class Spools:
    """All logs of this executor.

    `changed` is set whenever there may be something to send; whoever sends clears it.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._spools: dict[LogName, Spool] = {}
        self._room = asyncio.Condition()
        self.changed = asyncio.Event()

    def __iter__(self) -> Iterator[Spool]:
        return iter(tuple(self._spools.values()))

    def get(self, name: LogName) -> Spool | None:
        """Find a log."""
        return self._spools.get(name)

    async def load(self) -> None:
        """Take up what an earlier process left. Before anything else."""
        for folder in sorted(await asyncio.to_thread(lambda: list(self._folder.glob("*/*")))):
            try:
                spool = await asyncio.to_thread(Spool.load, folder)
            except ValueError:
                continue
            self._spools[spool.name] = spool
        self.changed.set()

    async def create(self, name: LogName) -> Spool:
        """Make the log of a step."""
        mark = hashlib.sha256(name.assignment_id.encode()).hexdigest()[:32]
        spool = await asyncio.to_thread(Spool.create, name, self._folder / mark / str(name.step))
        self._spools[name] = spool
        return spool

    async def append(self, spool: Spool, data: bytes, now: datetime) -> None:
        """Write to a log; waits while too much of all logs is not stored yet."""
        if self._waiting() >= self._limit_bytes:
            async with self._room:
                await self._room.wait_for(lambda: self._waiting() < self._limit_bytes or spool.complete)
        if not spool.complete:
            await asyncio.to_thread(spool.append, data, now)
            self.changed.set()

    async def end(self, spool: Spool) -> None:
        """Say that a log is over."""
        if not spool.ended:
            await asyncio.to_thread(spool.end)
            self.changed.set()

    async def stored(self, spool: Spool, offset: int, *, complete: bool) -> None:
        """Take note of what a server has stored."""
        if complete and spool.ended:
            await asyncio.to_thread(spool.finish)
        elif offset > spool.stored:
            await asyncio.to_thread(spool.drop, offset)
        async with self._room:
            self._room.notify_all()

    async def refused(self, spool: Spool) -> None:
        """Nobody wants this log: what is written to it from now on goes nowhere."""
        await asyncio.to_thread(spool.finish)
        async with self._room:
            self._room.notify_all()

    async def refuse_all(self, assignment_id: str) -> None:
        """Nobody wants the logs of an assignment any more: what waits for room to write goes on."""
        for spool in [spool for spool in self if spool.name.assignment_id == assignment_id]:
            await self.refused(spool)

    async def wait_complete(self, assignment_id: str) -> None:
        """Wait until all logs of an assignment are stored. Without limit of time: the caller has one."""
        async with self._room:
            await self._room.wait_for(
                lambda: all(s.complete for s in self._spools.values() if s.name.assignment_id == assignment_id)
            )

    async def remove(self, assignment_id: str) -> None:
        """Remove all logs of an assignment. May be repeated."""
        for name in [name for name in self._spools if name.assignment_id == assignment_id]:
            await asyncio.to_thread(self._spools.pop(name).remove)
        mark = hashlib.sha256(assignment_id.encode()).hexdigest()[:32]
        await asyncio.to_thread(shutil.rmtree, self._folder / mark, ignore_errors=True)
        async with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """Let go of all files, at the end of the process. Blocks for a moment."""
        for spool in self._spools.values():
            spool.close()

    def _waiting(self) -> int:
        return sum(spool.waiting for spool in self._spools.values())
