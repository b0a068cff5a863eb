"""Sends the requests of outgoing webhooks: guarded addresses, no redirects, and limits of time and size.

A redirect counts as a failure: its target would get what was meant for another receiver. Of a response, the status is
looked at and the body is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import aiohttp
from yarl import URL

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.locations import link_fault
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.forges.addresses import ALLOW_OPTION, AddressPolicy
from sluiceway_server.forges.guarded_session import RefusedAddress, guarded_session
from sluiceway_server.notifications.retry_rules import Attempt

SECONDS = 10.0
"""For an attempt: name, connection, TLS, request, and the headers of the response."""
_MAX_SECONDS_DIGITS = 6


class HookHttp:
    """The HTTP client. One for a process: it keeps connections. Opened by the first call."""

    def __init__(self, policy: AddressPolicy, clock: Clock, *, seconds: float = SECONDS) -> None:
        self._policy = policy
        self._clock = clock
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Send a request once, and return how it ended. Raises nothing but `CancelledError`."""
        began = self._clock.monotonic()
        status, fault, retry_after = 0, "", timedelta(0)
        try:
            async with time_limit(self._seconds):
                status, fault, retry_after = await self._post(url, headers, body)
        except TimeoutError:
            fault = f"there was no response within {self._seconds:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            fault = _fault_of(error)
        return Attempt(status, timedelta(seconds=self._clock.monotonic() - began), fault, retry_after)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, timedelta]:
        if link_fault(url) is not None:
            return 0, "the URL cannot be called", timedelta(0)
        if self._session is None:
            self._session = guarded_session(self._policy, connect_seconds=self._seconds)
        more = {"Content-Type": "application/json", **headers}
        async with self._session.post(
            URL(url.partition("#")[0], encoded=True), headers=more, data=body, allow_redirects=False
        ) as response:
            status = response.status
            # Its rest is not wanted: the connection is used again only if there is none.
            response.close()
        if 200 <= status < 300:
            return status, "", timedelta(0)
        if 300 <= status < 400:
            return status, f"the response was {status}: redirects are not followed; change the URL", timedelta(0)
        return status, f"the response was {status}", _retry_after(response.headers.get("Retry-After", ""))


def _retry_after(value: str) -> timedelta:
    """Return the seconds of a header; its other form, a date, is ignored."""
    is_number = value.isascii() and value.isdigit() and len(value) <= _MAX_SECONDS_DIGITS
    return timedelta(seconds=int(value)) if is_number else timedelta(0)


def _fault_of(error: BaseException) -> str:
    """Return a sentence for people. Texts of the errors may repeat what was received, or name internal addresses."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    match cause:
        case RefusedAddress():
            return f"the address must not be called; an operator can allow it with {ALLOW_OPTION}"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "the certificate of the receiver is not valid"
        case aiohttp.ClientResponseError():
            return "the response is not HTTP, or its headers are too large"
        case TimeoutError() | asyncio.TimeoutError():
            return "the receiver does not respond in time"
        case aiohttp.ClientError() | OSError():
            return f"the receiver cannot be reached ({type(cause).__name__})"
        case _:
            return "the URL cannot be called"
