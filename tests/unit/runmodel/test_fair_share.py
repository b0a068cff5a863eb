"""The bounds of run-model.md, "Fair share", over generated loads: owners that compete for slots, for a long time."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway_common.runmodel.model import Needs, Run, RunPhase, Task
from sluiceway_common.runmodel.placement import AGING, Candidate, ExecutorView, place
from tests.fakes.run_simulator import START, STEPS


@dataclass
class Load:
    """Owners whose tasks take slots, end and arrive by chance; `step` is one placement, of all free slots."""

    rng: random.Random
    slots: int
    owners: int
    waiting: dict[str, list[Candidate]] = field(default_factory=dict)
    running: list[tuple[str, str]] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    passed: timedelta = timedelta()
    numbers: int = 0

    def __post_init__(self) -> None:
        self.waiting = {f"/project/p{n}": [] for n in range(self.owners)}

    def add(self, owner: str, count: int = 1, **facts: object) -> None:
        for _ in range(count):
            self.numbers += 1
            run = Run(
                id=f"run{owner}",
                number=1,
                name="r",
                group=f"{owner}/g",
                scope=owner,
                phase=RunPhase.RUNNING,
                create_time=START,
            )
            fields = {"level": self.rng.randrange(4), "runnable_since": START + self.passed, **facts}
            task = Task(id=f"t{self.numbers}", name=f"t{self.numbers}", steps=STEPS, **fields)  # type: ignore[arg-type]
            self.waiting[owner].append(Candidate(run, task))

    @property
    def shares(self) -> Counter[str]:
        return Counter(owner for owner, _ in self.running)

    def end(self, chance: float) -> None:
        self.running = [each for each in self.running if self.rng.random() >= chance]

    def step(self) -> list[tuple[str, str]]:
        """Place; return the owner and the task of each choice, in order."""
        half = self.slots // 2
        fleet = [
            ExecutorView("e1", "g", slots=half, archs=frozenset({"amd64"})),
            ExecutorView("e2", "g", slots=self.slots - half, archs=frozenset({"amd64"})),
        ]
        used = len(self.running)
        fleet = [replace(fleet[0], used=min(used, half)), replace(fleet[1], used=max(0, used - half))]
        candidates = [each for queue in self.waiting.values() for each in queue]
        self.rng.shuffle(candidates)
        placement = place(
            candidates,
            fleet,
            now=START + self.passed,
            locks={},
            running=self.shares,
            served=self.served,
            with_passed_over=False,
        )
        owner_of = {each.task.id: each.run.scope for each in candidates}
        chosen = [(owner_of[choice.task_id], choice.task_id) for choice in placement.choices]
        for owner, task_id in chosen:
            self.waiting[owner] = [each for each in self.waiting[owner] if each.task.id != task_id]
            self.served[owner] = max(self.served.values(), default=0) + 1
        self.running += chosen
        return chosen


def old_backlog(load: Load) -> None:
    """Add tasks of some owners that have waited for hours, and one that no executor can take."""
    for owner in load.waiting:
        if load.rng.random() < 0.5:
            since = START - timedelta(hours=load.rng.randrange(5))
            load.add(owner, 40, runnable_since=since)
            load.add(owner, runnable_since=since, needs=Needs(arch="arm64"))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(2, 6))
def test_owner_that_runs_nothing_waits_for_one_task_of_each(seed: int, slots: int, owners: int) -> None:
    load = Load(random.Random(seed), slots, owners)
    old_backlog(load)
    overtaken: Counter[str] = Counter()
    for _ in range(80):
        load.passed += timedelta(seconds=load.rng.randrange(120))
        for owner, queue in load.waiting.items():
            if len(queue) < 3 and load.rng.random() < 0.7:
                load.add(owner, load.rng.randrange(1, 4))
        load.end(load.rng.random())
        hungry = {owner for owner, queue in load.waiting.items() if queue and not load.shares[owner]}
        hungry -= {owner for owner in hungry if all(each.task.needs.arch for each in load.waiting[owner])}
        for owner in load.waiting.keys() - hungry:
            overtaken[owner] = 0
        for owner, _ in load.step():
            hungry.discard(owner)
            overtaken[owner] = 0
            for other in hungry:
                overtaken[other] += 1
                assert overtaken[other] < owners, f"{other} of {owners} is overtaken {overtaken[other]} times"


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(2, 5))
def test_each_owner_has_its_share_when_running_tasks_ended(seed: int, slots: int, owners: int) -> None:
    load = Load(random.Random(seed), slots, owners)
    # One owner has all slots, and a backlog that is older than what the others want.
    load.add("/project/p0", 80, runnable_since=START - timedelta(hours=3))
    load.step()
    first = {task for _, task in load.running}
    for owner in list(load.waiting)[1:]:
        load.add(owner, 80)
    while {task for _, task in load.running} & first:
        load.passed += timedelta(seconds=30)
        load.end(0.4)
        load.step()
    for _ in range(10):
        shares = load.shares
        assert min(shares[owner] for owner in load.waiting) >= slots // owners, shares
        assert max(shares.values()) <= -(-slots // owners), shares
        load.passed += timedelta(minutes=2)
        load.end(0.4)
        load.step()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 4), st.integers(1, 3))
def test_low_priority_competes_after_ten_minutes_for_each(seed: int, slots: int, owners: int, lower: int) -> None:
    load = Load(random.Random(seed), slots, owners)
    load.add("/project/p0", priority=-lower)
    (low,) = load.waiting["/project/p0"]
    others = 0
    while low in load.waiting["/project/p0"]:
        for owner in list(load.waiting)[1:]:
            load.add(owner, slots + 1 - len(load.waiting[owner]))
        load.end(0.6)
        competes = load.passed >= AGING * lower
        order = [owner for owner, _ in load.step()]
        assert competes or "/project/p0" not in order
        others += [*order, "/project/p0"].index("/project/p0") if competes else 0
        load.passed += timedelta(seconds=load.rng.randrange(60))
        assert others < owners


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_task_is_overtaken_by_its_owner_for_ten_minutes(seed: int) -> None:
    load = Load(random.Random(seed), 2, 1)
    since: dict[str, datetime] = {}
    for _ in range(60):
        load.passed += timedelta(minutes=load.rng.randrange(4))
        load.add("/project/p0", load.rng.randrange(4))
        load.end(0.5)
        for queue in load.waiting.values():
            since |= {each.task.id: each.task.runnable_since for each in queue if each.task.runnable_since}
        for _, task_id in load.step():
            for left in load.waiting["/project/p0"]:
                assert since[task_id] - since[left.task.id] < AGING
