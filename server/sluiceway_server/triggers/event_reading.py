"""What decides on an event and is not in it: the configuration at its commit, its message, and the files that changed.

The work on a delivery waits for one round trip to the provider, in the common case: where a repository is, is
remembered for a minute; and the file that had the configuration the last time is asked for together with its folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.runconfig.compile import LoadResult, load
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.triggers.config_files import ProviderFiles
from sluiceway_server.triggers.event_rules import PULL_REQUEST, Verdict, context_of, judge_message
from sluiceway_server.triggers.planning import needs_paths
from sluiceway_server.triggers.providers import LinkedRepository, Providers

__all__ = ["EventReader", "ReadEvent"]

_REPOSITORY_AGE = timedelta(minutes=1)
_MOST_EXPECTED = 10_000


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event with what decides on it.

    Attributes:
        event: with its commit and message.
        loaded: the configuration at its commit.
        changed_paths: the files that it changed; None: nobody knows, or nobody asks.
    """

    event: pb.EventRecord
    loaded: LoadResult
    changed_paths: Collection[str] | None


class EventReader:
    """Reads events. `close` it in the end."""

    def __init__(self, providers: Providers, *, at_a_time: int) -> None:
        """Create the reader.

        Args:
            providers: where configurations are.
            at_a_time: how many events are read at a time.
        """
        self._providers = providers
        # Of its own: while a provider does not respond, its threads are of no use to others.
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="configuration")
        self._expected: dict[str, str] = {}

    def close(self) -> None:
        """Read no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, event: pb.EventRecord, link: pb.LinkRecord) -> ReadEvent | Verdict:
        """Return what decides on an event, or the verdict if its message does.

        Raises:
            NotAtForge: the commit or the ref is gone.
            Unavailable, DeadlineExceeded: the provider is away.
            SluicewayError: the provider refuses.
        """
        linked = await self._providers.repository(link, age=_REPOSITORY_AGE)
        try:
            return await self._read(event, linked, link.project_id)
        except NotAtForge:
            if not linked.is_remembered:
                raise
        # It may have moved, and another one be at its path.
        return await self._read(event, await self._providers.repository(link), link.project_id)

    async def _read(self, event: pb.EventRecord, linked: LinkedRepository, project_id: str) -> ReadEvent | Verdict:
        resolved = await _resolved(event, linked)
        # Of the others, the message was in the event.
        skipped = judge_message(resolved) if resolved.kind == PULL_REQUEST or resolved.caught_up else None
        if skipped is not None:
            return skipped
        loaded = await self._loaded(resolved, linked, project_id)
        return ReadEvent(resolved, loaded, await _changed_paths(resolved, loaded, linked))

    async def _loaded(self, event: pb.EventRecord, linked: LinkedRepository, project_id: str) -> LoadResult:
        files = ProviderFiles(linked, event.commit, expected=self._expected.pop(project_id, ""))
        try:
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(self._threads, load, files, context_of(event))
        finally:
            await files.close()
        if loaded.source_path:
            if len(self._expected) >= _MOST_EXPECTED:
                self._expected.pop(next(iter(self._expected)))
            self._expected[project_id] = loaded.source_path
        return loaded


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


async def _changed_paths(event: pb.EventRecord, loaded: LoadResult, linked: LinkedRepository) -> Collection[str] | None:
    base = event.base_commit if event.kind == PULL_REQUEST else event.before
    if loaded.config is None or not base or not needs_paths(loaded.config):
        return None
    try:
        return await linked.account.forge.changed_paths(linked.account.token, linked.repository, base, event.commit)
    except NotAtForge:
        return None  # the commit before was overwritten, and is gone
