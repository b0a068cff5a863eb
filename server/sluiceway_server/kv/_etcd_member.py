"""One etcd endpoint: its channel, its calls, and whether the connection stands."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import grpc
import grpc.aio

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv._etcd_endpoint import Endpoint
from sluiceway_server.kv._etcd_metrics import quota_of
from sluiceway_server.kv.access import EtcdTls

Rpc = Literal["txn", "range", "put", "compact", "watch", "grant", "renew", "revoke", "status", "alarm", "authenticate"]

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # A range over the log may be far larger than gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A watch may be silent for long, and still each ping has to go out: gRPC would stop after two.
    ("grpc.http2.max_pings_without_data", 0),
    # etcd counts pings on a connection without calls as an offence, and closes it (its PermitWithoutStream is off).
    ("grpc.keepalive_permit_without_calls", 0),
    # The default backs off to 120 s: etcd would be back for two minutes before we noticed.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Each store has its own connections: one store's broken connection is not another's.
    ("grpc.use_local_subchannel_pool", 1),
    # Members are near; a proxy from the environment would respond for a member that is down.
    ("grpc.enable_http_proxy", 0),
    # No retries below us either; with no service config only transparent ones existed, now none do.
    ("grpc.enable_retries", 0),
)


_QUOTA_KNOWN_SECONDS = 600.0
_QUOTA_WITHIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pings:
    """How a connection that went dead is noticed while a call or a watch waits on it.

    `every` must stay above etcd's --grpc-keepalive-min-time (5 s), or etcd closes the connection.
    """

    every: timedelta = timedelta(seconds=10)
    answer_within: timedelta = timedelta(seconds=5)


class Member:
    """One endpoint and its channel, made when first needed: a channel belongs to the loop that is running then."""

    def __init__(self, endpoint: Endpoint, *, tls: EtcdTls, pings: Pings) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._pings = pings
        self._channel: grpc.aio.Channel | None = None
        self._folder: int | None = None
        self._calls: Mapping[Rpc, Callable[..., Any]] = {}
        self._quota = (0, -math.inf)

    @property
    def address(self) -> str:
        """Its address, for messages."""
        return self._endpoint.address

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return self._endpoint.is_secure

    @property
    def calls(self) -> Mapping[Rpc, Callable[..., Any]]:
        """What can be called. Untyped, because etcd3aio's messages and stubs are."""
        if not self._calls:
            self._calls = _calls(self._open())
        return self._calls

    async def is_ready(self, seconds: float) -> bool:
        """Connect if need be; False when refused, or not done in `seconds`."""
        try:
            channel = self._open()
        except OSError:
            # The folder of the socket is not there, or is closed to us.
            return False
        if await _connects(channel, seconds):
            return True
        if self._folder is not None and self._channel is channel and _has_failed(channel):
            # The folder may have been replaced: it is opened again, by its path.
            await self.close()
        return False

    async def quota_bytes(self, seconds: float) -> int:
        """Return the quota from the metrics; 0 if unknown. Cached for ten minutes; asked with a timeout of 1 s."""
        now = asyncio.get_running_loop().time()
        quota, until = self._quota
        if now >= until:
            within = min(seconds, _QUOTA_WITHIN_SECONDS)
            tls = self._tls if self.is_secure else None
            quota = await quota_of(self.address, self._socket(), tls=tls, seconds=within)
            self._quota = (quota, now + _QUOTA_KNOWN_SECONDS)
        return quota

    async def close(self) -> None:
        """Cancel what runs and let go of the connection."""
        channel, self._channel, self._calls = self._channel, None, {}
        folder, self._folder = self._folder, None
        try:
            if channel is not None:
                await channel.close()
        finally:
            if folder is not None:
                os.close(folder)

    def _socket(self) -> str | None:
        """Return the path of the unix socket, by way of its open folder; None for a member on a port.

        An address of a socket has 107 bytes at most, and a target of gRPC takes no escaped characters; the path of the
        folder may be longer, and hold any.
        """
        if self._endpoint.socket is None or self._folder is None:
            return None
        return f"/proc/self/fd/{self._folder}/{self._endpoint.socket.name}"

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            socket = self._endpoint.socket
            if socket is not None and self._folder is None:
                self._folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            target = self.address if socket is None else f"unix:{self._socket()}"
            answer_within = int(self._pings.answer_within.total_seconds() * 1000)
            options = (
                *_CHANNEL_OPTIONS,
                ("grpc.keepalive_time_ms", int(self._pings.every.total_seconds() * 1000)),
                ("grpc.keepalive_timeout_ms", answer_within),
                # gRPC 1.85 waits for the response to a ping this long (60 s), whatever the line above says.
                ("grpc.http2.ping_timeout_ms", answer_within),
                # The default authority of a unix socket is its path, which Go's HTTP/2 server may refuse.
                *((("grpc.default_authority", "localhost"),) if socket is not None else ()),
            )
            if self.is_secure:
                credentials = grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.certificate)
                self._channel = grpc.aio.secure_channel(target, credentials, options=options)
            else:
                self._channel = grpc.aio.insecure_channel(target, options=options)
        return self._channel


def _has_failed(channel: grpc.aio.Channel) -> bool:
    return channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE


async def _connects(channel: grpc.aio.Channel, seconds: float) -> bool:
    state = channel.get_state(try_to_connect=True)
    if state is grpc.ChannelConnectivity.READY:
        return True
    try:
        async with time_limit(max(0.0, seconds)):
            while state is not grpc.ChannelConnectivity.READY:
                if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                    return False
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        return False
    except grpc.aio.UsageError:
        # The channel was closed while we waited.
        return False
    return True


def _calls(channel: grpc.aio.Channel) -> Mapping[Rpc, Callable[..., Any]]:
    kv, lease, maintenance = api.KVStub(channel), api.LeaseStub(channel), api.MaintenanceStub(channel)

    async def renew(request: object, *, timeout: float, metadata: tuple[tuple[str, str], ...]) -> object:
        # etcd renews on a stream only; one request and one response make a call of it.
        call = lease.LeaseKeepAlive(timeout=timeout, metadata=metadata)
        try:
            await call.write(request)
            return await call.read()
        finally:
            call.cancel()

    return {
        "txn": kv.Txn,
        "range": kv.Range,
        "put": kv.Put,
        "compact": kv.Compact,
        "watch": api.WatchStub(channel).Watch,
        "grant": lease.LeaseGrant,
        "renew": renew,
        "revoke": lease.LeaseRevoke,
        "status": maintenance.Status,
        "alarm": maintenance.Alarm,
        "authenticate": api.AuthStub(channel).Authenticate,
    }


def is_being_cancelled() -> bool:
    """Return whether somebody cancels this task. If not, a CancelledError is grpc.aio's word for a closed channel."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
