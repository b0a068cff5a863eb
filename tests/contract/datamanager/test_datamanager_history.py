"""Random histories of two servers on one etcd, with lost responses, against a plain dictionary."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import AlreadyExists
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Applied, Decision, Delete, Position, Put, TransactionFunction, View
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore, Fate
from tests.support.databases import NOTE, open_database, put

IDS = ("a", "b", "c")
FATES = (Fate.APPLIED_BUT_TIMED_OUT, Fate.NOT_APPLIED_AND_TIMED_OUT, Fate.UNAVAILABLE)


@dataclass(frozen=True)
class Step:
    server: int
    id: str
    kind: str


STEPS = st.lists(
    st.builds(
        Step, st.integers(0, 1), st.sampled_from(IDS), st.sampled_from(["add", "delete", "move", "refuse", "look"])
    ),
    min_size=1,
    max_size=25,
)


def transaction(step: Step) -> TransactionFunction[int]:
    """Each one returns what it saw, so that the recorded history can be checked step by step."""

    def function(view: View) -> Decision[int]:
        old = view.get(NOTE, step.id)
        seen = old.number if old else 0
        match step.kind:
            case "add":
                return Decision(seen, [put(step.id, rank=seen + 1)])
            case "delete":
                return Decision(seen, [Delete(NOTE, step.id)])
            case "move":
                return Decision(seen, [Delete(NOTE, step.id), put("moved", rank=seen)])
            case "refuse":
                raise AlreadyExists(str(seen))
            case _:
                return Decision(seen)

    return function


def replay(step: Step, state: dict[str, int]) -> int:
    seen = state.get(step.id, 0)
    match step.kind:
        case "add":
            state[step.id] = seen + 1
        case "delete":
            state.pop(step.id, None)
        case "move":
            state.pop(step.id, None)
            state["moved"] = seen
    return seen


async def contents(database: DataManager) -> dict[str, int]:
    await database.linearize()
    return await database.read(lambda view: {id_: message.number for id_, message in view.scan(NOTE)})


async def check(steps: list[Step], fates: list[Fate]) -> None:
    kv = FakeKeyValueStore()
    with tempfile.TemporaryDirectory() as folder:
        storage = PosixStorage(Path(folder) / "objects")
        async with (
            open_database(kv, storage, Path(folder), prefix="p", server_id="s0") as one,
            open_database(kv, storage, Path(folder), prefix="p", server_id="s1") as two,
        ):
            start = one.position
            history: list[tuple[Position, Step, int]] = []
            kv.decide_next_writes(*fates)

            async def run(step: Step) -> None:
                try:
                    answer = await (one, two)[step.server].transact(transaction(step))
                except AlreadyExists:
                    return
                if step.kind != "look":
                    history.append((answer.position, step, answer.value))

            await asyncio.gather(*(run(step) for step in steps))
            history.sort(key=lambda item: item[0])
            assert len({position for position, _, _ in history}) == len(history)
            expected: dict[str, int] = {}
            for _, step, seen in history:
                assert replay(step, expected) == seen
            assert await contents(one) == expected
            assert await contents(two) == expected
            assert replayed(await everything(one, start, len(history))) == expected
        async with open_database(kv, storage, Path(folder), prefix="p", server_id="anew") as anew:
            assert await contents(anew) == expected
        await storage.close()


async def everything(database: DataManager, start: Position, number: int) -> list[Applied]:
    found: list[Applied] = []
    subscription = database.subscribe(after=start)
    try:
        while len(found) < number:
            found.append(await anext(subscription))
    finally:
        await subscription.aclose()
    return found


def replayed(log: list[Applied]) -> dict[str, int]:
    state: dict[str, int] = {}
    for applied in log:
        for action in applied.actions:
            if isinstance(action, Put):
                state[action.id] = action.message.number  # type: ignore[attr-defined]
            elif isinstance(action, Delete):
                state.pop(action.id, None)
    return state


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, fates=st.lists(st.sampled_from(FATES), max_size=4))
def test_what_two_servers_return_is_one_serial_history(steps: list[Step], fates: list[Fate]) -> None:
    asyncio.run(check(steps, fates))
