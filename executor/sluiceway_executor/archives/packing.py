"""Packs files of a pod into an archive on this machine, and unpacks archives into a pod.

Archives are read and written in threads, since compression and checks compute; bytes come from and go to the pod on
the event loop, some at a time, so that memory stays constant whatever the size.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.archives.members import ArchiveRefused, Members, Selection, Unpacked, shown
from sluiceway_executor.drivers.pipes import read_some, write_all
from sluiceway_executor.drivers.port import Pod

_CHUNK_BYTES = 256 * 1024
_LEVEL = 3
_ZIP_LEVEL = 6
_FIRST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive on this machine.

    Attributes:
        path: the file.
        sha256: of its bytes, in hex.
        size: in bytes.
        files: in it.
        left_out: what was not taken, and why, for the log.
    """

    path: Path
    sha256: str
    size: int
    files: int
    left_out: Sequence[str]


@dataclass(frozen=True, slots=True)
class Source:
    """An archive that is unpacked: its file, the task that saved it, and the ancestors of that task."""

    path: Path
    task: str = ""
    ancestors: frozenset[str] = frozenset()


async def pack(pod: Pod, selections: Sequence[Selection], path: Path, *, for_people: bool = False) -> Packed:
    """Pack files of a pod.

    Args:
        pod: with the files.
        selections: which.
        path: of the archive.
        for_people: make a ZIP file, instead of a tar stream compressed by zstd.

    Raises:
        FailedPrecondition: a folder cannot be read (`COPY_FAILED`), or has a member that no archive may have.
        Exhausted: the limits are exceeded.
    """
    members = Members()
    writer = _ZipWriter(path) if for_people else _TarWriter(path)
    try:
        for selection in selections:
            await _read_in_thread(pod.copy_out(selection.folder), partial(_add, writer, members, selection))
        await asyncio.to_thread(writer.close)
    except BaseException:
        writer.abort()
        raise
    sha256 = await asyncio.to_thread(_digest, path)
    return Packed(path, sha256, path.stat().st_size, members.files, members.left_out)


async def unpack(pod: Pod, folder: str, sources: Sequence[Source]) -> int:
    """Unpack archives of tasks into a folder of a pod, one after the other; return the number of files.

    Where two have the same file, the later one counts if its task descends from the other, or is the same.

    Raises:
        FailedPrecondition: an archive has a member that is not unpacked, two have a file that differs and neither task
            descends from the other (`WORKSPACE_CONFLICT`), or the pod cannot unpack it (`COPY_FAILED`).
    """
    checks = Unpacked()
    owners: dict[str, tuple[Source, bytes]] = {}
    for source in sources:
        checks.begin()
        await _write_in_thread(partial(pod.copy_in, folder), partial(_rewrite, source, checks, owners))
    return len(owners)


def _add(writer: _TarWriter | _ZipWriter, members: Members, selection: Selection, stream: IO[bytes]) -> None:
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK_BYTES) as tar:
            for member in tar:
                taken = members.select(member, selection)
                if taken is not None:
                    writer.add(taken, tar.extractfile(member) if member.isreg() else None, members)
    except tarfile.TarError as error:
        raise FailedPrecondition(f"{selection.folder} cannot be packed: {error}", reason="COPY_FAILED") from error
    # What follows the end of the tar stream must be read, or the pod would wait.
    while stream.read(_CHUNK_BYTES):
        pass


def _rewrite(source: Source, checks: Unpacked, owners: dict[str, tuple[Source, bytes]], out: IO[bytes]) -> None:
    try:
        with (
            source.path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as plain,
            tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=_CHUNK_BYTES) as tar,
            tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK_BYTES) as made,
        ):
            for member in tar:
                taken = checks.check(member)
                content = _Hashing(tar.extractfile(member)) if member.isreg() else None
                made.addfile(taken, cast("IO[bytes]", content) if content is not None else None)
                if not taken.isdir():
                    digest = content.digest() if content is not None else taken.linkname.encode("utf-8", "replace")
                    _own(taken.name, source, digest, owners)
    except (tarfile.TarError, zstandard.ZstdError) as error:
        raise ArchiveRefused(f"the archive is damaged: {error}") from error


def _own(name: str, source: Source, digest: bytes, owners: dict[str, tuple[Source, bytes]]) -> None:
    before = owners.get(name)
    if before is not None and before[0].task not in {source.task, *source.ancestors} and before[1] != digest:
        raise FailedPrecondition(
            f'the tasks "{before[0].task}" and "{source.task}" both saved {shown(name)}, with different contents, and'
            " neither descends from the other; save it in one of them, or let one depend on the other",
            reason="WORKSPACE_CONFLICT",
        )
    owners[name] = (source, digest)


class _TarWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._compressed = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(self._file, closefd=False)
        self._tar = tarfile.open(  # noqa: SIM115 - closed by `close`
            fileobj=cast(IO[bytes], self._compressed), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK_BYTES
        )

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None, members: Members) -> None:
        del members
        self._tar.addfile(member, content)

    def close(self) -> None:
        self._tar.close()
        self._compressed.close()  # type: ignore[no-untyped-call]  # the stubs lack its type
        self._file.close()

    def abort(self) -> None:
        # A stream that is not closed would write to the file when it is collected.
        with contextlib.suppress(Exception):
            self.close()
        self._file.close()


class _ZipWriter:
    """Writes files and folders; links would point out of the folder that a person unpacks the file into."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_ZIP_LEVEL)

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None, members: Members) -> None:
        if member.issym() or member.islnk():
            members.left_out.append(f"{shown(member.name)} (a link)")
            members.files -= 1
            return
        name = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        info = zipfile.ZipInfo(f"{name}/" if member.isdir() else name, _FIRST_ZIP_TIME)
        info.external_attr = (member.mode | (0o040000 if member.isdir() else 0o100000)) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        if content is None:
            self._zip.writestr(info, b"")
            return
        with self._zip.open(info, "w", force_zip64=member.size >= zipfile.ZIP64_LIMIT) as out:
            shutil.copyfileobj(content, out, _CHUNK_BYTES)

    def close(self) -> None:
        self._zip.close()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class _Hashing(io.RawIOBase):
    """Reads a file, and knows the digest of what was read."""

    def __init__(self, content: IO[bytes] | None) -> None:
        self._content = content
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._content.read(len(buffer)) if self._content is not None else b""
        self._hash.update(data)
        buffer[: len(data)] = data
        return len(data)

    def digest(self) -> bytes:
        return self._hash.digest()


async def _read_in_thread(chunks: AsyncIterator[bytes], work: Callable[[IO[bytes]], None]) -> None:
    """Call `work` in a thread with a file that has the chunks of an async iterator."""
    source, sink = os.pipe()
    thread = asyncio.ensure_future(asyncio.to_thread(_with_file, source, "rb", work))
    pump = asyncio.create_task(_pump(chunks, sink))
    # That ends the thread, which closes the other end. A task that is cancelled before it begins runs no `finally`.
    pump.add_done_callback(lambda _: os.close(sink))
    try:
        await asyncio.wait({thread, pump})
    finally:
        pump.cancel()
        await asyncio.wait({pump, thread})
    _raise_first(pump, thread)


async def _write_in_thread(
    copy: Callable[[AsyncIterator[bytes]], Awaitable[None]], work: Callable[[IO[bytes]], None]
) -> None:
    """Call `work` in a thread with a file, and `copy` with what is written to it."""
    source, sink = os.pipe()
    thread = asyncio.ensure_future(asyncio.to_thread(_with_file, sink, "wb", work))
    copying = asyncio.ensure_future(copy(_chunks(source)))
    try:
        await asyncio.wait({copying})
    finally:
        copying.cancel()
        await asyncio.wait({copying})
        os.close(source)
        await asyncio.wait({thread})
    _raise_first(thread, copying)


def _with_file(descriptor: int, mode: str, work: Callable[[IO[bytes]], None]) -> None:
    try:
        with os.fdopen(descriptor, mode, buffering=_CHUNK_BYTES) as file:
            work(file)
    except BrokenPipeError:
        pass  # the other side has ended, and its error says why


async def _pump(chunks: AsyncIterator[bytes], sink: int) -> None:
    os.set_blocking(sink, False)
    loop = asyncio.get_running_loop()
    try:
        async for chunk in chunks:
            await write_all(loop, sink, chunk)
    except BrokenPipeError:
        pass  # as above


async def _chunks(source: int) -> AsyncIterator[bytes]:
    os.set_blocking(source, False)
    loop = asyncio.get_running_loop()
    while data := await read_some(loop, source, _CHUNK_BYTES):
        yield data


def _raise_first(*works: asyncio.Future[None]) -> None:
    for work in works:
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
