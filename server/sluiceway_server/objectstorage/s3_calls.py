"""Calls of one S3 client: opened once, repeated with jitter while that may help, each with an end.

botocore's own retries are off: after a try whose outcome is not known, only the caller can say what a repetition means
(see `S3Storage.put_if_absent`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.utils import parse_timestamp

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_common.foundation.time_limit import TimeLimit, time_limit
from sluiceway_server.objectstorage.s3_address import S3Address
from sluiceway_server.objectstorage.s3_errors import CALL_ERRORS, Fault, error_of, read_fault

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_T = TypeVar("_T")

_CLOSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 2.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How patient a storage is.

    Attributes:
        one_try: how long one request may take, apart from its bytes.
        keep_trying: no try begins later than this after the first.
        slowest_bytes_per_second: what is slower is taken for away; one would lower it on a bad line.
        connections: at a time; further calls wait for one.
        part_bytes: of a multipart upload, 5 MiB at least. An upload holds about two in memory, and an object has at
            most 10,000.
    """

    one_try: timedelta = timedelta(seconds=10)
    keep_trying: timedelta = timedelta(seconds=20)
    slowest_bytes_per_second: int = 256 * 1024
    connections: int = 32
    part_bytes: int = 8 * 1024 * 1024


class Try:
    """One try that runs, and its end."""

    def __init__(self, timeout: TimeLimit, slowest_bytes_per_second: int) -> None:
        self._timeout = timeout
        self._slowest = slowest_bytes_per_second

    def expect(self, size_bytes: int) -> None:
        """Allow the time that so many further bytes may take."""
        when = self._timeout.when()
        if when is not None:
            self._timeout.reschedule(when + size_bytes / self._slowest)


class S3Calls:
    """The client of one bucket, and the way calls go. Belongs to one event loop."""

    def __init__(self, address: S3Address, settings: S3Settings, client: S3Client, stack: AsyncExitStack) -> None:
        self.address = address
        self.settings = settings
        self.client = client
        self._stack = stack
        self._closed = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(cls, address: S3Address, settings: S3Settings) -> S3Calls:
        """Make the client. Nothing is sent yet.

        Raises:
            PermissionDenied: the AWS configuration names a profile that is not there.
            FailedPrecondition: it cannot be used otherwise.
        """
        own_endpoint = address.endpoint is not None
        config = AioConfig(
            s3={"addressing_style": "path" if own_endpoint else "auto"},
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=settings.one_try.total_seconds(),
            read_timeout=settings.one_try.total_seconds(),
            max_pool_connections=settings.connections,
            # We send a Content-MD5, which every endpoint checks; the newer trailers not every one can read.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_supported",
            user_agent_extra="sluiceway",
            # A proxy of the environment is not for this machine's own ports. (None: as the environment says.)
            proxies={} if urlsplit(address.endpoint or "").hostname in _LOOPBACK else None,
        )
        async with AsyncExitStack() as stack:
            try:
                session = _session()
                # Of an own endpoint the region is a word in the signature only.
                region = address.region or session.region_name or ("us-east-1" if own_endpoint else None)
                opening = session.client("s3", endpoint_url=address.endpoint, region_name=region, config=config)
                client = await stack.enter_async_context(opening)
                _leave_bodies_unsigned(client, config)
            except CALL_ERRORS as cause:
                raise error_of(read_fault(cause), place=address.place, key="", right="") from cause
            return cls(address, settings, client, stack.pop_all())

    async def run(self, attempt: Callable[[Try], Awaitable[_T]], *, key: str, right: str, size_bytes: int = 0) -> _T:
        """Make tries until one succeeds or none can.

        Args:
            attempt: one try; it raises what the client raises. It must be right to make it again after any failure.
            key: the object's, for errors.
            right: see `error_of`.
            size_bytes: what is sent.

        Raises:
            Unavailable: the storage is away, full or closed, or there is no bucket.
            PermissionDenied: it refuses us.
            NotFound: there is no object.
            DataLoss: the endpoint's checksum of the object is wrong.
            FailedPrecondition: the endpoint does not do this.
        """
        loop = asyncio.get_running_loop()
        last = loop.time() + self.settings.keep_trying.total_seconds()
        failed = 0
        while True:
            try:
                return await self._once(attempt, size_bytes)
            except CALL_ERRORS as cause:
                fault = read_fault(cause)
                failed += 1
                pause = backoff_seconds(failed, limit=_LONGEST_PAUSE_SECONDS)
                if not fault.repeat or loop.time() + pause > last:
                    raise self.error(fault, key=key, right=right) from cause
            await asyncio.sleep(pause)

    def error(self, fault: Fault, *, key: str, right: str) -> SluicewayError:
        """Make the error of a fault."""
        return error_of(fault, place=self.address.place, key=key, right=right)

    async def close(self) -> None:
        """Wait shortly for what runs, and close the connections. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError):
            async with time_limit(_CLOSE_SECONDS):
                await self._idle.wait()
        await self._stack.aclose()

    def check_open(self) -> None:
        """Raise `Unavailable` after `close`."""
        if self._closed:
            raise Unavailable(f"{self.address.place} is closed")

    async def _once(self, attempt: Callable[[Try], Awaitable[_T]], size_bytes: int) -> _T:
        self.check_open()
        seconds = self.settings.one_try.total_seconds() + size_bytes / self.settings.slowest_bytes_per_second
        self._running += 1
        self._idle.clear()
        try:
            async with time_limit(seconds) as timeout:
                return await attempt(Try(timeout, self.settings.slowest_bytes_per_second))
        except RuntimeError as cause:
            # What aiohttp says of a session that was closed under a call.
            if self._closed:
                raise Unavailable(f"{self.address.place} is closed") from cause
            raise
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()


def _leave_bodies_unsigned(client: S3Client, config: AioConfig) -> None:
    """Sign of a body its Content-MD5 alone, which the endpoint compares: as botocore does over https.

    Over http it would hash each body once more, on the event loop: 6 ms for a part of an upload.
    """
    unsigned = config.merge(AioConfig(s3={"payload_signing_enabled": False}))

    def leave(request: Any, **_: object) -> None:
        if "Content-MD5" in request.headers:
            request.context["client_config"] = unsigned

    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-sign.s3.{operation}", leave)


def _session() -> aioboto3.Session:
    session = get_session()
    # botocore's own reader of times takes a tenth of a millisecond, which a page of a list needs hundreds of times, on
    # the event loop.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    return aioboto3.Session(botocore_session=session)


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        # Headers have another form (RFC 9110, section 5.6.7).
        time = parse_timestamp(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
