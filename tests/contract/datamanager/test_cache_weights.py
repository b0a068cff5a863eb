"""The weights by which caches are bounded are no less than the memory that is really taken.

Each is measured in a process of its own, whose heap has no holes that other tests left.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from google.protobuf.message import Message

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.runmodel.creation import create
from sluiceway_server.datamanager.caches import (
    WEIGHT_OF_KEY,
    Lru,
    weight_of_block,
    weight_of_footer,
    weight_of_message,
    weight_of_transaction,
    weight_of_version,
)
from sluiceway_server.datamanager.log.entries import (
    GENESIS_DIGEST,
    Catalogue,
    add_transaction,
    decode_transactions,
    encode_entry,
)
from sluiceway_server.datamanager.model import Emit, LogSequence, Position, Put
from sluiceway_server.datamanager.replica.schema import Version
from sluiceway_server.datamanager.tables.block import RecordBlock, StoredRecord, decode_records, encode_records
from sluiceway_server.datamanager.tables.footer import MAGIC_BYTES, FileKind, Footer, decode_end, encode_end
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import RECORD_TYPES, RUN_CONFIG, TASK
from tests.fakes.run_simulator import creation_request, graph

ALLOWANCE = 1_000_000
"""Bytes that a process takes while it measures, for other reasons."""


def config(tasks: int) -> pb.RunConfigRecord:
    made = pb.RunConfigRecord(digest="d" * 64)
    for number in range(tasks):
        made.config.tasks.append(
            api.TaskDefinition(
                name=f"task-{number}",
                runtime=api.Runtime(containers=[api.Container(image="registry.example/image:1")]),
                steps=[api.StepDefinition(run=api.RunStep(command="make -C src test && echo done"))],
                depends=[api.Depend(task=f"task-{parent}") for parent in range(max(0, number - 2), number)],
            )
        )
    return made


def task() -> pb.TaskRecord:
    made = create(creation_request(graph("a; b: a")))
    names = {task.id: task.name for task in made.tasks}
    return codec.encode_new_task(made.tasks[1], run_id="run-1", scope="/project/p1", names=names)


MESSAGES: dict[str, tuple[Callable[[], Message], int]] = {
    "a-task": (task, 5000),
    "a-small-configuration": (lambda: config(1), 5000),
    "a-configuration-of-thirty-tasks": (lambda: config(30), 1000),
    "a-configuration-of-two-thousand-tasks": (lambda: config(2000), 30),
}


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def take_versions(name: str) -> tuple[int, int]:
    """Answers the bytes that a cache of records takes, and its weight."""
    make, count = MESSAGES[name]
    message = make()
    body = message.SerializeToString()
    kind = type(message)
    cache: Lru[tuple[str, str], Version] = Lru(1 << 40)
    before = resident()
    for number in range(count):
        own = bytes(bytearray(body))
        version = Version(Position(LogSequence(1, 10_000 + number), 0), kind.FromString(own), own)
        cache.put((name, f"01a20f52-3342-707a-8550-{number:012}"), version, weight_of_version(len(own)))
    return resident() - before, cache.weight


def take_messages(name: str) -> tuple[int, int]:
    make, count = MESSAGES[name]
    message = make()
    body = message.SerializeToString()
    cache: Lru[tuple[str, str], tuple[Position, Message]] = Lru(1 << 40)
    before = resident()
    for number in range(count):
        found = (Position(LogSequence(1, 10_000 + number), 0), type(message).FromString(body))
        key = (name, f"01a20f52-3342-707a-8550-{number:012}")
        cache.put(key, found, WEIGHT_OF_KEY + weight_of_message(len(body)))
    return resident() - before, cache.weight


def take_transactions(_: str) -> tuple[int, int]:
    """The same for transactions as they come out of the log: two records and eight events each."""
    batch = log_pb2.Batch()
    topics = ("runs", "run/01a20f52-3342-707a-8550-9add8f3e47c3", "group//project/p1/branch/main")
    for number in range(1000):
        events = [Emit("run_event", topics, b"e" * 150)] * 8
        add_transaction(
            batch, [Put(TASK, f"run/{number}", task()), Put(RUN_CONFIG, f"run/{number}", config(1)), *events], ["run"]
        )
    entry = encode_entry(
        batch,
        sequence=LogSequence(1, 1),
        batch_id=b"id",
        writer="server",
        time_us=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000),
        previous_digest=GENESIS_DIGEST,
        compressor=zstandard.ZstdCompressor(),
    )
    catalogue = Catalogue(RECORD_TYPES)
    del batch
    before = resident()
    kept = decode_transactions(entry, catalogue)
    return resident() - before, sum(weight_of_transaction(item.size) for item in kept)


def take_blocks(id_: str) -> tuple[int, int]:
    """The same for blocks of data files, of 64 KiB before compression."""
    made = [StoredRecord(id_.format(number), Position(LogSequence(1, number), 0), bytes(300)) for number in range(170)]
    raw = encode_records(made)
    cache: Lru[tuple[str, int], RecordBlock] = Lru(1 << 40)
    before = resident()
    for number in range(200):
        cache.put(("data/run/x", number), decode_records("x", raw, 170), weight_of_block(len(raw), 170))
    return resident() - before, cache.weight


def take_footers(id_: str) -> tuple[int, int]:
    """The same for footers of a thousand blocks."""
    ids = [id_.format(number) for number in range(2000)]
    footer = storage_pb2.FileFooter(
        type="run",
        records=1000,
        firsts=ids[::2],
        lasts=ids[1::2],
        lengths=[20_000] * 1000,
        sizes=[65_000] * 1000,
        counts=[1] * 1000,
        checksums=bytes(16_000),
    )
    end = encode_end(FileKind.DATA, footer)
    cache: Lru[tuple[str, int], Footer] = Lru(1 << 40)
    before = resident()
    for number in range(100):
        decoded = decode_end("data/run/x", FileKind.DATA, end, footer_offset=MAGIC_BYTES + 20_000_000)
        cache.put(("data/run/x", number), decoded, weight_of_footer(1000, sum(map(len, ids))))
    return resident() - before, cache.weight


IDS = {"short": "{:08}", "of-runs": "01a20f52-3342-707a-8550-{:012}", "long": "/project/p1/" + "branch-" * 20 + "{:08}"}

CASES = [
    *(pytest.param(take_versions, name, id=f"record-{name}") for name in MESSAGES),
    *(pytest.param(take_messages, name, id=f"message-{name}") for name in MESSAGES),
    pytest.param(take_transactions, "", id="transactions"),
    *(pytest.param(take_blocks, id_, id=f"blocks-ids-{name}") for name, id_ in IDS.items()),
    *(pytest.param(take_footers, id_, id=f"footers-ids-{name}") for name, id_ in IDS.items()),
]


@pytest.mark.parametrize(("take", "name"), CASES)
def test_what_a_cache_holds_takes_no_more_memory_than_it_weighs(
    take: Callable[[str], tuple[int, int]], name: str
) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        taken, weight = process.submit(take, name).result(timeout=60)
    assert taken > ALLOWANCE  # or nothing was measured
    assert taken <= weight + ALLOWANCE
    assert weight <= 4 * taken + ALLOWANCE  # or the cache would be nearly empty
