from __future__ import annotations

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import (
    GENESIS_DIGEST,
    Catalogue,
    LogEntry,
    add_transaction,
    decode_entry,
    decode_transactions,
    encode_entry,
)
from sluiceway_server.datamanager.log.segments import decode_segment, encode_segment
from sluiceway_server.datamanager.model import Action, Delete, Emit, LogSequence, Position, Put, RecordType

NOTE: RecordType[log_pb2.Epoch] = RecordType("note", log_pb2.Epoch)

IDS = st.text(max_size=20)
ACTIONS = st.one_of(
    st.builds(lambda id_, text: Put(NOTE, id_, log_pb2.Epoch(writer=text)), IDS, st.text(max_size=300)),
    st.builds(lambda id_: Delete(NOTE, id_), IDS),
    st.builds(Emit, IDS, st.lists(IDS, max_size=3).map(tuple), st.binary(max_size=50)),
)
TRANSACTIONS = st.lists(
    st.tuples(st.lists(ACTIONS, min_size=1, max_size=5), st.lists(IDS, max_size=3)), min_size=1, max_size=5
)


def entry_of(
    transactions: list[tuple[list[Action], list[str]]], counter: int = 1, before: bytes = GENESIS_DIGEST
) -> LogEntry:
    batch = log_pb2.Batch()
    for actions, groups in transactions:
        add_transaction(batch, actions, groups)
    return encode_entry(
        batch,
        sequence=LogSequence(1, counter),
        batch_id=b"id",
        writer="server",
        time_us=1_700_000_000_000_000,
        previous_digest=before,
        compressor=zstandard.ZstdCompressor(),
    )


def chain(length: int) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for counter in range(1, length + 1):
        before = entries[-1].digest if entries else GENESIS_DIGEST
        entries.append(entry_of([([Delete(NOTE, str(counter))], [])], counter, before))
    return entries


@given(TRANSACTIONS)
def test_an_entry_gives_back_what_was_put_into_it(transactions: list[tuple[list[Action], list[str]]]) -> None:
    entry = decode_entry(entry_of(transactions).raw)
    decoded = decode_transactions(entry, Catalogue([NOTE]))
    assert [(list(item.applied.actions), list(item.applied.groups)) for item in decoded] == transactions
    assert [item.applied.position for item in decoded] == [
        Position(LogSequence(1, 1), index) for index in range(len(transactions))
    ]


@settings(deadline=None)
@given(TRANSACTIONS, st.data())
def test_an_entry_with_a_changed_byte_is_never_read_as_another(
    transactions: list[tuple[list[Action], list[str]]], data: st.DataObject
) -> None:
    entry = entry_of(transactions)
    raw = bytearray(entry.raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert decode_entry(bytes(raw)).digest == entry.digest
    except DataLoss:
        return
    assert decode_transactions(decode_entry(bytes(raw)), Catalogue([NOTE])) == decode_transactions(
        entry, Catalogue([NOTE])
    )


def test_a_body_of_a_type_that_is_not_known_passes_untouched() -> None:
    entry = entry_of([([Put(NOTE, "a", log_pb2.Epoch(writer="w", number=3))], [])])
    (transaction,) = decode_transactions(entry, Catalogue([]))
    (action,) = transaction.applied.actions
    assert isinstance(action, Put)
    assert action.type.name == "note"
    assert log_pb2.Epoch.FromString(action.message.SerializeToString()).number == 3


def test_a_segment_gives_back_its_entries() -> None:
    entries = chain(5)
    segment = decode_segment("wal/x", encode_segment(entries, total_bytes=99, writer="server"))
    assert list(segment.entries) == entries
    assert (segment.first, segment.last) == (LogSequence(1, 1), LogSequence(1, 5))
    assert segment.header.total_bytes == 99


@settings(deadline=None)
@given(st.data())
def test_a_segment_that_was_cut_or_changed_is_named(data: st.DataObject) -> None:
    body = bytearray(encode_segment(chain(3), total_bytes=1, writer="server"))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DataLoss, match="wal/x"):
        decode_segment("wal/x", bytes(body))


def test_a_segment_with_a_gap_is_refused() -> None:
    one, _, three = chain(3)
    with pytest.raises(DataLoss, match="does not follow"):
        decode_segment("wal/x", encode_segment([one, three], total_bytes=1, writer="server"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**24 - 1))
def test_positions_print_in_their_order(epoch: int, counter: int, index: int) -> None:
    position = Position(LogSequence(epoch, counter), index)
    assert Position.parse(str(position)) == position
    other = Position(LogSequence(1, 2), 3)
    assert (str(position) < str(other)) == (position < other)


@pytest.mark.parametrize(
    "text",
    [
        "00000001-000000000000000A",
        "+0000001-0000000000000001",
        "00000001-0000_0000_0000_001",
        " 0000001-000000000000001f",
    ],
)
def test_a_number_has_one_name_only(text: str) -> None:
    with pytest.raises(ValueError, match="not a sequence"):
        LogSequence.parse(text)
    with pytest.raises(ValueError, match="not a position"):
        Position.parse(f"{text}.000000")
