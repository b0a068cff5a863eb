"""The export file: what was written is read again, and what was changed, cut or put elsewhere is seen."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway_server.datamanager.admin.export_file import ExportDamaged, ExportEncoder, ExportFile
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.tables.block import StoredRecord

NOW = datetime(2026, 11, 26, 3, 20, tzinfo=UTC)
AT = Position(LogSequence(2, 7), 1)


def record(id_: str, body: bytes = b"body") -> StoredRecord:
    return StoredRecord(id_, AT, body)


def frames_of(blocks: list[tuple[str, list[StoredRecord]]]) -> list[bytes]:
    """The pieces of an export: header, blocks, trailer."""
    encoder = ExportEncoder()
    header = encoder.header(database_id="db", sequence=AT.sequence, time_us=5, made=NOW, version="1")
    return [header, *(encoder.block(type_, records) for type_, records in blocks), encoder.trailer()]


SMALL = [
    ("note", [record("a"), record("b", b"")]),
    ("note", [record("c", bytes(3000))]),
    ("token", [record("a", b"x")]),
]


def write(path: Path, *pieces: bytes) -> ExportFile:
    path.write_bytes(b"".join(pieces))
    return ExportFile(path)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = write(tmp_path / "export", *frames_of(SMALL))
    info = file.check()
    assert (info.database_id, info.sequence, info.made, info.version) == ("db", AT.sequence, NOW, "1")
    assert (dict(info.types), info.records) == ({"note": 3, "token": 1}, 4)
    assert list(file.blocks()) == SMALL


def test_a_database_of_nothing_is_an_export_too(tmp_path: Path) -> None:
    file = write(tmp_path / "export", *frames_of([]))
    assert file.check().records == 0
    assert list(file.blocks()) == []


IDS = st.lists(st.text(max_size=6), unique=True, min_size=1, max_size=8).map(sorted)
RECORDS = st.dictionaries(st.sampled_from(["a", "b_c", "d"]), IDS, min_size=1)


@given(RECORDS, st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_records_come_out_as_they_went_in(tmp_path: Path, types: dict[str, list[str]], body: bytes) -> None:
    blocks = [(name, [record(id_, body)]) for name, ids in sorted(types.items()) for id_ in ids]
    file = write(tmp_path / "export", *frames_of(blocks))
    assert dict(file.check().types) == {name: len(ids) for name, ids in types.items()}
    assert list(file.blocks()) == blocks


def test_every_changed_byte_is_seen_and_its_place_is_named(tmp_path: Path) -> None:
    whole = b"".join(frames_of(SMALL))
    for at in range(len(whole)):
        file = write(tmp_path / "export", whole[:at], bytes([whole[at] ^ 0x40]), whole[at + 1 :])
        with pytest.raises(ExportDamaged, match="at byte ") as caught:
            file.check()
        assert int(caught.value.metadata["byte"]) <= at
        assert "copy" in caught.value.message


def test_every_cut_is_seen(tmp_path: Path) -> None:
    whole = b"".join(frames_of(SMALL))
    for length in range(len(whole)):
        file = write(tmp_path / "export", whole[:length])
        with pytest.raises(ExportDamaged):
            file.check()


@pytest.mark.parametrize(
    ("order", "says"),
    [
        pytest.param([0, 1, 2, 4], "block 3 is there|its end names", id="a block is missing"),
        pytest.param([0, 2, 1, 3, 4], "block 2 is there, where 1 should be", id="blocks are exchanged"),
        pytest.param([0, 1, 1, 2, 3, 4], "block 1 is there, where 2 should be", id="a block comes twice"),
        pytest.param([0, 1, 2, 3], "without its last frame", id="the end is missing"),
        pytest.param([0, 1, 2, 3, 4, 4], "after its end", id="something follows the end"),
        pytest.param([1, 2, 3, 4], "does not begin as an export", id="the beginning is missing"),
        pytest.param([0, 0, 1, 2, 3, 4], "no frame begins there", id="two files were put together"),
    ],
)
def test_frames_that_are_not_where_they_were_are_seen(tmp_path: Path, order: list[int], says: str) -> None:
    frames = frames_of(SMALL)
    with pytest.raises(ExportDamaged, match=says):
        write(tmp_path / "export", *(frames[at] for at in order)).check()


def test_blocks_of_another_export_are_damage(tmp_path: Path) -> None:
    other = frames_of([SMALL[0], ("note", [record("c", bytes(2999))]), SMALL[2]])
    frames = frames_of(SMALL)
    with pytest.raises(ExportDamaged, match="digest"):
        write(tmp_path / "export", *frames[:2], other[2], *frames[3:]).check()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"SLEXP\x00\x00\x02", bytes(100)])
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ExportDamaged, match="at byte 0"):
        write(tmp_path / "export", content).check()


def test_a_frame_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    (header, *_) = frames_of([])
    claim = struct.pack(">cI", b"B", 0xFFFFFFFF)
    frame = claim + hashlib.sha256(claim).digest()[:16]
    with pytest.raises(ExportDamaged, match="no frame begins there"):
        write(tmp_path / "export", header, frame).check()


def test_records_out_of_order_are_not_written() -> None:
    encoder = ExportEncoder()
    encoder.header(database_id="db", sequence=AT.sequence, time_us=5, made=NOW, version="1")
    encoder.block("note", [record("b")])
    for type_, id_ in (("note", "a"), ("note", "b"), ("a", "z")):
        with pytest.raises(ValueError, match="out of order"):
            encoder.block(type_, [record(id_)])
