"""The bytes in docs/datamanager.md are what the code reads and writes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.records.storage.v1.storage_pb2 import FileRef
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, Catalogue, decode_entry, decode_transactions
from sluiceway_server.datamanager.log.epochs import Epochs, accepted_of
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.log.segments import decode_segment
from sluiceway_server.datamanager.model import LogSequence, Put
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.runrecords.types import RUN_NUMBER
from tests.fakes.objectstorage import FakeObjectStorage

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datamanager.md"


def example(name: str) -> bytes:
    """The bytes of a block of the page: pairs of digits, up to the two blanks before the words about them."""
    block = re.search(rf"^```{name}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None, f"the page shows no {name}"
    lines = (re.match(r" *((?:[0-9a-f]{2} ?)+)(?: |$)|", line) for line in block.group(1).splitlines())
    return bytes.fromhex("".join(line.group(1) or "" for line in lines if line))


def test_entry() -> None:
    entry = decode_entry(example("entry"))
    assert (entry.sequence, entry.writer, entry.previous_digest) == (LogSequence(1, 1), "server-1", GENESIS_DIGEST)
    (transaction,) = decode_transactions(entry, Catalogue([RUN_NUMBER]))
    assert transaction.applied.actions == (Put(RUN_NUMBER, "/user/admin", pb.RunNumberRecord(last=7)),)


def test_head_is_of_that_entry() -> None:
    entry, head = decode_entry(example("entry")), HeadMark.parse(example("head"))
    assert (head.sequence, head.batch_id, head.digest) == (entry.sequence, entry.batch_id, entry.digest)
    assert head.total_bytes == len(entry.raw)


def test_segment_holds_that_entry() -> None:
    segment = decode_segment("wal/00000001-0000000000000001", example("segment"))
    assert [entry.raw for entry in segment.entries] == [example("entry")]


async def test_epoch_object() -> None:
    storage = FakeObjectStorage()
    await storage.put("p/epoch/00000001", example("epoch"))
    (epoch,) = await Epochs(storage, prefix="p").all()
    assert (epoch.number, accepted_of(epoch), epoch.writer, epoch.database_id) == (1, None, "server-1", "db-1")


async def test_data_file() -> None:
    body, storage = example("data"), FakeObjectStorage()
    key = "data/run_number/00000001-0000000000000001-1-a3f9"
    await storage.put(f"p/{key}", body)
    ref = FileRef(
        key=key,
        size=len(body),
        digest=hashlib.sha256(body).digest(),
        first="/user/admin",
        last="/user/admin",
        records=1,
        footer_offset=49,
    )
    files = FileStore(storage, prefix="p")
    await files.verify(ref)
    found = [record async for part in files.records(ref) for record in part]
    assert [(r.id, str(r.revision)) for r in found] == [("/user/admin", "00000001-0000000000000001.000000")]
    assert pb.RunNumberRecord.FromString(found[0].body).last == 7


@pytest.mark.parametrize("picture", re.findall(r"\]\((pictures/[^)]+)\)", PAGE.read_text()))
def test_pictures_are_there(picture: str) -> None:
    text = (PAGE.parent / picture).read_text()
    assert "prefers-color-scheme: dark" in text
    assert "<title" in text


def test_modules_that_the_page_names_are_there() -> None:
    table = PAGE.read_text().split("| to understand")[1].split("\n\n")[0]
    folder = PAGE.parents[1] / "server" / "sluiceway_server" / "datamanager"
    named = set(re.findall(r"`([a-z_/]+)`", "".join(line.split("|")[2] for line in table.splitlines()[2:])))
    assert named
    assert {name for name in named if not (folder / f"{name}.py").exists()} == set()
