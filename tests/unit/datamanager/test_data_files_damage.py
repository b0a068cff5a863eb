"""Whatever is where a file should be: it is reported as damaged, by name, or what is read is correct.

Never a crash, a hang or a huge allocation. The objects that somebody crafted have checksums that hold.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import resource
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile
from sluiceway_server.datamanager.tables.block import LARGEST_BLOCK, FileDamaged, checksum, encode_index, encode_records
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.footer import LARGEST_FOOTER, TRAILER_BYTES, FileKind, encode_end
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.stored_files import COLUMNS, PREFIX, TYPE, record, records, rows, write, write_index

RECORDS = records(60)
ROWS = rows(60)
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def written(kind: FileKind = FileKind.DATA) -> tuple[FakeObjectStorage, FileRef, bytes]:
    storage = FakeObjectStorage()
    store = FileStore(storage, prefix=PREFIX, block_bytes=1000)
    ref = await (write(store, RECORDS) if kind is FileKind.DATA else write_index(store, ROWS))
    return storage, ref, await storage.get(f"{PREFIX}/{ref.key}")


async def use(storage: FakeObjectStorage, ref: FileRef) -> int:
    """Read a file in every way; return how many of them reported that it is damaged."""
    told = 0

    async def read() -> None:
        found = [item async for some in FileStore(storage, prefix=PREFIX).records(ref) for item in some]
        assert found == RECORDS

    async def find() -> None:
        ids = [item.id for item in RECORDS[::7]]
        found = await FileStore(storage, prefix=PREFIX).find([LiveFile(data=ref)], ids)
        # A reference that was crafted with its file may name fewer.
        assert found.items() <= {item.id: item for item in RECORDS[::7]}.items()
        assert len(found) == len(RECORDS[::7]) or ref.first != RECORDS[0].id or ref.last != RECORDS[-1].id

    async def read_rows() -> None:
        found = [row async for some in FileStore(storage, prefix=PREFIX).rows(ref) for row in some]
        assert found == ROWS

    async def columns() -> None:
        await FileStore(storage, prefix=PREFIX).index_columns(ref)

    for way in (read, find) if ref.key.startswith("data/") else (read_rows, columns):
        error = await damage_told_by(way())
        if error is not None:
            told += 1
            assert ref.key in error.message
            assert "Restore this object" in error.message
    return told


async def damage_told_by(work: Awaitable[None]) -> FileDamaged | None:
    try:
        await work
    except FileDamaged as error:
        return error
    return None


async def verify_tells(storage: FakeObjectStorage, ref: FileRef) -> str:
    with pytest.raises(FileDamaged, match=ref.key) as caught:
        await FileStore(storage, prefix=PREFIX).verify(ref)
    return caught.value.message


@FUZZ
@given(st.sampled_from(FileKind), st.data())
async def test_a_changed_byte_is_reported_or_does_not_matter(kind: FileKind, data: st.DataObject) -> None:
    storage, ref, body = await written(kind)
    changed = bytearray(body)
    changed[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    storage.damage(f"{PREFIX}/{ref.key}", bytes(changed))
    await use(storage, ref)
    await verify_tells(storage, ref)


@FUZZ
@given(st.sampled_from(FileKind), st.data())
async def test_a_file_that_was_cut_off_is_reported(kind: FileKind, data: st.DataObject) -> None:
    storage, ref, body = await written(kind)
    storage.damage(f"{PREFIX}/{ref.key}", body[: data.draw(st.integers(0, len(body) - 1))])
    assert await use(storage, ref) == 2
    await verify_tells(storage, ref)


@FUZZ
@given(st.sampled_from(FileKind), st.data())
async def test_bytes_that_moved_are_reported(kind: FileKind, data: st.DataObject) -> None:
    storage, ref, body = await written(kind)
    at = data.draw(st.integers(0, len(body)))
    noise = data.draw(st.binary(min_size=1, max_size=40))
    storage.damage(
        f"{PREFIX}/{ref.key}", (body[:at] + noise + body[at:])[: data.draw(st.sampled_from([None, ref.size]))]
    )
    if at < ref.footer_offset or at < len(body):
        await use(storage, ref)
    changed = await storage.get(f"{PREFIX}/{ref.key}") != body
    if changed:
        await verify_tells(storage, ref)


@FUZZ
@given(st.sampled_from(FileKind), st.binary(max_size=300), st.booleans())
async def test_another_programs_object_is_reported(kind: FileKind, noise: bytes, long: bool) -> None:
    storage, ref, body = await written(kind)
    storage.damage(f"{PREFIX}/{ref.key}", (noise * len(body))[: len(body)] if long else noise)
    assert await use(storage, ref) == 2
    await verify_tells(storage, ref)


async def test_a_file_of_another_version_is_reported_as_such() -> None:
    storage, ref, body = await written()
    newer = body[:7] + b"\x09" + body[8:-1] + b"\x09"
    storage.damage(f"{PREFIX}/{ref.key}", newer)
    assert await use(storage, ref) == 2
    assert "format version 9, and this server reads version 1 only" in await verify_tells(storage, ref)


async def test_files_that_were_exchanged_are_reported() -> None:
    storage = FakeObjectStorage()
    store = FileStore(storage, prefix=PREFIX, block_bytes=1000)
    ref = await write(store, RECORDS)
    dump = await write_index(store, ROWS)
    foreign = await write(store, RECORDS, type_name="task")
    other = await write(store, records(60, body_bytes=90), name="other")
    key = f"{PREFIX}/{ref.key}"
    for source, says in (
        (dump, "an object of the folder index/"),
        (foreign, "records of the type 'task'"),
        (other, "not the file that the manifest names|the manifest says|not where it should be"),
    ):
        storage.damage(key, await storage.get(f"{PREFIX}/{source.key}"))
        twisted = FileRef()
        twisted.CopyFrom(source)
        twisted.key = ref.key
        with pytest.raises(FileDamaged, match=says):
            await FileStore(storage, prefix=PREFIX).verify(ref if source is other else twisted)


async def test_a_reference_to_another_folder_is_reported() -> None:
    storage, ref, _ = await written()
    for key in ("wal/1", "data/run", "data//x", "index/run/1-0-a"):
        twisted = FileRef()
        twisted.CopyFrom(ref)
        twisted.key = key
        storage._store(f"{PREFIX}/{key}".encode(), await storage.get(f"{PREFIX}/{ref.key}"))
        with pytest.raises(FileDamaged):
            await FileStore(storage, prefix=PREFIX).verify(twisted)
        with pytest.raises(FileDamaged):
            await FileStore(storage, prefix=PREFIX).find([LiveFile(data=twisted)], [ref.first])


# Crafted objects.


def crafted(
    footer: storage_pb2.FileFooter, blocks: list[bytes], *, kind: FileKind = FileKind.DATA
) -> tuple[bytes, FileRef]:
    """An object of these blocks, with this footer, whose checksums hold, and a reference that agrees with it."""
    content = kind.magic + b"".join(blocks)
    footer.checksums = b"".join(checksum(block) for block in blocks)
    body = content + encode_end(kind, footer)
    ref = FileRef(
        key=f"{kind.value}/{TYPE}/x",
        size=len(body),
        digest=hashlib.sha256(body).digest(),
        first=footer.firsts[0] if footer.firsts else "",
        last=footer.lasts[-1] if footer.lasts else "",
        records=footer.records,
        footer_offset=len(content),
    )
    return body, ref


def compress(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


def honest(kind: FileKind = FileKind.DATA) -> tuple[storage_pb2.FileFooter, list[bytes]]:
    """The footer and blocks of a small file of three blocks."""
    raws = [
        encode_records(RECORDS[at : at + 20]) if kind is FileKind.DATA else encode_index(ROWS[at : at + 20])
        for at in (0, 20, 40)
    ]
    blocks = [compress(raw) for raw in raws]
    footer = storage_pb2.FileFooter(
        type=TYPE,
        records=60,
        firsts=[record(at).id for at in (0, 20, 40)],
        lasts=[record(at).id for at in (19, 39, 59)],
        lengths=[len(block) for block in blocks],
        sizes=[len(raw) for raw in raws],
        counts=[20, 20, 20],
        columns=() if kind is FileKind.DATA else COLUMNS,
    )
    return footer, blocks


async def store_crafted(body: bytes, ref: FileRef) -> FakeObjectStorage:
    storage = FakeObjectStorage()
    await storage.put(f"{PREFIX}/{ref.key}", body)
    return storage


async def test_an_honest_file_that_was_made_by_hand_is_read() -> None:
    for kind in FileKind:
        body, ref = crafted(*honest(kind), kind=kind)
        storage = await store_crafted(body, ref)
        assert await use(storage, ref) == 0
        await FileStore(storage, prefix=PREFIX).verify(ref)


def _gap(footer: storage_pb2.FileFooter) -> None:
    footer.lengths[1] -= 1


def _overlap(footer: storage_pb2.FileFooter) -> None:
    footer.firsts[1] = footer.lasts[0]


def _backwards(footer: storage_pb2.FileFooter) -> None:
    footer.firsts[1], footer.lasts[1] = footer.lasts[1], footer.firsts[1]


def _huge_lengths(footer: storage_pb2.FileFooter) -> None:
    footer.lengths[:] = [2**32 - 1] * 3


def _huge_sizes(footer: storage_pb2.FileFooter) -> None:
    footer.sizes[1] = 2**32 - 1


def _huge_counts(footer: storage_pb2.FileFooter) -> None:
    footer.counts[:] = [2**32 - 1] * 3
    footer.records = 3 * (2**32 - 1)


def _no_records(footer: storage_pb2.FileFooter) -> None:
    footer.counts[:] = [0, 40, 20]


def _wrong_sum(footer: storage_pb2.FileFooter) -> None:
    footer.records = 61


def _wrong_type(footer: storage_pb2.FileFooter) -> None:
    footer.type = "task"


def _too_few_places(footer: storage_pb2.FileFooter) -> None:
    del footer.sizes[1]


def _columns(footer: storage_pb2.FileFooter) -> None:
    footer.columns.append("group")


def _empty(footer: storage_pb2.FileFooter) -> None:
    for field in ("firsts", "lasts", "lengths", "sizes", "counts"):
        footer.ClearField(field)
    footer.records = 0


def _moved_count(footer: storage_pb2.FileFooter) -> None:
    footer.counts[:] = [21, 19, 20]


def _other_first(footer: storage_pb2.FileFooter) -> None:
    footer.firsts[0] = "id-"


@pytest.mark.parametrize(
    "twist",
    [
        _gap,
        _overlap,
        _backwards,
        _huge_lengths,
        _huge_sizes,
        _huge_counts,
        _no_records,
        _wrong_sum,
        _wrong_type,
        _too_few_places,
        _columns,
        _empty,
        _moved_count,
        _other_first,
    ],
)
async def test_a_footer_that_contradicts_itself_or_its_blocks_is_told(
    twist: Callable[[storage_pb2.FileFooter], None],
) -> None:
    footer, blocks = honest()
    twist(footer)
    body, ref = crafted(footer, blocks)
    storage = await store_crafted(body, ref)
    assert await use(storage, ref) >= 1
    await verify_tells(storage, ref)


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4)
NUMBERS = st.lists(st.one_of(st.integers(0, 60), st.integers(0, 2**32 - 1)), max_size=4)


@FUZZ
@given(st.sampled_from(FileKind), st.data())
async def test_any_crafted_footer_is_reported_or_true(kind: FileKind, data: st.DataObject) -> None:
    footer, blocks = honest(kind)
    for field in data.draw(st.lists(st.sampled_from(["firsts", "lasts", "columns"]), max_size=2)):
        getattr(footer, field)[:] = data.draw(TEXTS)
    for field in data.draw(st.lists(st.sampled_from(["lengths", "sizes", "counts"]), max_size=2)):
        getattr(footer, field)[:] = data.draw(NUMBERS)
    if data.draw(st.booleans()):
        footer.records = data.draw(st.integers(0, 2**64 - 1))
    body, ref = crafted(footer, blocks, kind=kind)
    storage = await store_crafted(body, ref)
    await use(storage, ref)
    try:
        await FileStore(storage, prefix=PREFIX).verify(ref)
    except FileDamaged:
        return
    assert await use(storage, ref) == 0


def twisted_records(data: st.DataObject) -> storage_pb2.RecordBlock:
    message = storage_pb2.RecordBlock.FromString(encode_records(RECORDS[:20]))
    for part in data.draw(st.lists(st.sampled_from(["ids", "revisions", "bodies"]), max_size=3)):
        if part == "ids":
            message.ids[:] = data.draw(TEXTS)
        elif part == "bodies":
            message.bodies[:] = data.draw(st.lists(st.binary(max_size=5), max_size=4))
        else:
            message.revisions = data.draw(st.binary(max_size=400))
    return message


def twisted_rows(data: st.DataObject) -> storage_pb2.IndexBlock:
    message = storage_pb2.IndexBlock.FromString(encode_index(ROWS[:20]))
    parts = ["ids", "revisions", "kinds", "texts", "numbers", "blobs", "local_rows", "local_bodies"]
    for part in data.draw(st.lists(st.sampled_from(parts), max_size=3)):
        match part:
            case "ids":
                twist_values(data, message.ids)
            case "revisions" | "kinds":
                setattr(message, part, data.draw(st.binary(max_size=400) | st.binary(min_size=60, max_size=60)))
            case "texts" | "blobs":
                columns = getattr(message, part)
                twist_values(data, data.draw(st.sampled_from(list(columns))) if columns else columns.add())
                if data.draw(st.booleans()):
                    columns.add()
            case "local_bodies":
                message.local_bodies.append(b"x")
            case _:
                getattr(message, part)[:] = data.draw(NUMBERS)
    return message


def twist_values(data: st.DataObject, values: storage_pb2.Values) -> None:
    values.width = data.draw(st.just(values.width) | st.integers(0, 40) | st.just(2**32 - 1))
    if data.draw(st.booleans()):
        values.transposed = data.draw(st.binary(max_size=400))
    if data.draw(st.booleans()):
        values.texts[:] = data.draw(TEXTS)
    if data.draw(st.booleans()):
        values.blobs[:] = data.draw(st.lists(st.binary(max_size=5), max_size=4))


@FUZZ
@given(st.data())
async def test_any_crafted_block_is_reported_or_has_records_in_order(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(FileKind))
    twisted = twisted_records(data) if kind is FileKind.DATA else twisted_rows(data)
    raw = data.draw(st.one_of(st.just(twisted.SerializeToString(deterministic=True)), st.binary(max_size=100)))
    footer, blocks = honest(kind)
    blocks[0] = compress(raw)
    footer.lengths[0], footer.sizes[0] = len(blocks[0]), len(raw)
    body, ref = crafted(footer, blocks, kind=kind)
    storage = await store_crafted(body, ref)
    store = FileStore(storage, prefix=PREFIX)
    try:
        await store.verify(ref)
    except FileDamaged:
        return
    read = store.records(ref) if kind is FileKind.DATA else store.rows(ref)
    ids = [item.id async for some in read for item in some]
    assert ids == [item.id for item in RECORDS]


def bombs() -> list[tuple[bytes, FileRef]]:
    """Objects of a few kilobytes that claim a quarter of a gigabyte or more."""
    huge = 1 << 28
    made = []
    # A block that is so large, and says so in its frame, but not in the footer.
    for claimed in (None, 100_000):
        footer, blocks = honest()
        blocks[1] = _zeros(huge)
        footer.lengths[1] = len(blocks[1])
        footer.sizes[1] = claimed or footer.sizes[1]
        made.append(crafted(footer, blocks))
    # Frames whose header lies: of a size, and of a window.
    footer, blocks = honest()
    footer.sizes[1] = LARGEST_BLOCK
    blocks[1] = _frame_header(LARGEST_BLOCK, window_log=31) + b"\x01\x00\x00"
    footer.lengths[1] = len(blocks[1])
    made.append(crafted(footer, blocks))
    # Footers whose frame is so large.
    made.append(_with_footer(_zeros(huge), LARGEST_FOOTER))
    made.append(_with_footer(_zeros(huge), huge))
    return made


def _zeros(size: int) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    parts = [compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, compressor.flush()])


def _frame_header(size: int, *, window_log: int) -> bytes:
    # RFC 8878, 3.1.1.1: magic, a descriptor for an eight-byte content size, the window, the size.
    return b"\x28\xb5\x2f\xfd\xc0" + bytes([(window_log - 10) << 3]) + size.to_bytes(8, "little")


def _with_footer(data: bytes, size: int) -> tuple[bytes, FileRef]:
    footer, blocks = honest()
    content = FileKind.DATA.magic + b"".join(blocks)
    trailer = (
        len(data).to_bytes(4, "big") + min(size, 2**32 - 1).to_bytes(4, "big") + checksum(data) + FileKind.DATA.magic
    )
    assert len(trailer) == TRAILER_BYTES
    body = content + data + trailer
    return body, FileRef(
        key=f"data/{TYPE}/x",
        size=len(body),
        digest=hashlib.sha256(body).digest(),
        first=footer.firsts[0],
        last=footer.lasts[-1],
        records=60,
        footer_offset=len(content),
    )


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read_bombs() -> tuple[int, int]:
    """Return how many bytes more the process needed at most, and how many crafted objects were reported."""
    made = bombs()

    async def read_all() -> int:
        told = 0
        for body, ref in made:
            storage = await store_crafted(body, ref)
            told += await use(storage, ref)
        return told

    before = _peak()
    told = asyncio.run(read_all())
    return _peak() - before, told


def test_object_that_claims_a_huge_size_is_not_decompressed() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        taken, told = process.submit(read_bombs).result(timeout=60)
    assert told == 2 * len(bombs())
    assert taken < 150_000_000
