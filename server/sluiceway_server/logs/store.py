"""Reads and writes logs in the object storage: segments while a step runs, one object with its index when it is over.

Below `<prefix>/logs/<run>/<task>/<epoch>.<attempt>/` (the run in which the task ran) there are packs: the small logs of
the attempt in one object (`packs`). Below `<step>/` in it (its index, or `setup`) there are

- segments, named by their offset in 20 digits and written once, by put-if-absent: their order is that of the bytes;
- `end`: the size of the log; stored when every byte of it is, and no more will come;
- `log.` and the size in 20 digits: all bytes, and after them the index: the size, the digest and where lines begin.

A log that ends before it was cut into segments is only the last of these, or is in a pack, and an empty one has no
object. Earlier versions wrote the index as an object of its own, `index`, and the bytes as `whole`, or left them in the
only segment: such logs are read, but not written.

The stored part of a log is what its segments cover without a gap, found by listing. Two servers may cut segments
differently: the bytes of a log at an offset are the same on each, so that overlaps are equal and any cover will do.

Work for later (composing a log whose server died, packing small logs that were stored one by one, deleting what was not
needed for an hour) is an object too:
`<prefix>/log-work/<due>/<run>/<task>/<epoch>.<attempt>/<step>`, in order of time, so that only what is due is read. All
of it may be done twice, and by any server.

Earlier versions stored logs without the run in their path. `Cover.key` says where a log is; it stays there.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
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
    is_attempt,
    step_of,
)
from sluiceway_server.logs.packs import (
    SMALL_BYTES,
    FinishedLog,
    Pack,
    SmallLog,
    logs_in,
    make_pack,
    object_of,
    pack_size,
    repack,
)
from sluiceway_server.logs.times import Times
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectStorage

log = structlog.get_logger(__name__)

_WORK = f"{Folder.LOG_WORK}/"
_END, _WHOLE, _INDEX = "end", "whole", "index"
_COMPOSE_READ = 4 * 1024 * 1024
# Of 1 GiB it has 16,384 numbers.
_MOST_INDEX_BYTES = 16 * 1024 * 1024
_DELETED_AT_ONCE = 1000


class LogStore:
    """Logs in an object storage. It has no state of its own, so that any number may work at the same time.

    Every call to the storage ends after `timeout` with `Unavailable`.
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
        """Create a store.

        Args:
            storage: stores the objects.
            clock: wall time, for when work is due.
            prefix: of all keys, without a slash at its end; empty: none.
            timeout: of one call to the storage; an object is a few MiB at most.
            keep_segments: how long segments stay after their log was composed, for readers that list them just then.
            compose_patience: how long after its end another server composes a log.
        """
        self._storage = storage
        self._root = f"{prefix}/" if prefix else ""
        self._clock = clock
        self._timeout = timeout.total_seconds()
        self._keep_segments = keep_segments
        self._compose_patience = compose_patience

    async def cover(self, key: LogKey) -> Cover:
        """Return the stored part of a log. That of an unknown log is empty.

        Raises:
            DataLoss: the pack that may have it is damaged.
        """
        found = await self._cover(key)
        if key.run and not found.segments and not found.ended and not found.stored_beyond:
            earlier = await self._cover(key.of_earlier_version)
            if earlier.segments or earlier.ended:
                return earlier
        return found

    async def _cover(self, key: LogKey) -> Cover:
        try:
            return await self._cover_in(key, await self._objects(key))
        except NotFound:
            # A pack was merged into another one meanwhile.
            return await self._cover_in(key, await self._objects(key))

    async def _objects(self, key: LogKey) -> dict[str, ObjectInfo]:
        """Return all objects of the attempt of a log, by their names in its folder."""
        folder = self._root + key.attempt_path
        async with self._deadline("list", folder):
            return {info.key[len(folder) :]: info async for info in self._storage.list(folder)}

    async def _cover_in(self, key: LogKey, objects: Mapping[str, ObjectInfo]) -> Cover:
        segments: list[Segment] = []
        ended = composed = False
        whole: Segment | None = None
        for name, info in objects.items():
            if not name.startswith(key.step_folder):
                continue
            last = name[len(key.step_folder) :]
            if last.isdigit():
                segments.append(Segment(int(last), info.size_bytes, name, info.modified))
            elif last == _END:
                ended = True
            elif last == _INDEX:
                composed = True
            elif last == _WHOLE:
                whole = Segment(0, info.size_bytes, name, info.modified)
            elif (size := complete_size(last)) is not None:
                complete = Segment(0, size, name, info.modified)
                return Cover(key, (complete,) if size else (), size, ended=True, composed=True)
        if composed and whole is not None:
            return Cover(key, (whole,) if whole.size else (), whole.size, ended=True, composed=True)
        for name, info in objects.items():
            found = (await self._pack(key, name)).find(key.step) if pack_size(name) is not None else None
            if found is not None:
                part = Segment(0, found.index.size, name, info.modified, begin=found.begin)
                return Cover(key, (part,), part.size, ended=True, composed=True, packed=found.index)
        chosen, length = cover_of(tuple(segments))
        beyond = min((segment.offset for segment in segments if segment.offset > length), default=0)
        return Cover(key, chosen, length, ended=ended or composed, composed=composed, stored_beyond=beyond)

    async def _pack(self, key: LogKey, name: str) -> Pack:
        """Read the directory of a pack. Raises `NotFound` and `DataLoss`."""
        path = self._root + key.attempt_path + name
        async with self._deadline("get", path):
            stored = await self._storage.get_range(path, pack_size(name) or 0, _MOST_INDEX_BYTES)
        try:
            return Pack.decode(stored)
        except (ValueError, KeyError, TypeError) as cause:
            raise DataLoss(
                f"the directory of {path} is damaged; restore it from a copy of the object storage"
            ) from cause

    async def put_segment(self, key: LogKey, offset: int, data: bytes) -> int:
        """Store bytes at an offset; return the offset up to which they are stored now.

        That is before the end of `data` if a shorter segment was stored at this offset before: call again with the
        rest. May be repeated.
        """
        name = f"{offset:020d}"
        async with self._deadline("put", self._path(key) + name):
            if await self._storage.put_if_absent(self._path(key) + name, data):
                return offset + len(data)
            taken = await self._storage.head(self._path(key) + name)
        if taken is None:
            # Deleted between the two calls: the log was composed, so it was over.
            where = self._path(key) + name
            raise NotFound(f"the segment {where} existed and was deleted", resource_name=where)
        return offset + min(taken.size_bytes, len(data))

    async def put_complete(self, logs: Sequence[FinishedLog], *, has_others: bool = False) -> None:
        """Store whole logs of one attempt in one object; an empty one has none. May be repeated.

        Args:
            logs: a single log of any size; or small ones, which become a pack.
            has_others: other small logs of the attempt are, or may be, stored by themselves: pack all of them later.
        """
        logs = [log for log in logs if log.data]
        if not logs:
            return
        now, size = self._seconds(), sum(len(log.data) for log in logs)
        name, body = object_of(logs, now) if size <= LINE_BLOCK else await asyncio.to_thread(object_of, logs, now)
        path = self._root + logs[0].key.attempt_path + name
        async with self._deadline("put", path):
            reminded = [log.key for log in logs if log.has_segments] or ([logs[0].key] if has_others else [])
            for key in reminded:
                await self._schedule(key, self._keep_segments)
            # If the object exists, it has the same bytes.
            await self._storage.put_if_absent(path, body)

    async def end(self, key: LogKey, size: int) -> bool:
        """Store the end of a log of which all `size` bytes are stored. May be repeated.

        Returns:
            Whether `compose` is still to be called for it, which may take long.
        """
        cover = await self.cover(key)
        if cover.composed or not size:
            return False
        if cover.length < size:
            raise DataLoss(f"{self._path(key)} should hold {size} bytes and holds {cover.length}")
        async with self._deadline("put", self._path(key) + _END):
            # The work first: if the server died between the two, the log would never be composed.
            await self._schedule(key, self._compose_patience)
            await self._storage.put_if_absent(self._path(key) + _END, json.dumps({"size": size}).encode())
        return True

    async def compose(self, key: LogKey, *, times: Times = ()) -> LogIndex:
        """Store a log that is over as one object with its index. May be repeated, and by several servers at once.

        Args:
            key: the log.
            times: when its bytes were written; empty: when its segments were stored.

        Raises:
            NotFound: the log is not over.
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
            index = lines.finish(times=times or times_of(cover), composed=self._seconds())
            async with self._deadline("write", name):
                await upload.write(index.encode())
                await self._schedule(key, self._keep_segments)
                await upload.complete()
        except BaseException:
            with suppress(SluicewayError):
                await upload.abort()
            raise
        return index

    async def index(self, cover: Cover) -> LogIndex:
        """Return the index of a composed log.

        Raises:
            NotFound: there is none.
            ValueError, KeyError, TypeError: it is damaged.
        """
        if cover.packed is not None:
            return cover.packed
        size = complete_size(cover.segments[0].name) if cover.segments else None
        path = self._path(cover.key) + (_INDEX if size is None else complete_name(size))
        try:
            async with self._deadline("get", path):
                if size is None:
                    return LogIndex.decode(await self._storage.get(path))
                return LogIndex.decode(await self._storage.get_range(path, size, _MOST_INDEX_BYTES))
        except NotFound:
            again = await self.cover(cover.key)
            if again.packed is None:
                raise
            return again.packed  # it was packed long ago, and its own object deleted just now

    async def read(self, cover: Cover, start: int, end: int, *, at_most: int = 1024 * 1024) -> AsyncIterator[bytes]:
        """Yield the bytes in [`start`, `end`) of a cover, in chunks of at most `at_most`; memory is one chunk.

        Raises:
            NotFound: an object of the cover was deleted, or the log composed: get the cover again.
        """
        position, folder = start, self._root + cover.key.attempt_path
        for segment in cover.segments:
            name = folder + segment.name
            while segment.offset <= position < min(segment.end, end):
                length = min(at_most, segment.end - position, end - position)
                async with self._deadline("get", name):
                    begin = segment.begin + position - segment.offset
                    chunk = await self._storage.get_range(name, begin, length)
                if not chunk:
                    raise DataLoss(f"{name} is shorter than the {segment.size} bytes it was listed with")
                yield chunk
                position += len(chunk)

    async def folders(self, *, after: str = "", limit: int) -> list[str]:
        """Return the runs that have logs, by id, from the first after `after` on; at most `limit`.

        Among them are the ids of tasks whose logs an earlier version stored.
        """
        folder = f"{self._root}{Folder.LOGS}/"
        # Sorts after all names in that folder.
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
        """Return whether a folder of `folders` is that of a task, and not of a run."""
        path = f"{self._root}{Folder.LOGS}/{folder}/"
        async with self._deadline("list", path):
            async for info in self._storage.list(path):
                return is_attempt(info.key.removeprefix(path).partition("/")[0])
        return False

    async def delete_all(self, run: str, task: str = "") -> int:
        """Delete all logs of a run, or of a task in it; return the number of objects. May be repeated.

        Of a task, also those that an earlier version stored. `run` may be any of `folders`.
        """
        if not task:
            return await self._delete_below(f"{self._root}{Folder.LOGS}/{run}/")
        earlier = await self._delete_below(f"{self._root}{Folder.LOGS}/{task}/")
        return earlier + await self._delete_below(f"{self._root}{Folder.LOGS}/{run}/{task}/")

    async def _delete_below(self, folder: str) -> int:
        count = 0
        while True:
            # In batches, each listed before it is deleted: not every storage allows changes during a listing.
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

    async def do_due_work(self) -> int:
        """Do the work that is due; return the number of items. What fails stays for the next time."""
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
                log.warning("unknown_log_work", key=name, advice="move it away; it is ignored")
                continue
            if due > now:
                break
            try:
                await self._do_work(key)
                async with self._deadline("delete", name):
                    await self._storage.delete(name)
                done += 1
            except SluicewayError as error:
                log.warning("log_work_failed", item=name, error=str(error))
        return done

    async def run(self, interval: timedelta = timedelta(minutes=5)) -> None:
        """Do due work every `interval` until cancelled. Every server runs this: work may be done twice."""
        while True:
            await asyncio.sleep(interval.total_seconds())
            try:
                await self.do_due_work()
            except SluicewayError as error:
                log.warning("log_work_failed", error=str(error))

    async def _do_work(self, key: LogKey) -> None:
        objects = await self._objects(key)
        cover = await self._cover_in(key, objects)
        if not cover.composed:
            if cover.ended:
                await self.compose(key)  # which schedules the rest
            return  # without an end, it is still written
        index = await self.index(cover)
        if self._seconds() < index.composed + self._keep_segments.total_seconds():
            return  # this was scheduled by `end`; what `compose` scheduled follows
        used = cover.segments[0].name if cover.segments else f"{key.step_folder}{_WHOLE}"
        if used.rpartition("/")[2].isdigit():
            return  # an earlier version left the log in its only segment, with an index
        unused = {_END} if used.endswith(f"/{_WHOLE}") else {_END, _WHOLE, _INDEX}
        for name in sorted(objects):
            folder, _, last = name.rpartition("/")
            if f"{folder}/" == key.step_folder and (last.isdigit() or last in unused):
                await self._delete(key, name)
        if key.run:
            await self._repack(key)

    async def _repack(self, key: LogKey) -> None:
        """Pack the small logs of an attempt that were stored one by one, and delete what was packed long enough ago."""
        objects = await self._objects(key)
        packs = {name: await self._pack(key, name) for name in objects if pack_size(name) is not None}
        alone = {
            step_of(name.partition("/")[0]): name
            for name, info in objects.items()
            if complete_size(name) and info.size_bytes <= SMALL_BYTES
        }
        weights = {step: objects[name].size_bytes for step, name in alone.items()}
        plan = repack(packs, weights, old=self._seconds() - self._keep_segments.total_seconds())
        for name in (*plan.unused_packs, *(alone[step] for step in plan.unused_steps)):
            await self._delete(key, name)
        sources = {name: await self._get(key, name) for name in (*plan.merged, *(alone[step] for step in plan.alone))}
        try:
            logs = {each.step: each for name in plan.merged for each in logs_in(packs[name], sources[name])}
            logs |= {step: SmallLog.stored(step, alone[step], sources[alone[step]]) for step in plan.alone}
        except (ValueError, KeyError, TypeError):
            log.warning("log_not_packed", attempt=key.attempt_path, advice="one is damaged: sluice db verify")
            return
        if not logs:
            return
        pack, body = make_pack(logs.values(), now=self._seconds())
        path = self._root + key.attempt_path + pack.name
        async with self._deadline("put", path):
            await self._schedule(key, self._keep_segments)
            await self._storage.put_if_absent(path, body)
        if not sources.keys() <= (await self._objects(key)).keys():
            # The logs were deleted meanwhile, or are in another pack.
            await self._delete(key, pack.name)

    async def _get(self, key: LogKey, name: str) -> bytes:
        path = self._root + key.attempt_path + name
        async with self._deadline("get", path):
            return await self._storage.get(path)

    async def _delete(self, key: LogKey, name: str) -> None:
        path = self._root + key.attempt_path + name
        async with self._deadline("delete", path):
            await self._storage.delete(path)

    async def _schedule(self, key: LogKey, after: timedelta) -> None:
        # Rounded up: before that time, whoever finds it does nothing and deletes it.
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
            async with time_limit(self._timeout):
                yield
        except TimeoutError as cause:
            raise Unavailable(f"the object storage did not {verb} {key} within {self._timeout:g} s") from cause


def times_of(cover: Cover) -> Times:
    """Return when the segments of a cover were stored."""
    return tuple((s.offset, s.time.timestamp()) for s in cover.segments if s.time is not None)
