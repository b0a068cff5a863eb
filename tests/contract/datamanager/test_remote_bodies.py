"""Old records, whose bodies are in the object storage: read, changed, listed, and kept from being lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import DataLoss, PermissionDenied, SluicewayError, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Decision, Delete, Put, Query, RecordRevision, View
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, FetchedBodies
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.fakes.clock import FakeClock
from tests.support.databases import NOTE, flushed, put
from tests.support.log_builder import JOB, job
from tests.support.remote_bodies import (
    KEEPING,
    LEAVING,
    DatabaseStores,
    ReadRecorder,
    everything,
    remote,
    wait_until_remote,
)


@pytest.fixture
def stores(etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str) -> DatabaseStores:
    return DatabaseStores(etcd, storage, tmp_path, etcd_prefix.strip("/"))


async def write_jobs(database: DataManager, count: int, *, text: str = "text") -> None:
    await database.commit(
        [job(f"j{n:04}", group="xy"[n % 2], rank=n, done=True, text=f"{text} {n}") for n in range(count)], groups=["g"]
    )


async def write_old_jobs(stores: DatabaseStores, count: int, *, text: str = "text") -> None:
    """Let a server write some whose bodies are in the object storage only when it ends: the next one remembers none."""
    async with stores.server() as database:
        await write_jobs(database, count, text=text)
        await stores.settle(database)
        await wait_until_remote(database, count)


# -- what is read


async def test_reads_are_the_same_when_bodies_are_remote(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await write_jobs(database, 300)
        await database.commit([job("open", group="x", rank=5), put("note", "x")], groups=["h"])
        before = await everything(database, groups=["g", "h"])
        await stores.settle(database)
        await wait_until_remote(database, 300)
        assert database.engine.bodies.covered is not None
    # Anew, so that nothing is in memory.
    async with stores.server() as database:
        assert await everything(database, groups=["g", "h"]) == before
        page = await database.list(JOB, Query({"group": "x"}, ("-rank",), 7))
        assert [record.database_id for _, record in page.records] == [f"text {n}" for n in range(298, 284, -2)]
        assert (await database.get(JOB, "j0007")).database_id == "text 7"
        for _ in range(3):
            assert await database.read(lambda view: [i for i, _ in view.scan(JOB, "j000", after="j0004")]) == [
                f"j000{n}" for n in range(5, 10)
            ]


async def test_a_record_that_has_not_come_to_rest_keeps_its_body(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await database.commit([job("open"), job("done", done=True)])
        await stores.settle(database)
        await wait_until_remote(database, 1)
    reads = ReadRecorder(stores.storage)
    async with stores.server(storage=reads) as database:
        assert await database.get(JOB, "open") == job("open").message
        assert reads.reads == []
        assert await database.get(JOB, "done") == job("done", done=True).message
        assert len(reads.reads) == 2, "the end of the file, and one block"


async def test_a_list_of_columns_never_reads_the_object_storage(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 100)
    reads = ReadRecorder(stores.storage)
    async with stores.server(storage=reads) as database:
        query = Query({"group": "x"}, ("rank",), 20)
        page = await database.read(lambda view: view.rows(JOB, query))
        assert list(page.records) == [(f"j{n:04}", {"group": "x", "rank": n}) for n in range(0, 40, 2)]
        following = replace(query, token=page.next_token)
        assert (await database.read(lambda view: view.rows(JOB, following))).records[0][0] == "j0040"
        assert await database.read(lambda view: view.count(JOB, {}, limit=1000)) == 100
        assert await database.read(lambda view: view.revision(JOB, "j0001")) is not None
        assert reads.reads == []


async def test_a_page_of_old_records_is_fetched_at_once(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 1000)
    reads, calls = ReadRecorder(stores.storage), 0
    async with stores.server(storage=reads) as database:

        def read(view: View) -> int:
            nonlocal calls
            calls += 1
            return len(view.select(JOB, Query({"group": "x"}, ("rank",), 500)).records)

        assert await database.read(read) == 500
        assert calls == 2
        first = len(reads.reads)
        assert await database.read(read) == 500
        assert len(reads.reads) == first, "its blocks are in memory now"


async def test_a_body_goes_when_its_time_has_passed_and_not_before(stores: DatabaseStores) -> None:
    clock = FakeClock()
    settings = replace(KEEPING, body_retention=timedelta(hours=24))
    async with stores.server(clock=clock, settings=settings) as database:
        await database.commit([job("old", done=True)])
        clock.advance(timedelta(hours=1))
        await database.commit([job("new", done=True)])
        await stores.settle(database)
        clock.advance(timedelta(hours=23))
        assert not await database.engine.evictor.step()
        assert await remote(database) == 0
        clock.advance(timedelta(microseconds=1))
        await database.engine.evictor.step()
        assert await remote(database) == 1
        assert await database.get(JOB, "old") == job("old", done=True).message


async def test_a_body_that_no_manifest_has_stays(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await database.commit([job("covered", done=True)])
        await stores.settle(database)
        await database.commit([job("not yet", done=True)])
        await flushed(database)
        await wait_until_remote(database, 1)
        await database.engine.evictor.step()
        assert await remote(database) == 1
    await stores.delete("data", "index", "manifest")
    reads = ReadRecorder(stores.storage)
    async with stores.server(storage=reads) as database:
        assert await database.get(JOB, "not yet") == job("not yet", done=True).message
        assert reads.reads == []


# -- what is changed


async def test_an_old_record_is_changed_and_deleted_like_any_other(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 3)
    async with stores.server() as database:

        def move(view: View) -> Decision[str]:
            old = view.get(JOB, "j0000")
            assert old is not None
            return Decision(old.database_id, [job("j0000", rank=7, text=f"was {old.database_id}")])

        assert (await database.transact(move)).value == "text 0"
        await database.commit([Delete(JOB, "j0001")])
        assert (await database.get(JOB, "j0000")).database_id == "was text 0"
        assert await database.read(lambda view: [id_ for id_, _ in view.scan(JOB)]) == ["j0000", "j0002"]
        await wait_until_remote(database, 1)
        page = await database.read(lambda view: view.rows(JOB, Query({"group": None}, ("rank",))))
        assert list(page.records) == [("j0000", {"group": None, "rank": 7})]


async def test_a_precondition_on_an_old_record_needs_no_body(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 1)
    reads = ReadRecorder(stores.storage)
    async with stores.server(storage=reads) as database:
        revision = await database.read(lambda view: view.revision(JOB, "j0000"))
        assert revision is not None
        await database.commit([Delete(JOB, "j0000")], [RecordRevision(JOB, "j0000", revision)])
        assert await database.read(lambda view: view.get(JOB, "j0000")) is None
        assert reads.reads == []


async def test_transaction_that_waits_for_bodies_blocks_no_other(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 2)
    reads, asked, goes_on = ReadRecorder(stores.storage), asyncio.Event(), asyncio.Event()

    async def wait(key: str) -> None:
        asked.set()
        await goes_on.wait()

    reads.before_read = wait
    async with stores.server(storage=reads) as database:

        def both(view: View) -> Decision[list[str]]:
            found = [view.get(JOB, id_) for id_ in ("j0000", "j0001")]
            return Decision([each.database_id for each in found if each is not None], [put("seen")])

        slow = asyncio.create_task(database.transact(both))
        await asked.wait()
        for n in range(3):
            await database.commit([put(f"quick{n}")])
        assert not slow.done()
        goes_on.set()
        assert (await slow).value == ["text 0", "text 1"]


async def test_a_transaction_sees_what_its_batch_made_of_an_old_record(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 1)
    async with stores.server() as database:

        def count(view: View) -> Decision[int]:
            old = view.get(JOB, "j0000")
            assert old is not None
            return Decision(old.number, [job("j0000", rank=old.number + 1, done=True)])

        answers = await asyncio.gather(*(database.transact(count) for _ in range(20)))
        assert sorted(answer.value for answer in answers) == list(range(20))


# -- what goes wrong


@pytest.mark.parametrize("fault", [Unavailable, PermissionDenied], ids=["away", "it refuses us"])
async def test_only_reads_of_old_records_fail_without_the_storage(
    stores: DatabaseStores, fault: type[SluicewayError]
) -> None:
    async with stores.server() as database:
        await write_jobs(database, 2)
        await database.commit([put("note")])
        await stores.settle(database)
        await wait_until_remote(database, 2)
    reads, is_away = ReadRecorder(stores.storage), True

    async def away(key: str) -> None:
        if is_away:
            raise fault("the object storage cannot be used")

    reads.before_read = away
    async with stores.server(storage=reads) as database:
        with pytest.raises(Unavailable) as error:
            await database.get(JOB, "j0000")
        assert error.value.reason == "OLD_RECORDS_UNAVAILABLE"
        assert "job 'j0000'" in str(error.value)
        with pytest.raises(Unavailable) as error:
            await database.transact(lambda view: Decision(view.get(JOB, "j0001")))
        assert error.value.reason == "OLD_RECORDS_UNAVAILABLE"
        assert await database.get(NOTE, "note") is not None
        assert len((await database.read(lambda view: view.rows(JOB, Query({"group": "x"}, ("rank",))))).records) == 1
        await database.commit([put("note2")])
        is_away = False
        assert (await database.get(JOB, "j0000")).database_id == "text 0"


async def test_a_storage_that_does_not_respond_ends_a_read_in_time(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 1)
    reads, never = ReadRecorder(stores.storage), asyncio.Event()

    async def silent(key: str) -> None:
        await never.wait()

    reads.before_read = silent
    settings = replace(LEAVING, body_timeout=timedelta(milliseconds=50))
    async with stores.server(storage=reads, settings=settings) as database:
        with pytest.raises(Unavailable) as error:
            await database.get(JOB, "j0000")
        assert error.value.reason == "OLD_RECORDS_UNAVAILABLE"
        with pytest.raises(Unavailable) as error:
            await database.transact(lambda view: Decision(view.get(JOB, "j0000")))
        assert error.value.reason == "OLD_RECORDS_UNAVAILABLE"


async def test_reader_whose_files_are_gone_uses_the_newest_manifest(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await write_jobs(database, 20)
        first = await stores.settle(database)
        await wait_until_remote(database, 20)
        await database.commit([job(f"j{n:04}", done=True, text="new") for n in range(0, 20, 2)])
        await flushed(database)
        await stores.checkpoint()
        for files in first.types:
            for file in files.files:
                await stores.storage.delete(f"{stores.prefix}/{file.data.key}")
        assert database.engine.bodies.covered is not None
        found = await database.read(lambda view: {id_: each.database_id for id_, each in view.scan(JOB)})
        assert found == {f"j{n:04}": f"text {n}" if n % 2 else "new" for n in range(20)}


async def test_record_changed_during_a_fetch_is_read_as_it_is_then(stores: DatabaseStores) -> None:
    await write_old_jobs(stores, 2)
    reads = ReadRecorder(stores.storage)
    changed = False

    async def change(key: str) -> None:
        nonlocal changed
        if not changed:
            changed = True
            await database.commit([job("j0000", done=True, text="changed"), Delete(JOB, "j0001")])
            await flushed(database)
            await stores.checkpoint()  # which the read finds, with another revision than its row had
            await stores.delete("wal")

    reads.before_read = change
    async with stores.server(storage=reads) as database:
        found = await database.read(lambda view: {id_: each.database_id for id_, each in view.scan(JOB)})
        assert changed
        assert found in ({"j0000": "changed"}, {"j0000": "text 0", "j0001": "text 1"})
        assert (await database.get(JOB, "j0000")).database_id == "changed"


async def test_a_body_that_is_nowhere_is_named(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await write_jobs(database, 1)
        made = await stores.settle(database)
        await wait_until_remote(database, 1)
    (files,) = [files for files in made.types if files.type == "job"]
    await stores.storage.delete(f"{stores.prefix}/{files.files[0].data.key}")
    async with stores.server() as database:
        with pytest.raises(DataLoss) as error:
            await database.get(JOB, "j0000")
        assert error.value.reason == "FILE_MISSING"
        assert files.files[0].data.key in str(error.value)
        await database.commit([put("note")])
    await stores.delete("manifest")
    async with stores.server() as database:
        with pytest.raises(DataLoss) as error:
            await database.transact(lambda view: Decision(view.get(JOB, "j0000")))
        assert error.value.reason == "BODY_MISSING"
        assert "job 'j0000'" in str(error.value)
        await database.commit([put("note")])


async def test_one_read_of_too_many_old_records_is_refused(
    stores: DatabaseStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluiceway_server.datamanager.replica.cold_bodies.AT_HAND_BYTES", 20_000)
    await write_old_jobs(stores, 100)
    async with stores.server() as database:
        with pytest.raises(Exception, match="smaller page") as error:
            await database.list(JOB, Query(size=100))
        assert getattr(error.value, "reason", "") == "TOO_MANY_OLD_RECORDS"
        assert len((await database.list(JOB, Query(size=10))).records) == 10


def test_what_a_function_needs_is_no_error_that_it_could_catch() -> None:
    assert not issubclass(BodiesNotLoaded, Exception)
    assert len(FetchedBodies()) == 0


# -- the file


async def test_the_file_does_not_grow_when_bodies_come_and_go(stores: DatabaseStores) -> None:
    async def round_(database: DataManager, number: int) -> int:
        await database.commit([job(f"{number:02}-{n:03}", done=True, text="x" * 3000) for n in range(100)])
        await stores.settle(database)
        await wait_until_remote(database, 100 * (number + 1))
        path = stores.folder / "one" / "read.sqlite"
        return path.stat().st_size

    settings = replace(LEAVING, history=timedelta(0))
    async with stores.server(settings=settings) as database:
        sizes = [await round_(database, number) for number in range(8)]
    assert max(sizes) < 8 * 100 * 3000 // 3


@pytest.mark.parametrize("put_again", [True, False])
async def test_record_that_changed_has_a_body_until_it_rests(stores: DatabaseStores, put_again: bool) -> None:
    again = job("a", done=True) if put_again else None
    actions: list[Put | Delete] = [again or Delete(JOB, "a")]
    async with stores.server() as database:
        await database.commit([job("a", done=True), job("b", done=True)])
        await stores.settle(database)
        await wait_until_remote(database, 2)
        await database.commit(actions)
        await wait_until_remote(database, 1)
        await stores.settle(database)
        await wait_until_remote(database, 2 if put_again else 1)
