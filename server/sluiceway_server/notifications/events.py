"""The events of a run, and the JSON that is sent for each. Pure.

Which events have happened follows from the record of the run: a run only moves forward, and keeps the time of each
step. So an event that is sent late has the time and the state of its moment, and not those of the present.

The form of the JSON is a promise (docs/reference/webhook-event.schema.json): fields are added, never changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway_common.foundation.texts import shown
from sluiceway_server.runrecords.types import TERMINAL_PHASES

RUN_CREATED, RUN_STARTED, RUN_FINISHED = "run.created", "run.started", "run.finished"
EVENT_TYPES = (RUN_CREATED, RUN_STARTED, RUN_FINISHED)

_MAX_MESSAGE = 1_000


def has_ended(run: run_api.Run) -> bool:
    """Return whether a run has no further events."""
    return run.phase in TERMINAL_PHASES


def next_event(run: run_api.Run, settled: Collection[str]) -> str | None:
    """Return the first event of a run that has happened and is not settled; None: there is none yet."""
    happened = [RUN_CREATED]
    if run.HasField("start_time"):
        happened.append(RUN_STARTED)
    if has_ended(run):
        happened.append(RUN_FINISHED)
    return next((event for event in happened if event not in settled), None)


def is_over(run: run_api.Run, settled: Collection[str]) -> bool:
    """Return whether all events of a run are settled that it will ever have."""
    return has_ended(run) and next_event(run, settled) is None


def body_of(event: str, run: run_api.Run, *, parent: tuple[str, str], public_url: str) -> str:
    """Return the JSON of an event.

    Args:
        event: one of `EVENT_TYPES`.
        run: as it is now.
        parent: the id and the path of the run's project; empty: it has none.
        public_url: of the installation; empty: the run has no link.
    """
    project_id, project_path = parent
    source = run.source
    body = {
        "type": event,
        "timestamp": _text(_time_of(event, run)),
        "data": {
            "run": {
                "id": run.id,
                "number": run.number,
                "name": run.name,
                "group": run.group,
                **_state(event, run),
                "createdBy": run.created_by,
                **_times(event, run),
                **({"url": f"{public_url}/runs/{run.id}"} if public_url else {}),
            },
            "source": {
                "repository": source.repository,
                "refType": source.ref_type,
                "ref": source.ref,
                "branch": source.branch,
                "tag": source.tag,
                "pullRequestId": source.pull_request_id,
                "commitSha": source.commit_sha,
                "message": shown(source.message, most=_MAX_MESSAGE),
            },
            **({"project": {"id": project_id, "path": project_path}} if project_id else {}),
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _state(event: str, run: run_api.Run) -> dict[str, str]:
    if event == RUN_CREATED:
        # A run with a broken configuration never queues.
        is_broken = run.phase == run_api.RUN_PHASE_SETUP_ERROR
        return {"phase": "RUN_PHASE_SETUP_ERROR" if is_broken else "RUN_PHASE_QUEUED"}
    if event == RUN_STARTED:
        return {"phase": "RUN_PHASE_RUNNING"}
    state = {"phase": run_api.RunPhase.Name(run.phase)}
    if run.result:
        state["result"] = run_api.RunResult.Name(run.result)
    return state


def _time_of(event: str, run: run_api.Run) -> Timestamp:
    if event == RUN_STARTED:
        return run.start_time
    # Runs with setup errors end when they are created.
    return run.end_time if event == RUN_FINISHED and run.HasField("end_time") else run.create_time


def _times(event: str, run: run_api.Run) -> dict[str, str]:
    fields = {"createTime": "create_time"}
    if event in (RUN_STARTED, RUN_FINISHED):
        fields["startTime"] = "start_time"
    if event == RUN_FINISHED:
        fields["endTime"] = "end_time"
    return {name: _text(getattr(run, field)) for name, field in fields.items() if run.HasField(field)}


def _text(time: Timestamp) -> str:
    text: str = time.ToJsonString()
    return text
