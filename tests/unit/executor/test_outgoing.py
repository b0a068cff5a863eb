"""What an executor sends on its stream, and what waits a moment for what."""

from __future__ import annotations

import asyncio
import itertools

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_executor.outbox import Outbox
from sluiceway_executor.outgoing import OutgoingMessages

LONG = 3_600.0


def outgoing(*, gather_seconds: float) -> tuple[OutgoingMessages, Outbox]:
    outbox = Outbox(itertools.count(1).__next__)
    return OutgoingMessages(pb.Hello(executor_id="e"), outbox, gather_seconds=gather_seconds), outbox


def update(phase: pb.AssignmentPhase, of: str = "a") -> pb.AssignmentUpdate:
    return pb.AssignmentUpdate(assignment_id=of, phase=phase)


async def test_updates_are_sent_with_the_end_of_an_attempt() -> None:
    stream, outbox = outgoing(gather_seconds=LONG)
    messages = stream.requests()
    assert (await anext(messages)).HasField("hello")
    stream.send(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=1)))
    assert (await anext(messages)).heartbeat.number == 1
    following = asyncio.ensure_future(anext(messages))
    await asyncio.wait([following], timeout=0)
    outbox.update(update(pb.ASSIGNMENT_PHASE_RUNNING, of="other"))
    await asyncio.wait([following], timeout=0)
    outbox.update(update(pb.ASSIGNMENT_PHASE_RUNNING))
    outbox.update(update(pb.ASSIGNMENT_PHASE_SUCCESS))
    async with asyncio.timeout(60):
        sent = (await following).updates.updates
    assert [(each.assignment_id, each.phase) for each in sent] == [
        ("other", pb.ASSIGNMENT_PHASE_RUNNING),
        ("a", pb.ASSIGNMENT_PHASE_SUCCESS),
    ]


async def test_updates_are_sent_with_an_acknowledgement() -> None:
    stream, outbox = outgoing(gather_seconds=LONG)
    messages = stream.requests()
    await anext(messages)
    outbox.update(update(pb.ASSIGNMENT_PHASE_ACCEPTED))
    stream.send(pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=7)))
    async with asyncio.timeout(60):
        assert (await anext(messages)).acknowledgement.number == 7
        assert len((await anext(messages)).updates.updates) == 1


async def test_update_alone_is_sent_after_the_gather_time() -> None:
    stream, outbox = outgoing(gather_seconds=0.0)
    messages = stream.requests()
    await anext(messages)
    stream.send(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=1)))
    await anext(messages)
    outbox.update(update(pb.ASSIGNMENT_PHASE_RUNNING))
    async with asyncio.timeout(60):
        assert len((await anext(messages)).updates.updates) == 1
