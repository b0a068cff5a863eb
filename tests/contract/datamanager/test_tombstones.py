"""What has a tombstone is gone at once with all that is below it, and is removed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Action, Column, Decision, Put, Query, RecordType, Under, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.replica.deleted_subtrees import (
    TOMBSTONE,
    SubtreeSweeper,
    check_under,
    delete_subtree,
    unfiltered,
)
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.database import FakeDatabase
from tests.support.conditions import eventually
from tests.support.databases import FAST, open_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _type(name: str, *indexes: tuple[str, ...], under: tuple[Under, ...] = ()) -> RecordType[log_pb2.Epoch]:
    return RecordType(
        name,
        log_pb2.Epoch,
        columns=(Column("parent", lambda m: m.writer), Column("rank", lambda m: m.number)),
        indexes=indexes,
        under=under,
    )


GROUP = _type("folder", ("parent",), under=(Under("folder", "parent"),))
PROJECT = _type("project", ("parent",), ("rank",), under=(Under("folder", "parent"),))
RUN = _type("run", ("parent", "rank"), ("rank",), under=(Under("project", "parent"),))
TASK = _type("task", ("parent", "rank"), under=(Under("run", "parent"),))
LOOSE = _type("loose", ("rank",))
NODE = _type("node", ("parent", "rank"), under=(Under("node", "parent"),))
"""Its column is the id of another one: a tree of one type, whose records can move."""
LEAF = _type("leaf", ("parent", "rank"), under=(Under("node", "parent"),))
TYPES = (GROUP, PROJECT, RUN, TASK, LOOSE, NODE, LEAF)

# Only what the tests themselves make sweeps, so that they see what is hidden and still there.
NO_SWEEP = replace(FAST, sweep_interval=timedelta(hours=1))


@pytest.fixture(params=["real", "fake"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, etcd_prefix: str) -> AsyncIterator[Database]:
    if request.param == "fake":
        yield FakeDatabase(TYPES)
        return
    kv = EtcdStore([request.getfixturevalue("etcd_endpoint")])
    storage = PosixStorage(tmp_path / "objects")
    async with open_database(kv, storage, tmp_path, prefix=etcd_prefix, types=TYPES, settings=NO_SWEEP) as real:
        yield real
    await storage.close()
    await kv.close()


def put(type_: RecordType[log_pb2.Epoch], id_: str, parent: str = "", rank: int = 0) -> Put:
    return Put(type_, id_, log_pb2.Epoch(writer=parent, number=rank))


def tree(runs: int = 3) -> list[Action]:
    """Two projects in two groups of one organisation and one in another, each with runs of two tasks."""
    actions: list[Action] = [put(GROUP, path, path[:-2]) for path in ("a", "a/b", "a/c", "ab")]
    for project, group in (("p1", "a/b"), ("p2", "a/c"), ("p3", "ab")):
        actions.append(put(PROJECT, project, group))
        for number in range(runs):
            actions.append(put(RUN, f"{project}-{number}", project, number))
            actions += [put(TASK, f"{project}-{number}/{name}", f"{project}-{number}", number) for name in "xy"]
    return [*actions, put(LOOSE, "free", rank=1)]


def everything(view: View) -> dict[str, list[str]]:
    return {type_.name: [id_ for id_, _ in view.scan(type_)] for type_ in TYPES}


def under(everything_: dict[str, list[str]], *projects: str) -> dict[str, list[str]]:
    """What of it belongs to some projects, and is below no other."""
    return {
        name: [id_ for id_ in ids if not id_.startswith("p") or id_[:2] in projects]
        for name, ids in everything_.items()
    }


async def delete(database: Database, type_: RecordType[log_pb2.Epoch], id_: str) -> None:
    await database.commit(delete_subtree(type_, id_, now=NOW))


async def test_all_below_is_gone_at_once_for_every_way_of_reading(database):
    await database.commit(tree())
    before = await database.read(everything)
    await delete(database, PROJECT, "p1")

    assert await database.read(everything) == under(before, "p2", "p3")
    for type_, id_ in ((PROJECT, "p1"), (RUN, "p1-0"), (TASK, "p1-0/x")):
        with pytest.raises(NotFound):
            await database.get(type_, id_)
        assert await database.read(lambda view, t=type_, i=id_: (view.revision(t, i), view.fields(t, i))) == (
            None,
            None,
        )
    assert (await database.list(RUN, Query(where={"parent": "p1"}, order=("rank",)))).records == ()
    assert [id_ for id_, _ in (await database.list(RUN, Query(order=("rank",)))).records] == [
        "p2-0", "p3-0", "p2-1", "p3-1", "p2-2", "p3-2",
    ]  # fmt: skip
    assert await database.read(lambda view: view.count(RUN, {}, limit=100)) == 6
    assert (await database.get(RUN, "p2-0")).writer == "p2"


async def test_group_hides_what_is_below_its_groups(database):
    await database.commit(tree())
    before = await database.read(everything)
    await delete(database, GROUP, "a")
    assert await database.read(everything) == under(before, "p3") | {"folder": ["ab"]}


async def test_transaction_functions_do_not_see_hidden_records(database):
    await database.commit(tree())

    def read(view: View) -> Decision[object]:
        return Decision((view.get(TASK, "p1-0/x"), everything(view)["run"], view.count(RUN, {}, limit=50)))

    seen = (await database.transact(read)).value
    assert seen[0] is not None
    await delete(database, PROJECT, "p1")
    task, runs, count = (await database.transact(read)).value
    assert (task, count) == (None, 6)
    assert runs == ["p2-0", "p2-1", "p2-2", "p3-0", "p3-1", "p3-2"]


@pytest.mark.parametrize(
    "action",
    [put(PROJECT, "p1", "a/b"), put(RUN, "p1-9", "p1"), put(RUN, "p1-0", "p1", 7)],
    ids=["itself", "a child", "a change of one"],
)
async def test_put_into_a_deleted_subtree_is_refused(database, action):
    await database.commit(tree())
    await delete(database, PROJECT, "p1")
    with pytest.raises(FailedPrecondition, match="is being deleted") as raised:
        await database.commit([action])
    assert raised.value.reason == "BEING_DELETED"


async def test_tree_of_ids_is_hidden_and_swept_with_its_leaves(database):
    parents = {"root": "", "a": "root", "b": "a", "c": "b", "other": "root"}
    await database.commit(
        [
            *(put(NODE, id_, parent) for id_, parent in parents.items()),
            *(put(LEAF, f"{id_}-{n}", id_, n) for id_ in parents for n in range(3)),
        ]
    )
    # What moved away before is not deleted.
    await database.commit([put(NODE, "c", "other")])
    await delete(database, NODE, "a")
    seen = {"node": ["c", "other", "root"], "leaf": [f"{id_}-{n}" for id_ in ("c", "other", "root") for n in range(3)]}

    def both(view: View) -> dict[str, list[str]]:
        return {type_.name: [id_ for id_, _ in view.scan(type_)] for type_ in (NODE, LEAF)}

    assert await database.read(both) == seen
    with pytest.raises(FailedPrecondition, match="is being deleted"):
        await database.commit([put(NODE, "c", "b")])
    sweeper = sweeper_of(database)
    while await sweeper.step():
        assert await database.read(both) == seen
    assert await database.read(lambda view: both(unfiltered(view))) == seen
    assert (await database.read(left))["tombstone"] == []


async def test_record_that_is_its_own_ancestor_can_be_read(database):
    await database.commit([put(NODE, "a", "b"), put(NODE, "b", "a"), put(NODE, "c"), put(LEAF, "x", "a")])
    await delete(database, NODE, "c")
    assert await database.read(lambda view: view.get(LEAF, "x")) is not None
    await delete(database, NODE, "a")
    assert await database.read(lambda view: (view.get(LEAF, "x"), view.get(NODE, "b"))) == (None, None)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("order", ["rank", "-rank"])
async def test_pages_are_full_and_lose_nothing(database, size, order):
    await database.commit(tree(runs=8))
    await delete(database, PROJECT, "p2")
    found: list[str] = []
    token = ""
    while True:
        page = await database.list(RUN, Query(order=(order,), size=size, token=token))
        found += [id_ for id_, _ in page.records]
        token = page.next_token
        if not token:
            break
        assert len(page.records) == size
    expected = [f"{project}-{number}" for number in range(8) for project in ("p1", "p3")]
    assert found == (expected if order == "rank" else expected[::-1])


async def test_pages_over_many_hidden_ones(database):
    await database.commit([put(PROJECT, "p1", "a"), put(PROJECT, "p2", "a")])
    for first in range(0, 1200, 400):
        await database.commit([put(RUN, f"h{n:04}", "p1", n) for n in range(first, first + 400)])
    await database.commit([put(RUN, "seen", "p2", 700)])
    await delete(database, PROJECT, "p1")
    page = await database.list(RUN, Query(order=("rank",), size=2))
    assert [id_ for id_, _ in page.records] == ["seen"]
    assert page.next_token == ""


def sweeper_of(database: Database) -> SubtreeSweeper:
    types: dict[str, RecordType[Any]] = {type_.name: type_ for type_ in TYPES}
    return SubtreeSweeper(database, types | {TOMBSTONE.name: TOMBSTONE}, clock=SystemClock())


def left(view: View) -> dict[str, list[str]]:
    return everything(unfiltered(view)) | {"tombstone": [id_ for id_, _ in unfiltered(view).scan(TOMBSTONE)]}


async def test_a_sweep_leaves_nothing_of_it_and_all_of_the_rest(database):
    await database.commit(tree(runs=40))
    before = await database.read(everything)
    await delete(database, GROUP, "a")
    hidden = await database.read(everything)
    sweeper = sweeper_of(database)
    while await sweeper.step():
        assert await database.read(everything) == hidden, "a step let something be seen, or hid more"
    assert await database.read(left) == under(before, "p3") | {"folder": ["ab"], "tombstone": []}
    # It may be created again.
    await database.commit([put(GROUP, "a"), put(PROJECT, "p1", "a"), put(RUN, "p1-0", "p1")])
    assert (await database.get(RUN, "p1-0")).writer == "p1"


async def test_sweep_uses_small_transactions_and_few_tombstones(database):
    await database.commit([put(GROUP, "g"), put(PROJECT, "p", "g")])
    for first in range(0, 600, 300):
        await database.commit([put(RUN, f"{n:05}", "p", n) for n in range(first, first + 300)])
        await database.commit([put(TASK, f"{n:05}/t", f"{n:05}") for n in range(first, first + 300)])
    await delete(database, PROJECT, "p")
    start = database.position
    sweeper = sweeper_of(database)
    most = 0
    while await sweeper.step():
        most = max(most, len((await database.read(left))["tombstone"]))
    assert most <= 502
    assert await database.read(left) == {
        "folder": ["g"], "project": [], "run": [], "task": [], "loose": [], "node": [], "leaf": [], "tombstone": [],
    }  # fmt: skip
    end = database.position
    async with aclosing(database.subscribe(after=start)) as changes:
        async for applied in changes:
            assert len(applied.actions) <= 1001
            if applied.position == end:
                break


async def test_two_sweepers_share_the_work(database):
    await database.commit(tree(runs=20))
    await delete(database, GROUP, "a")
    one, other = (sweeper_of(database) for _ in range(2))
    more = True
    while more:
        more = await one.step()
        more = await other.step() or more
    assert (await database.read(left))["tombstone"] == []
    assert len((await database.read(everything))["run"]) == 20


async def test_running_server_sweeps_by_itself(tmp_path, etcd_endpoint, etcd_prefix):
    kv = EtcdStore([etcd_endpoint])
    storage = PosixStorage(tmp_path / "objects")
    quick = replace(FAST, sweep_interval=timedelta(milliseconds=20))

    def at(server: str, settings=NO_SWEEP):
        return open_database(
            kv, storage, tmp_path, prefix=etcd_prefix, types=TYPES, server_id=server, settings=settings
        )

    async with at("one") as one, at("two") as two:
        await one.commit(tree())
        await delete(one, PROJECT, "p1")
        await two.linearize()
        seen = await two.read(everything)
        assert "p1-0" not in seen["run"]
        # One that is started while a tombstone is there knows it too.
        async with at("three") as three:
            assert await three.read(everything) == seen
            assert (await three.transact(lambda view: Decision(everything(view)))).value == seen
        async with at("four", quick):

            async def swept() -> bool:
                await two.linearize()
                return not (await two.read(left))["tombstone"]

            await eventually(swept)
        assert await two.read(everything) == seen
        assert (await two.read(left))["task"] == seen["task"]
    await storage.close()
    await kv.close()


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ((_type("run", under=(Under("project", "parent"),)),), "needs that type"),
        (
            (_type("project"), _type("run", under=(Under("project", "parent"),))),
            "an index that begins with that column",
        ),
        (
            (
                _type("one", ("parent",), under=(Under("two", "parent"),)),
                _type("two", ("parent",), under=(Under("one", "parent"),)),
            ),
            "below itself",
        ),
    ],
)
def test_faults_of_a_declaration_are_errors_at_open(types, says):
    with pytest.raises(InvalidInput, match=says):
        check_under({type_.name: type_ for type_ in types})


async def test_a_database_is_not_opened_with_such_a_declaration(tmp_path, etcd_endpoint, etcd_prefix):
    kv, storage = EtcdStore([etcd_endpoint]), PosixStorage(tmp_path / "objects")
    with pytest.raises(InvalidInput, match="index"):
        async with DataManager.open(
            kv=kv,
            storage=storage,
            prefix=etcd_prefix,
            path=tmp_path / "one",
            types=(_type("project"), _type("run", under=(Under("project", "parent"),))),
        ):
            pass
    await storage.close()
    await kv.close()
