"""The hold in a new epoch of the database: nothing is assigned before it is known what still runs. Pure.

A recovered database may have lost its last moments, and with them assignments that executors run. A task must not run
twice. So the scheduler assigns nothing in a new epoch until each executor that may hold an assignment has *settled*: it
sent hello, with all that it holds, and all that follows from that is committed. The hold ends after `lost_after` at the
latest: by then pods without a connected executor have ended themselves.

The database knows every executor that may hold a lost assignment: the first one of each is sent to it only after the
record that says so is in the object storage (`executors.delivery`). It does not wait for the others:
anyone with a token can invent executors.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.model import ExecutorId
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.wording import listing
from sluiceway_server.datamanager.model import View
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_record import read_state
from sluiceway_server.runrecords.types import EXECUTOR, PLACER, PLACER_ID

_MOST_NAMED = 5
_WORTH_TELLING = timedelta(seconds=5)


def unsettled(view: View) -> tuple[ExecutorId, ...]:
    """List the executors that may hold assignments and have not settled in the present epoch, by id."""
    epoch = view.position.sequence.epoch
    return tuple(sorted(id_ for id_, record in view.scan(EXECUTOR) if read_state(record).is_waited_for(epoch)))


def may_assign(view: View) -> bool:
    """Return whether the scheduler's record says that the present epoch is open."""
    record = view.get(PLACER, PLACER_ID)
    return record is not None and record.open_epoch == view.position.sequence.epoch


def advance(record: pb.PlacerRecord, view: View, *, now: datetime, waited: timedelta, lost_after: timedelta) -> None:
    """Open the present epoch in a scheduler's record, or note that it is held.

    Args:
        record: to be stored; changed in place.
        view: at the place of the commit.
        now: wall time, for people to read only.
        waited: since this scheduler first saw the epoch, by its own monotonic clock.
        lost_after: the longest wait.
    """
    epoch = view.position.sequence.epoch
    if record.open_epoch == epoch:
        return
    if waited >= lost_after or not unsettled(view):
        record.open_epoch = epoch
        for name in ("held_epoch", "held_since", "held_until"):
            record.ClearField(name)
        return
    if record.held_epoch != epoch:
        record.held_epoch = epoch
        codec.put_time(record.held_since, now)
        record.ClearField("held_until")
    until = now + lost_after - waited
    # Another scheduler starts the count again, and a clock may have been set.
    if not record.HasField("held_until") or abs(codec.read_time(record.held_until) - until) > _WORTH_TELLING:
        codec.put_time(record.held_until, until)


def why_held(view: View) -> Reason | None:
    """Return why nothing is assigned; None: the present epoch is open, or there is no scheduler."""
    record = view.get(PLACER, PLACER_ID)
    epoch = view.position.sequence.epoch
    if record is None or record.open_epoch == epoch:
        return None
    if record.held_epoch != epoch:
        sentence = f"the database is in its epoch {epoch}, and the scheduler has not looked at it yet"
        return Reason(ReasonCode.WAITS_FOR_RECOVERY, sentence)
    since, until = codec.read_time(record.held_since), codec.read_time(record.held_until)
    waiting = unsettled(view)
    who = listing(waiting[:_MOST_NAMED]) + (f" and {len(waiting) - _MOST_NAMED} more" if waiting[_MOST_NAMED:] else "")
    sentence = (
        f"the database was recovered (epoch {epoch}, {since:%Y-%m-%d %H:%M:%SZ}), and nothing is assigned before each"
        " executor has said what it still runs, so that nothing starts twice. "
    )
    if waiting:
        sentence += (
            f"Not heard of yet: {who}; waited for until {until:%Y-%m-%d %H:%M:%SZ} at most. If one is gone for good:"
            f" sluice executor delete {waiting[0]}"
        )
    else:
        sentence += "All have; the scheduler opens it now"
    return Reason(ReasonCode.WAITS_FOR_RECOVERY, sentence)
