"""One etcd endpoint: its channel, its calls, and whether the connection stands."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import grpc
import grpc.aio

from sluiceway.foundation.errors import InvalidInput
from sluiceway.kv._etcd_api import api
from sluiceway.kv._etcd_metrics import quota_of

__all__ = ["EtcdTls", "Member", "Pings", "Rpc", "parse_endpoint"]

Rpc = Literal["txn", "range", "put", "compact", "watch", "grant", "renew", "revoke", "status", "alarm"]

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
    # Members are near; a proxy from the environment would answer for a member that is away.
    ("grpc.enable_http_proxy", 0),
    # No retries below us either; with no service config only transparent ones existed, now none do.
    ("grpc.enable_retries", 0),
)


_QUOTA_KNOWN_SECONDS = 600.0
_QUOTA_WITHIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM texts for `https://` endpoints. All None: the machine's own authorities, no client certificate."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return "EtcdTls(***)"


@dataclass(frozen=True, slots=True)
class Pings:
    """How a connection that went dead is noticed while a call or a watch waits on it.

    `every` must stay above etcd's --grpc-keepalive-min-time (5 s), or etcd closes the connection.
    """

    every: timedelta = timedelta(seconds=10)
    answer_within: timedelta = timedelta(seconds=5)


def parse_endpoint(endpoint: str) -> tuple[str, bool]:
    """Split `http://host:port`, `https://host:port` or `host:port` into `host:port` and whether TLS is meant.

    Raises:
        InvalidInput: it is none of these. What may be a password in it is not said again.
    """
    if "@" in endpoint:
        raise InvalidInput(
            "an etcd endpoint takes no user and no password, and no others can be given yet; write http://HOST:PORT or"
            " https://HOST:PORT of an etcd without authentication"
        )
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or not plain:
        raise InvalidInput(f'"{endpoint}" is not an etcd endpoint; write http://HOST:PORT or https://HOST:PORT')
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", parts.scheme == "https"


class Member:
    """One endpoint and its channel, made when first needed: a channel belongs to the loop that is running then."""

    def __init__(self, address: str, secure: bool, *, tls: EtcdTls, pings: Pings) -> None:
        self.address = address
        self._secure = secure
        self._tls = tls
        self._pings = pings
        self._channel: grpc.aio.Channel | None = None
        self._calls: Mapping[Rpc, Callable[..., Any]] = {}
        self._quota = (0, -math.inf)

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return self._secure

    @property
    def calls(self) -> Mapping[Rpc, Callable[..., Any]]:
        """What can be called. Untyped, because etcd3aio's messages and stubs are."""
        if not self._calls:
            self._calls = _calls(self._open())
        return self._calls

    async def is_ready(self, seconds: float) -> bool:
        """Connect if need be; False when refused, or not done in `seconds`."""
        channel = self._open()
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return True
        try:
            async with asyncio.timeout(max(0.0, seconds)):
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

    async def quota_bytes(self, seconds: float) -> int:
        """Tell the quota from the metrics; 0: not told. Asked for again after ten minutes, with a second to answer."""
        now = asyncio.get_running_loop().time()
        quota, until = self._quota
        if now >= until:
            within = min(seconds, _QUOTA_WITHIN_SECONDS)
            quota = await quota_of(self.address, secure=self._secure, ca=self._tls.ca, seconds=within)
            self._quota = (quota, now + _QUOTA_KNOWN_SECONDS)
        return quota

    async def close(self) -> None:
        """Cancel what runs and let go of the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            answer_within = int(self._pings.answer_within.total_seconds() * 1000)
            options = (
                *_CHANNEL_OPTIONS,
                ("grpc.keepalive_time_ms", int(self._pings.every.total_seconds() * 1000)),
                ("grpc.keepalive_timeout_ms", answer_within),
                # gRPC 1.85 waits for the answer to a ping this long (60 s), whatever the line above says.
                ("grpc.http2.ping_timeout_ms", answer_within),
            )
            if self._secure:
                credentials = grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.certificate)
                self._channel = grpc.aio.secure_channel(self.address, credentials, options=options)
            else:
                self._channel = grpc.aio.insecure_channel(self.address, options=options)
        return self._channel


def _calls(channel: grpc.aio.Channel) -> Mapping[Rpc, Callable[..., Any]]:
    kv, lease, maintenance = api.KVStub(channel), api.LeaseStub(channel), api.MaintenanceStub(channel)

    async def renew(request: object, *, timeout: float, metadata: tuple[tuple[str, str], ...]) -> object:
        # etcd renews on a stream only; one request and one answer make a call of it.
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
    }
