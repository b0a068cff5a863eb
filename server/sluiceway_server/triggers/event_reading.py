"""What decides on an event and is not in it: the configuration at its commit, its message, and the files that changed.

The work on a delivery waits for one round trip to the provider, in the common case: where a repository is, is
remembered for a minute; and the file that had the configuration the last time is asked for together with its folder.
When nothing else is worked on, this is asked for while the delivery is being stored (`read_ahead`).
"""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, FailedPrecondition, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runconfig.files import FileRefused
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.runs.config_workers import MOST_TIME, ConfigWorkers
from sluiceway_server.triggers.config_files import KnownContents, ProviderFiles
from sluiceway_server.triggers.event_plans import EventPlan, KnownFiles, Need, PlanRequest, make_plan
from sluiceway_server.triggers.event_rules import PULL_REQUEST, Verdict, judge_message
from sluiceway_server.triggers.providers import LinkedRepository, Providers

__all__ = ["EventReader", "ReadEvent"]

_REPOSITORY_AGE = timedelta(minutes=1)
_MOST_EXPECTED = 10_000
_MOST_NEEDS = 300
_MOST_BYTES = 4 * 1024 * 1024
_MOST_AHEAD = 4
_AHEAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event with what decides on it.

    Attributes:
        event: with its commit and message.
        plan: the decision on each run of the configuration at its commit.
    """

    event: pb.EventRecord
    plan: EventPlan


class _Begun:
    """Files that are being read for an event whose delivery is not worked on yet."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        # None: they could not be read.
        self.files: asyncio.Future[tuple[LinkedRepository, ProviderFiles] | None]
        self.files = asyncio.get_running_loop().create_future()
        self.is_taken = asyncio.Event()


class EventReader:
    """Reads events."""

    def __init__(self, providers: Providers, workers: ConfigWorkers) -> None:
        """Create the reader.

        Args:
            providers: where configurations are.
            workers: load them.
        """
        self._providers = providers
        self._workers = workers
        self._expected: dict[str, str] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._callers: Counter[str] = Counter()
        self._begun: dict[tuple[str, str], _Begun] = {}
        self._known = KnownContents()

    def can_read_ahead(self, event: pb.EventRecord, link: pb.LinkRecord) -> bool:
        """Return whether `read_ahead` would be of use for an event."""
        key = (link.project_id, event.commit)
        is_known = bool(event.commit) and link.project_id in self._expected
        return is_known and key not in self._begun and len(self._begun) < _MOST_AHEAD

    async def read_ahead(self, event: pb.EventRecord, link: pb.LinkRecord) -> None:
        """Begin to read the files of an event, and keep them for `read` for some seconds. Raises nothing.

        It is only a read, so nothing is wrong if the delivery is not stored after all, or another server works on it.
        """
        if not self.can_read_ahead(event, link):
            return
        key = (link.project_id, event.commit)
        begun = self._begun[key] = _Begun(self._expected[link.project_id])
        files: ProviderFiles | None = None
        try:
            async with time_limit(_AHEAD_SECONDS):
                linked = await self._providers.repository(link, age=_REPOSITORY_AGE)
                files = self._files(linked, event.commit, link.project_id, begun.expected)
                begun.files.set_result((linked, files))
                await begun.is_taken.wait()
        except (SluicewayError, TimeoutError):
            pass  # it is read without, which shows what is wrong
        finally:
            if not begun.files.done():
                begun.files.set_result(None)
            if self._begun.get(key) is begun:
                del self._begun[key]
            if files is not None and not begun.is_taken.is_set():
                await files.close()

    async def read(
        self, event: pb.EventRecord, link: pb.LinkRecord, *, project_name: str, attempt: int
    ) -> ReadEvent | Verdict:
        """Return what decides on an event, or the verdict if its message does.

        Args:
            event: as it is stored.
            link: of its project.
            project_name: as of `planning.plan_runs`.
            attempt: as of `planning.plan_runs`.

        Raises:
            NotAtForge: the commit or the ref is gone.
            Unavailable, DeadlineExceeded: the provider is away.
            SluicewayError: the provider refuses, or the configuration takes too much time or memory.
        """
        request = PlanRequest(b"", KnownFiles(), link.project_id, project_name, attempt)
        begun = self._begun.pop((link.project_id, event.commit), None)
        if begun is not None:
            begun.is_taken.set()
        found = await begun.files if begun is not None else None
        linked, files = found or (await self._providers.repository(link, age=_REPOSITORY_AGE), None)
        try:
            return await self._read(event, linked, request, files)
        except NotAtForge:
            if not linked.is_remembered:
                raise
        # It may have moved, and another one be at its path.
        return await self._read(event, await self._providers.repository(link), request)

    async def _read(
        self, event: pb.EventRecord, linked: LinkedRepository, request: PlanRequest, files: ProviderFiles | None = None
    ) -> ReadEvent | Verdict:
        """Read an event from `files`, if they are being read already."""
        project_id = request.project_id
        try:
            resolved = await _resolved(event, linked)
            # Of the others, the message was in the event.
            skipped = judge_message(resolved) if resolved.kind == PULL_REQUEST or resolved.caught_up else None
            if skipped is not None:
                return skipped
            if files is None:
                files = self._files(linked, resolved.commit, project_id, self._expected.get(project_id, ""))
            # Until it was found there again.
            self._expected.pop(project_id, None)
            wanted = replace(request, event=resolved.SerializeToString())
            plan = await self._plan(resolved, linked, files, wanted)
        finally:
            if files is not None:
                await files.close()
        if plan.source_path:
            if len(self._expected) >= _MOST_EXPECTED:
                self._expected.pop(next(iter(self._expected)))
            self._expected[project_id] = plan.source_path
        return ReadEvent(resolved, plan)

    def _files(self, linked: LinkedRepository, commit: str, project_id: str, expected: str) -> ProviderFiles:
        return ProviderFiles(linked, commit, known=self._known, project_id=project_id, expected=expected)

    async def _plan(
        self,
        event: pb.EventRecord,
        linked: LinkedRepository,
        files: ProviderFiles,
        request: PlanRequest,
    ) -> EventPlan:
        """Call the worker until nothing is missing any more."""
        if files.expected:
            request = await self._with_folder(request, files, posixpath.dirname(files.expected))
            request = await self._with_file(request, files, files.expected)
        left = MOST_TIME
        for _ in range(_MOST_NEEDS):
            began = time.monotonic()
            answer = await self._called(request, left)
            left -= timedelta(seconds=time.monotonic() - began)
            match answer:
                case EventPlan():
                    return answer
                case Need(file=str(path)):
                    request = await self._with_file(request, files, path)
                case Need(folder=str(path)):
                    request = await self._with_folder(request, files, path)
                case _:
                    changed = await _changed_paths(event, linked)
                    request = replace(request, changed_paths=changed, are_paths_known=True)
        raise Exhausted(
            f"the configuration reads more than {_MOST_NEEDS} files and folders", reason="CONFIGURATION_TOO_LARGE"
        )

    async def _called(self, request: PlanRequest, left: timedelta) -> EventPlan | Need:
        """Call the worker; one configuration of a project at a time, so that none takes the places of the others."""
        project_id = request.project_id
        lock = self._loading.setdefault(project_id, asyncio.Lock())
        self._callers[project_id] += 1
        try:
            async with lock:
                if left <= timedelta(0):
                    raise _too_slow()
                return await self._workers.call(make_plan, request, within=left)
        except DeadlineExceeded as cause:
            # Not as a provider that is away: it would be tried again for hours.
            raise _too_slow() from cause
        finally:
            self._callers[project_id] -= 1
            if not self._callers[project_id]:
                del self._callers[project_id], self._loading[project_id]

    async def _with_file(self, request: PlanRequest, files: ProviderFiles, path: str) -> PlanRequest:
        known = request.known
        try:
            content = await files.read(path)
        except FileRefused as error:
            return replace(request, known=replace(known, refused={**known.refused, path: error.message}))
        if sum(len(each) for each in known.files.values() if each) + len(content or b"") > _MOST_BYTES:
            raise Exhausted(
                f"the configuration reads more than {_MOST_BYTES} bytes of files", reason="CONFIGURATION_TOO_LARGE"
            )
        return replace(request, known=replace(known, files={**known.files, path: content}))

    async def _with_folder(self, request: PlanRequest, files: ProviderFiles, path: str) -> PlanRequest:
        known = request.known
        try:
            names = await files.list(path)
        except FileRefused as error:
            return replace(request, known=replace(known, refused={**known.refused, path: error.message}))
        return replace(request, known=replace(known, folders={**known.folders, path: names}))


def _too_slow() -> FailedPrecondition:
    seconds = MOST_TIME.total_seconds()
    return FailedPrecondition(
        f"the configuration was not loaded within {seconds:.0f} s; make it smaller, or evaluate less",
        reason="CONFIGURATION_TOO_SLOW",
    )


async def _resolved(event: pb.EventRecord, linked: LinkedRepository) -> pb.EventRecord:
    """Return the event with its commit and the message of that.

    Those of an annotated tag and the message of a pull request's head are asked for.

    Raises:
        NotAtForge: the ref or the commit is gone.
    """
    forge, token = linked.account.forge, linked.account.token
    resolved = pb.EventRecord()
    resolved.CopyFrom(event)
    resolved.clone_url = event.clone_url or linked.repository.git_url
    if not resolved.commit:
        refs = await forge.refs(token, linked.repository)
        if event.ref not in refs:
            raise NotAtForge(f"{event.ref} is gone")
        resolved.commit = refs[event.ref]
    if event.kind == PULL_REQUEST or not event.message:
        resolved.message = await forge.commit_message(token, linked.repository, resolved.commit)
    return resolved


async def _changed_paths(event: pb.EventRecord, linked: LinkedRepository) -> tuple[str, ...] | None:
    base = event.base_commit if event.kind == PULL_REQUEST else event.before
    try:
        return await linked.account.forge.changed_paths(linked.account.token, linked.repository, base, event.commit)
    except NotAtForge:
        return None  # the commit before was overwritten, and is gone
