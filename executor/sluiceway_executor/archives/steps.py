"""Runs the steps that save and restore archives."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_executor.archives.keys import KeyFacts, expand
from sluiceway_executor.archives.members import Selection, selections
from sluiceway_executor.archives.packing import Packed, Source, pack, unpack
from sluiceway_executor.archives.reports import read_reports
from sluiceway_executor.drivers.port import Command, Pod

ARCHIVE_STEPS = frozenset(
    {"save_to_workspace", "restore_workspace", "save_cache", "restore_cache", "save_artifacts", "save_reports"}
)
"""The kinds of steps that `ArchiveSteps` runs."""

_MAX_CHECKSUM_BYTES = 64 << 20
_MAX_NAMED = 3
_MAX_LINES = 20
_FOLDER = "archives"

Note = Callable[[str], Awaitable[None]]


class Transfer(Protocol):
    """Where archives are stored (`ArchiveTransfer`)."""

    async def put(self, assignment_id: str, archive: pb.Archive, path: Path) -> bool: ...

    async def find(self, assignment_id: str, step: int, keys: Sequence[str] = ()) -> pb.FindArchivesResponse: ...

    async def get(self, assignment_id: str, step: int, archive: pb.Archive, path: Path) -> None: ...


class ArchiveSteps:
    """Runs steps with archives, for all tasks of an executor."""

    def __init__(self, transfer: Transfer, work_dir: Path, clock: Clock) -> None:
        """Make one, and remove what an earlier process has left below `work_dir`."""
        self._transfer = transfer
        self._clock = clock
        self._folder = work_dir / _FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)

    async def run(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> pb.Archive | None:
        """Run a step, and return the archive that the task reports; None: it stored none for others of its run.

        Args:
            assign: the task.
            step: its index; of a kind of `ARCHIVE_STEPS`.
            pod: of the task.
            note: writes a line to the log of the step.

        Raises:
            SluicewayError: the step failed; the message says what a person can do.
        """
        definition = assign.specification.steps[step].definition
        match definition.WhichOneof("kind"):
            case "save_to_workspace":
                return await self._save_workspace(assign, step, pod, note)
            case "restore_workspace":
                await self._restore_workspace(assign, step, pod, note)
            case "save_cache":
                await self._save_cache(assign, step, pod, note)
            case "restore_cache":
                await self._restore_cache(assign, step, pod, note)
            case "save_artifacts":
                return await self._save_artifacts(assign, step, pod, note)
            case "save_reports":
                return await self._save_reports(assign, step, pod, note)
            case kind:
                raise FailedPrecondition(f"this executor has no steps of the kind {kind}", reason="STEP_UNSUPPORTED")
        return None

    async def _save_workspace(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> pb.Archive:
        contents = assign.specification.steps[step].definition.save_to_workspace.contents
        with self._scratch() as scratch:
            packed = await pack(pod, _selections(assign.specification, contents), scratch / "archive")
            await _note_packed(packed, note)
            archive = _archive(pb.ARCHIVE_KIND_WORKSPACE, step, packed)
            await self._transfer.put(assign.assignment_id, archive, packed.path)
        return archive

    async def _save_artifacts(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> pb.Archive:
        wanted = assign.specification.steps[step].definition.save_artifacts
        with self._scratch() as scratch:
            chosen = selections(assign.specification.working_dir, list(wanted.paths))
            packed = await pack(pod, chosen, scratch / "archive", for_people=True)
            await _note_packed(packed, note)
            if not packed.files:
                raise FailedPrecondition(
                    f"no file matches {' or '.join(wanted.paths)} in {assign.specification.working_dir}, so there is no"
                    " artifact",
                    reason="NO_FILES",
                )
            archive = _archive(pb.ARCHIVE_KIND_ARTIFACT, step, packed, name=wanted.artifact_name)
            await self._transfer.put(assign.assignment_id, archive, packed.path)
        await note(f'saved the artifact "{wanted.artifact_name}"')
        return archive

    async def _save_reports(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> pb.Archive:
        specification = assign.specification
        wanted = specification.steps[step].definition.save_reports
        with self._scratch() as scratch:
            chosen = selections(specification.working_dir, list(wanted.paths))
            packed = await pack(pod, chosen, scratch / "archive", for_people=True)
            report = scratch / "report"
            found = await asyncio.to_thread(read_reports, packed.path, report, list(specification.masks))
            for line in found.lines[:_MAX_LINES]:
                await note(line)
            if not found.files:
                what = "is a test report" if packed.files else f"matches {' or '.join(wanted.paths)}"
                raise FailedPrecondition(f"no file {what} in {specification.working_dir}", reason="NO_FILES")
            archive = found.archive
            archive.step = step
            await self._transfer.put(assign.assignment_id, archive, report)
        counts = archive.tests
        results = f"{counts.failed:,} failed, {counts.skipped:,} skipped"
        await note(f"saved {counts.total:,} tests of {_files(found.files)}: {results}")
        return archive

    async def _restore_workspace(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> None:
        into = assign.specification.steps[step].definition.restore_workspace.dest_dir
        found = (await self._transfer.find(assign.assignment_id, step)).archives
        if not found:
            await note("no task above this one has saved files")
            return
        with self._scratch() as scratch:
            sources = []
            for number, each in enumerate(found):
                path = scratch / f"{number}"
                await self._transfer.get(assign.assignment_id, step, each.archive, path)
                sources.append(Source(path, each.task, frozenset(each.ancestors)))
            files = await unpack(pod, _join(assign.specification.working_dir, into), sources)
        tasks = dict.fromkeys(each.task for each in found)
        await note(f"restored {_files(files)} of {', '.join(tasks)}")

    async def _save_cache(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> None:
        wanted = assign.specification.steps[step].definition.save_cache
        key = await expand(wanted.key, self._facts(assign, pod))
        exact = await self._transfer.find(assign.assignment_id, step, [key])
        if any(each.archive.name == key for each in exact.archives):
            await note(f'there is a cache with the key "{key}"; what is stored under a key never changes')
            return
        with self._scratch() as scratch:
            packed = await pack(pod, _selections(assign.specification, wanted.contents), scratch / "archive")
            await _note_packed(packed, note)
            if not packed.files:
                await note("there is nothing to save")
                return
            archive = _archive(pb.ARCHIVE_KIND_CACHE, step, packed, name=key)
            stored = await self._transfer.put(assign.assignment_id, archive, packed.path)
        await note(f'saved the cache "{key}"' if stored else f'another task saved the cache "{key}" first')

    async def _restore_cache(self, assign: pb.Assign, step: int, pod: Pod, note: Note) -> None:
        wanted = assign.specification.steps[step].definition.restore_cache
        facts = self._facts(assign, pod)
        keys = [await expand(key, facts) for key in wanted.keys]
        found = await self._transfer.find(assign.assignment_id, step, keys)
        if not found.archives:
            await note(_miss(keys, found.nearest_key))
            return
        archive = found.archives[0].archive
        with self._scratch() as scratch:
            path = scratch / "archive"
            try:
                await self._transfer.get(assign.assignment_id, step, archive, path)
            except NotFound:
                await note(f'the cache "{archive.name}" is not kept any more')
                return
            files = await unpack(pod, _join(assign.specification.working_dir, wanted.dest_dir), [Source(path)])
        exact = "" if archive.name in keys else f', which begins with "{_prefix(archive.name, keys)}"'
        await note(f'restored {_files(files)} of the cache "{archive.name}"{exact}')

    def _facts(self, assign: pb.Assign, pod: Pod) -> KeyFacts:
        specification = assign.specification
        masks = {bytes(mask) for mask in specification.masks}

        async def read(path: str) -> bytes:
            return await _read_file(pod, specification.working_dir, path, specification.user)

        return KeyFacts(
            branch=specification.source.branch,
            tag=specification.environment.get("SLUICE_GIT_TAG", ""),
            commit=specification.source.commit_sha,
            task=specification.task_name,
            arch=specification.runtime.arch or "any",
            environment={n: v for n, v in specification.environment.items() if v.encode() not in masks},
            now=self._clock.now(),
            read=read,
        )

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)


def _selections(specification: pb.Specification, contents: Sequence[definition_pb2.ArchiveContents]) -> list[Selection]:
    return [
        selection
        for each in contents
        for selection in selections(
            _join(specification.working_dir, each.source_dir), list(each.paths), each.dest_dir.strip("/")
        )
    ]


def _archive(kind: pb.ArchiveKind, step: int, packed: Packed, *, name: str = "") -> pb.Archive:
    return pb.Archive(
        step=step, kind=kind, name=name, sha256=packed.sha256, size_bytes=packed.size, file_count=packed.files
    )


async def _note_packed(packed: Packed, note: Note) -> None:
    await note(f"packed {_files(packed.files)}, {packed.size:,} bytes")
    for line in packed.left_out[:_MAX_NAMED]:
        await note(f"left out {line}")
    if len(packed.left_out) > _MAX_NAMED:
        await note(f"left out {len(packed.left_out) - _MAX_NAMED} more")


async def _read_file(pod: Pod, folder: str, path: str, user: str) -> bytes:
    process = await pod.exec(Command(argv=("cat", "--", path), inherit=False, cwd=folder, user=user))
    data = b""
    while chunk := await process.read():
        data += chunk
        if len(data) > _MAX_CHECKSUM_BYTES:
            await process.stop(0)
            raise FailedPrecondition(
                f"{path} has more than {_MAX_CHECKSUM_BYTES:,} bytes; a checksum in a key is of a smaller file",
                reason="FILE_UNREADABLE",
            )
    status = await process.wait()
    if status.code != 0:
        raise FailedPrecondition(
            f'"{path}" in the key of the cache cannot be read in {folder}; is it there before this step?',
            reason="FILE_UNREADABLE",
        )
    return data


def _miss(keys: Sequence[str], nearest: str) -> str:
    tried = ", ".join(f'"{key}"' for key in keys)
    if not nearest:
        return f"no cache for {tried}: none is stored for this project"
    same = max((_common(key, nearest) for key in keys), key=len)
    closest = max(keys, key=lambda key: len(_common(key, nearest)))
    return (
        f'no cache for {tried}; the nearest is "{nearest}": after "{same}" it has'
        f' "{nearest[len(same) :]}" where "{closest[len(same) :]}" was wanted'
    )


def _common(one: str, other: str) -> str:
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _prefix(key: str, wanted: Sequence[str]) -> str:
    return next((each for each in wanted if key.startswith(each)), "")


def _files(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def _join(base: str, path: str) -> str:
    if not path or path == ".":
        return base
    return path if path.startswith(("/", "~")) else f"{base}/{path}"
