from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_executor.outbox import Outbox


def outbox() -> Outbox:
    numbers = iter(range(1, 1000))
    return Outbox(lambda: next(numbers))


def update(assignment: str, step: int) -> pb.AssignmentUpdate:
    steps = [pb.StepUpdate(step=step, phase=run_pb2.STEP_PHASE_RUNNING)]
    return pb.AssignmentUpdate(assignment_id=assignment, phase=pb.ASSIGNMENT_PHASE_RUNNING, steps=steps)


async def test_unsent_updates_of_an_assignment_are_merged() -> None:
    box = outbox()
    for entry in (update("a", 0), update("b", 0), update("a", 1)):
        box.update(entry)
    (message,) = box.take()
    sent = [(each.assignment_id, [step.step for step in each.steps]) for each in message.updates.updates]
    assert sent == [("a", [0, 1]), ("b", [0])]


async def test_only_the_end_of_an_attempt_is_urgent() -> None:
    box = outbox()
    box.update(update("a", 0))
    assert box.waiting.is_set()
    assert not box.urgent.is_set()
    ended = update("a", 0)
    ended.phase = pb.ASSIGNMENT_PHASE_SUCCESS
    box.update(ended)
    assert box.urgent.is_set(), "also where it becomes one with an update that waits"
    assert len(box.take()[0].updates.updates) == 1
    assert not box.urgent.is_set()
    box.begin_stream(same_session=True)
    assert box.urgent.is_set(), "what was not acknowledged has waited enough"


async def test_large_updates_are_sent_in_messages_of_their_own() -> None:
    box = outbox()
    for name in "abcdefghij":
        large = update(name, 0)
        large.steps[0].reason.message = "x" * 100_000
        box.update(large)
    messages = box.take()
    assert [each.assignment_id for message in messages for each in message.updates.updates] == list("abcdefghij")
    assert all(message.ByteSize() < 300_000 for message in messages)
    assert len(messages) == 5


async def test_update_that_was_sent_is_not_merged() -> None:
    box = outbox()
    box.update(update("a", 0))
    box.take()
    box.update(update("a", 1))
    (message,) = box.take()
    assert [step.step for step in message.updates.updates[0].steps] == [1]


async def test_entries_are_sent_again_and_renumbered_by_session() -> None:
    box = outbox()
    box.update(update("a", 0))
    box.pods_gone("gone")
    first = box.take()
    box.begin_stream(same_session=True)
    assert box.take() == first
    box.begin_stream(same_session=False)
    renumbered = box.take()
    assert renumbered[0].updates.updates[0].number > first[1].pods_gone.number
    for message in renumbered:
        box.acknowledge(message.pods_gone.number or message.updates.updates[0].number)
    assert len(box) == 0
