"""Lists of columns, of several values, and of the few records that are live: the real database and the fake alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.datamanager.model import Column, Put, Query, RecordType, View, Where
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import MAX_PAGE_SIZE, walk_records, walk_rows
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.database import FakeDatabase
from tests.support.databases import open_database

ITEM: RecordType[log_pb2.Epoch] = RecordType(
    "item",
    log_pb2.Epoch,
    columns=(
        Column("colour", lambda m: m.writer or None),
        Column("rank", lambda m: m.number),
        Column("live", lambda m: m.cluster_id or None),
        Column("shown", lambda m: m.database_id.encode()),
    ),
    indexes=(("colour", "rank"), ("rank",), ("live", "rank"), ("live", "colour", "rank"), ("colour", "live")),
    sparse=("live",),
)


@pytest.fixture(params=["real", "fake"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, etcd_prefix: str) -> AsyncIterator[Database]:
    if request.param == "fake":
        yield FakeDatabase((ITEM,))
        return
    kv = EtcdStore([request.getfixturevalue("etcd_endpoint")])
    storage = PosixStorage(tmp_path / "objects")
    async with open_database(kv, storage, tmp_path, prefix=etcd_prefix, types=(ITEM,)) as real:
        yield real
    await storage.close()
    await kv.close()


def item(id_: str, colour: str, rank: int, live: int, shown: str) -> Put:
    return Put(ITEM, id_, log_pb2.Epoch(writer=colour, number=rank, cluster_id=live, database_id=shown))


@pytest.fixture
async def filled(database: Database) -> Database:
    await database.commit(
        [
            item("a", "red", 5, 1, "A"),
            item("b", "blue", 4, 0, "B"),
            item("c", "red", 4, 2, "\N{SNOWMAN}"),
            item("d", "", 4, 1, "D"),
            item("e", "green", 1, 0, ""),
            item("f", "blue", 9, 1, "F"),
            item("g", "red", 4, 0, "G"),
        ]
    )
    return database


async def pages(database: Database, query: Query) -> list[str]:
    """Walk all pages, of records and of columns, which must be the same."""
    found: list[str] = []
    token = ""
    while True:
        asked = Query(query.where, query.order, query.size, token)

        def read(view: View, asked: Query = asked) -> tuple[list[str], list[str], str, str]:
            records, rows = view.select(ITEM, asked), view.rows(ITEM, asked)
            ids = [id_ for id_, _ in rows.records]
            return [id_ for id_, _ in records.records], ids, records.next_token, rows.next_token

        ids, of_rows, token, token_of_rows = await database.read(read)
        assert (ids, token) == (of_rows, token_of_rows)
        found += ids
        if not token:
            return found


LISTS = [
    pytest.param(Query({"colour": ("red", "blue")}, ("rank",)), ["b", "c", "g", "a", "f"], id="two values"),
    pytest.param(Query({"colour": ("red", "blue")}, ("-rank",)), ["f", "a", "g", "c", "b"], id="two values, down"),
    pytest.param(Query({"colour": ("red", None, "none")}, ("rank",)), ["c", "d", "g", "a"], id="or nothing"),
    pytest.param(Query({"colour": ("red", "red")}, ("rank",)), ["c", "g", "a"], id="a value twice counts once"),
    pytest.param(Query({"rank": (4, 1)}), ["b", "c", "d", "e", "g"], id="two values, by id"),
    pytest.param(Query({"live": 1}, ("rank",)), ["d", "a", "f"], id="only what is live"),
    pytest.param(Query({"live": (1, 2)}, ("-rank",)), ["f", "a", "d", "c"], id="live, down"),
    pytest.param(Query({"live": (1, 2), "colour": ("red", "blue")}, ("rank",)), ["c", "a", "f"], id="two by two"),
    pytest.param(Query({"live": 2, "colour": "red"}), ["c"], id="a sparse column that is not first"),
    pytest.param(Query({"live": 3}, ("rank",)), [], id="none"),
]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(("query", "expected"), LISTS)
async def test_lists_of_several_values_are_one_list(
    filled: Database, query: Query, expected: list[str], size: int
) -> None:
    assert await pages(filled, Query(query.where, query.order, size)) == expected


async def test_columns_are_what_their_records_have(filled: Database) -> None:
    page = await filled.read(lambda view: view.rows(ITEM, Query({"colour": "red"}, ("rank",))))
    assert list(page.records) == [
        ("c", {"colour": "red", "rank": 4, "live": 2, "shown": "\N{SNOWMAN}".encode()}),
        ("g", {"colour": "red", "rank": 4, "live": None, "shown": b"G"}),
        ("a", {"colour": "red", "rank": 5, "live": 1, "shown": b"A"}),
    ]


async def test_records_of_several_lists_are_counted(filled: Database) -> None:
    wheres: list[tuple[Where, int, int]] = [
        ({"rank": (4, 1)}, 100, 5),
        ({"rank": (4, 1)}, 3, 3),
        ({"colour": "red", "live": (1, 2)}, 100, 2),
        ({}, 100, 7),
    ]
    for where, limit, expected in wheres:
        assert await filled.read(lambda view: view.count(ITEM, where, limit=limit)) == expected  # noqa: B023 - called at once


async def test_a_record_enters_and_leaves_the_list_of_what_is_live(filled: Database) -> None:
    query = Query({"live": 1}, ("rank",))
    await filled.commit([item("a", "red", 5, 0, "A"), item("b", "blue", 4, 1, "B")])
    assert await pages(filled, query) == ["b", "d", "f"]


REFUSED = [
    pytest.param(Query({"live": None}, ("rank",)), id="what is not live"),
    pytest.param(Query({"live": (1, None)}, ("rank",)), id="live or not"),
    pytest.param(Query({"colour": "red"}, ("live",)), id="by a sparse column"),
    pytest.param(Query({"colour": ()}, ("rank",)), id="one of no values"),
    pytest.param(Query({"colour": tuple(map(str, range(33)))}, ("rank",)), id="too many values"),
    pytest.param(Query({"shown": b"A"}), id="by bytes"),
]


@pytest.mark.parametrize("query", REFUSED)
async def test_a_list_that_no_index_serves_is_refused(filled: Database, query: Query) -> None:
    with pytest.raises(InvalidInput):
        await filled.read(lambda view: view.rows(ITEM, query))


async def test_transaction_function_reads_columns_just_written(filled: Database) -> None:
    await filled.commit([item("h", "red", 0, 1, "H")])
    page = await filled.read(lambda view: view.rows(ITEM, Query({"live": 1}, ("rank",), 1)))
    assert page.records[0][0] == "h"


async def test_walk_of_a_list_has_all_of_its_pages(database: Database) -> None:
    count = 2 * MAX_PAGE_SIZE + 1
    await database.commit([item(f"{number:05}", "red", count - number, 0, "") for number in range(count)])
    await database.commit([item("other", "blue", 1, 0, "")])
    expected = [f"{number:05}" for number in reversed(range(count))]

    def read(view: View) -> tuple[list[str], list[str]]:
        records = walk_records(view, ITEM, {"colour": "red"}, order=("rank",))
        rows = walk_rows(view, ITEM, {"colour": "red"}, order=("rank",))
        return [id_ for id_, _ in records], [id_ for id_, _ in rows]

    records, rows = await database.read(read)
    assert records == expected
    assert rows == expected
