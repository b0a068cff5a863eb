"""The HTTP client for git providers, against servers on this machine."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.forges import errors
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.forges.http import ForgeHttp, HttpLimits, Request
from tests.support.ports import free_ports

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOCAL = AddressPolicy(parse_networks(["127.0.0.1"]))
TOKEN = "t0ken-of-ann"


@dataclass
class Server:
    """A server on this machine, and the requests that it got."""

    url: str = ""
    requests: list[web.Request] = field(default_factory=list)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    server = Server()

    async def record(request: web.Request) -> web.StreamResponse:
        server.requests.append(request)
        await request.read()
        return await handler(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", record)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[str]:
    """Serve bytes that need not be HTTP; then close the connection."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Names(AbstractResolver):
    """Resolves each name to the next of its addresses."""

    def __init__(self, **addresses: list[list[str]]) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.addresses[host.lower().partition(".")[0]].pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def http(
    policy: AddressPolicy = LOCAL,
    *,
    limits: HttpLimits | None = None,
    resolver: AbstractResolver | None = None,
    pauses: list[float] | None = None,
) -> AsyncIterator[ForgeHttp]:
    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    client = ForgeHttp(policy, limits=limits, resolver=resolver, sleep=sleep)
    try:
        yield client
    finally:
        await client.close()


def request(url: str, **more: object) -> Request:
    return Request(url=url, credentials={"Authorization": f"Bearer {TOKEN}"}, **more)  # type: ignore[arg-type]


async def ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def test_call_has_the_token_and_a_user_agent() -> None:
    async with serving(ok) as server, http() as client:
        response = await client.call(request(f"{server.url}/a%2Fb?x=1"))
    assert (response.status, response.body) == (200, b"ok")
    (got,) = server.requests
    assert got.raw_path == "/a%2Fb?x=1"
    assert got.headers["Authorization"] == f"Bearer {TOKEN}"
    assert got.headers["User-Agent"].startswith("Sluiceway/")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="an address"),
        pytest.param("[::ffff:127.0.0.1]", id="an IPv4-mapped address"),
        pytest.param("localhost", id="a name"),
        pytest.param("localhost.", id="a name with a dot at its end"),
        pytest.param("127.1", id="a short form"),
        pytest.param("2130706433", id="a number"),
        pytest.param("0x7f000001", id="a hexadecimal number"),
        pytest.param("0177.0.0.1", id="an octal number"),
        pytest.param("0.0.0.0", id="this host"),
        pytest.param("[::]", id="this host, IPv6"),
    ],
)
async def test_no_form_of_a_local_address_is_reached(host: str) -> None:
    async with serving(ok) as server, http(AddressPolicy(), limits=HttpLimits(attempts=1)) as client:
        with pytest.raises((errors.AddressRefused, errors.ForgeUnavailable)):
            await client.call(request(server.url.replace("127.0.0.1", host)))
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://git.example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//127.0.0.1/",
        "http://",
        "",
        "http://user:pass@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://a..b/",
        "http://" + "a" * 300 + "/",
        "http://[::1/",
        "http://git.example.org/a b",
        "http://git.example.org/\r\nX: y",
    ],
)
async def test_url_that_is_no_url_of_a_provider_is_refused(url: str) -> None:
    async with http(limits=HttpLimits(attempts=1)) as client:
        with pytest.raises(SluicewayError) as caught:
            await client.call(request(url))
    assert caught.value.reason in ("PROVIDER_ADDRESS_REFUSED", "PROVIDER_UNAVAILABLE")


async def test_name_with_a_private_address_is_refused() -> None:
    names = Names(git=[["127.0.0.1"]])
    async with serving(ok) as server, http(AddressPolicy(), resolver=names) as client:
        with pytest.raises(errors.AddressRefused, match="--allow-private-addresses") as caught:
            await client.call(request(server.url.replace("127.0.0.1", "git.example.org")))
    assert server.requests == []
    assert "127.0.0.1" not in str(caught.value)


async def test_only_the_allowed_addresses_of_a_name_are_used() -> None:
    names = Names(git=[["10.0.0.1", "127.0.0.1"]])
    async with serving(ok) as server, http(resolver=names) as client:
        await client.call(request(server.url.replace("127.0.0.1", "git.example.org")))
    assert len(server.requests) == 1


async def test_connection_is_made_to_the_address_that_was_checked() -> None:
    names = Names(git=[["127.0.0.1"], ["127.0.0.2"]])
    async with serving(ok) as server, http(resolver=names) as client:
        await client.call(request(server.url.replace("127.0.0.1", "git.example.org")))
    assert len(server.requests) == 1
    assert names.addresses["git"] == [["127.0.0.2"]]


async def test_redirect_on_the_same_origin_is_followed() -> None:
    async def moved(got: web.Request) -> web.Response:
        if got.path == "/old":
            raise web.HTTPMovedPermanently("/new?page=2")
        return web.Response(text=got.raw_path)

    async with serving(moved) as server, http() as client:
        response = await client.call(request(f"{server.url}/old"))
    assert response.body == b"/new?page=2"
    assert "Authorization" in server.requests[1].headers


async def test_origin_in_another_spelling_has_the_token() -> None:
    async def moved(got: web.Request) -> web.Response:
        if got.path == "/old":
            raise web.HTTPMovedPermanently(f"{server.url.replace('127.0.0.1', 'GIT.Example.org')}/new")
        return web.Response(text="ok")

    names = Names(git=[["127.0.0.1"], ["127.0.0.1"]])
    async with serving(moved) as server, http(resolver=names) as client:
        await client.call(request(f"{server.url.replace('127.0.0.1', 'git.example.org')}/old"))
    assert [TOKEN in str(got.headers) for got in server.requests] == [True, True]


async def test_redirect_to_another_origin_has_no_token() -> None:
    async with serving(ok) as other:

        async def elsewhere(_: web.Request) -> web.Response:
            raise web.HTTPFound(f"{other.url}/")

        async with serving(elsewhere) as server, http() as client:
            await client.call(request(server.url))
    assert TOKEN not in str(other.requests[0].headers)


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:1/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "http://[::1]/"],
)
async def test_redirect_to_a_refused_address_is_not_followed(target: str) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    async with serving(elsewhere) as server, http() as client:
        with pytest.raises(errors.AddressRefused):
            await client.call(request(server.url))
    assert len(server.requests) == 1


async def test_redirects_without_end_are_a_bad_response() -> None:
    async def again(got: web.Request) -> web.Response:
        raise web.HTTPFound(f"/{len(got.path)}{got.path}")

    async with serving(again) as server, http(limits=HttpLimits(redirects=3)) as client:
        with pytest.raises(errors.BadForgeResponse, match="more than 3 times"):
            await client.call(request(server.url))
    assert len(server.requests) == 4


async def test_redirect_of_a_post_is_not_followed() -> None:
    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/new")

    async with serving(moved) as server, http() as client:
        with pytest.raises(errors.BadForgeResponse):
            await client.call(request(server.url, method="POST", body={"a": 1}))
    assert len(server.requests) == 1


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("size", [1000, 1001])
async def test_size_of_a_body_is_limited_after_decompression(size: int, compressed: bool) -> None:
    async def large(_: web.Request) -> web.Response:
        body = b"a" * size
        if not compressed:
            return web.Response(body=body)
        return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})

    async with serving(large) as server, http() as client:
        call = client.call(request(server.url, limit_bytes=1000))
        if size > 1000:
            with pytest.raises(errors.ForgeResponseTooLarge):
                await call
        else:
            assert len((await call).body) == size


async def test_body_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(got: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(got)
        for _ in range(1600):
            await response.write(b"a" * 65536)
            sent += 65536
        return response

    async with serving(endless) as server, http() as client:
        with pytest.raises(errors.ForgeResponseTooLarge):
            await client.call(request(server.url))
    assert sent < 100 << 20


async def test_failure_is_retried_with_growing_pauses() -> None:
    async def flaky(_: web.Request) -> web.Response:
        if len(server.requests) < 3:
            return web.Response(status=502, text="<html>", content_type="text/html")
        return web.Response(text="ok")

    pauses: list[float] = []
    async with serving(flaky) as server, http(pauses=pauses) as client:
        assert (await client.call(request(server.url))).body == b"ok"
    assert len(pauses) == 2
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


async def test_retries_end() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async with serving(broken) as server, http() as client:
        with pytest.raises(errors.ForgeUnavailable):
            await client.call(request(server.url))
    assert len(server.requests) == 3


async def test_call_that_may_not_be_repeated_is_sent_once() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async with serving(broken) as server, http() as client:
        with pytest.raises(errors.ForgeUnavailable):
            await client.call(request(server.url, method="POST", body={}, may_repeat=False))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 422, 429])
async def test_refusal_is_not_retried(status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": f"no, {TOKEN}"}, status=status)

    async with serving(refuse) as server, http() as client:
        with pytest.raises(SluicewayError) as caught:
            await client.call(request(server.url))
    assert len(server.requests) == 1
    assert TOKEN not in str(caught.value)


async def test_provider_that_does_not_respond_is_unavailable() -> None:
    waiting = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await waiting.wait()
        return web.Response()

    limits = HttpLimits(attempt_seconds=0.2, attempts=1)
    async with serving(silent) as server, http(limits=limits) as client:
        with pytest.raises(errors.ForgeUnavailable, match="does not respond in time"):
            await client.call(request(server.url))
        waiting.set()


async def test_all_attempts_together_have_a_limit() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=503)

    limits = HttpLimits(call_seconds=0.2, attempts=1_000_000)
    async with serving(broken) as server, http(limits=limits) as client:
        with pytest.raises(errors.ForgeUnavailable, match="does not respond in time"):
            await client.call(request(server.url))


async def test_provider_that_is_not_there_is_unavailable() -> None:
    (port,) = free_ports(1)
    pauses: list[float] = []
    async with http(pauses=pauses) as client:
        with pytest.raises(errors.ForgeUnavailable, match="cannot be reached"):
            await client.call(request(f"http://127.0.0.1:{port}", method="POST", body={}, may_repeat=False))
    assert len(pauses) == 2, "a call that was never sent may be sent again"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", errors.BadForgeResponse, id="another protocol"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", errors.BadForgeResponse, id="a large header"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + b"\r\n",
            errors.BadForgeResponse,
            id="many headers",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", errors.ForgeUnavailable, id="a body that is cut"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            errors.ForgeUnavailable,
            id="a body that is not compressed as it says",
        ),
        pytest.param(b"", errors.ForgeUnavailable, id="nothing"),
    ],
)
async def test_answer_that_is_not_http_is_an_error(answer: bytes, kind: type[SluicewayError]) -> None:
    async with raw_server(answer) as url, http(limits=HttpLimits(attempts=1)) as client:
        with pytest.raises(kind):
            await client.call(request(url))


async def test_client_can_be_closed_twice() -> None:
    async with serving(ok) as server, http() as client:
        await client.call(request(server.url))
        await client.close()
        await client.close()
