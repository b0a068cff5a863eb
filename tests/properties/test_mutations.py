"""Histories find mistakes: the database is broken in one way each time, and some history says so soon.

A mistake that no history finds means that the histories are too tame, or that the checker looks away.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from sluiceway.datamanager.checkpoints import changes, clean_rules, cleaner
from sluiceway.datamanager.database import DataManager
from sluiceway.datamanager.log.etcdlog import FlushMark, HeadMark
from sluiceway.datamanager.log.lineage import Lineage
from sluiceway.datamanager.log.segments import SegmentStore
from sluiceway.datamanager.model import LogSequence, Position
from sluiceway.datamanager.reading.readdb import ReadDatabase
from sluiceway.datamanager.reading.subscriptions import Subscriptions
from sluiceway.datamanager.recovery.recovery import Recovery
from sluiceway.datamanager.recovery.rescue import Rescued
from sluiceway.datamanager.running import losing
from sluiceway.datamanager.running.batches import Prepared, effects_of
from sluiceway.datamanager.running.committer import Committer
from sluiceway.datamanager.running.core import Core
from sluiceway.datamanager.running.flusher import Flusher
from sluiceway.datamanager.running.preparing import Preparer
from sluiceway.datamanager.running.state import State
from sluiceway.datamanager.settings import DataManagerSettings
from sluiceway.foundation.errors import Unavailable
from sluiceway.kv.port import Compare, OutcomeUnknown
from tests.properties.network import Chances, Network
from tests.properties.plan import Plan, PlannedStep, draw_plan
from tests.properties.run import fast_folder, run_plan
from tests.properties.workload import Transaction, Write

pytestmark = pytest.mark.timeout(300)

MOST_HISTORIES = 150

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = fast_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


def compare_the_head_by_its_sequence(patch: Patch) -> None:
    """Another entry of the same sequence is taken for the one that is known."""
    honest = Network.apply

    def apply(self: Network, compare: Any, then: Any, otherwise: Any) -> Any:
        weaker = []
        for item in compare:
            there = self.store.peek(item.key)
            if item.key.endswith("/db/head") and there and item.value:
                same = HeadMark.parse(there).sequence == HeadMark.parse(item.value).sequence
                weaker.append(Compare(item.key, there if same else item.value))
            else:
                weaker.append(item)
        return honest(self, weaker, then, otherwise)

    patch.setattr(Network, "apply", apply)


def write_without_comparing_the_head(patch: Patch) -> None:
    honest = Network.apply

    def apply(self: Network, compare: Any, then: Any, otherwise: Any) -> Any:
        kept = [item for item in compare if not (item.key.endswith("/db/head") and item.value)]
        return honest(self, kept, then, otherwise)

    patch.setattr(Network, "apply", apply)


def repeat_with_another_batch_id(patch: Patch) -> None:
    """A transaction in doubt is prepared anew, instead of being sent again as it is."""

    async def send(self: Committer, known: Any, entry: Any, head: Any) -> Any:
        try:
            return await self._core.log.append(known, entry, head)
        except OutcomeUnknown as error:
            raise Unavailable("etcd did not answer") from error

    patch.setattr(Committer, "_send", send)


def take_a_doubt_for_a_success(patch: Patch) -> None:
    honest = Committer._send

    async def send(self: Committer, known: Any, entry: Any, head: Any) -> Any:
        try:
            return await self._core.log.append(known, entry, head)
        except OutcomeUnknown:
            look = await honest(self, known, entry, head)
            return replace(look, succeeded=True)

    patch.setattr(Committer, "_send", send)


def answer_without_asking_etcd(patch: Patch) -> None:
    """Errors, and values of functions that write nothing, are answered from what this server happens to know."""

    async def confirm(self: Committer) -> bool:
        return True

    patch.setattr(Committer, "_confirm", confirm)


def forget_the_effects_of_the_batch(patch: Patch) -> None:
    def add_effects(self: State, transaction: Any) -> None:
        self._unwritten.update(effects_of(transaction))
        records = effects_of(transaction)
        self._late = {**getattr(self, "_late", {}), **records}  # type: ignore[attr-defined]

    honest = Preparer.prepare

    def prepare(self: Any, calls: Any, **more: Any) -> Any:
        self._state._late = {}
        prepared = honest(self, calls, **more)
        prepared.records.update(self._state._late)
        return prepared

    patch.setattr(State, "add_effects", add_effects)
    patch.setattr(Preparer, "prepare", prepare)


def keep_what_others_changed_in_the_cache(patch: Patch) -> None:
    honest = State.receive

    def receive(self: State) -> None:
        remember, self._remember = self._remember, lambda key, version: None  # type: ignore[method-assign]
        try:
            honest(self)
        finally:
            self._remember = remember  # type: ignore[method-assign]

    patch.setattr(State, "receive", receive)


def keep_deleted_records(patch: Patch) -> None:
    honest = ReadDatabase.write

    def write(self: ReadDatabase, records: Any, *args: Any, **more: Any) -> None:
        honest(self, {key: version for key, version in records.items() if version is not None}, *args, **more)

    patch.setattr(ReadDatabase, "write", write)


def read_before_it_is_applied(patch: Patch) -> None:
    async def wait_applied(self: Core, position: Position) -> None:
        pass

    patch.setattr(Core, "wait_applied", wait_applied)


def linearize_without_asking(patch: Patch) -> None:
    async def linearize(self: DataManager) -> Position:
        return self.position

    patch.setattr(DataManager, "linearize", linearize)


def skip_an_entry_in_a_segment(patch: Patch) -> None:
    honest = Flusher._entries_after

    async def entries_after(self: Flusher, known: FlushMark) -> Any:
        entries = await honest(self, known)
        return entries[:1] + entries[2:]

    patch.setattr(Flusher, "_entries_after", entries_after)


def say_flushed_before_it_is(patch: Patch) -> None:
    """The segment is not stored, and etcd is told that it is."""
    honest, rng = SegmentStore.put, random.Random(1)

    async def put(self: SegmentStore, first: LogSequence, body: bytes) -> bool:
        return True if rng.random() < 0.3 else await honest(self, first, body)

    patch.setattr(SegmentStore, "put", put)


def trim_what_is_not_flushed(patch: Patch) -> None:
    honest = Flusher._mark

    def mark(self: Flusher, *args: Any) -> FlushMark:
        from sluiceway.records.log.v1 import log_pb2

        made = log_pb2.Flushed.FromString(honest(self, *args).raw)
        made.first_kept_counter = made.sequence.counter + 3
        return FlushMark.parse(made.SerializeToString())

    patch.setattr(Flusher, "_mark", mark)


def forget_deletes_in_a_checkpoint(patch: Patch) -> None:
    honest = changes._rows

    def rows(entry: Any) -> Any:
        return [row for row in honest(entry) if row[-1] is not None]

    patch.setattr(changes, "_rows", rows)


def clean_what_a_manifest_needs(patch: Patch) -> None:
    honest = clean_rules.choose_files

    def choose_files(found: Any, needed: Any, now: Any, rules: Any) -> Any:
        return honest(found, set(), now, rules)

    async def delete_file(self: Any, work: Any, found: Any) -> None:
        await self._storage.delete(f"{self._prefix}/{found.key}")

    patch.setattr(cleaner, "choose_files", choose_files)
    patch.setattr(cleaner.Cleaner, "_delete_file", delete_file)


def drop_bodies_that_no_file_has(patch: Patch) -> None:
    honest = ReadDatabase.drop_bodies

    def drop_bodies(self: ReadDatabase, *, covered: LogSequence, before_us: int, limit: int) -> int:
        return honest(self, covered=LogSequence(covered.epoch, 1 << 40), before_us=before_us, limit=limit)

    patch.setattr(ReadDatabase, "drop_bodies", drop_bodies)


def deliver_twice(patch: Patch) -> None:
    """A subscriber that resumes gets the last one again."""
    honest = Subscriptions._from_ring

    def from_ring(self: Subscriptions, after: Position) -> Any:
        earlier = [item.applied.position for item in self._ring if item.applied.position < after]
        return honest(self, max(earlier, default=after))

    patch.setattr(Subscriptions, "_from_ring", from_ring)


def do_not_deliver_what_others_write(patch: Patch) -> None:
    honest = Core._take

    def take(self: Core, entry: Any, prepared: Any) -> None:
        if entry.writer != self.settings.server_id:
            prepared = replace_transactions(prepared)
        honest(self, entry, prepared)

    def replace_transactions(prepared: Any) -> Any:
        return Prepared(prepared.outcomes, prepared.entry, prepared.transactions[:0], prepared.records, prepared.groups)

    patch.setattr(Core, "_take", take)


def do_not_save_what_only_this_server_knows(patch: Patch) -> None:
    async def rescue(*_: Any, **__: Any) -> Rescued:
        return Rescued(0)

    patch.setattr(losing, "rescue", rescue)


def recover_without_what_only_etcd_has(patch: Patch) -> None:
    async def store_tail(self: Recovery, ledger: Any, end: Any) -> None:
        pass

    patch.setattr(Recovery, "_store_tail", store_tail)


def apply_what_is_void(patch: Patch) -> None:
    def contains(self: Lineage, sequence: LogSequence) -> bool:
        return sequence.epoch in self.epochs

    patch.setattr(Lineage, "contains", contains)


Plans = Callable[[], Iterator[Plan]]


def drawn() -> Iterator[Plan]:
    return (draw_plan(seed) for seed in count(1))


def losses() -> Iterator[Plan]:
    return (plan for plan in drawn() if _has(plan, "loss") or _has(plan, "restore"))


def checkpoints() -> Iterator[Plan]:
    return (plan for plan in drawn() if _has(plan, "checkpoint"))


def cleans() -> Iterator[Plan]:
    def ages(plan: Plan) -> bool:
        return bool(sum(step.what.get("hours", 0) for step in plan.steps) > 24)

    return (plan for plan in checkpoints() if _has(plan, "clean") and ages(plan))


def _has(plan: Plan, kind: str) -> bool:
    return any(step.kind == kind for step in plan.steps)


def forks() -> Iterator[Plan]:
    """Etcd goes back by one entry, as a restored machine does, and a server that had not seen that one writes on.

    The other server has seen it. It was away meanwhile, and writes as soon as it is back.
    """

    def add(id_: str) -> dict[str, Any]:
        return {"transaction": Transaction(writes=(Write("add", id=id_),))}

    settings = DataManagerSettings(
        etcd_name="the simulated etcd", flush_interval=timedelta(seconds=8), etcd_timeout=timedelta(seconds=1)
    )
    for seed in count(1):
        rng = random.Random(seed)
        steps = [
            PlannedStep("transact", 0.3, 0, add("a")),
            PlannedStep("transact", 0.1, 1, add("b")),
            PlannedStep("snapshot", 0.1),
            PlannedStep("cut_off", 0.0, 1, {"seconds": 1.0}),
            PlannedStep("transact", 0.05, 0, add("c")),
            PlannedStep("cut_off", 0.1, 0, {"seconds": 4.0}),
            PlannedStep("loss", 0.1, -1, {"how": "restored", "cluster": "same", "recover_after": 30.0}),
            PlannedStep("transact", 1.5, 1, add("d")),
            *(PlannedStep("transact", 2.0 + rng.random() if n == 0 else 0.01, 0, add("e")) for n in range(6)),
            PlannedStep("wait", 3.0),
        ]
        yield Plan(seed, 2, False, settings, Chances(), tuple(steps))


@pytest.mark.parametrize("seed", range(5))
def test_a_fork_is_survived(seed: int, folder: Path) -> None:
    assert run_plan(next(islice(forks(), seed, None)), folder) == ()


@pytest.mark.parametrize(
    ("mistake", "plans"),
    [
        (compare_the_head_by_its_sequence, forks),
        (write_without_comparing_the_head, drawn),
        (repeat_with_another_batch_id, drawn),
        (take_a_doubt_for_a_success, drawn),
        (answer_without_asking_etcd, drawn),
        (forget_the_effects_of_the_batch, drawn),
        (keep_what_others_changed_in_the_cache, drawn),
        (keep_deleted_records, drawn),
        (read_before_it_is_applied, drawn),
        (linearize_without_asking, drawn),
        (skip_an_entry_in_a_segment, drawn),
        (say_flushed_before_it_is, drawn),
        (trim_what_is_not_flushed, drawn),
        (forget_deletes_in_a_checkpoint, checkpoints),
        (clean_what_a_manifest_needs, cleans),
        (drop_bodies_that_no_file_has, drawn),
        (deliver_twice, drawn),
        (do_not_deliver_what_others_write, drawn),
        (do_not_save_what_only_this_server_knows, losses),
        (recover_without_what_only_etcd_has, losses),
        (apply_what_is_void, losses),
    ],
    ids=lambda value: value.__name__,
)
def test_a_mistake_is_found(
    mistake: Callable[[Patch], None],
    plans: Plans,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    mistake(monkeypatch)
    for histories, plan in enumerate(islice(plans(), MOST_HISTORIES), start=1):
        if problems := run_plan(plan, folder):
            record_property("histories", histories)
            record_property("problem", problems[0])
            print(f"{mistake.__name__}: found by history {histories}, seed {plan.seed}: {problems[0][:300]}")
            return
    raise AssertionError(f"{MOST_HISTORIES} histories did not find it: {mistake.__doc__ or mistake.__name__}")
