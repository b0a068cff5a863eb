"""Logs in the object storage: segments while a step runs, one object with its index when it is over.

Under `<prefix>/logs/<run>/<task>/<epoch>.<attempt>/<step>/` (the run in which the task ran; the step is its index, or
`setup`) there are

- segments, named by their offset in 20 digits and written once, by put-if-absent: their order is that of the bytes;
- `end`: the size of the log; there once every byte of it is stored and no more will come;
- `log.` and the size in 20 digits: all bytes, and after them the index: the size, the digest and where lines begin.

A log that ends before it was cut into segments is the last of these and nothing else, and an empty one is nothing.
Earlier versions wrote the index as an object of its own, `index`, and the bytes as `whole`, or left them in the only
segment: such logs are read, and not made.

What is stored is what the segments cover without a gap, found by listing. Two servers may cut differently: the bytes
of a log at an offset are the same whoever holds them, so overlaps are equal by construction and any cover is as good as
another.

Work that is due later (composing a log whose server died, removing segments an hour after) is an object too:
`<prefix>/log-work/<due>/<run>/<task>/<epoch>.<attempt>/<step>`, in order of time, so that a sweeper reads only what is
due. All of it may be done twice, and by anyone.

Earlier versions stored logs without the run in their path. `Cover.key` says where a log is; it stays there.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_server.logs.layout import (
    LINE_BLOCK,
    Cover,
    LineIndex,
    LogIndex,
    LogKey,
    Segment,
    complete_name,
    complete_size,
    cover_of,
)
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = ["LogStore"]

log = structlog.get_logger(__name__)

_WORK = f"{Folder.LOG_WORK}/"
_END, _WHOLE, _INDEX = "end", "whole", "index"
_COMPOSE_READ = 4 * 1024 * 1024
# Of 1 GiB it has 16,384 numbers.
_MOST_INDEX_BYTES = 16 * 1024 * 1024
_DELETED_AT_ONCE = 1000
_DEPTH_BELOW_RUN = 3
"""Folders between that of a run and an object: task, attempt and step."""


class LogStore:
    """Reads and writes logs in an object storage. Holds no state of its own, so any number may work side by side.

    Every call ends after `timeout` with `Unavailable`: a storage that hangs is one that is away.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        clock: Clock,
        *,
        prefix: str = "",
        timeout: timedelta = timedelta(seconds=60),
        keep_segments: timedelta = timedelta(hours=1),
        compose_patience: timedelta = timedelta(minutes=5),
    ) -> None:
        """Make one.

        Args:
            storage: where objects go.
            clock: wall time, for when work is due.
            prefix: of all keys, without a slash at its end; empty: none.
            timeout: of one call to the storage; an object is a few MiB at most.
            keep_segments: how long segments stay after their log was composed, for those who read them just then.
            compose_patience: after which another server composes a log that ended.
        """
        self._storage = storage
        self._root = f"{prefix}/" if prefix else ""
        self._clock = clock
        self._timeout = timeout.total_seconds()
        self._keep_segments = keep_segments
        self._compose_patience = compose_patience

    async def cover(self, key: LogKey) -> Cover:
        """List what is stored of a log. A log that nobody wrote is an empty cover, not an error."""
        found = await self._cover(key)
        if key.run and not found.segments and not found.ended and not found.stored_beyond:
            earlier = await self._cover(key.of_earlier_version)
            if earlier.segments or earlier.ended:
                return earlier
        return found

    async def _cover(self, key: LogKey) -> Cover:
        segments: list[Segment] = []
        ended = composed = False
        whole: Segment | None = None
        complete: Segment | None = None
        async with self._deadline("list", self._path(key)):
            async for info in self._storage.list(self._path(key)):
                name = info.key[len(self._path(key)) :]
                if name.isdigit():
                    segments.append(Segment(int(name), info.size_bytes, name, info.modified))
                elif name == _END:
                    ended = True
                elif name == _INDEX:
                    composed = True
                elif name == _WHOLE:
                    whole = Segment(0, info.size_bytes, name, info.modified)
                elif (size := complete_size(name)) is not None:
                    complete = Segment(0, size, name, info.modified)
        if complete is not None:
            return Cover(key, (complete,) if complete.size else (), complete.size, ended=True, composed=True)
        if composed and whole is not None:
            return Cover(key, (whole,) if whole.size else (), whole.size, ended=True, composed=True)
        chosen, length = cover_of(tuple(segments))
        beyond = min((segment.offset for segment in segments if segment.offset > length), default=0)
        return Cover(key, chosen, length, ended=ended or composed, composed=composed, stored_beyond=beyond)

    async def put_segment(self, key: LogKey, offset: int, data: bytes) -> int:
        """Store bytes at an offset; answers the offset up to which they are stored now.

        Less than all when somebody stored a shorter segment at this offset before: call again with the rest. May be
        repeated.
        """
        name = f"{offset:020d}"
        async with self._deadline("put", self._path(key) + name):
            if await self._storage.put_if_absent(self._path(key) + name, data):
                return offset + len(data)
            taken = await self._storage.head(self._path(key) + name)
        if taken is None:
            # Removed between the two: somebody composed this log, so it was over.
            where = self._path(key) + name
            raise NotFound(f"the segment {where} was there and is gone", resource_name=where)
        return offset + min(taken.size_bytes, len(data))

    async def put_complete(self, key: LogKey, data: bytes, *, has_segments: bool) -> None:
        """Store a log that is over, whole, in one object. Nothing is stored of an empty one. May be repeated.

        Args:
            key: which.
            data: all its bytes.
            has_segments: some of them may be stored as segments, which are removed later.
        """
        if not data:
            return
        lines, now = LineIndex(), self._seconds()
        if len(data) <= LINE_BLOCK:
            lines.feed(data)
        else:
            await asyncio.to_thread(lines.feed, data)
        name = self._path(key) + complete_name(len(data))
        async with self._deadline("put", name):
            if has_segments:
                await self._remind(key, self._keep_segments)
            # When it is taken, the same bytes are there.
            await self._storage.put_if_absent(name, data + lines.finish(times=((0, now),), composed=now).encode())

    async def end(self, key: LogKey, size: int) -> bool:
        """Say that a log is over, all `size` bytes of it being stored. May be repeated.

        Returns:
            Whether it still is to be composed (`compose`), which may take long.
        """
        cover = await self.cover(key)
        if cover.composed or not size:
            return False
        if cover.length < size:
            raise DataLoss(f"{self._path(key)} should hold {size} bytes and holds {cover.length}")
        async with self._deadline("put", self._path(key) + _END):
            # The reminder first: were the server to die between the two, nobody would compose the log.
            await self._remind(key, self._compose_patience)
            await self._storage.put_if_absent(self._path(key) + _END, json.dumps({"size": size}).encode())
        return True

    async def compose(self, key: LogKey) -> LogIndex:
        """Make one object with its index of a log that is over. May be repeated, and by several at once.

        Raises:
            NotFound: it is not over.
        """
        cover = await self.cover(key)
        if cover.composed:
            return await self.index(cover)
        if not cover.ended:
            raise NotFound(f"{self._path(key)} is not over", resource_name=self._path(key))
        key = cover.key
        lines, name = LineIndex(), self._path(key) + complete_name(cover.length)
        if not cover.length:
            return lines.finish(composed=self._seconds())
        async with self._deadline("upload", name):
            upload = await self._storage.upload(name)
        try:
            async for chunk in self.read(cover, 0, cover.length, at_most=_COMPOSE_READ):
                await asyncio.to_thread(lines.feed, chunk)
                async with self._deadline("write", name):
                    await upload.write(chunk)
            index = lines.finish(times=_times(cover), composed=self._seconds())
            async with self._deadline("write", name):
                await upload.write(index.encode())
                await self._remind(key, self._keep_segments)
                await upload.complete()
        except BaseException:
            with suppress(SluicewayError):
                await upload.abort()
            raise
        return index

    async def index(self, cover: Cover) -> LogIndex:
        """Read the index of a composed log.

        Raises:
            NotFound: there is none.
            ValueError, KeyError, TypeError: it is damaged.
        """
        name = cover.segments[0].name if cover.segments else _INDEX
        size = complete_size(name)
        path = self._path(cover.key) + (_INDEX if size is None else name)
        async with self._deadline("get", path):
            if size is None:
                return LogIndex.decode(await self._storage.get(path))
            return LogIndex.decode(await self._storage.get_range(path, size, _MOST_INDEX_BYTES))

    async def read(self, cover: Cover, start: int, end: int, *, at_most: int = 1024 * 1024) -> AsyncIterator[bytes]:
        """Give the bytes in [`start`, `end`) of a cover, in chunks of at most `at_most`; memory is one chunk.

        Raises:
            NotFound: an object of the cover is gone (the log was composed, or deleted): look at the cover again.
        """
        position, key = start, cover.key
        for segment in cover.segments:
            while segment.offset <= position < min(segment.end, end):
                length = min(at_most, segment.end - position, end - position)
                async with self._deadline("get", self._path(key) + segment.name):
                    name, begin = self._path(key) + segment.name, position - segment.offset
                    chunk = await self._storage.get_range(name, begin, length)
                if not chunk:
                    raise DataLoss(
                        f"{self._path(key)}{segment.name} is shorter than the {segment.size} bytes it was listed with"
                    )
                yield chunk
                position += len(chunk)

    async def folders(self, *, after: str = "", limit: int) -> list[str]:
        """List the runs that have logs, by id, from the first behind `after` on; at most `limit`.

        Among them are the ids of tasks whose logs an earlier version stored.
        """
        folder = f"{self._root}{Folder.LOGS}/"
        # Behind everything that is in that folder.
        start = f"{folder}{after}0" if after else ""
        found: list[str] = []
        async with self._deadline("list", folder):
            async for info in self._storage.list(folder, start_after=start, delimiter="/"):
                if info.is_prefix:
                    found.append(info.key[len(folder) : -1])
                if len(found) == limit:
                    break
        return found

    async def is_of_earlier_version(self, folder: str) -> bool:
        """Whether a folder that `folders` lists is that of a task, and not of a run."""
        path = f"{self._root}{Folder.LOGS}/{folder}/"
        async with self._deadline("list", path):
            async for info in self._storage.list(path):
                return info.key.removeprefix(path).count("/") < _DEPTH_BELOW_RUN
        return False

    async def delete_all(self, run: str, task: str = "") -> int:
        """Remove all logs of a run, or of a task in it; returns how many objects went. May be repeated.

        Of a task, also those that an earlier version stored. `run` may be any of `folders`.
        """
        if not task:
            return await self._delete_below(f"{self._root}{Folder.LOGS}/{run}/")
        earlier = await self._delete_below(f"{self._root}{Folder.LOGS}/{task}/")
        return earlier + await self._delete_below(f"{self._root}{Folder.LOGS}/{run}/{task}/")

    async def _delete_below(self, folder: str) -> int:
        count = 0
        while True:
            # Some at a time, listed before they are deleted: not every storage likes to be changed under a list.
            names: list[str] = []
            async with self._deadline("list", folder):
                async for info in self._storage.list(folder):
                    names.append(info.key)
                    if len(names) == _DELETED_AT_ONCE:
                        break
            for name in names:
                async with self._deadline("delete", name):
                    await self._storage.delete(name)
            count += len(names)
            if len(names) < _DELETED_AT_ONCE:
                return count

    async def sweep(self) -> int:
        """Do the work that is due; answers how many items it took. One that fails stays for the next time."""
        now = int(self._seconds())
        folder = self._root + _WORK
        async with self._deadline("list", folder):
            names = [info.key async for info in self._storage.list(folder)]
        done = 0
        for name in names:
            try:
                when, *parts = name.removeprefix(folder).split("/")
                due, key = int(when), LogKey.parse(*parts)
            except ValueError:
                log.warning("foreign_log_work", key=name, do="move it away; it is ignored")
                continue
            if due > now:
                break
            try:
                await self._work(key)
                async with self._deadline("delete", name):
                    await self._storage.delete(name)
                done += 1
            except SluicewayError as error:
                log.warning("log_sweep_failed", item=name, error=str(error))
        return done

    async def keep_swept(self, interval: timedelta = timedelta(minutes=5)) -> None:
        """Sweep every `interval` until cancelled. Every server may: what is done twice is done once."""
        while True:
            await asyncio.sleep(interval.total_seconds())
            try:
                await self.sweep()
            except SluicewayError as error:
                log.warning("log_sweep_failed", error=str(error))

    async def _work(self, key: LogKey) -> None:
        async with self._deadline("list", self._path(key)):
            names = {info.key.removeprefix(self._path(key)) async for info in self._storage.list(self._path(key))}
        composed = next((name for name in names if complete_size(name) is not None), None)
        if composed is None and not {_WHOLE, _INDEX} <= names:
            if _END in names and _INDEX not in names:
                await self.compose(key)  # which reminds of the rest
            return  # without an end, somebody still writes it; with an index only, the one segment is the log
        index = await self.index(await self.cover(key))
        if self._seconds() < index.composed + self._keep_segments.total_seconds():
            return  # this is the reminder of `end`; that of `compose` follows
        unused = {_END} if composed is None else {_END, _WHOLE, _INDEX}
        for name in sorted(n for n in names if n.isdigit() or n in unused):
            async with self._deadline("delete", self._path(key) + name):
                await self._storage.delete(self._path(key) + name)

    async def _remind(self, key: LogKey, after: timedelta) -> None:
        # Not a moment before, or whoever finds it would leave the work to another reminder.
        due = math.ceil(self._seconds() + after.total_seconds())
        name = f"{self._root}{_WORK}{due:012d}/{key.path.removeprefix(f'{Folder.LOGS}/').rstrip('/')}"
        await self._storage.put(name, b"")

    def _path(self, key: LogKey) -> str:
        return self._root + key.path

    def _seconds(self) -> float:
        return self._clock.now().timestamp()

    @asynccontextmanager
    async def _deadline(self, verb: str, key: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as cause:
            raise Unavailable(f"the object storage did not {verb} {key} within {self._timeout:g} s") from cause


def _times(cover: Cover) -> tuple[tuple[int, float], ...]:
    return tuple((s.offset, s.time.timestamp()) for s in cover.segments if s.time is not None)
