"""The HTTP client for all calls to git providers: guarded, limited, with retries.

- Addresses are checked by `guarded_session`.
- Redirects are followed here, each with the same checks: to another origin without credentials, from https to http not
  at all. Only GET is redirected: the target of another call is found again by its id.
- Time, size (after decompression), headers and redirects have limits, so that a provider cannot hold up the server.
- A call that may be repeated is, while its time lasts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.forges.addresses import ALLOW_OPTION, AddressPolicy
from sluiceway_server.forges.errors import (
    AddressRefused,
    BadForgeResponse,
    ForgeResponseTooLarge,
    ForgeUnavailable,
)
from sluiceway_server.forges.guarded_session import RefusedAddress, guarded_session
from sluiceway_server.forges.response_cache import ResponseCache
from sluiceway_server.forges.responses import REDIRECTS, Response, error_of

__all__ = ["ForgeHttp", "HttpLimits", "Request"]

_CHUNK_BYTES: Final = 64 * 1024
_ERROR_BYTES: Final = 64 * 1024
"""How much of an error is read, for its message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of one call.

    Attributes:
        connect_seconds: for a connection, with TLS.
        attempt_seconds: for one attempt with its redirects, until the last byte.
        call_seconds: for all attempts together, with the pauses.
        attempts: at most, of a call that may be repeated.
        redirects: at most, in an attempt.
        response_bytes: of a body after decompression, unless the call has its own limit.
    """

    connect_seconds: float = 10.0
    attempt_seconds: float = 30.0
    call_seconds: float = 75.0
    attempts: int = 3
    redirects: int = 5
    response_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call.

    Attributes:
        url: the URL, escaped.
        method: GET, POST, DELETE.
        headers: without credentials.
        credentials: headers that only the origin of `url` receives. Their values never appear in errors.
        body: sent as JSON, unless None.
        form: sent as a form (`application/x-www-form-urlencoded`) in place of `body`, unless None.
        returned: statuses that are no errors here: their responses are returned.
        secrets: values in the body that never appear in errors.
        may_repeat: it has the same effect twice as once, so that it is sent again after a failure.
        limit_bytes: of the body of the response; None: `HttpLimits.response_bytes`.
        conditional: sent with the ETag of the last response (RFC 9110), which is returned again if it still holds.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: object = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    returned: frozenset[int] = frozenset()
    secrets: Sequence[str] = field(default=(), repr=False)
    may_repeat: bool = True
    limit_bytes: int | None = None
    conditional: bool = False


class ForgeHttp:
    """The client. One for a process: it keeps connections. Opened by the first call; `close` may be called twice."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        limits: HttpLimits | None = None,
        clock: Clock | None = None,
        resolver: AbstractResolver | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._policy = policy
        self._limits = limits or HttpLimits()
        self._clock = clock or SystemClock()
        self._resolver = resolver
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._etags = ResponseCache()

    async def close(self) -> None:
        """Close all connections. Calls in flight fail."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, request: Request) -> Response:
        """Make a call, and return its response, which has a 2xx status, or one of `Request.returned`.

        Raises:
            SluicewayError: what `port` lists.
        """
        try:
            async with time_limit(self._limits.call_seconds):
                return await self._with_retries(request)
        except TimeoutError as error:
            raise ForgeUnavailable(f"{_shown(request.url)} does not respond in time") from error

    async def _with_retries(self, request: Request) -> Response:
        attempt = 1
        while True:
            try:
                response = await self._attempt(request)
                if request.conditional:
                    response = self._etags.settled(request.url, self._secrets(request), response)
                if response.status in request.returned:
                    return response
                error = error_of(response, now=self._clock.now(), hide=self._secrets(request))
                if error is None:
                    return response
                raise error
            except ForgeUnavailable as away:
                never_sent = isinstance(away.__cause__, aiohttp.ClientConnectorError)
                if not (request.may_repeat or never_sent) or attempt >= self._limits.attempts:
                    raise
            await self._sleep(backoff_seconds(attempt, first=0.5, limit=5.0))
            attempt += 1

    async def _attempt(self, request: Request) -> Response:
        try:
            async with time_limit(self._limits.attempt_seconds):
                return await self._follow(request)
        except SluicewayError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(request, error) from error

    async def _follow(self, request: Request) -> Response:
        url = _checked(URL(request.url, encoded=True))
        origin = _origin(url)
        for _ in range(self._limits.redirects + 1):
            headers = {**request.headers, **(request.credentials if _origin(url) == origin else {})}
            if request.conditional:
                headers |= self._etags.headers(request.url, self._secrets(request))
            response, location = await self._once(request, url, headers)
            if location is None:
                return response
            target = _checked(url.join(URL(location, encoded=location.isascii())))
            if url.scheme == "https" and target.scheme == "http":
                raise BadForgeResponse(f"{_shown(str(url))} redirects from https to http")
            url = target
        raise BadForgeResponse(f"{_shown(request.url)} redirects more than {self._limits.redirects} times")

    async def _once(self, request: Request, url: URL, headers: Mapping[str, str]) -> tuple[Response, str | None]:
        arguments: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if request.body is not None:
            arguments["data"] = json.dumps(request.body).encode()
            arguments["headers"] = {**headers, "Content-Type": "application/json"}
        elif request.form is not None:
            arguments["data"] = urlencode(request.form).encode()
            arguments["headers"] = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        async with self._opened().request(request.method, url, **arguments) as answer:
            head = {name.lower(): value for name, value in answer.headers.items()}
            shown_url = _shown(str(url))
            if answer.status in REDIRECTS and request.method == "GET" and "location" in head:
                return Response(answer.status, head, b"", shown_url), head["location"]
            body = await self._body(answer, request, shown_url)
            return Response(answer.status, head, body, shown_url), None

    async def _body(self, answer: aiohttp.ClientResponse, request: Request, url: str) -> bytes:
        limit = self._limits.response_bytes if request.limit_bytes is None else request.limit_bytes
        is_error = not 200 <= answer.status < 300
        too_large = ForgeResponseTooLarge(f"the response of {url} has more than {limit} bytes", subject=url)
        if not is_error and (answer.content_length or 0) > limit:
            raise too_large
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if is_error and len(body) >= _ERROR_BYTES:
                break
            if len(body) > limit:
                raise too_large
        return bytes(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = guarded_session(
                self._policy, connect_seconds=self._limits.connect_seconds, resolver=self._resolver
            )
        return self._session

    @staticmethod
    def _secrets(request: Request) -> tuple[str, ...]:
        tokens = (value.rpartition(" ")[2] for value in request.credentials.values())
        return (*request.secrets, *tokens)


def _origin(url: URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port (RFC 6454), in one spelling. `URL.origin` keeps the spelling."""
    return url.scheme, (url.host or "").lower(), url.port


def _checked(url: URL) -> URL:
    if not str(url).isprintable() or " " in str(url):
        raise AddressRefused("the URL of a git provider has a blank or a control character in it")
    if url.scheme not in ("http", "https") or not url.host:
        raise AddressRefused(f"{_shown(str(url))} is not a URL of http or https")
    if url.user is not None or url.password is not None:
        raise AddressRefused("the URL of a git provider has a user or a password in it")
    return url


def _failure(request: Request, error: BaseException) -> SluicewayError:
    """Return the error of our family for what the client raised. Texts of its errors may repeat what was received."""
    url = _shown(request.url)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    match cause:
        case RefusedAddress():
            return AddressRefused(f"{url} must not be called: {cause}; an operator can allow it with {ALLOW_OPTION}")
        case aiohttp.InvalidURL():
            return AddressRefused(f"{url} is not a URL that can be called")
        case aiohttp.ClientResponseError():
            return BadForgeResponse(f"the response of {url} is not HTTP, or its headers are too large")
        case aiohttp.ClientPayloadError():
            return ForgeUnavailable(f"the response of {url} was cut off, or cannot be decompressed")
        case TimeoutError():
            return ForgeUnavailable(f"{url} does not respond in time")
        case aiohttp.ClientError() | OSError():
            return ForgeUnavailable(f"{url} cannot be reached ({type(cause).__name__})")
        case _:
            return AddressRefused(f"{url} is not a URL that can be called")


def _shown(url: str) -> str:
    """Return a URL for a message: without what may be a secret."""
    return url.partition("?")[0].partition("#")[0][:300]
