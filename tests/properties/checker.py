"""Judges a recorded history: do the results of clients and the contents of servers fit one serial history? Pure.

The log is a tree: every entry names, by digest, the one before it. The way from the root to the entry that was the head
at the end is the *history*; what is beside it is void, which only a loss of etcd may cause. The log is replayed from
the root, transaction by transaction, over the model, and at each place everything that was seen there is compared:

- what transaction functions read and wrote, also those that refused or only looked, and preconditions;
- what reads saw, at the position that they were told;
- what each server holds at the end, with revisions and change groups.

Besides: a transaction that began after another one was acknowledged is after it in the log; reads see what their server
has acknowledged, linear ones what any server has; no transaction is in the log twice, or although its client was told
that it is not; subscribers got everything in order, and nothing twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sluiceway_common.foundation.errors import AlreadyExists
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST
from sluiceway_server.datamanager.model import LogSequence, Position
from tests.properties.history import (
    Attempt,
    Contents,
    Delivery,
    Entry,
    Evaluation,
    Fact,
    History,
    Outcome,
    ReadRecord,
    plain,
)
from tests.properties.model import Model
from tests.properties.workload import look, perform

__all__ = ["check"]

_START = Position(LogSequence(0, 0), 0)


def check(history: History) -> list[str]:
    """Return everything that is wrong with a history."""
    return _Check(history).run()


@dataclass
class _Claim:
    """Something that was seen at a place. `test` returns what is wrong with it, given the state of the model there."""

    what: str
    test: Callable[[Model], str | None]
    # After the transaction at this position (reads), or before it (functions).
    at: Position
    before: bool
    failures: list[str] = field(default_factory=list)
    met: bool = False


class _Check:
    def __init__(self, history: History) -> None:
        self._history = history
        self._problems: list[str] = list(history.problems)
        self._by_digest: dict[bytes, Entry] = {}
        self._path: list[Entry] = []
        self._facts: list[Fact] = []
        self._main: dict[Position, Fact] = {}
        self._names: set[str] = set()
        self._beside: list[Fact] = []  # of a fork: at a position of the history, and not in it

    def run(self) -> list[str]:
        if not self._find_history():
            return self._problems
        self._check_attempts()
        self._check_order()
        self._check_losses()
        self._replay()
        for delivery in self._history.deliveries:
            self._check_delivery(delivery)
        if not self._history.losses:
            self._check_gets()
        return self._problems

    def _wrong(self, what: str) -> None:
        self._problems.append(what)

    # -- the log

    def _find_history(self) -> bool:
        for entry in self._history.entries:
            # A message that was late may be applied again by an etcd that was restored.
            if entry.digest in self._by_digest and not self._history.losses:
                self._wrong(f"entry {entry.sequence} was put into the log twice")
            self._by_digest.setdefault(entry.digest, entry)
        path = self._path_to(self._history.head)
        if path is None:
            return False
        self._path = path
        self._facts = [fact for entry in path for fact in entry.facts]
        self._main = {fact.position: fact for fact in self._facts}
        self._names = {fact.name for fact in self._facts}
        sequences = {entry.sequence for entry in path}
        self._beside = [
            fact
            for entry in self._by_digest.values()
            for fact in entry.facts
            if fact.position.sequence in sequences and self._main.get(fact.position) != fact
        ]
        return True

    def _path_to(self, digest: bytes) -> list[Entry] | None:
        path: list[Entry] = []
        while digest != GENESIS_DIGEST:
            entry = self._by_digest.get(digest)
            if entry is None:
                self._wrong(f"an entry follows {digest.hex()[:8]}, which was never in the log")
                return None
            path.append(entry)
            digest = entry.previous_digest
        path.reverse()
        expected = LogSequence(path[0].sequence.epoch, 1) if path else None
        for entry in path:
            first = entry.sequence.counter == 1 and expected is not None and entry.sequence.epoch > expected.epoch
            if entry.sequence != expected and not first:
                self._wrong(f"the log has {entry.sequence} where {expected} should be")
            expected = entry.sequence.next()
        return path

    # -- the results of clients

    def _check_attempts(self) -> None:
        places: dict[str, list[Fact]] = defaultdict(list)
        for entry in self._by_digest.values():
            for fact in entry.facts:
                places[fact.name].append(fact)
        known = {attempt.name for attempt in self._history.attempts}
        for name, facts in places.items():
            if not name:
                continue  # of a sweeper; see `_replay_branch`
            if name not in known:
                self._wrong(f"the log has a transaction {name!r} at {facts[0].position} that nobody asked for")
            elif len([fact for fact in facts if not self._history.losses or fact in self._facts]) > 1:
                self._wrong(f"{name} is in the log {len(facts)} times: {[str(fact.position) for fact in facts]}")
        for attempt in self._history.attempts:
            found = places.get(attempt.name, [])
            match attempt.outcome:
                case Outcome.DONE if attempt.transaction.writes:
                    if not found:
                        self._wrong(f"{attempt.name} was acknowledged at {attempt.position}, and is not in the log")
                    elif attempt.position not in [fact.position for fact in found]:
                        self._wrong(
                            f"{attempt.name} was acknowledged at {attempt.position}, and stands at {found[0].position}"
                        )
                case Outcome.REFUSED | Outcome.NOTHING_WRITTEN if found and not self._history.losses:
                    self._wrong(
                        f"{attempt.name} was told {attempt.outcome} ({attempt.error}), and stands at"
                        f" {found[0].position}"
                    )
                case Outcome.WAITING:
                    self._wrong(f"{attempt.name} was never answered")
                case _:
                    pass

    def _check_order(self) -> None:
        """Compare what began after something with what was acknowledged before."""
        acknowledged = sorted(
            (attempt.ended, attempt.position, attempt.server, attempt.name)
            for attempt in self._history.attempts
            if attempt.outcome is Outcome.DONE and attempt.transaction.writes and attempt.position is not None
            if attempt.name in self._names
        )
        shown = sorted(
            (read.ended, read.position, read.server) for read in self._history.reads if read.position in self._main
        )
        # (began, ended, what, position, server or "" for all, must it be beyond or may it be the same)
        later: list[tuple[int, int, str, Position, str, bool]] = []
        for attempt in self._history.attempts:
            if attempt.outcome is Outcome.DONE and attempt.transaction.writes and attempt.name not in self._names:
                continue  # void; a server that did not know of the loss yet wrote it
            place = attempt.position
            if attempt.outcome in (Outcome.DONE, Outcome.REFUSED) and attempt.evaluations:
                place = attempt.evaluations[-1].position
            if place is not None and attempt.outcome in (Outcome.DONE, Outcome.REFUSED):
                later.append((attempt.began, attempt.ended, attempt.name, place, "", True))
        for read in self._history.reads:
            who = "" if read.linear else read.server
            later.append((read.began, read.ended, f"a read at {read.server}", read.position, who, False))
            if read.after is not None and read.position < read.after:
                self._wrong(f"a read at {read.server} after {read.after} was answered at {read.position}")
        later.sort(key=lambda item: item[0])
        everywhere = _START
        here: defaultdict[str, Position] = defaultdict(lambda: _START)
        ack, show = 0, 0
        for began, ended, what, position, server, beyond in later:
            while ack < len(acknowledged) and acknowledged[ack][0] < began:
                _, place, at, _ = acknowledged[ack]
                everywhere, here[at] = max(everywhere, place), max(here[at], place)
                ack += 1
            while show < len(shown) and shown[show][0] < began:
                _, place, at = shown[show]
                here[at] = max(here[at], place)
                show += 1
            floor = here[server] if server else everywhere
            if self._lied(ended, position):
                continue
            if position < floor or (beyond and position == floor):
                self._wrong(f"{what} at {position} began after {floor} was acknowledged")

    def _lied(self, ended: int, position: Position) -> bool:
        """Return whether etcd, put back under its old cluster id, may have responded for what it had forgotten.

        Nobody can see that until a server asks that knew more; the epoch ends then.
        """
        for moment in self._history.put_back:
            before = [entry.sequence.epoch for entry in self._history.entries if entry.moment < moment]
            if moment < ended and before and position.sequence.epoch <= max(before):
                return True
        return False

    def _check_losses(self) -> None:
        lost = [
            attempt
            for attempt in self._history.attempts
            if attempt.outcome is Outcome.DONE and attempt.transaction.writes and attempt.position is not None
            if attempt.name not in self._names
        ]
        names = {fact.name for entry in self._by_digest.values() for fact in entry.facts}
        for attempt in lost:
            if attempt.name in names and not self._history.losses:
                self._wrong(f"{attempt.name} was acknowledged at {attempt.position}, and is lost")
        self._check_saved()

    def _check_saved(self) -> None:
        """Check that what the object storage had when an epoch began is in the history, unless that epoch went back."""
        history = self._history
        on_path = {entry.digest for entry in self._path}
        epochs = sorted({entry.sequence.epoch for entry in self._path})
        saved = [entry for entry in self._by_digest.values() if entry.digest in history.saved]
        times = Counter(entry.sequence for entry in saved)
        for entry in saved:
            if entry.digest in on_path or times[entry.sequence] > 1:
                continue
            following = next((epoch for epoch in epochs if epoch > entry.sequence.epoch), None)
            if following is None:
                self._wrong(f"entry {entry.sequence} is in the object storage, and is not part of the history")
            elif following not in history.restored and history.saved[entry.digest] < history.epochs[following]:
                self._wrong(
                    f"entry {entry.sequence} was in the object storage when epoch {following} began, and is void"
                )

    # -- what everybody saw

    def _replay(self) -> None:
        claims = self._claims()
        branches = [self._path]
        on_path = {entry.digest for entry in self._path}
        parents = {entry.previous_digest for entry in self._by_digest.values()}
        for entry in self._by_digest.values():
            if entry.digest not in on_path and entry.digest not in parents:
                path = self._path_to(entry.digest)
                if path is not None:
                    branches.append(path)
        for branch in branches:
            self._problems += _replay_branch(branch, claims)
        for claim in claims:
            if not claim.met:
                why = claim.failures[0] if claim.failures else "there is no such place in the log"
                self._wrong(f"{claim.what} at {claim.at}: {why}")
        for contents in self._history.contents:
            end = self._facts[-1].position if self._facts else None
            if end is not None and contents.position < end:
                self._wrong(f"{contents.server} is at {contents.position} at the end, and the log at {end}")

    def _claims(self) -> list[_Claim]:
        claims: list[_Claim] = []
        facts: dict[str, list[Fact]] = defaultdict(list)
        for entry in self._by_digest.values():
            for fact in entry.facts:
                facts[fact.name].append(fact)
        for attempt in self._history.attempts:
            if facts[attempt.name]:
                for fact in facts[attempt.name]:
                    claims += self._claims_of(attempt, fact)
            else:
                claims += self._claims_of(attempt, None)
        for read in self._history.reads:
            claims.append(_Claim(f"a read at {read.server}", _read_test(read), read.position, before=False))
        for contents in self._history.contents:
            what = f"the contents of {contents.server}"
            claims.append(_Claim(what, _contents_test(contents), contents.position, before=False))
        return claims

    def _claims_of(self, attempt: Attempt, fact: Fact | None) -> list[_Claim]:
        if fact is not None:
            seen = [item for item in attempt.evaluations if item.position == fact.position]
            if not seen:
                self._wrong(f"{attempt.name} stands at {fact.position}, where it was never evaluated")
                return []
            return [_Claim(attempt.name, _function_test(attempt, seen[-1], fact), fact.position, before=True)]
        if attempt.outcome in (Outcome.DONE, Outcome.REFUSED) and attempt.evaluations:
            last = attempt.evaluations[-1]
            if last.refused != (attempt.outcome is Outcome.REFUSED):
                self._wrong(f"{attempt.name} was told {attempt.outcome}, and evaluated otherwise at {last.position}")
            return [_Claim(attempt.name, _function_test(attempt, last, None), last.position, before=True)]
        return []

    def _check_gets(self) -> None:
        """Check that a record that was found was there at some moment, and that one that was not found was absent.

        Found: at a place that the server had not passed before it was asked. Not found: at one that nobody had been
        told to be passed.
        """
        moments = {entry.sequence: entry.moment for entry in self._path}
        versions: dict[tuple[str, str], list[tuple[Position, Any]]] = defaultdict(list)
        for fact in self._facts:
            for step in fact.steps:
                if step[0] != "emit":
                    versions[step[1], step[2]].append((fact.position, step[3] if step[0] == "put" else None))
        for get in self._history.gets:
            floor = max(
                (
                    attempt.position
                    for attempt in self._history.attempts
                    if attempt.outcome is Outcome.DONE and attempt.position is not None and attempt.transaction.writes
                    if attempt.ended < get.began and (get.value is None or attempt.server == get.server)
                ),
                default=_START,
            )
            before: list[Any] = [None]
            possible: list[Any] = []
            for position, value in versions[get.type, get.id]:
                if position <= floor:
                    before = [value]
                elif moments[position.sequence] < get.ended:
                    possible.append(value)
            if get.value not in before + possible:
                what = "was not found" if get.value is None else f"was {get.value}"
                self._wrong(f"{get.type} {get.id} {what} at {get.server}, and the log says {before + possible}")

    # -- subscribers

    def _check_delivery(self, delivery: Delivery) -> None:
        # What a subscriber of a void branch saw is not checked here beyond order: it is of an old epoch.
        wanted = [fact for fact in self._facts if not delivery.topic or _touches(fact, delivery.topic)]
        who = f"the subscriber of {delivery.topic or 'everything'}"
        starts = [*delivery.starts, (len(delivery.facts), _START)]
        for (begin, after), (end, _) in pairwise(starts):
            got = delivery.facts[begin:end]
            positions = [fact.position for fact in got]
            if positions != sorted(set(positions)):
                self._wrong(f"{who} got transactions out of order or twice after {after}")
                continue
            sound = [fact for fact in got if fact.position in self._main and fact not in self._beside]
            if not sound:
                continue
            # A subscriber that resumes elsewhere cannot distinguish two entries of one sequence (an etcd that was put
            # back, and written, unnoticed): docs/limits.md.
            void = [fact for fact in got if fact.position not in self._main and fact not in self._beside]
            if void and void[0].position < sound[-1].position:
                self._wrong(f"{who} after {after} got what is void, and then what follows in the history")
                continue
            other = {fact.position.sequence for fact in got if fact in self._beside}
            expected = [fact for fact in wanted if after < fact.position <= sound[-1].position]
            expected = [fact for fact in expected if fact.position.sequence not in other]
            sound = [fact for fact in sound if fact.position.sequence not in other]
            if sound != expected:
                missing = [str(fact.position) for fact in expected if fact not in sound]
                extra = [str(fact.position) for fact in sound if fact not in expected]
                self._wrong(f"{who} after {after}: missing {missing}, other than in the log {extra}")


def _touches(fact: Fact, topic: str) -> bool:
    if topic.startswith("type:"):
        return any(step[0] in ("put", "delete") and step[1] == topic[5:] for step in fact.steps)
    return any(step[0] == "emit" and topic in step[2] for step in fact.steps)


def _replay_branch(branch: list[Entry], claims: list[_Claim]) -> list[str]:
    """Walk one way through the log; at each place, test what was seen there."""
    problems: list[str] = []
    open_claims = sorted((claim for claim in claims if not claim.met), key=lambda claim: (claim.at, not claim.before))
    there = {entry.sequence for entry in branch}
    model, at = Model(), 0

    def settle(limit: Position | None) -> None:
        """Test the claims whose place comes before a transaction."""
        nonlocal at
        while at < len(open_claims):
            claim = open_claims[at]
            if limit is not None and not (claim.at < limit or (claim.before and claim.at == limit)):
                return
            at += 1
            if not _belongs(claim, there):
                continue
            failure = claim.test(model)
            if failure is None:
                claim.met = True
            else:
                claim.failures.append(failure)

    for entry in branch:
        for fact in entry.facts:
            settle(fact.position)
            if not fact.name and not model.sweeps(fact):
                problems.append(f"nobody asked for {fact.steps} at {fact.position}, and it is no sweep")
            model.apply(fact)
    settle(None)
    return problems


def _belongs(claim: _Claim, there: set[LogSequence]) -> bool:
    sequence = claim.at.sequence
    if sequence in there or sequence.counter == 0:
        return True
    return claim.before and (sequence.counter == 1 or LogSequence(sequence.epoch, sequence.counter - 1) in there)


def _read_test(read: ReadRecord) -> Callable[[Model], str | None]:
    def test(model: Model) -> str | None:
        for what, seen in zip(read.looks, read.seen, strict=True):
            expected = look(model, what)  # type: ignore[arg-type]
            if expected != seen:
                return f"{what} saw {seen}, and the log says {expected}"
        return None

    return test


def _function_test(attempt: Attempt, evaluation: Evaluation, fact: Fact | None) -> Callable[[Model], str | None]:
    def test(model: Model) -> str | None:
        for name, revision in attempt.guards:
            have = _revision(model, name)
            if have != revision:
                return None if evaluation.refused else f"{name} is at {have}, and the precondition says {revision}"
        try:
            seen, actions = perform(model, attempt.transaction, attempt.name)  # type: ignore[arg-type]
        except AlreadyExists:
            return None if evaluation.refused else "it should have refused itself"
        buried = any(step[0] == "put" and model.hides(*step[1:]) for step in plain(actions) if step[1] != "tombstone")
        if buried:
            return None if evaluation.refused else "it wrote what was being deleted"
        if evaluation.refused:
            return "it was refused, and should not have been"
        if seen != evaluation.seen:
            different = [
                f"{what} saw {was}, and the log says {should}"
                for what, was, should in zip(attempt.transaction.looks, evaluation.seen, seen, strict=True)
                if was != should
            ]
            return "; ".join(different)
        if fact is not None and (plain(actions), attempt.transaction.groups) != (fact.steps, fact.groups):
            return f"it wrote {fact.steps}, and should have written {plain(actions)}"
        return None

    return test


def _revision(model: Model, name: str) -> Position | None:
    if name.startswith("#"):
        return model.groups.get(name[1:])
    found = model.visible.get(("note", name))
    return None if found is None else found[1]


def _contents_test(contents: Contents) -> Callable[[Model], str | None]:
    def test(model: Model) -> str | None:
        visible = model.visible
        if contents.records != visible:
            keys = {*contents.records, *visible}
            different = {
                key: (contents.records.get(key), visible.get(key))
                for key in sorted(keys)
                if contents.records.get(key) != visible.get(key)
            }
            return f"it has, and the log says: {different}"
        if contents.groups != model.groups:
            return f"it has the change groups {contents.groups}, and the log says {model.groups}"
        return None

    return test
