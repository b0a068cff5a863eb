"""Watch a run that waits for an approval for ten minutes: each watch must stay idle, on one connection.

Three clients watch it, each through a tap that reads the HTTP/2 frames: the SDK; a plain gRPC client that has a
keepalive of ten seconds, as grpc-js and grpc-go are often given, and that does not resume; and a reader of server-sent
events, whose gateway connects through the tap. Not among the figures of `make bench`, because of the time that it
takes:

    python -m bench.quiet_streams --minutes 10
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import httpx

from sluiceway.api.run.v1 import definition_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from sluiceway.client import connect
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.gateway import serve_gateway
from tests.support.http2_tap import Http2Tap, http2_tap
from tests.support.installation import installation


@dataclass
class Watch:
    """One client, and the events of its watch."""

    name: str
    tap: Http2Tap
    messages: int = 0
    breaks: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.messages > 0 and not self.breaks and not self.tap.goaways and len(self.tap.connections) == 1

    def __str__(self) -> str:
        pings = sum(len(connection.client_pings) for connection in self.tap.connections)
        return (
            f"{self.name:<8} {self.messages:>8} {len(self.tap.connections):>11} {pings:>5} {len(self.tap.goaways):>7}"
            f"  {'; '.join([*self.breaks, *self.tap.goaways]) or 'quiet'}"
        )


Client = Callable[[Watch, str, str], Awaitable[None]]
"""Watches through the tap of the first, with a token, a run by id; never returns while the run waits."""


async def sdk(watch: Watch, token: str, run_id: str) -> None:
    async with connect(watch.tap.address, token=token) as client:
        messages = client.runs.watch(run_id, on_break=lambda error: watch.breaks.append(str(error)))
        async with aclosing(messages):
            async for _ in messages:
                watch.messages += 1


async def plain(watch: Watch, token: str, run_id: str) -> None:
    options = (("grpc.keepalive_time_ms", 10_000), ("grpc.http2.max_pings_without_data", 0))
    async with grpc.aio.insecure_channel(watch.tap.address, options=options) as channel:
        stub: run_service_pb2_grpc.RunServiceAsyncStub = run_service_pb2_grpc.RunServiceStub(channel)
        call = stub.WatchRun(
            run_service_pb2.WatchRunRequest(run_id=run_id), metadata=(("authorization", f"Bearer {token}"),)
        )
        async for _ in call:
            watch.messages += 1


async def gateway(watch: Watch, token: str, run_id: str) -> None:
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve_gateway("127.0.0.1:0", watch.tap.address, stop, on_listening=listening.set_result)
    )
    try:
        url = f"http://127.0.0.1:{await listening}/api/v1/runs/{run_id}:watch"
        async with (
            httpx.AsyncClient(timeout=60, trust_env=False, headers={"authorization": f"Bearer {token}"}) as client,
            client.stream("GET", url) as answer,
        ):
            async for line in answer.aiter_lines():
                watch.messages += line.startswith("data:")
    finally:
        stop.set()
        await serving


async def follow(watch: Watch, client: Client, token: str, run_id: str) -> None:
    """Run a client; any end before it is cancelled is a fault."""
    try:
        await client(watch, token, run_id)
    except (grpc.aio.AioRpcError, httpx.HTTPError, SluicewayError) as error:
        watch.breaks.append(f"{type(error).__name__}: {error}")
    else:
        watch.breaks.append("the watch ended")


async def measure(address: str, token: str, minutes: float) -> list[Watch]:
    async with connect(address, token=token) as client:
        run = await client.runs.create(waiting_run())
    async with AsyncExitStack() as stack:
        watches, following = [], []
        for client_of in (sdk, plain, gateway):
            watch = Watch(client_of.__name__, await stack.enter_async_context(http2_tap(address)))
            watches.append(watch)
            following.append(asyncio.create_task(follow(watch, client_of, token, run.id)))
        await asyncio.sleep(minutes * 60)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    return watches


def waiting_run() -> run_service_pb2.CreateRunRequest:
    """Create a run of one task that needs an approval."""
    task = definition_pb2.TaskDefinition(
        name="gate",
        runtime=definition_pb2.Runtime(containers=[definition_pb2.Container(image="host")]),
        steps=[definition_pb2.StepDefinition(run=definition_pb2.RunStep(command="true"))],
        approval=definition_pb2.Approval(),
    )
    return run_service_pb2.CreateRunRequest(run=run_pb2.Run(name="quiet", group="/user/me/quiet"), tasks=[task])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder)) as made:
        watches = asyncio.run(measure(made.state["grpc"], made.token, options.minutes))
    print(f"Watches of a waiting run, after {options.minutes:g} minutes:")
    print(f"{'client':<8} {'messages':>8} {'connections':>11} {'pings':>5} {'goaways':>7}")
    for watch in watches:
        print(watch)
    return 0 if all(watch.is_good for watch in watches) else 1


if __name__ == "__main__":
    sys.exit(main())
