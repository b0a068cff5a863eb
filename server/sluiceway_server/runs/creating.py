"""Creates runs from requests: checks one, off the event loop if it is large, and stores its run in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.places import Places
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.model import Run
from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.variables import SecretValue, Unset
from sluiceway_server.runrecords.types import RUN_CONFIG, RUN_NUMBER
from sluiceway_server.runs import create_request
from sluiceway_server.runs.create_request import ValidatedCreate
from sluiceway_server.runs.environment_values import context_of, variables_of
from sluiceway_server.runs.ports import RunValues
from sluiceway_server.runs.transaction import RunTransaction

# Checking a request of this size takes at most 30 ms, whatever its parts are; most take 1 ms.
_CHECKED_AT_ONCE_BYTES = 8 * 1024
_CHECKS_WAITING = 8


class CreationChecks:
    """Checks the requests of one server. Large ones are checked one at a time."""

    def __init__(self, clock: Clock, ids: IdSource, values: RunValues) -> None:
        self._clock = clock
        self._ids = ids
        self._values = values
        self._places = Places(1, waiting=_CHECKS_WAITING, what="large runs")

    async def check(
        self,
        request: service_api.CreateRunRequest,
        *,
        created_by: str,
        from_fork: bool,
        event: str = "",
    ) -> ValidatedCreate:
        """Check a request; a large one in a thread, since it may take a second of a processor.

        Raises:
            InvalidInput: every fault of the request.
            Exhausted: it is too large.
            Unavailable: too many large requests wait to be checked.
        """
        create_request.check_counts(request)
        now, run_id, task_ids = self._clock.now(), self._ids.new_id(), [self._ids.new_id() for _ in request.tasks]
        is_small = request.ByteSize() <= _CHECKED_AT_ONCE_BYTES
        names = variables_of(request) if is_small else await asyncio.to_thread(variables_of, request)
        variables: Mapping[str, SecretValue | Unset] = {}
        if names:
            variables = await self._values.variables(
                groups.project_of(request.run.group), names, context_of(request.source), from_fork=from_fork
            )

        def check() -> ValidatedCreate:
            return create_request.check(
                request,
                variables=variables,
                run_id=run_id,
                task_ids=task_ids,
                created_by=created_by,
                from_fork=from_fork,
                event=event,
                now=now,
            )

        if is_small:
            return check()
        async with self._places.take():
            return await asyncio.to_thread(check)


def store_run(
    transaction: RunTransaction, checked: ValidatedCreate, config: pb.RunConfigRecord, request: Put | None
) -> Run:
    """Store a new run with the next number of its scope; return it. `request`: the record of its request id, if any."""
    created = checked.created
    numbers = transaction.view.get(RUN_NUMBER, created.run.scope)
    number = (numbers.last if numbers is not None else 0) + 1
    run = replace(created.run, number=number)
    others = [
        Put(RUN_NUMBER, run.scope, pb.RunNumberRecord(last=number)),
        Put(RUN_CONFIG, run.id, config),
    ]
    if request is not None:
        others.append(request)
    transaction.create(RunState.of(run, created.tasks), checked.records, others)
    transaction.move_groups(condition.name for condition in checked.preconditions)
    return run
