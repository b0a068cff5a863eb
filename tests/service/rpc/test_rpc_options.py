"""The effect of each gRPC option of channels and servers, on a real server and a real channel.

Each option is tried twice: with all of the others and it, and without it. Its effect must be there, and be gone. gRPC
takes any name for an option and ignores those that it does not know, so the spelling proves nothing. Times are
shortened where gRPC allows it: a client's keepalive has a floor of one second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from sluiceway_common.foundation.rpc.limits import CHANNEL_OPTIONS, MAX_MESSAGE_BYTES, SERVER_OPTIONS
from tests.support.http2_tap import Connection, Http2Tap, http2_tap, ping

pytestmark = pytest.mark.timeout(300)  # ten trials of some seconds

Options = tuple[tuple[str, int | str], ...]

QUICK_CHANNEL = {
    "grpc.keepalive_time_ms": 1_000,
    "grpc.http2.ping_timeout_ms": 200,
    "grpc.max_reconnect_backoff_ms": 100,
}
QUICK_SERVER = {
    "grpc.keepalive_time_ms": 100,
    "grpc.http2.ping_timeout_ms": 200,
    "grpc.http2.min_ping_interval_without_data_ms": 100,
    "grpc.max_connection_age_ms": 300,
}


class Echo(grpc.GenericRpcHandler):
    """Returns the request and its metadata; a stream yields one message and then stays idle."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method == "/test/Quiet":
            return grpc.unary_stream_rpc_method_handler(self._quiet)
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, request: bytes, context: Any) -> bytes:
        trailers = {key: value for key, value in context.invocation_metadata() if key == "test"}
        context.set_trailing_metadata(tuple(trailers.items()))
        return request if len(request) != 1 else request * (MAX_MESSAGE_BYTES + 1)

    async def _quiet(self, request: bytes, context: Any) -> None:
        try:
            await context.write(b"first")
            await asyncio.Event().wait()
        finally:
            self.left.set()


class Pair:
    """A server with some options, a tap in front of it, and a channel with others."""

    def __init__(self, echo: Echo, tap: Http2Tap, channel: grpc.aio.Channel, options: Options) -> None:
        self.echo = echo
        self.tap = tap
        # Its methods are typed by the stubs that are generated; here are none.
        self.channel: Any = channel
        self.options = options

    async def call(self, request: bytes, metadata: str = "") -> str:
        """Call; return the error."""
        try:
            await self.channel.unary_unary("/test/Echo")(request, metadata=(("test", metadata),), timeout=60)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        return ""

    async def quiet(self) -> asyncio.Task[str]:
        """Open a stream that is idle after its first message; the task returns how it ends."""
        stream = self.channel.unary_stream("/test/Quiet")(b"")
        await stream.read()

        async def ends() -> str:
            try:
                await stream.read()
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name} {error.details()}"
            return ""

        return asyncio.create_task(ends())

    @property
    def connection(self) -> Connection:
        """Return the only connection so far."""
        (connection,) = self.tap.connections
        return connection


@asynccontextmanager
async def pair(channel: Options, server: Options) -> AsyncIterator[Pair]:
    echo = Echo()
    serving = grpc.aio.server(options=server)
    serving.add_generic_rpc_handlers((echo,))
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    async with http2_tap(f"127.0.0.1:{port}") as tap:
        dialled = grpc.aio.insecure_channel(tap.address, options=channel)
        try:
            yield Pair(echo, tap, dialled, channel)
        finally:
            await dialled.close()
    await serving.stop(0)


async def soon(condition: Callable[[], Any], *, within: float = 3.0) -> bool:
    """Wait for a condition; return whether it became true."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True


async def attempts(options: Options, *, within: float, hang: bool = False) -> int:
    """Count how often a channel dials an address that closes each connection, or with `hang` never responds."""
    accepted: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append((reader, writer))
        if not hang:
            writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as listener:
        channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{listener.sockets[0].getsockname()[1]}", options=options)
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/test/Echo")(b"", wait_for_ready=True, timeout=within)
        await channel.close()
        for _, writer in accepted:
            writer.transport.abort()
    return len(accepted)


# --- messages and metadata ----------------------------------------------------------------------------------------

FIVE_MIB = b"x" * (5 * 1024 * 1024)
SIXTY_KB = "x" * 60_000


async def takes_five_mib(pair: Pair) -> bool:
    return not await pair.call(FIVE_MIB)


async def refuses_to_send_too_much(pair: Pair) -> bool:
    return "Sent message larger" in await pair.call(b"x" * (MAX_MESSAGE_BYTES + 1))


async def refuses_to_answer_too_much(pair: Pair) -> bool:
    return "Sent message larger" in await pair.call(b"x")


async def takes_sixty_kilobytes_of_metadata(pair: Pair) -> bool:
    return not await pair.call(b"", SIXTY_KB)


# --- keepalive ----------------------------------------------------------------------------------------------------


async def client_pings_while_a_stream_is_quiet(pair: Pair) -> bool:
    await pair.quiet()
    # The first one measures the bandwidth, whatever the options are.
    return await soon(lambda: len(pair.connection.client_pings) > 1, within=2)


async def client_goes_on_pinging(pair: Pair) -> bool:
    await pair.quiet()
    return await soon(lambda: len(pair.connection.client_pings) > 4, within=5)


async def client_pings_without_a_call(pair: Pair) -> bool:
    await pair.call(b"")
    return await soon(lambda: len(pair.connection.client_pings) > 1, within=2)


async def client_sees_that_its_server_is_gone(pair: Pair) -> bool:
    ended = await pair.quiet()
    pair.tap.mute_answers()
    return await soon(ended.done) and ended.result().startswith("UNAVAILABLE")


async def server_pings_while_a_stream_is_quiet(pair: Pair) -> bool:
    await pair.quiet()
    return await soon(lambda: len(pair.connection.server_pings) > 3, within=1.5)


async def server_sees_that_its_client_is_gone(pair: Pair) -> bool:
    await pair.quiet()
    pair.tap.mute_requests()
    return await soon(pair.echo.left.is_set)


async def server_takes_pings(pair: Pair) -> bool:
    return await ping(pair.tap.address, every=0.2, times=6) == ""


# --- connections --------------------------------------------------------------------------------------------------


async def second_try_comes_within_a_second(pair: Pair) -> bool:
    return await attempts(pair.options, within=0.7) >= 2


async def try_without_an_answer_is_given_up(pair: Pair) -> bool:
    return await attempts(pair.options, within=0.9, hang=True) >= 2


async def tries_never_get_rare(pair: Pair) -> bool:
    return await attempts(pair.options, within=2) >= 12


async def each_channel_has_its_connection(pair: Pair) -> bool:
    await pair.call(b"")
    other: Any = grpc.aio.insecure_channel(pair.tap.address, options=pair.options)
    await other.unary_unary("/test/Echo")(b"")
    await other.close()
    return len(pair.tap.connections) == 2


async def new_calls_get_a_new_connection_and_the_stream_keeps_its_own(pair: Pair) -> bool:
    ended = await pair.quiet()
    first = pair.connection
    if not await soon(lambda: "max_age" in first.goaways):
        return False
    # A call that begins before the channel has read the GOAWAY is still served on the first connection.
    deadline = time.monotonic() + 3
    while len(pair.tap.connections) == 1 and time.monotonic() < deadline:
        await pair.call(b"")
    return len(pair.tap.connections) > 1 and not ended.done()


CHANNEL: dict[str, Callable[[Pair], Awaitable[bool]]] = {
    "grpc.max_receive_message_length": takes_five_mib,
    "grpc.max_send_message_length": refuses_to_send_too_much,
    "grpc.max_metadata_size": takes_sixty_kilobytes_of_metadata,
    "grpc.keepalive_time_ms": client_pings_while_a_stream_is_quiet,
    "grpc.keepalive_permit_without_calls": client_pings_without_a_call,
    "grpc.http2.max_pings_without_data": client_goes_on_pinging,
    "grpc.http2.ping_timeout_ms": client_sees_that_its_server_is_gone,
    "grpc.initial_reconnect_backoff_ms": second_try_comes_within_a_second,
    "grpc.min_reconnect_backoff_ms": try_without_an_answer_is_given_up,
    "grpc.max_reconnect_backoff_ms": tries_never_get_rare,
    "grpc.use_local_subchannel_pool": each_channel_has_its_connection,
}

SERVER: dict[str, Callable[[Pair], Awaitable[bool]]] = {
    "grpc.max_receive_message_length": takes_five_mib,
    "grpc.max_send_message_length": refuses_to_answer_too_much,
    "grpc.max_metadata_size": takes_sixty_kilobytes_of_metadata,
    "grpc.keepalive_time_ms": server_pings_while_a_stream_is_quiet,
    "grpc.keepalive_permit_without_calls": server_takes_pings,
    "grpc.http2.min_ping_interval_without_data_ms": server_takes_pings,
    "grpc.http2.ping_timeout_ms": server_sees_that_its_client_is_gone,
    "grpc.max_connection_age_ms": new_calls_get_a_new_connection_and_the_stream_keeps_its_own,
}


def quick(options: Options, values: dict[str, int]) -> Options:
    return tuple((name, values.get(name, value)) for name, value in options)


def without(options: Options, *names: str) -> Options:
    return tuple(option for option in options if option[0] not in names)


# Left out where they are not what is looked at: a busy machine may miss a ping of so short a keepalive, and answers any
# ping, also those that measure the bandwidth, later than so short a timeout.
KEEPALIVE, AGE = "grpc.keepalive_time_ms", "grpc.max_connection_age_ms"
PING_TIMEOUT = "grpc.http2.ping_timeout_ms"
LEFT_OUT = {KEEPALIVE: [AGE, PING_TIMEOUT], PING_TIMEOUT: [AGE], AGE: [KEEPALIVE, PING_TIMEOUT]}


async def succeeds(trial: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether one of ten trials succeeds.

    The effect of an option is a matter of tenths of a second, which a busy machine takes from either side. An option
    that has no effect makes no difference in any trial.
    """
    for _ in range(10):
        with suppress(grpc.aio.AioRpcError):  # a connection that was given up too early
            if await trial():
                return True
    return False


@pytest.mark.parametrize("name", CHANNEL)
async def test_channel_option_has_its_effect(name: str) -> None:
    server = without(quick(SERVER_OPTIONS, QUICK_SERVER), KEEPALIVE, AGE, PING_TIMEOUT)
    channel = quick(CHANNEL_OPTIONS, QUICK_CHANNEL)
    if name != PING_TIMEOUT:
        channel = without(channel, PING_TIMEOUT)
    if name == "grpc.initial_reconnect_backoff_ms":
        # A small maximum bounds the first pause too.
        channel = without(channel, "grpc.max_reconnect_backoff_ms")

    async def trial() -> bool:
        async with pair(channel, server) as whole, pair(without(channel, name), server) as lacking:
            return tuple(await asyncio.gather(CHANNEL[name](whole), CHANNEL[name](lacking))) == (True, False)

    assert await succeeds(trial)


@pytest.mark.parametrize("name", SERVER)
async def test_server_option_has_its_effect(name: str) -> None:
    server = without(quick(SERVER_OPTIONS, QUICK_SERVER), *LEFT_OUT.get(name, (KEEPALIVE, AGE, PING_TIMEOUT)))

    async def trial() -> bool:
        async with pair(CHANNEL_OPTIONS, server) as whole, pair(CHANNEL_OPTIONS, without(server, name)) as lacking:
            return tuple(await asyncio.gather(SERVER[name](whole), SERVER[name](lacking))) == (True, False)

    assert await succeeds(trial)


async def test_server_does_not_share_its_port() -> None:
    first = grpc.aio.server(options=SERVER_OPTIONS)
    port = first.add_insecure_port("127.0.0.1:0")
    with pytest.raises(RuntimeError):
        grpc.aio.server(options=SERVER_OPTIONS).add_insecure_port(f"127.0.0.1:{port}")
    lax = without(SERVER_OPTIONS, "grpc.so_reuseport")
    second = grpc.aio.server(options=lax)
    shared = second.add_insecure_port("127.0.0.1:0")
    third = grpc.aio.server(options=lax)
    assert third.add_insecure_port(f"127.0.0.1:{shared}") == shared
    for server in (first, second, third):
        await server.stop(0)


def test_every_grpc_option_has_a_test() -> None:
    assert set(CHANNEL) == {name for name, _ in CHANNEL_OPTIONS}
    assert {*SERVER, "grpc.so_reuseport"} == {name for name, _ in SERVER_OPTIONS}


# --- other clients ------------------------------------------------------------------------------------------------

SCALE = 50


def scaled(options: Options) -> Options:
    """Return the same options with each time divided by fifty."""
    return tuple((name, int(value) // SCALE if name.endswith("_ms") else value) for name, value in options)


@pytest.mark.parametrize(
    ("seconds", "goaway"),
    [
        # The shortest that grpc-go allows; and common settings of grpc-js and grpc-java.
        pytest.param(10, "", id="a keepalive of ten seconds is welcome"),
        pytest.param(1, "too_many_pings", id="one of a second is not"),
    ],
)
async def test_server_allows_the_keepalive_of_other_clients(seconds: float, goaway: str) -> None:
    server = without(scaled(SERVER_OPTIONS), KEEPALIVE, AGE)

    async def trial() -> bool:
        async with pair(CHANNEL_OPTIONS, server) as made:
            return await ping(made.tap.address, every=seconds / SCALE, times=8) == goaway

    assert await succeeds(trial)


def times_of(names: Sequence[str], options: Options) -> list[int]:
    return [int(value) for name, value in options if name in names]


def test_channels_ping_no_more_often_than_servers_allow() -> None:
    (asked,) = times_of(["grpc.keepalive_time_ms"], CHANNEL_OPTIONS)
    (allowed,) = times_of(["grpc.http2.min_ping_interval_without_data_ms"], SERVER_OPTIONS)
    assert asked >= 2 * allowed
