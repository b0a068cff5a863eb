"""The checker finds each single change to the record of a correct history."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.settings import DataManagerSettings
from tests.properties.checker import check
from tests.properties.execute import execute
from tests.properties.history import Entry, Fact, History, Outcome
from tests.properties.network import Chances
from tests.properties.plan import Plan, PlannedStep, draw_plan
from tests.properties.run import fast_folder
from tests.properties.workload import Look, Transaction, Write, draw_looks, draw_transaction


def calm_plan() -> Plan:
    """Return a plan of two servers and forty transactions, one after another, without faults."""
    rng = random.Random(11)
    plan = draw_plan(1)
    steps = [PlannedStep("transact", 0.2, 0, {"transaction": Transaction(writes=(Write("add", id="a"),))})]
    for number in range(40):
        transaction = draw_transaction(rng)
        if number == 20:
            transaction = Transaction(looks=(Look("get", id="a"),), writes=(Write("add", id="b"),), refuse_if="a")
        elif number < 20:
            transaction = replace(transaction, writes=tuple(w for w in transaction.writes if w.id != "a"), refuse_if="")
        steps.append(PlannedStep("transact", 0.05, number % 2, {"transaction": transaction}))
        looks = (Look("get", id="a"), *draw_looks(rng, 3), Look("scan"))
        steps.append(PlannedStep("read", 0.01, number % 2, {"looks": looks, "linear": number % 3 == 0, "after": False}))
    return replace(plan, servers=2, settings=DataManagerSettings(), chances=Chances(), steps=tuple(steps))


@pytest.fixture(scope="module")
def recorded() -> History:
    folder = fast_folder()
    made = execute(calm_plan(), folder / "history")
    shutil.rmtree(folder, ignore_errors=True)
    assert check(made) == []
    return made


@pytest.fixture
def history(recorded: History) -> History:
    return copy.deepcopy(recorded)


def test_checker_accepts_a_correct_history(history: History) -> None:
    assert len(history.entries) > 10
    assert len([read for read in history.reads if read.seen]) > 5
    assert sum(len(delivery.facts) for delivery in history.deliveries) > 20
    assert any(attempt.outcome is Outcome.REFUSED for attempt in history.attempts)


def writes(history: History) -> list[Fact]:
    return [fact for entry in history.entries for fact in entry.facts]


def lose_the_last_entry(history: History) -> None:
    """An acknowledged write is gone, and every server agrees."""
    by_digest = {entry.digest: entry for entry in history.entries}
    last = by_digest[history.head]
    history.entries.remove(last)
    history.head = last.previous_digest
    for delivery in history.deliveries:
        delivery.facts = [fact for fact in delivery.facts if fact.position.sequence != last.sequence]
    history.contents.clear()
    history.reads.clear()


def forget_an_entry(history: History) -> None:
    """The log has a gap."""
    del history.entries[len(history.entries) // 2]


def void_without_a_loss(history: History) -> None:
    by_digest = {entry.digest: entry for entry in history.entries}
    history.head = by_digest[history.head].previous_digest


def show_an_old_value(history: History) -> None:
    """A read saw the value that a record had before."""
    for read in history.reads:
        for number, (what, seen) in enumerate(zip(read.looks, read.seen, strict=True)):
            if what.kind == "get" and seen is not None:
                stale = (seen[0], seen[1], seen[2] - 1)
                read.seen = (*read.seen[:number], stale, *read.seen[number + 1 :])
                return
    raise AssertionError("no read saw a record")


def miss_a_record(history: History) -> None:
    for read in history.reads:
        for number, (what, seen) in enumerate(zip(read.looks, read.seen, strict=True)):
            if what.kind in ("list", "scan") and seen and seen[0]:
                read.seen = (*read.seen[:number], seen[1:], *read.seen[number + 1 :])
                return
    raise AssertionError("no read saw a list")


def read_behind_an_acknowledgement(history: History) -> None:
    """Move a read to a place before the one that the same client has seen."""
    read = history.reads[-1]
    first = history.entries[0]
    history.reads.append(
        replace(read, looks=(), seen=(), linear=False, position=first.facts[-1].position, began=history.now())
    )


def acknowledge_backwards(history: History) -> None:
    """Two transactions of which the second began after the first was answered stand the other way round."""
    done = [a for a in history.attempts if a.outcome is Outcome.DONE and a.transaction.writes and a.position]
    done.sort(key=lambda attempt: attempt.position or Position(LogSequence(0, 0), 0))
    first, last = done[0], done[-1]
    first.began, first.ended = last.ended + 1, last.ended + 2
    assert last.ended < first.began


def swap_positions(history: History) -> None:
    done = [a for a in history.attempts if a.outcome is Outcome.DONE and a.transaction.writes]
    done[0].position, done[1].position = done[1].position, done[0].position


def swap_transactions(history: History) -> None:
    """Swap what two transactions wrote."""
    number = next(n for n, entry in enumerate(history.entries) if n and entry.facts[0].steps)
    one, other = history.entries[number - 1], history.entries[number]

    def with_steps(entry: Entry, source: Fact) -> Entry:
        fact = replace(entry.facts[0], steps=source.steps, name=source.name)
        return replace(entry, facts=(fact, *entry.facts[1:]))

    history.entries[number - 1] = with_steps(one, other.facts[0])
    history.entries[number] = with_steps(other, one.facts[0])


def apply_twice(history: History) -> None:
    """A transaction that was in doubt stands in the log a second time."""
    by_digest = {entry.digest: entry for entry in history.entries}
    last = by_digest[history.head]
    sequence = last.sequence.next()
    facts = tuple(replace(fact, position=Position(sequence, fact.position.index)) for fact in last.facts)
    history.entries.append(Entry(sequence, b"again", last.digest, facts, history.now()))
    history.head = b"again"


def write_what_was_refused(history: History) -> None:
    attempt = next(a for a in history.attempts if a.outcome is Outcome.DONE and a.transaction.writes)
    attempt.outcome = Outcome.REFUSED


def never_answer(history: History) -> None:
    history.attempts[0].outcome = Outcome.WAITING


def ignore_a_precondition(history: History) -> None:
    attempt = next(a for a in history.attempts if a.outcome is Outcome.DONE and a.transaction.writes)
    attempt.guards = (("a", Position(LogSequence(1, 77), 7)),)


def refuse_for_nothing(history: History) -> None:
    attempt = next(a for a in history.attempts if a.outcome is Outcome.REFUSED and a.transaction.refuse_if)
    attempt.guards = ()
    attempt.transaction = replace(attempt.transaction, refuse_if="")


def deliver_twice(history: History) -> None:
    delivery = next(delivery for delivery in history.deliveries if delivery.facts)
    delivery.facts.append(delivery.facts[-1])


def deliver_out_of_order(history: History) -> None:
    delivery = next(delivery for delivery in history.deliveries if len(delivery.facts) > 2)
    delivery.facts[0], delivery.facts[1] = delivery.facts[1], delivery.facts[0]


def skip_a_delivery(history: History) -> None:
    delivery = next(delivery for delivery in history.deliveries if len(delivery.facts) > 2)
    del delivery.facts[1]


def deliver_something_else(history: History) -> None:
    delivery = next(delivery for delivery in history.deliveries if delivery.facts)
    delivery.facts[0] = replace(delivery.facts[0], groups=("nobody",))


def hold_another_revision(history: History) -> None:
    contents = history.contents[0]
    key, (value, revision) = next(iter(contents.records.items()))
    contents.records[key] = (value, replace(revision, index=revision.index + 1))


def lack_a_record(history: History) -> None:
    contents = history.contents[-1]
    contents.records.pop(next(iter(contents.records)))


def stay_behind(history: History) -> None:
    entry = history.entries[-2]
    history.contents[0] = replace(history.contents[0], position=entry.facts[-1].position)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lose_the_last_entry, "is not in the log"),
        (forget_an_entry, "never in the log"),
        (void_without_a_loss, "is lost"),
        (show_an_old_value, "a read at"),
        (miss_a_record, "a read at"),
        (read_behind_an_acknowledgement, "began after"),
        (acknowledge_backwards, "began after"),
        (swap_positions, "stands at"),
        (swap_transactions, "and stands at|it wrote|saw"),
        (apply_twice, "in the log 2 times"),
        (write_what_was_refused, "was told refused"),
        (never_answer, "never answered"),
        (ignore_a_precondition, "the precondition says"),
        (refuse_for_nothing, "should not have been|evaluated otherwise"),
        (deliver_twice, "twice"),
        (deliver_out_of_order, "out of order"),
        (skip_a_delivery, "missing"),
        (deliver_something_else, "other than in the log"),
        (hold_another_revision, "the contents of"),
        (lack_a_record, "the contents of"),
        (stay_behind, "at the end"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_checker_finds_each_changed_fact(break_it: Callable[[History], None], words: str, history: History) -> None:
    break_it(history)
    problems = check(history)
    assert any(word in problem for problem in problems for word in words.split("|")), problems
