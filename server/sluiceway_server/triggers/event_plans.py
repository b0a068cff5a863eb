"""The plan of an event, as a function for a worker process (`runs.config_workers`).

The process has no connection to the provider. It is called with the files that are known so far; where it needs
another one, or the changed files, it returns what it needs, and is called again with that. In the common case all is
known at the first call.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.runconfig.compile import LoadResult, load
from sluiceway_common.runconfig.files import MAX_NAMES, FileRefused, join_inside
from sluiceway_common.runconfig.inputs import input_faults
from sluiceway_server.triggers.event_rules import PULL_REQUEST, context_of
from sluiceway_server.triggers.planning import PlannedRun, chosen_runs, needs_paths, plan_runs


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """What is known of the files of a commit (`runconfig.files.RepositoryFiles`).

    Attributes:
        files: by path; None: there is none.
        refused: why a path is not read.
        folders: the names in folders, by path.
    """

    files: Mapping[str, bytes | None] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return a file, or None if there is none. Raises `FileRefused`, or `_NeedsFile`."""
        inside = join_inside("", path)
        if inside in self.refused:
            raise FileRefused(self.refused[inside])
        if inside in self.files:
            return self.files[inside]
        folder, name = posixpath.split(inside)
        names = self.folders.get(folder)
        # A list of `MAX_NAMES` may be cut.
        if names is None or name in names or len(names) >= MAX_NAMES:
            raise _NeedsFile(inside)
        return None

    def list(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder. Raises `FileRefused`, or `_NeedsFolder`."""
        if folder in self.refused:
            raise FileRefused(self.refused[folder])
        if folder not in self.folders:
            raise _NeedsFolder(folder)
        return self.folders[folder]


class _NeedsFile(Exception):
    """A file is not known."""


class _NeedsFolder(Exception):
    """A folder is not known."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a plan is made of.

    Attributes:
        event: an `EventRecord` with its commit, encoded.
        known: the files that are known.
        project_id, project_name, attempt: as of `plan_runs`.
        changed_paths: the files that the event changed; None: nobody knows.
        are_paths_known: whether `changed_paths` is what there is to know.
    """

    event: bytes
    known: KnownFiles
    project_id: str
    project_name: str
    attempt: int
    changed_paths: tuple[str, ...] | None = None
    are_paths_known: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """What the next call needs: a file, a folder, or (both None) the changed files."""

    file: str | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class EventPlan:
    """The plan of an event.

    Attributes:
        source_path: the file that has the configuration; empty: none was found.
        is_usable: whether the configuration has no errors.
        runs: name, encoded request (None: not made), reason and sentence of each `PlannedRun`.
        configured: of an event by hand, each run of the configuration, as an encoded `ConfiguredRun`.
        errors: why the configuration cannot be used.
        input_faults: of an event by hand, path and message of each wrong value of an input.
    """

    source_path: str
    is_usable: bool
    runs: tuple[tuple[str, bytes | None, api.DecisionReason, str], ...]
    configured: tuple[bytes, ...] = ()
    errors: tuple[str, ...] = ()
    input_faults: tuple[tuple[str, str], ...] = ()

    def planned(self) -> tuple[PlannedRun, ...]:
        """Return the runs."""
        return tuple(
            PlannedRun(
                name,
                None if request is None else run_service_pb2.CreateRunRequest.FromString(request),
                reason,
                sentence,
            )
            for name, request, reason, sentence in self.runs
        )


def make_plan(request: PlanRequest) -> EventPlan | Need:
    """Load the configuration of an event and decide on its runs, or return what that needs."""
    event = pb.EventRecord.FromString(request.event)
    try:
        loaded = load(request.known, context_of(event))
    except _NeedsFile as missing:
        return Need(file=str(missing))
    except _NeedsFolder as missing:
        return Need(folder=str(missing))
    base = event.base_commit if event.kind == PULL_REQUEST else event.before
    if loaded.config is not None and base and needs_paths(loaded.config) and not request.are_paths_known:
        return Need()
    runs = plan_runs(
        event,
        loaded,
        project_id=request.project_id,
        project_name=request.project_name,
        changed_paths=request.changed_paths,
        attempt=request.attempt,
    )
    made = EventPlan(
        loaded.source_path,
        loaded.config is not None,
        tuple(
            (each.name, None if each.request is None else each.request.SerializeToString(), each.reason, each.sentence)
            for each in runs
        ),
    )
    return _by_hand(made, event, loaded, request.changed_paths) if event.requested_by else made


def _by_hand(
    plan: EventPlan, event: pb.EventRecord, loaded: LoadResult, changed_paths: Collection[str] | None
) -> EventPlan:
    """Add what a person who asks for runs is told."""
    if loaded.config is None:
        return replace(plan, errors=tuple(problem.in_file(loaded.source_path) for problem in loaded.errors))
    chosen = chosen_runs(event, loaded.config, changed_paths)
    names = {run.name for run in chosen}
    faults = input_faults((run.declared_inputs() for run in chosen), event.inputs, are_all_needed=bool(event.run_name))
    configured = tuple(
        api.ConfiguredRun(name=run.name, inputs=run.declared_inputs(), applies=run.name in names).SerializeToString()
        for run in loaded.config.runs
    )
    # Without a run of this name, nothing can be said of its inputs; the decision says that there is none.
    wrong = faults if chosen or not event.run_name else []
    return replace(plan, configured=configured, input_faults=tuple((each.path, each.message) for each in wrong))
