"""Keeps the masked logs of this executor until a server has stored them.

One `Spool` is the log of one step: append-only, read by offset, dropped from the front as it is stored. Its newest
bytes are in memory; they are written to disk when there are many or they are a second old, so that the log of a short
step is never on disk. On disk a log has a folder with files of a few MiB, so that a restarted executor finds what is
not stored yet. `Spools` has all of them, and makes writers wait while too many bytes are not stored: a slow object
storage slows output, and loses nothing.

Methods that access the disk block; call them in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from sluiceway_executor.log_mark import Mark
from sluiceway_executor.log_parts import cut_parts, digest_of, last_parts, part_path

__all__ = ["LogName", "Spool", "Spools"]

log = structlog.get_logger(__name__)

_PART_BYTES = 4 << 20
_MEMORY_BYTES = 256 << 10
"""The bytes of one log that may be in memory only; more is written to disk at once."""
_WRITE_SECONDS = 1.0
"""How long bytes of a log may be in memory only."""
_MAX_TIMES = 4096
_MARK_NAME = "mark"


@dataclass(frozen=True, slots=True, order=True)
class LogName:
    """The identity of a log: an assignment, and a step of it; -1 is the setup."""

    assignment_id: str
    step: int


class Spool:
    """The log of one step. It has one writer; reading and writing to disk may be in other threads."""

    def __init__(self, name: LogName, folder: Path) -> None:
        self.name = name
        self.size = 0
        self.stored = 0
        self.ended = False
        self.complete = False
        self.is_on_disk = False
        """Part of it is on disk, so that most methods block."""
        self._folder = folder
        self._digest: hashlib._Hash | None = hashlib.sha256()
        self._mark: Mark | None = None
        self.written_mark: Mark | None = None
        """The mark that is on disk, or was there when it was loaded."""
        self._is_end_saved = False
        self._unwritten = bytearray()
        """The end of the log, which is not on disk."""
        self._part: BinaryIO | None = None
        self._part_end = 0
        self._starts: list[int] = []
        self._times: list[tuple[int, datetime]] = []
        self._lock = threading.Lock()
        """Protects what is in memory; never held during I/O."""
        self._disk = threading.RLock()
        """Protects the files. Acquired before the other lock."""

    @classmethod
    def load(cls, folder: Path) -> Spool:
        """Load the log that an earlier process left. Blocks.

        `ended` is what that process had written: if it is not set, the log may be continued.

        Raises:
            ValueError: the folder has no log.
        """
        try:
            note = json.loads((folder / "log.json").read_text())
            name = LogName(note["assignment"], int(note["step"]))
        except (OSError, KeyError) as error:
            raise ValueError(f"{folder} has no log") from error
        spool = cls(name, folder)
        spool._starts, end = last_parts(folder)
        spool.size = end if spool._starts else int(note.get("size", 0))
        spool._mark = spool.written_mark = Mark.read(folder / _MARK_NAME)
        if spool._mark is not None and not note.get("complete"):
            spool._starts = cut_parts(folder, spool._starts, spool.size, spool._mark.size)
            spool.size = spool._mark.size
        spool.stored = spool._starts[0] if spool._starts else spool.size
        if spool.stored:
            spool._digest = None
        else:
            spool._digest = digest_of([spool._path(start) for start in spool._starts])
        spool.is_on_disk = True
        spool.ended = spool._is_end_saved = bool(note.get("ended"))
        spool.complete = bool(note.get("complete"))
        return spool

    @property
    def waiting(self) -> int:
        """How many bytes are not stored."""
        return self.size - self.stored

    @property
    def unwritten(self) -> int:
        """How many bytes are in memory only."""
        return len(self._unwritten)

    @property
    def sha256(self) -> str:
        """The digest of the whole log, in hex; empty: an earlier process wrote a part that is no longer here."""
        return "" if self._digest is None else self._digest.hexdigest()

    @property
    def mark(self) -> Mark | None:
        """The last mark; None: there is none."""
        return self._mark

    def append(self, data: bytes, now: datetime, mark: Mark | None = None) -> None:
        """Append bytes in memory, and set the mark that holds after them. Does not block."""
        with self._lock:
            self._mark = mark or self._mark
            if not data:
                return
            self._unwritten += data
            if self._digest is not None:
                self._digest.update(data)
            self._times.append((self.size, now))
            if len(self._times) > _MAX_TIMES:
                # Bounded: every other one of the older half is dropped.
                self._times = [*self._times[: _MAX_TIMES // 2 : 2], *self._times[_MAX_TIMES // 2 :]]
            self.size += len(data)

    def write(self) -> None:
        """Write to disk what is in memory only. May be repeated. Blocks.

        Raises:
            OSError: it cannot be written, and stays in memory.
        """
        with self._disk:
            with self._lock:
                if self.complete:
                    return
                data, is_new, self.is_on_disk = bytes(self._unwritten), not self.is_on_disk, True
                offset, mark = self.size - len(data), self._mark
            if is_new and self._folder.exists():
                shutil.rmtree(self._folder)
            if is_new or not self._folder.exists():
                self._folder.mkdir(parents=True, mode=0o700)
                self._save()
            view = memoryview(data)
            while view:
                if self._part is None or offset - self._starts[-1] >= _PART_BYTES or offset != self._part_end:
                    self._close_part()
                    self._part = self._path(offset).open("wb", buffering=0)
                    self._starts.append(offset)
                count = self._part.write(view)
                view = view[count:]
                offset += count
                self._part_end = offset
                with self._lock:
                    del self._unwritten[:count]
            if mark is not None and mark != self.written_mark:
                # After the bytes that it counts: what is behind it is cut when the log is loaded.
                mark.write(self._folder / _MARK_NAME)
                self.written_mark = mark
            if self.ended:
                self._close_part()
                if not self._is_end_saved:
                    self._save()

    @property
    def needs_write(self) -> bool:
        """Whether `write` would change the disk."""
        if self.complete:
            return False
        has_news = bool(self._unwritten) or self._mark != self.written_mark
        return not self.is_on_disk or has_news or (self.ended and not self._is_end_saved)

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
        """Return about when the byte at `offset` was appended; None: it is not known any more."""
        index = bisect_right(self._times, offset, key=lambda entry: entry[0]) - 1
        return self._times[index][1] if index >= 0 else None

    def drop(self, stored: int) -> None:
        """Drop all bytes before `stored`. Blocks if on disk. A lower offset than before changes nothing."""
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
        """End the log. May be repeated. Does not block."""
        self.ended = True

    def finish(self) -> None:
        """Drop all bytes, because they are stored or refused; a note stays on disk. Blocks if on disk."""
        if self._clear_memory():
            with self._disk:
                self._close_part()
                for start in self._starts:
                    self._path(start).unlink(missing_ok=True)
                self._starts.clear()
                self._save()

    def close(self) -> None:
        """Write it to disk, and close its file. Blocks."""
        with self._disk:
            try:
                if self.needs_write:
                    self.write()
            finally:
                self._close_part()

    def remove(self) -> None:
        """Remove all of it. May be repeated. Blocks if on disk."""
        if self._clear_memory():
            with self._disk:
                self._close_part()
                shutil.rmtree(self._folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self._folder.parent.rmdir()

    def _clear_memory(self) -> bool:
        """Drop what is in memory; return whether part of the log is on disk."""
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

    def _close_part(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None

    def _path(self, start: int) -> Path:
        return part_path(self._folder, start)

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
            temporary.replace(self._folder / "log.json")
            self._is_end_saved = self.ended


class Spools:
    """All logs of this executor.

    Attributes:
        changed: set when there may be something to send; the sender clears it.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._spools: dict[LogName, Spool] = {}
        self._unwritten: dict[LogName, float] = {}
        """Since when bytes of a log are in memory only."""
        self._awaited: set[str] = set()
        """The assignments that `wait_complete` waits for, or did."""
        self._has_unwritten = asyncio.Event()
        self._has_space = asyncio.Condition()
        self.changed = asyncio.Event()

    def __iter__(self) -> Iterator[Spool]:
        return iter(tuple(self._spools.values()))

    def get(self, name: LogName) -> Spool | None:
        """Return a log; None: there is none of this name."""
        return self._spools.get(name)

    async def load(self, *, continued: Collection[str] = ()) -> None:
        """Load the logs that an earlier process left, and end those of other assignments. Call it first."""
        for folder in sorted(await asyncio.to_thread(lambda: list(self._folder.glob("*/*")))):
            try:
                spool = await asyncio.to_thread(Spool.load, folder)
            except ValueError:
                continue
            if spool.name.assignment_id not in continued:
                spool.end()
            self._spools[spool.name] = spool
        self.changed.set()

    async def run(self) -> None:
        """Write to disk what was in memory only for `_WRITE_SECONDS`, until cancelled."""
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
        """Create the log of a step; an earlier one of that name is removed."""
        earlier = self._spools.get(name)
        if earlier is not None:
            await asyncio.to_thread(earlier.remove)
        spool = Spool(name, self._assignment_folder(name.assignment_id) / str(name.step))
        self._spools[name] = spool
        self._note_unwritten(spool)
        return spool

    async def reopen(self, name: LogName) -> Spool:
        """Return the log of a step that an earlier process began, or create it if nothing of it is left."""
        return self._spools.get(name) or await self.create(name)

    async def write(self, spool: Spool) -> None:
        """Write a log to disk.

        Raises:
            OSError: it cannot be written.
        """
        if spool.needs_write:
            self._unwritten.pop(spool.name, None)
            await asyncio.to_thread(spool.write)

    async def append(self, spool: Spool, data: bytes, now: datetime, mark: Mark | None = None) -> None:
        """Append to a log; wait while too many bytes of all logs are not stored.

        Raises:
            OSError: it cannot be written to disk.
        """
        if self._waiting() >= self._limit_bytes:
            async with self._has_space:
                await self._has_space.wait_for(lambda: self._waiting() < self._limit_bytes or spool.complete)
        if not spool.complete:
            spool.append(data, now, mark)
            if spool.unwritten >= _MEMORY_BYTES:
                self._unwritten.pop(spool.name, None)
                await asyncio.to_thread(spool.write)
            else:
                self._note_unwritten(spool)
            self.changed.set()

    async def read(self, spool: Spool, offset: int, limit: int) -> bytes:
        """Read up to `limit` bytes of a log from `offset`, in a thread if they are on disk."""
        if spool.is_in_memory(offset):
            return spool.read(offset, limit)
        return await asyncio.to_thread(spool.read, offset, limit)

    async def end(self, spool: Spool) -> None:
        """End a log. May be repeated."""
        if not spool.ended:
            spool.end()
            self._note_unwritten(spool)
            self.changed.set()

    async def stored(self, spool: Spool, offset: int, *, complete: bool) -> None:
        """Drop the bytes of a log that a server has stored."""
        if complete and spool.ended:
            await self._finish(spool)
        elif offset > spool.stored and spool.is_on_disk:
            await asyncio.to_thread(spool.drop, offset)
        elif offset > spool.stored:
            spool.drop(offset)
        async with self._has_space:
            self._has_space.notify_all()

    async def refused(self, spool: Spool) -> None:
        """Drop a log that the server refused, and all that is appended to it from now on."""
        await self._finish(spool)
        async with self._has_space:
            self._has_space.notify_all()

    async def refuse_all(self, assignment_id: str) -> None:
        """Drop all logs of an assignment; writers that wait continue."""
        for spool in [spool for spool in self if spool.name.assignment_id == assignment_id]:
            await self.refused(spool)

    async def wait_complete(self, assignment_id: str) -> None:
        """Wait until all logs of an assignment are stored. The caller sets the time limit."""
        self._awaited.add(assignment_id)
        self.changed.set()
        async with self._has_space:
            await self._has_space.wait_for(
                lambda: all(s.complete for s in self._spools.values() if s.name.assignment_id == assignment_id)
            )

    def is_awaited(self, assignment_id: str) -> bool:
        """Return whether the logs of an assignment have to be stored now: `wait_complete` was called."""
        return assignment_id in self._awaited

    async def remove(self, assignment_id: str) -> None:
        """Remove all logs of an assignment. May be repeated."""
        names = [name for name in self._spools if name.assignment_id == assignment_id]
        spools = [self._spools.pop(name) for name in names]
        for name in names:
            self._unwritten.pop(name, None)
        self._awaited.discard(assignment_id)
        if any(spool.is_on_disk for spool in spools):
            await asyncio.to_thread(self._remove, spools, self._assignment_folder(assignment_id))
        else:
            for spool in spools:
                spool.remove()
        async with self._has_space:
            self._has_space.notify_all()

    def close(self) -> None:
        """Write all logs to disk, and close their files, at the end of the process. Blocks."""
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
