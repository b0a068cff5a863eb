"""What watches of runs send: a snapshot of a run, and its changes, from what was applied."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.rpc.caller import announce_stream
from sluiceway_server.datamanager.model import Applied, Emit, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import RUN, TASK, TERMINAL_PHASES
from sluiceway_server.runs.engine import no_run
from sluiceway_server.runs.names import Names
from sluiceway_server.runs.transaction import KIND_EVENT, tasks_of


async def subscription(db: Database, after: Position, topic: str) -> AsyncGenerator[Applied, None]:
    """Yield what is applied of a topic after a position."""
    # So that a watch that ends lets go of its subscription at once, and not when memory is collected.
    applied = db.subscribe(after=after, topics=[topic], on_live=announce_stream)
    try:
        async for each in applied:
            yield each
    finally:
        if isinstance(applied, AsyncGenerator):
            await applied.aclose()


def snapshot(view: View, run_id: str) -> pb.WatchRunResponse:
    """Return the first message of a watch of a run.

    Raises:
        NotFound: there is no such run.
    """
    record = view.get(RUN, run_id)
    if record is None:
        raise no_run(run_id)
    shown = pb.WatchRunResponse(position=str(view.position), run=record.run, tasks=tasks_of(view, run_id))
    put_names(view, shown)
    return shown


def put_names(view: View, message: pb.WatchRunResponse) -> None:
    """Fill in the names in a message."""
    names = Names(view)
    names.put_in_runs([message.run] if message.HasField("run") else [])
    names.put_in_tasks(message.tasks)


def is_over(view: View, run_id: str, after: Position) -> bool:
    """Return whether the run was over at a position; then nothing more will come."""
    record = view.get(RUN, run_id)
    revision = view.revision(RUN, run_id)
    return record is not None and record.run.phase in TERMINAL_PHASES and revision is not None and revision <= after


def changes(applied: Applied, run_id: str) -> pb.WatchRunResponse:
    """Return the message about what a transaction changed of a run."""
    message = pb.WatchRunResponse(position=str(applied.position))
    for action in applied.actions:
        if not isinstance(action, Put):
            continue
        if action.type.name == RUN.name and action.id == run_id:
            message.run.CopyFrom(action.message.run)  # type: ignore[attr-defined]  # a RunRecord, by its type
        elif action.type.name == TASK.name and action.id.startswith(f"{run_id}/"):
            message.tasks.append(action.message.task)  # type: ignore[attr-defined]  # a TaskRecord, by its type
    message.events.extend(event for event in events(applied) if event.run_id == run_id)
    return message


def events(applied: Applied) -> Sequence[api.RunEvent]:
    """Return the events of a transaction. Each has a place of its own; a watch resumes after the whole transaction."""
    found: list[api.RunEvent] = []
    for action in applied.actions:
        if isinstance(action, Emit) and action.kind == KIND_EVENT:
            event = api.RunEvent.FromString(action.body)
            event.position = f"{applied.position}:{len(found)}"
            found.append(event)
    return found
