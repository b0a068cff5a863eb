"""A restart as one change of the database: the records of the new run, made of those of the run before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, Violation
from sluiceway_common.runconfig.inputs import input_faults
from sluiceway_common.runmodel.creation import Created
from sluiceway_common.runmodel.model import RestartKind, Run
from sluiceway_common.runmodel.restart import plan_restart, restart
from sluiceway_common.runmodel.state import InvariantBroken, RunState
from sluiceway_server.datamanager.model import Put, View
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import RUN, RUN_CONFIG, RUN_NUMBER, TASK, task_id
from sluiceway_server.runs.transaction import NewRecords, RunTransaction


class InputsMakeTasks(FailedPrecondition):
    """The tasks of the run were made with the values of its inputs; run the commit by hand with other ones."""

    reason = "INPUTS_MAKE_TASKS"


def create_restart(
    transaction: RunTransaction,
    state: RunState,
    kind: RestartKind,
    *,
    chosen: Collection[str],
    run_id: str,
    by: str,
    new_id: Callable[[], str],
    config: pb.RunConfigRecord,
    hold_on_failure: timedelta | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Run:
    """Add the new run of a restart to a transaction, and return it.

    Args:
        transaction: in which `state` was read.
        state: the run to be restarted.
        kind: from where.
        chosen: the ids of the tasks that were chosen, for a restart from tasks.
        run_id: the id of the new run.
        by: who asked for it.
        new_id: makes an id for each task that runs again.
        config: of the run to be restarted; the new run has the same.
        hold_on_failure: how long pods are held after a failed step; None: as in the run to be restarted.
        inputs: other values for its inputs.

    Raises:
        InvalidInput, RunCannotBeRestarted, WorkspaceExpired: as `plan_restart`; or an input cannot have this value.
        InputsMakeTasks: other values would make other tasks.
    """
    plan = plan_restart(state, kind, chosen=chosen)
    numbers = transaction.view.get(RUN_NUMBER, state.run.scope)
    number = (numbers.last if numbers is not None else 0) + 1
    created = restart(
        state,
        plan,
        run_id=run_id,
        number=number,
        new_ids={key: new_id() for key in plan.again},
        created_by=by,
        now=transaction.now,
    )
    records = _records(transaction.view, state, created)
    if hold_on_failure is not None:
        codec.put_duration(records.run.run.hold_on_failure, hold_on_failure)
    if inputs:
        _change_inputs(records.run.run, inputs, kind)
    others = [Put(RUN_NUMBER, created.run.scope, pb.RunNumberRecord(last=number)), Put(RUN_CONFIG, run_id, config)]
    transaction.create(RunState.of(created.run, created.tasks), records, others)
    return created.run


def _change_inputs(run: api.Run, changed: Mapping[str, str], kind: RestartKind) -> None:
    if kind is not RestartKind.FROM_START:
        message = "inputs change only when all tasks run again: what is kept was made with the present values"
        raise InvalidInput([Violation("inputs", message)])
    values = {each.name: each.value for each in run.inputs} | dict(changed)
    faults = input_faults([run.inputs], values)
    if faults:
        raise InvalidInput(faults)
    if run.inputs_make_tasks and any(each.value != values[each.name] for each in run.inputs):
        raise InputsMakeTasks(
            "the tasks of this run were made with its inputs, so other values may make other tasks; run the commit"
            " again instead: `sluice project run` or `sluice run create`, with `--input`",
            subject=run.name,
        )
    for each in run.inputs:
        each.value = values[each.name]


def _records(view: View, state: RunState, created: Created) -> NewRecords:
    run = created.run
    names = {task.id: task.name for task in created.tasks}
    tasks: dict[str, pb.TaskRecord] = {}
    for task in created.tasks:
        if not task.kept_from:
            tasks[task.id] = codec.encode_new_task(task, run_id=run.id, scope=run.scope, names=names)
            continue
        # Its steps, attempts and times are those of the run in which it ran.
        stored = view.get(TASK, task_id(state.run.id, task.id))
        if stored is None:
            raise InvariantBroken(f"task {task.id} of run {state.run.id} is kept and not stored")
        tasks[task.id] = kept = pb.TaskRecord()
        kept.CopyFrom(stored)
        kept.kept_from = task.kept_from
    before = view.get(RUN, state.run.id)
    record = pb.RunRecord(run=api.Run())
    if before is not None:
        record.run.variables.update(before.run.variables)
        record.run.inputs.extend(before.run.inputs)
        record.run.inputs_make_tasks = before.run.inputs_make_tasks
        if before.run.HasField("hold_on_failure"):
            record.run.hold_on_failure.CopyFrom(before.run.hold_on_failure)
        record.created_warnings.extend(before.created_warnings)
    return NewRecords(record, tasks)
