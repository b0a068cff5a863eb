"""What decides on an event and is not in it: the configuration at its commit, its message, and the files that changed.

The work on a delivery waits for one round trip to the provider, in the common case: where a repository is, is
remembered for a minute; and the file that had the configuration the last time is asked for together with its folder.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, FailedPrecondition
from sluiceway_common.runconfig.files import FileRefused
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.runs.config_workers import MOST_TIME, ConfigWorkers
from sluiceway_server.triggers.config_files import ProviderFiles
from sluiceway_server.triggers.event_plans import EventPlan, KnownFiles, Need, PlanRequest, make_plan
from sluiceway_server.triggers.event_rules import PULL_REQUEST, Verdict, judge_message
from sluiceway_server.triggers.providers import LinkedRepository, Providers

__all__ = ["EventReader", "ReadEvent"]

_REPOSITORY_AGE = timedelta(minutes=1)
_MOST_EXPECTED = 10_000
_MOST_NEEDS = 300
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event with what decides on it.

    Attributes:
        event: with its commit and message.
        plan: the decision on each run of the configuration at its commit.
    """

    event: pb.EventRecord
    plan: EventPlan


class EventReader:
    """Reads events. `close` it in the end."""

    def __init__(self, providers: Providers, workers: ConfigWorkers, *, at_a_time: int) -> None:
        """Create the reader.

        Args:
            providers: where configurations are.
            workers: load them.
            at_a_time: how many events are read at a time.
        """
        self._providers = providers
        self._workers = workers
        # Of its own: while a provider does not respond, its threads are of no use to others.
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="configuration")
        self._expected: dict[str, str] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._callers: Counter[str] = Counter()

    def close(self) -> None:
        """Read no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

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
        linked = await self._providers.repository(link, age=_REPOSITORY_AGE)
        try:
            return await self._read(event, linked, request)
        except NotAtForge:
            if not linked.is_remembered:
                raise
        # It may have moved, and another one be at its path.
        return await self._read(event, await self._providers.repository(link), request)

    async def _read(self, event: pb.EventRecord, linked: LinkedRepository, request: PlanRequest) -> ReadEvent | Verdict:
        resolved = await _resolved(event, linked)
        # Of the others, the message was in the event.
        skipped = judge_message(resolved) if resolved.kind == PULL_REQUEST or resolved.caught_up else None
        if skipped is not None:
            return skipped
        project_id = request.project_id
        files = ProviderFiles(linked, resolved.commit, expected=(expected := self._expected.pop(project_id, "")))
        try:
            wanted = replace(request, event=resolved.SerializeToString())
            plan = await self._plan(resolved, linked, files, wanted, expected)
        finally:
            await files.close()
        if plan.source_path:
            if len(self._expected) >= _MOST_EXPECTED:
                self._expected.pop(next(iter(self._expected)))
            self._expected[project_id] = plan.source_path
        return ReadEvent(resolved, plan)

    async def _plan(
        self,
        event: pb.EventRecord,
        linked: LinkedRepository,
        files: ProviderFiles,
        request: PlanRequest,
        expected: str,
    ) -> EventPlan:
        """Call the worker until nothing is missing any more."""
        if expected:
            request = await self._with_folder(request, files, posixpath.dirname(expected))
            request = await self._with_file(request, files, expected)
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
            content = await asyncio.get_running_loop().run_in_executor(self._threads, files.read, path)
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
            names = await asyncio.get_running_loop().run_in_executor(self._threads, files.list, path)
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
