"""The codec of holds, and of how they end. Pure."""

from __future__ import annotations

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel import model
from sluiceway_server.runrecords.times import put_duration, put_time, read_time

HOLD_ACTIONS = {
    model.HoldAction.RUN_FAILED_STEP: api.HOLD_ACTION_RUN_FAILED_STEP,
    model.HoldAction.RUN_NEXT_STEP: api.HOLD_ACTION_RUN_NEXT_STEP,
    model.HoldAction.RELEASE: api.HOLD_ACTION_RELEASE,
}
_ACTION_OF = {number: action for action, number in HOLD_ACTIONS.items()}


def decode_hold(task: api.Task) -> model.Hold | None:
    """Decode the hold of a task; None: it is not held."""
    if not task.HasField("hold"):
        return None
    hold = task.hold
    return model.Hold(hold.number, hold.step, read_time(hold.start_time), read_time(hold.expire_time))


def decode_order(order: api.TaskContinuation) -> model.HoldOrder:
    """Decode how a hold ends; an action of a later version counts as a release."""
    action = _ACTION_OF.get(order.action, model.HoldAction.RELEASE)
    return model.HoldOrder(order.hold, action, order.by, read_time(order.time))


def encode_order(order: model.HoldOrder) -> api.TaskContinuation:
    """Encode how a hold ends."""
    message = api.TaskContinuation(hold=order.hold, action=HOLD_ACTIONS[order.action], by=order.by)
    put_time(message.time, order.time)
    return message


def put_holds(record: pb.TaskRecord, task: model.Task) -> None:
    """Encode what is stored of the holds of a task into its record."""
    message = record.task
    if task.hold is None:
        message.ClearField("hold")
    else:
        message.hold.number, message.hold.step = task.hold.number, task.hold.step
        put_time(message.hold.start_time, task.hold.start_time)
        put_time(message.hold.expire_time, task.hold.expire_time)
    record.ClearField("held")
    if task.held:
        put_duration(record.held, task.held)
    del message.continuations[:]
    message.continuations.extend(map(encode_order, task.continuations))
