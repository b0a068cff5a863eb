"""What every `Database` promises: the real one and the fake."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    InvalidInput,
    NotFound,
    OutOfRange,
    Unavailable,
)
from sluiceway_server.datamanager.model import (
    Applied,
    Decision,
    Delete,
    Emit,
    GroupRevision,
    LogSequence,
    Position,
    Put,
    Query,
    RecordAbsent,
    RecordRevision,
    View,
)
from sluiceway_server.datamanager.port import Database
from tests.fakes.database import FakeDatabase
from tests.support.databases import NOTE, OTHER, put


async def take(database: Database, count: int, *, after: Position, topics: tuple[str, ...] = ()) -> list[Applied]:
    found: list[Applied] = []
    async with asyncio.timeout(30), aclosing(database.subscribe(after=after, topics=topics)) as applied:
        async for item in applied:
            found.append(item)
            if len(found) == count:
                break
    return found


async def revision(database: Database, id_: str) -> Position | None:
    return await database.read(lambda view: view.revision(NOTE, id_))


async def test_what_was_committed_can_be_read(database: Database) -> None:
    committed = await database.commit([put("a", "red", 7)])
    found = await database.get(NOTE, "a", after=committed.position)
    assert (found.writer, found.number) == ("red", 7)
    assert await revision(database, "a") == committed.position


async def test_positions_grow(database: Database) -> None:
    first = await database.commit([put("a")])
    second = await database.commit([put("b")])
    assert first.position < second.position
    assert second.position.sequence.epoch == database.epoch


async def test_a_record_that_is_not_there_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="note 'nobody'"):
        await database.get(NOTE, "nobody")


async def test_a_deleted_record_is_gone_at_once(database: Database) -> None:
    await database.commit([put("a")])
    await database.commit([Delete(NOTE, "a")])
    with pytest.raises(NotFound):
        await database.get(NOTE, "a")
    assert await revision(database, "a") is None


async def test_deleting_what_is_not_there_is_no_error(database: Database) -> None:
    start = database.position
    committed = await database.commit([Delete(NOTE, "nobody")])
    assert await revision(database, "nobody") is None
    (applied,) = await take(database, 1, after=start)
    assert (applied.position, applied.actions) == (committed.position, (Delete(NOTE, "nobody"),))


async def test_later_of_two_writes_in_a_transaction_counts(database: Database) -> None:
    await database.commit([put("a", rank=1), put("a", rank=2)])
    await database.commit([put("b", rank=1), Delete(NOTE, "b")])
    assert (await database.get(NOTE, "a")).number == 2
    with pytest.raises(NotFound):
        await database.get(NOTE, "b")


@pytest.mark.parametrize(
    ("name", "says"),
    [("x" * 1025, "has 1025 bytes"), ("\u00e4" * 513, "has 1026 bytes"), ("a\ud800", "is not valid Unicode")],
    ids=["long", "long in UTF-8", "half a character"],
)
async def test_names_that_no_file_could_hold_are_refused(database: Database, name: str, says: str) -> None:
    for action, groups in ((put(name), ()), (Delete(NOTE, name), ()), (put("b"), (name,))):
        with pytest.raises(InvalidInput, match=says):
            await database.commit([put("a"), action], groups=groups)
    with pytest.raises(NotFound):
        await database.get(NOTE, "a")
    await database.commit([put("x" * 1024)], groups=("\u00e4" * 512,))
    assert (await database.get(NOTE, "x" * 1024)).number == 0


async def test_an_empty_commit_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput):
        await database.commit([])


async def test_a_revision_that_still_holds_lets_the_write_through(database: Database) -> None:
    first = await database.commit([put("a", rank=1)])
    await database.commit([put("a", rank=2)], [RecordRevision(NOTE, "a", first.position)])
    assert (await database.get(NOTE, "a")).number == 2


async def test_moved_revision_is_a_conflict_that_names_the_record(database: Database) -> None:
    first = await database.commit([put("a", rank=1)])
    second = await database.commit([put("a", rank=2)])
    with pytest.raises(Conflict, match="note 'a'") as caught:
        await database.commit([put("a", rank=3), put("b")], [RecordRevision(NOTE, "a", first.position)])
    assert str(second.position) in str(caught.value)
    assert (await database.get(NOTE, "a")).number == 2
    with pytest.raises(NotFound):
        await database.get(NOTE, "b")


async def test_a_record_can_be_made_only_once(database: Database) -> None:
    await database.commit([put("a", rank=1)], [RecordAbsent(NOTE, "a")])
    with pytest.raises(Conflict):
        await database.commit([put("a", rank=2)], [RecordAbsent(NOTE, "a")])
    await database.commit([Delete(NOTE, "a")])
    await database.commit([put("a", rank=3)], [RecordAbsent(NOTE, "a")])


async def test_change_group_moves_with_each_transaction_naming_it(database: Database) -> None:
    first = await database.commit([put("a")], [GroupRevision("run/1", None)], ["run/1", "other"])
    with pytest.raises(Conflict, match="run/1"):
        await database.commit([put("b")], [GroupRevision("run/1", None)], ["run/1"])
    second = await database.commit([put("b")], [GroupRevision("run/1", first.position)], ["run/1"])
    assert await database.read(lambda view: view.group("run/1")) == second.position
    assert await database.read(lambda view: view.group("other")) == first.position
    assert await database.read(lambda view: view.group("never")) is None


async def test_a_function_returns_its_value(database: Database) -> None:
    def count(view: View) -> Decision[int]:
        old = view.get(NOTE, "counter")
        value = (old.number if old else 0) + 1
        return Decision(value, [put("counter", rank=value)])

    assert (await database.transact(count)).value == 1
    assert (await database.transact(count)).value == 2


async def test_many_functions_on_one_record_never_lose_an_update(database: Database) -> None:
    def count(view: View) -> Decision[int]:
        old = view.get(NOTE, "counter")
        value = (old.number if old else 0) + 1
        return Decision(value, [put("counter", rank=value)])

    answers = await asyncio.gather(*(database.transact(count) for _ in range(100)))
    assert sorted(answer.value for answer in answers) == list(range(1, 101))
    assert len({answer.position for answer in answers}) == 100
    assert (await database.get(NOTE, "counter")).number == 100


async def test_functions_see_scans_and_lists_with_earlier_effects(database: Database) -> None:
    def add(view: View) -> Decision[tuple[int, int]]:
        scanned = [id_ for id_, _ in view.scan(NOTE, "n/")]
        listed = view.select(NOTE, Query({"group": "g"}, ("rank",)))
        number = len(scanned)
        actions = [put(f"n/{number:03}", "g", number)]
        if number == 5:
            actions += [put("m/0", "g", 99)]
        return Decision((len(scanned), len(listed.records)), actions)

    answers = await asyncio.gather(*(database.transact(add) for _ in range(20)))
    assert sorted(answer.value for answer in answers) == [(n, n + (n > 5)) for n in range(20)]


async def test_functions_see_lists_of_each_type_in_turn(database: Database) -> None:
    def add(view: View) -> Decision[tuple[int, int]]:
        notes = len(list(view.scan(NOTE, "n/")))
        others = len(list(view.scan(OTHER, "o/"))) if notes % 3 == 2 else -1
        return Decision(
            (notes, others), [put(f"n/{notes:03}", "g", notes), Put(OTHER, f"o/{notes:03}", log_pb2.Emit())]
        )

    answers = await asyncio.gather(*(database.transact(add) for _ in range(12)))
    assert sorted(answer.value for answer in answers) == [(n, n if n % 3 == 2 else -1) for n in range(12)]


async def test_functions_and_reads_count_up_to_a_limit(database: Database) -> None:
    def add(view: View) -> Decision[tuple[int, int, int]]:
        counts = [view.count(NOTE, {"group": group}, limit=7) for group in ("g", "none")]
        counts.append(view.count(NOTE, {"group": "g", "rank": 3}, limit=7))
        return Decision((counts[0], counts[1], counts[2]), [put(f"n/{counts[0]}", "g", counts[0])])

    answers = await asyncio.gather(*(database.transact(add) for _ in range(9)))
    assert sorted(answer.value for answer in answers) == [(min(n, 7), 0, int(n > 3)) for n in range(9)]
    assert await database.read(lambda view: view.count(NOTE, {"group": "g"}, limit=1000)) == 8


async def test_functions_see_deletes_of_earlier_ones(database: Database) -> None:
    await database.commit([put(f"n/{n}", "g", n) for n in range(10)])

    def pop(view: View) -> Decision[str]:
        for id_, _ in view.scan(NOTE, "n/"):
            return Decision(id_, [Delete(NOTE, id_)])
        return Decision("")

    answers = await asyncio.gather(*(database.transact(pop) for _ in range(12)))
    assert sorted(answer.value for answer in answers) == ["", "", *(f"n/{n}" for n in range(10))]


async def test_error_of_a_function_reaches_its_caller(database: Database) -> None:
    def refuse(view: View) -> Decision[None]:
        raise AlreadyExists("there is one of this name")

    before = database.position
    with pytest.raises(AlreadyExists):
        await database.transact(refuse)
    assert await database.linearize() == before


async def test_a_failing_transaction_does_not_spoil_the_others(database: Database) -> None:
    def refuse(view: View) -> Decision[None]:
        raise AlreadyExists("there is one of this name")

    results = await asyncio.gather(
        *(database.commit([put(f"a{n}")]) if n % 2 else database.transact(refuse) for n in range(10)),
        return_exceptions=True,
    )
    assert [isinstance(result, AlreadyExists) for result in results] == [n % 2 == 0 for n in range(10)]
    page = await database.list(NOTE, Query())
    assert [id_ for id_, _ in page.records] == ["a1", "a3", "a5", "a7", "a9"]


async def test_function_without_actions_has_a_readable_position(database: Database) -> None:
    committed = await database.commit([put("a", rank=4)])
    looked = await database.transact(lambda view: Decision(view.get(NOTE, "a")))
    assert looked.value is not None
    assert looked.value.number == 4
    assert looked.position == committed.position
    assert (await database.get(NOTE, "a", after=looked.position)).number == 4


async def test_a_transaction_over_the_size_limit_is_refused(database: Database) -> None:
    text = os.urandom(1_100_000).hex()
    with pytest.raises(Exhausted, match="bytes"):
        await database.commit([put("a", text=text), put("b", text=text)])
    with pytest.raises(NotFound):
        await database.get(NOTE, "a")


async def test_a_transaction_just_under_the_size_limit_is_stored(database: Database) -> None:
    # As records are: larger than one request to etcd may be, and smaller once compressed.
    text = os.urandom(50_000).hex() * 40
    await database.commit([put("a", text=text)])
    assert (await database.get(NOTE, "a")).database_id == text


async def test_a_transaction_over_the_limit_of_actions_is_refused(database: Database) -> None:
    with pytest.raises(Exhausted, match="actions"):
        await database.commit([Delete(NOTE, f"a{n}") for n in range(10_001)])


async def test_transactions_too_large_for_one_entry_are_all_stored(database: Database) -> None:
    text = os.urandom(150_000).hex()
    await asyncio.gather(*(database.commit([put(f"a{n}", text=text)]) for n in range(12)))
    page = await database.list(NOTE, Query())
    assert len(page.records) == 12


# -- lists


async def pages(database: Database, query: Query) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = await database.list(NOTE, Query(query.where, query.order, query.size, token))
        assert len(page.records) <= query.size
        found += [id_ for id_, _ in page.records]
        token = page.next_token
        if not token:
            return found


LISTS = [
    pytest.param(Query(size=3), ["a", "b", "c", "d", "e", "f", "g", "h"], id="all by id"),
    pytest.param(Query({"group": "red"}, size=2), ["a", "c", "e"], id="filtered, by id"),
    pytest.param(Query({"group": "red"}, ("rank",), size=1), ["e", "c", "a"], id="filtered, by rank"),
    pytest.param(Query({"group": "red"}, ("-rank",), size=2), ["a", "c", "e"], id="filtered, by rank down"),
    pytest.param(Query(order=("rank",), size=3), ["g", "h", "e", "b", "d", "c", "f", "a"], id="by rank, ties by id"),
    pytest.param(Query(order=("-rank",), size=3), ["a", "f", "c", "d", "b", "e", "h", "g"], id="by rank down"),
    pytest.param(Query(order=("group",), size=2), ["f", "g", "h", "b", "d", "a", "c", "e"], id="nothing sorts first"),
    pytest.param(Query(order=("-group",), size=2), ["e", "c", "a", "d", "b", "h", "g", "f"], id="nothing sorts last"),
    pytest.param(Query({"group": None}, ("rank",), size=2), ["g", "h", "f"], id="filtered by nothing"),
    pytest.param(Query({"group": "red", "rank": 5}), ["c"], id="filtered by two"),
    pytest.param(Query({"group": "none"}), [], id="empty"),
]


@pytest.mark.parametrize(("query", "expected"), LISTS)
async def test_lists_give_all_pages_in_order(database: Database, query: Query, expected: list[str]) -> None:
    await database.commit(
        [
            put("a", "red", 9),
            put("b", "blue", 3),
            put("c", "red", 5),
            put("d", "blue", 4),
            put("e", "red", 2),
            put("f", "", 8),
            put("g", "", 1),
            put("h", "", 1),
        ]
    )
    assert await pages(database, query) == expected


async def test_next_page_begins_after_the_last_record(database: Database) -> None:
    await database.commit([put(f"n{n}", "g", n) for n in range(6)])
    first = await database.list(NOTE, Query({"group": "g"}, ("rank",), 3))
    await database.commit([Delete(NOTE, "n2"), put("early", "g", 0), put("n4", "g", 1)])
    second = await database.list(NOTE, Query({"group": "g"}, ("rank",), 3, first.next_token))
    assert [id_ for id_, _ in second.records] == ["n3", "n5"]


BAD_QUERIES = [
    pytest.param(Query(size=0), id="no size"),
    pytest.param(Query(size=1001), id="too large a page"),
    pytest.param(Query({"nothing": 1}), id="no such column"),
    pytest.param(Query({"rank": 1}, ("group",)), id="no index"),
    pytest.param(Query({"group": "a"}, token="garbage"), id="damaged token"),
    pytest.param(Query(token="W10"), id="empty token"),
]


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_a_query_that_cannot_work_is_refused(database: Database, query: Query) -> None:
    with pytest.raises(InvalidInput):
        await database.list(NOTE, query)


async def test_a_token_of_another_list_is_refused(database: Database) -> None:
    await database.commit([put(f"n{n}", "g", n) for n in range(3)])
    page = await database.list(NOTE, Query({"group": "g"}, size=1))
    with pytest.raises(InvalidInput) as caught:
        await database.list(NOTE, Query({"group": "h"}, size=1, token=page.next_token))
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


async def test_scans_walk_a_prefix_from_a_place(database: Database) -> None:
    await database.commit([put(id_) for id_ in ("a", "b/1", "b/2", "b/3", "c")])
    assert await database.read(lambda view: [id_ for id_, _ in view.scan(NOTE, "b/")]) == ["b/1", "b/2", "b/3"]
    assert await database.read(lambda view: [id_ for id_, _ in view.scan(NOTE, "b/", after="b/1")]) == ["b/2", "b/3"]
    assert await database.read(lambda view: [id_ for id_, _ in view.scan(NOTE, after="b/3")]) == ["c"]


async def test_scans_of_many_records_are_whole(database: Database) -> None:
    ids = [f"n/{n:05}" for n in range(1500)]
    await database.commit([put(id_) for id_ in ids])
    assert await database.read(lambda view: [id_ for id_, _ in view.scan(NOTE, "n/")]) == ids


# -- positions


async def test_a_read_after_a_position_that_nobody_has_is_unavailable(database: Database) -> None:
    committed = await database.commit([put("a")])
    far = Position(LogSequence(committed.position.sequence.epoch, committed.position.sequence.counter + 5), 0)
    with pytest.raises(Unavailable):
        await database.read(lambda view: view.position, after=far)


async def test_a_view_of_a_read_is_at_one_position(database: Database) -> None:
    committed = await database.commit([put("a")])
    assert await database.read(lambda view: view.position, after=committed.position) == committed.position


async def test_linearize_returns_the_newest_position(database: Database) -> None:
    committed = await database.commit([put("a")])
    assert await database.linearize() == committed.position
    assert database.position == committed.position


# -- subscribe


async def test_subscriber_gets_transactions_in_order_and_once(database: Database) -> None:
    start = database.position
    committed = [await database.commit([put(f"a{n}", rank=n)], groups=["g"]) for n in range(5)]
    found = await take(database, 5, after=start)
    assert [item.position for item in found] == [item.position for item in committed]
    assert [item.actions[0].id for item in found if not isinstance(item.actions[0], Emit)] == [
        f"a{n}" for n in range(5)
    ]
    assert all(item.groups == ("g",) for item in found)
    resumed = await take(database, 2, after=committed[2].position)
    assert [item.position for item in resumed] == [item.position for item in committed[3:]]


async def test_a_subscriber_gets_what_comes_later(database: Database) -> None:
    start = database.position
    running = asyncio.create_task(take(database, 60, after=start))
    for n in range(20):
        await asyncio.gather(*(database.commit([put(f"a{n}/{m}")]) for m in range(3)))
    found = await running
    positions = [item.position for item in found]
    assert positions == sorted(set(positions))
    assert len(positions) == 60


async def test_topics_choose_transactions(database: Database) -> None:
    start = database.position
    await database.commit([Emit("task", ("run/1",), b"one")])
    await database.commit([Emit("task", ("run/2", "group/x"), b"two"), put("a")])
    await database.commit([put("b")])
    await database.commit([Emit("task", ("run/1",), b"three")])
    found = await take(database, 2, after=start, topics=("run/1", "run/3"))
    assert [item.actions[0].body for item in found if isinstance(item.actions[0], Emit)] == [b"one", b"three"]
    touched = await take(database, 2, after=start, topics=("type:note",))
    assert [len(item.actions) for item in touched] == [2, 1]
    both = await take(database, 2, after=start, topics=("run/2", "group/x", "type:note"))
    assert [len(item.actions) for item in both] == [2, 1]


async def test_topics_choose_what_comes_later(database: Database) -> None:
    running = asyncio.create_task(take(database, 2, after=database.position, topics=("run/1",)))
    for n in range(6):
        await database.commit([Emit("task", (f"run/{n % 3}",), b"%d" % n)])
    assert [item.actions[0].body for item in await running if isinstance(item.actions[0], Emit)] == [b"1", b"4"]


async def test_slow_subscriber_ends_with_its_last_position(database: Database) -> None:
    start = (await database.commit([put("first")])).position
    text = "x" * 200_000
    seen: list[Position] = []

    async def drain(applied: AsyncIterator[Applied]) -> None:
        async for item in applied:
            seen.append(item.position)

    async with asyncio.timeout(30), aclosing(database.subscribe(after=start)) as applied:
        following = asyncio.create_task(anext(applied))
        await database.linearize()
        await database.commit([put("second")])
        seen.append((await following).position)
        for n in range(8):
            await database.commit([put(f"a{n}", text=text)])
        await database.linearize()
        with pytest.raises(Exhausted) as caught:
            await drain(applied)
    last = seen[-1]
    assert caught.value.reason == "SUBSCRIBER_TOO_SLOW"
    assert caught.value.metadata["position"] == str(last)
    rest = await take(database, 1, after=last)
    assert rest[0].position > last


async def test_a_position_older_than_the_history_is_out_of_range() -> None:
    database = FakeDatabase([NOTE])
    start = database.position
    await database.commit([put("a")])
    database.forget_history()
    with pytest.raises(OutOfRange):
        await take(database, 1, after=start)
