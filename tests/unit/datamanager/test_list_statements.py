"""Every list that a type allows is a walk along an index: nothing is scanned, and nothing sorted, on any page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.model import Query, RecordType
from sluiceway_server.datamanager.queries import Place, plan_list, token_of
from sluiceway_server.datamanager.replica.schema import Statement, Tables

TABLES = Tables(Catalogue(RECORD_TYPES))


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for line in (*TABLES.schema, *TABLES.indexes):
        connection.execute(line)
    yield connection
    connection.close()


def explained(connection: sqlite3.Connection, statement: Statement) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)
    return [detail for *_, detail in rows]


def queries(type_: RecordType[Any]) -> Iterator[Query]:
    for index in type_.indexes:
        least = max((at + 1 for at, name in enumerate(index) if name in type_.sparse), default=0)
        for filters in range(least, len(index) + 1):
            for values in (("a",), ("a", "b")):
                where = {name: values[0] if number else values for number, name in enumerate(index[:filters])}
                order = index[filters:]
                yield Query(where, order)
                yield Query(where, tuple(f"-{name}" for name in order))
    yield Query()


@pytest.mark.parametrize("type_", RECORD_TYPES, ids=lambda type_: type_.name)
def test_every_list_of_a_type_walks_an_index(connection: sqlite3.Connection, type_: RecordType[Any]) -> None:
    for query in queries(type_):
        check_list(connection, type_, query)


def check_list(connection: sqlite3.Connection, type_: RecordType[Any], query: Query) -> None:
    plan, table = plan_list(type_, query), TABLES.table(type_)
    assert_walks(query, explained(connection, table.count(plan)), scans=not query.where)
    for value in (None, "text", 7):
        token = token_of(plan.fingerprint, Place((value,) * len(plan.order), "id"))
        for page in (plan, plan_list(type_, Query(query.where, query.order, query.size, token))):
            # Only the first page of all has nothing to search for: it begins at the beginning.
            first_of_all = not query.where and page.after is None
            for statement in (
                table.page(page, "id, revision, body"),
                table.page(page, ", ".join(("id", *table.columns))),
            ):
                steps = explained(connection, statement)
                assert_walks(query, steps, scans=first_of_all or (not query.where and value is None))
                if page.after is not None and value is not None:
                    # It begins at the place of the token, and not at the beginning of the list.
                    first = f"c_{plan.order[0]}" if plan.order else "id"
                    assert all(first in step for step in steps if step.startswith("SEARCH")), (query, steps)


def assert_walks(query: Query, steps: list[str], *, scans: bool) -> None:
    assert not [step for step in steps if "TEMP B-TREE" in step], (query, steps)
    assert scans or not [step for step in steps if step.startswith("SCAN r_")], (query, steps)
