"""B5: the path of a log from an executor to the object storage, to readers, and its lines in a large log.

The log is made to be hard: ten million short lines, one line of a tenth of the log, zero bytes, and bytes that are not
UTF-8. A real pusher with its spool sends it to a server in a process of its own, which stores it in a folder. It is
compared with a raw stream of grpc.aio between the same two processes, with the same messages, whose server drops them.
What is stored must have the digest of what was written.

    python -m bench.b5_logs --megabytes 1024
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.peer.v1 import peer_service_pb2, peer_service_pb2_grpc
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.logging import set_up_logging
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_executor.journal import Journal
from sluiceway_executor.log_pusher import LogPusher
from sluiceway_executor.spool import LogName, Spool, Spools
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.peer_service import PeerServicer
from sluiceway_server.logs.peers import PeerAuthenticator
from sluiceway_server.logs.places import LogPlaces
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.store import LogStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.log_server import KEY, Owners, States

_CHUNK = 64 * 1024
_SPOOL_BYTES = 256 << 20
_GOAL_RATIO, _GOAL_TAIL_MS, _GOAL_FIRST_MS = 0.5, 200.0, 50.0


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.EXECUTOR, "e", frozenset({"*"})) if token == "executor" else None


class Servicer(pb_grpc.ExecutorServiceServicer):
    """Receives logs as the server does, for an executor whose session is not checked."""

    def __init__(self, receiver: LogReceiver) -> None:
        self._receiver = receiver

    async def PushLogs(self, request_iterator: AsyncIterator[pb.PushLogsRequest], context: Any) -> None:  # type: ignore[override]  # noqa: N802
        await self._receiver.receive("e", "s", request_iterator, context.write)


class Raw(pb_grpc.ExecutorServiceServicer):
    """Drops what it gets."""

    async def PushLogs(self, request_iterator: AsyncIterator[pb.PushLogsRequest], context: Any) -> None:  # type: ignore[override]  # noqa: N802
        size = 0
        async for request in request_iterator:
            size += len(request.data)
        await context.write(pb.PushLogsResponse(stored_offset=size))


async def serve(folder: Path) -> None:
    """Serve until standard input ends. Print the ports first, and the memory last."""
    set_up_logging()  # to standard error
    clock = SystemClock()
    store = LogStore(PosixStorage(folder), clock)
    async with LogBuffers(store, clock) as buffers:
        server = RpcServer(authenticator=PeerAuthenticator("peer", Tokens()), ids=UuidSource())
        servicer = Servicer(LogReceiver(buffers, Owners()))  # type: ignore[abstract]  # the others are not called
        server.add(pb_grpc.add_ExecutorServiceServicer_to_server, servicer)
        server.add(peer_service_pb2_grpc.add_PeerServiceServicer_to_server, PeerServicer(buffers))
        port = await server.start("127.0.0.1:0")
        raw = grpc.aio.server()
        pb_grpc.add_ExecutorServiceServicer_to_server(Raw(), raw)  # type: ignore[abstract]
        raw_port = raw.add_insecure_port("127.0.0.1:0")
        await raw.start()
        print(json.dumps([port, raw_port]), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await raw.stop(None)
    await server.drain()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


def content(size: int) -> Iterator[bytes]:
    """Yield a log of about this size, in chunks: the same each time."""
    short = b"".join(b"line %d\n" % number for number in range(7000))
    binary = bytes(range(256)) * 256
    total = 0
    while total < size:
        part = total * 10 // size
        piece = b"x" * _CHUNK if part == 4 else binary if part == 7 else short
        piece = piece[: min(_CHUNK, size - total)]
        total += len(piece)
        yield piece


async def raw_rate(port: int, size: int) -> float:
    """Return the bytes a second of a raw stream."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        offset = 0

        async def requests() -> AsyncIterator[pb.PushLogsRequest]:
            nonlocal offset
            for data in content(size):
                yield pb.PushLogsRequest(log=pb.LogReference(assignment_id="assignment"), offset=offset, data=data)
                offset += len(data)

        began = time.perf_counter()
        async for response in pb_grpc.ExecutorServiceStub(channel).PushLogs(requests()):
            assert response.stored_offset == size
        return size / (time.perf_counter() - began)


@asynccontextmanager
async def pusher(folder: Path, port: int) -> AsyncIterator[Spools]:
    """Run the real pusher of an executor."""
    spools = Spools(folder / "spool", limit_bytes=_SPOOL_BYTES)
    journal = await Journal.open(folder / "journal.json")
    connected = asyncio.Event()
    connected.set()
    work = LogPusher(
        lambda: open_channel(f"127.0.0.1:{port}", token="executor"),
        spools,
        journal,
        connected=connected,
        clock=SystemClock(),
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work.run()), group.create_task(spools.run())]
        try:
            yield spools
        finally:
            for task in tasks:
                task.cancel()


async def path_rate(spools: Spools, size: int) -> tuple[float, str]:
    """Return the bytes a second of a log until all of it is stored, and its digest."""
    spool = await spools.create(LogName("assignment", 0))
    began = time.perf_counter()
    for data in content(size):
        await spools.append(spool, data, datetime.now(UTC))
    await spools.end(spool)
    await spools.wait_complete("assignment")
    return size / (time.perf_counter() - began), spool.sha256


async def tail_milliseconds(spools: Spools, port: int, count: int) -> list[float]:
    """Return how long lines take from the output of a step to a reader that follows it over gRPC."""
    spool = await spools.create(LogName("assignment", 1))
    found: list[float] = []

    async def say(spool: Spool) -> None:
        await spools.append(spool, b"%.9f\n" % time.perf_counter(), datetime.now(UTC))

    await say(spool)
    async with open_channel(f"127.0.0.1:{port}", token="peer") as channel:
        stub = peer_service_pb2_grpc.PeerServiceStub(channel)
        request = peer_service_pb2.TailLogRequest(
            run_id=KEY.run, task_id=KEY.task, database_epoch=1, attempt=1, step=1, follow=True
        )
        await asyncio.sleep(1)
        call = stub.TailLog(request)
        position = 0
        while len(found) < count + 1:
            message = await call.read()
            assert isinstance(message, peer_service_pb2.TailLogResponse)
            if message.data:
                position += len(message.data)
                found.append(1000 * (time.perf_counter() - float(message.data)))
            if position == spool.size:
                await asyncio.sleep(0.05)
                await say(spool)
        call.cancel()
    await spools.end(spool)
    await spools.wait_complete("assignment")
    return found[1:]


async def read_milliseconds(folder: Path, size: int, digest: str) -> dict[str, float]:
    """Check the digest; return the median times to a first byte, by offset, line and tail."""
    clock = SystemClock()
    store = LogStore(PosixStorage(folder), clock)
    index = await store.compose(KEY)
    read = hashlib.sha256()
    async for data in store.read(await store.cover(KEY), 0, size, at_most=1 << 20):
        read.update(data)
    if not read.hexdigest() == digest == index.sha256:
        raise SystemExit("what is stored is not what was written")
    reader = LogReader(store, LogBuffers(store, clock), States(is_over=True, size=size))

    async def first(offset: int) -> None:
        chunks = reader.read("run", "task", step=0, offset=offset)
        await anext(chunks)
        await chunks.aclose()

    async def by_line(number: int) -> None:
        places = await LogPlaces.of(reader, "run", "task", step=0, attempt=1)
        await first((await places.line(number)).offset)

    async def by_tail(count: int) -> None:
        places = await LogPlaces.of(reader, "run", "task", step=0, attempt=1)
        await first((await places.tail(count)).offset)

    async def median(read_at: Any, values: list[int]) -> float:
        times = []
        for value in values:
            began = time.perf_counter()
            await read_at(value)
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)

    places = range(1, 20)
    return {
        "offset": await median(first, [size * at // 20 for at in places]),
        "line": await median(by_line, [index.newlines * at // 20 for at in places]),
        "tail": await median(by_tail, [10 * at for at in places]),
        "lines": index.newlines,
    }


async def measure(size: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "bench.b5_logs", "--serve", str(folder / "objects")]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port, raw_port = json.loads(server.stdout.readline())
            raw = await raw_rate(raw_port, size)
            (folder / "executor").mkdir()
            async with pusher(folder / "executor", port) as spools:
                rate, digest = await path_rate(spools, size)
                tail = await tail_milliseconds(spools, port, 40)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            server.stdin.close()
            memory = int(server.stdout.readline())
        finally:
            server.terminate()
            server.wait()
        times = await read_milliseconds(folder / "objects", size, digest)
    ratio, p50 = rate / raw, statistics.median(tail)
    mib = 1 << 20
    is_met = ratio >= _GOAL_RATIO and p50 <= _GOAL_TAIL_MS and times["offset"] <= _GOAL_FIRST_MS
    print(f"B5 a log of {size / mib:.0f} MiB with {times['lines']:,.0f} lines; the stored digest is right")
    print(f"  executor to storage {rate / mib:8.1f} MiB/s, raw stream {raw / mib:.1f} MiB/s: {ratio:.2f} (goal 0.5)")
    print(f"  tail latency p50    {p50:8.1f} ms, maximum {max(tail):.1f} ms (goal 200)")
    print(f"  first byte          {times['offset']:8.1f} ms at an offset (goal 50),", end=" ")
    print(f"{times['line']:.1f} ms at a line, {times['tail']:.1f} ms at one of the last lines")
    print(f"  memory              {memory / mib:8.0f} MiB server, {own / mib:.0f} MiB executor and raw client")
    print(f"  goals {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    return asyncio.run(measure(options.megabytes << 20))


if __name__ == "__main__":
    sys.exit(main())
