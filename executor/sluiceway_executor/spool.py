"""Logs of this executor, from the moment a byte is masked until a server says that it is stored.

One `Spool` is the log of one step: append-only, read by offset, dropped from the front as it is stored. Its newest
bytes are in memory; they are written to disk when they are many or a second old, so that the log of a short step never
is. On disk it has a folder of its own with files of a few MiB, so that a restarted executor finds what was not stored
yet. `Spools` holds them all, knows how much waits, and slows the writers when that is too much: a slow storage slows
output, and loses nothing.

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import structlog

__all__ = ["LogName", "Spool", "Spools"]

log = structlog.get_logger(__name__)

_PART_BYTES = 4 << 20
_MEMORY_BYTES = 64 << 10
"""Of one log in memory only: more is written to disk at once."""
_WRITE_SECONDS = 1.0
"""How long the end of a log is in memory only."""
_MAX_TIMES = 4096


@dataclass(frozen=True, slots=True, order=True)
class LogName:
    """Which log: of an assignment, and of which step; -1 is the setup."""

    assignment_id: str
    step: int


class Spool:
    """The log of one step. One writer; readers and whoever writes it to disk may be in other threads."""

    def __init__(self, name: LogName, folder: Path) -> None:
        self.name = name
        self.size = 0
        self.stored = 0
        self.ended = False
        self.complete = False
        self.is_on_disk = False
        """Something of it is on disk, so that most methods block."""
        self._folder = folder
        self._digest = hashlib.sha256()
        self._unwritten = bytearray()
        """The end of the log, which is not on disk."""
        self._part: BinaryIO | None = None
        self._starts: list[int] = []
        self._times: list[tuple[int, datetime]] = []
        self._lock = threading.Lock()
        """Of what is in memory: never held while the disk is waited for."""
        self._disk = threading.RLock()
        """Of the files. Taken before the other one."""

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
        spool.is_on_disk = True
        spool.ended = True
        spool.complete = bool(note.get("complete"))
        return spool

    @property
    def waiting(self) -> int:
        """Bytes that are not stored."""
        return self.size - self.stored

    @property
    def unwritten(self) -> int:
        """Bytes that are in memory only."""
        return len(self._unwritten)

    @property
    def sha256(self) -> str:
        """The digest of all that was written by this process, in hex."""
        return self._digest.hexdigest()

    def append(self, data: bytes, now: datetime) -> None:
        """Write at the end, in memory. Does not block."""
        if not data:
            return
        with self._lock:
            self._unwritten += data
            self._digest.update(data)
            self._times.append((self.size, now))
            if len(self._times) > _MAX_TIMES:
                # Coarser, not endless: every other one goes.
                self._times = [*self._times[: _MAX_TIMES // 2 : 2], *self._times[_MAX_TIMES // 2 :]]
            self.size += len(data)

    def write(self) -> None:
        """Write to disk what is in memory only. May be repeated. Blocks.

        Raises:
            OSError: the disk does not take it; it stays in memory.
        """
        with self._disk:
            with self._lock:
                if self.complete:
                    return
                data, is_new, self.is_on_disk = bytes(self._unwritten), not self.is_on_disk, True
                offset = self.size - len(data)
            if is_new and self._folder.exists():
                shutil.rmtree(self._folder)
            if is_new or not self._folder.exists():
                self._folder.mkdir(parents=True, mode=0o700)
                self._save()
            view = memoryview(data)
            while view:
                if self._part is None or offset - self._starts[-1] >= _PART_BYTES:
                    self._close_part()
                    self._part = self._path(offset).open("wb", buffering=0)
                    self._starts.append(offset)
                count = self._part.write(view)
                view = view[count:]
                offset += count
                with self._lock:
                    del self._unwritten[:count]
            if self.ended:
                self._close_part()

    @property
    def needs_write(self) -> bool:
        """Whether `write` would change the disk."""
        return not self.complete and (not self.is_on_disk or bool(self._unwritten) or (self.ended and self._is_open))

    def is_in_memory(self, offset: int) -> bool:
        """Return whether `read` from there does not block."""
        return offset >= self.size - len(self._unwritten)

    def read(self, offset: int, limit: int) -> bytes:
        """Read up to `limit` bytes from `offset`, which must not be dropped yet. Blocks, see `is_in_memory`."""
        with self._lock:
            if self.is_in_memory(offset):
                return self._read_memory(offset, limit)
        with self._disk:
            parts = []
            while limit > 0 and offset < self.size:
                with self._lock:
                    in_memory = self._read_memory(offset, limit) if self.is_in_memory(offset) else None
                data = self._read_file(offset, limit) if in_memory is None else in_memory
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
        """All bytes before `stored` are stored: let them go. Blocks if on disk. Going back changes nothing."""
        with self._lock:
            self.stored = max(self.stored, min(stored, self.size))
            keep = max(0, bisect_right(self._times, self.stored, key=lambda entry: entry[0]) - 1)
            del self._times[:keep]
            if not self.is_on_disk:
                del self._unwritten[: max(0, self.stored - (self.size - len(self._unwritten)))]
                return
        with self._disk:
            while len(self._starts) > 1 and self._starts[1] <= self.stored:
                self._path(self._starts.pop(0)).unlink(missing_ok=True)

    def end(self) -> None:
        """Nothing more is appended. May be repeated. Does not block."""
        self.ended = True

    def finish(self) -> None:
        """The log is whole and stored, or nobody wants it: only a note of it stays. Blocks if on disk."""
        if self._let_go():
            with self._disk:
                self._close_part()
                for start in self._starts:
                    self._path(start).unlink(missing_ok=True)
                self._starts.clear()
                self._save()

    def close(self) -> None:
        """Write it to disk and let go of the file. Blocks."""
        with self._disk:
            try:
                if self.needs_write:
                    self.write()
            finally:
                self._close_part()

    def remove(self) -> None:
        """Remove all of it. May be repeated. Blocks if on disk."""
        if self._let_go():
            with self._disk:
                self._close_part()
                shutil.rmtree(self._folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self._folder.parent.rmdir()

    def _let_go(self) -> bool:
        """Forget what is in memory; return whether something is on disk."""
        with self._lock:
            self.complete = self.ended = True
            self.stored = self.size
            self._unwritten.clear()
            return self.is_on_disk

    def _read_memory(self, offset: int, limit: int) -> bytes:
        at = offset - (self.size - len(self._unwritten))
        return bytes(self._unwritten[at : at + limit])

    def _read_file(self, offset: int, limit: int) -> bytes:
        index = bisect_right(self._starts, offset) - 1
        if index < 0:
            raise IndexError(f"byte {offset} was dropped")
        start = self._starts[index]
        with self._path(start).open("rb") as part:
            part.seek(offset - start)
            return part.read(limit)

    @property
    def _is_open(self) -> bool:
        return self._part is not None

    def _close_part(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None

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
        self._unwritten: dict[LogName, float] = {}
        """Since when something of a log is in memory only."""
        self._has_unwritten = asyncio.Event()
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

    async def run(self) -> None:
        """Write to disk what has been in memory only for `_WRITE_SECONDS`, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_unwritten.wait()
            await asyncio.sleep(_WRITE_SECONDS / 4)
            due = [name for name, since in self._unwritten.items() if loop.time() - since >= _WRITE_SECONDS]
            spools = [self._spools[name] for name in due if name in self._spools]
            for name in due:
                del self._unwritten[name]
            if spools:
                for spool, error in await asyncio.to_thread(_write_all, spools):
                    log.warning("log_not_written", assignment=spool.name.assignment_id, error=str(error))
                    self._note_unwritten(spool)
            if not self._unwritten:
                self._has_unwritten.clear()

    async def create(self, name: LogName) -> Spool:
        """Make the log of a step; what an earlier one of that name left goes."""
        earlier = self._spools.get(name)
        if earlier is not None:
            await asyncio.to_thread(earlier.remove)
        spool = Spool(name, self._assignment_folder(name.assignment_id) / str(name.step))
        self._spools[name] = spool
        self._note_unwritten(spool)
        return spool

    async def append(self, spool: Spool, data: bytes, now: datetime) -> None:
        """Write to a log; waits while too much of all logs is not stored yet.

        Raises:
            OSError: the disk does not take it.
        """
        if self._waiting() >= self._limit_bytes:
            async with self._room:
                await self._room.wait_for(lambda: self._waiting() < self._limit_bytes or spool.complete)
        if not spool.complete:
            spool.append(data, now)
            if spool.unwritten >= _MEMORY_BYTES:
                self._unwritten.pop(spool.name, None)
                await asyncio.to_thread(spool.write)
            else:
                self._note_unwritten(spool)
            self.changed.set()

    async def read(self, spool: Spool, offset: int, limit: int) -> bytes:
        """Read from a log; see `Spool.read`."""
        if spool.is_in_memory(offset):
            return spool.read(offset, limit)
        return await asyncio.to_thread(spool.read, offset, limit)

    async def end(self, spool: Spool) -> None:
        """Say that a log is over."""
        if not spool.ended:
            spool.end()
            self._note_unwritten(spool)
            self.changed.set()

    async def stored(self, spool: Spool, offset: int, *, complete: bool) -> None:
        """Take note of what a server has stored."""
        if complete and spool.ended:
            await self._finish(spool)
        elif offset > spool.stored and spool.is_on_disk:
            await asyncio.to_thread(spool.drop, offset)
        elif offset > spool.stored:
            spool.drop(offset)
        async with self._room:
            self._room.notify_all()

    async def refused(self, spool: Spool) -> None:
        """Nobody wants this log: what is written to it from now on goes nowhere."""
        await self._finish(spool)
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
        names = [name for name in self._spools if name.assignment_id == assignment_id]
        spools = [self._spools.pop(name) for name in names]
        for name in names:
            self._unwritten.pop(name, None)
        if any(spool.is_on_disk for spool in spools):
            await asyncio.to_thread(self._remove, spools, self._assignment_folder(assignment_id))
        else:
            for spool in spools:
                spool.remove()
        async with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """Write all logs to disk and let go of their files, at the end of the process. Blocks for a moment."""
        for spool in self._spools.values():
            spool.close()

    async def _finish(self, spool: Spool) -> None:
        self._unwritten.pop(spool.name, None)
        if spool.is_on_disk:
            await asyncio.to_thread(spool.finish)
        else:
            spool.finish()

    def _note_unwritten(self, spool: Spool) -> None:
        if not spool.complete:
            self._unwritten.setdefault(spool.name, asyncio.get_running_loop().time())
            self._has_unwritten.set()

    @staticmethod
    def _remove(spools: Sequence[Spool], folder: Path) -> None:
        for spool in spools:
            spool.remove()
        shutil.rmtree(folder, ignore_errors=True)

    def _assignment_folder(self, assignment_id: str) -> Path:
        return self._folder / hashlib.sha256(assignment_id.encode()).hexdigest()[:32]

    def _waiting(self) -> int:
        return sum(spool.waiting for spool in self._spools.values())


def _write_all(spools: Sequence[Spool]) -> list[tuple[Spool, OSError]]:
    failed = []
    for spool in spools:
        try:
            if spool.needs_write:
                spool.write()
        except OSError as error:
            failed.append((spool, error))
    return failed
