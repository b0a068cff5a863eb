"""A record whose columns no read database can hold is refused before it is in the log, where it would stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.datamanager.model import Bodies, Column, Decision, Put, Query, RecordType, View
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.databases import open_database


def _writer(message: log_pb2.Epoch) -> int:
    return int(message.writer or "0")


def wide(bodies: Bodies) -> RecordType[log_pb2.Epoch]:
    return RecordType(
        "wide",
        log_pb2.Epoch,
        columns=(Column("number", lambda message: message.cluster_id), Column("writer", _writer)),
        indexes=(("number",),),
        bodies=bodies,
    )


@pytest.mark.parametrize("bodies", Bodies)
async def test_column_that_fails_is_an_error_of_its_writer_only(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str, bodies: Bodies
) -> None:
    type_ = wide(bodies)

    def put(id_: str, number: int, writer: str = "") -> Put:
        return Put(type_, id_, log_pb2.Epoch(cluster_id=number, writer=writer))

    def read(view: View) -> list[tuple[str, object]]:
        return [(id_, row["number"]) for id_, row in view.rows(type_, Query(order=("number",))).records]

    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, types=(type_,)) as database:
        with pytest.raises(InvalidInput, match=f"the column 'number' of the wide 'b' would be {2**63}"):
            await database.commit([put("a", 1), put("b", 2**63)])
        with pytest.raises(InvalidInput, match="64 bits"):
            await database.transact(lambda _: Decision(None, [put("a", -1 + 2**64)]))
        with pytest.raises(ValueError, match="invalid literal"):
            await database.commit([put("a", 1, writer="nobody")])
        await database.commit([put("a", 2**63 - 1), put("b", 5)])
        assert await database.read(read) == [("b", 5), ("a", 2**63 - 1)]
    # Whoever comes later reads the same log.
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two", types=(type_,)) as database:
        assert await database.read(read) == [("b", 5), ("a", 2**63 - 1)]
