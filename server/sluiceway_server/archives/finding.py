"""What a step restores: the archives of the ancestors of its task, and caches. Pure reads of the database.

A cache belongs to a scope: the project or user of its run, or a path below it that the run named. A run of a fork has a
scope of its own, and reads that of the project too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sluiceway.api.executor.v1 import executor_service_pb2 as api
from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.runrecords.types import CACHE, TASK

_MOST_CACHES = 5_000
"""As many caches of a scope are looked at, the newest first."""


@dataclass(frozen=True, slots=True)
class FoundCache:
    """A cache: its record's id, and the record."""

    id: str
    record: pb.CacheRecord


def workspace_of(view: View, run_id: str, task_id: str) -> list[tuple[str, api.FoundArchive]]:
    """Return the archives of a task's ancestors in the order in which they are unpacked: by level, name and step.

    Each comes with the run in which its task ran, since a restart that keeps a task shares its archives.
    """
    records = {record.task.id: record for _, record in view.scan(TASK, f"{run_id}/")}
    wanted = records.get(task_id)
    if wanted is None:
        return []
    above = _ancestors(records, task_id)
    found = []
    for record in sorted((records[key] for key in above), key=lambda each: (each.task.level, each.task.name)):
        names = sorted(records[key].task.name for key in _ancestors(records, record.task.id))
        for archive in sorted(record.archives, key=lambda each: each.step):
            if archive.kind == api.ARCHIVE_KIND_WORKSPACE:
                item = api.FoundArchive(archive=archive, task=record.task.name, ancestors=names)
                found.append((record.kept_from or run_id, item))
    return found


def _ancestors(records: dict[str, pb.TaskRecord], task_id: str) -> set[str]:
    found: set[str] = set()
    left = list(records[task_id].parent_ids)
    while left:
        key = left.pop()
        if key not in found and key in records:
            found.add(key)
            left.extend(records[key].parent_ids)
    return found


def artifacts_of(view: View, run_id: str) -> list[tuple[run_pb2.Task, api.Archive, str]]:
    """Return the artifacts of a run by task and name, each with its task and the run in which that ran."""
    found = [
        (record.task, archive, record.kept_from or run_id)
        for _, record in view.scan(TASK, f"{run_id}/")
        for archive in record.archives
        if archive.kind == api.ARCHIVE_KIND_ARTIFACT
    ]
    return sorted(found, key=lambda each: (each[0].level, each[0].name, each[1].name, each[1].step))


def cache_scopes(run: pb.RunRecord, config: pb.RunConfig) -> Sequence[str]:
    """Return the scopes of the caches that a run reads; it writes those of the first one."""
    named = config.cache_group
    # A run that names the group of somebody else gets its own.
    scope = named if named == run.scope or named.startswith(f"{run.scope}/") else run.scope
    return (f"{scope} fork {run.run.group}", scope) if run.from_fork else (scope,)


def cache_id(scope: str, key: str) -> str:
    """Name the record of a cache."""
    return hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()


def find_cache(view: View, scopes: Sequence[str], keys: Sequence[str]) -> tuple[FoundCache | None, str]:
    """Find a cache: of the first key that has one, the exact one, or else the newest whose key begins with it.

    Returns:
        It, and without one the existing key that has the longest beginning in common with one of the keys.
    """
    known: list[FoundCache] | None = None
    for key in keys:
        for scope in scopes:
            exact = view.get(CACHE, cache_id(scope, key))
            if exact is not None:
                return FoundCache(cache_id(scope, key), exact), ""
        if known is None:
            known = [each for scope in scopes for each in _newest(view, scope)]
            known.sort(key=lambda each: each.record.create_time.ToNanoseconds(), reverse=True)
        found = next((each for each in known if each.record.key.startswith(key)), None)
        if found is not None:
            return found, ""
    return None, _nearest([each.record.key for each in known or ()], keys)


def _newest(view: View, scope: str) -> Iterable[FoundCache]:
    newest = walk_records(view, CACHE, {"scope": scope}, order=("-created",))
    return (FoundCache(id_, record) for id_, record in islice(newest, _MOST_CACHES))


def _nearest(known: Sequence[str], keys: Sequence[str]) -> str:
    def length(name: str) -> int:
        return max(_common_length(name, key) for key in keys)

    return max(known, key=length, default="") if keys and known and max(map(length, known)) > 0 else ""


def _common_length(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
