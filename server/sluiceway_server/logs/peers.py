"""The live ends of logs that are pushed to other servers: asked for over the `PeerService` of each.

A server announces its address and a token with its key in etcd (`Peer`), so that whoever can read etcd can call it, and
nobody else. A log is asked for at all other servers: the one to which it is pushed has it, the others say at once that
they have not. What is missing or unreachable costs time only: the reader polls the object storage then.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC

import grpc
import grpc.aio
import structlog

from sluiceway.api.peer.v1 import peer_service_pb2 as pb
from sluiceway.api.peer.v1 import peer_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.rpc.caller import Authenticator, Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_server.logs.chunks import LogChunk, Tail
from sluiceway_server.logs.layout import LogKey

log = structlog.get_logger(__name__)

_FIRST_SECONDS = 3.0
"""How long a peer may take to say that it has a log."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, as the others see it.

    Attributes:
        address: `HOST:PORT` at which the others reach it; empty: they do not.
        token: that the others send; a new one after each start.
    """

    address: str
    token: str

    @staticmethod
    def new(address: str) -> Peer:
        """Return a peer with a new token."""
        return Peer(address, secrets.token_urlsafe(32))

    def encode(self) -> bytes:
        """Return the value of its key."""
        return json.dumps({"address": self.address, "token": self.token}).encode() if self.address else b""

    @staticmethod
    def decode(value: bytes) -> Peer | None:
        """Read the value of a key; None: that server cannot be called, such as one of an earlier version."""
        try:
            stored = json.loads(value)
            return Peer(str(stored["address"]), str(stored["token"]))
        except (ValueError, KeyError, TypeError):
            return None


class PeerAuthenticator:
    """Authenticates other servers by the token of this one, and everybody else as before."""

    def __init__(self, token: str, others: Authenticator) -> None:
        self._token = token.encode()
        self._others = others

    async def authenticate(self, token: str) -> Caller | None:
        """Return the caller of a token; None: it is not valid."""
        if hmac.compare_digest(token.encode(), self._token):
            return Caller(CallerKind.PEER)
        return await self._others.authenticate(token)


class GrpcLogPeers:
    """`LogPeers` over gRPC. Close it with `close`."""

    def __init__(
        self, list_peers: Callable[[], Awaitable[Mapping[str, Peer]]], *, tls: grpc.ChannelCredentials | None
    ) -> None:
        """Call no server yet.

        Args:
            list_peers: returns the other servers, by id. Raises `SluicewayError`: they are not known now.
            tls: how the others are reached over TLS; None: in clear.
        """
        self._list_peers = list_peers
        self._tls = tls
        self._channels: dict[Peer, grpc.aio.Channel] = {}

    async def tail(self, key: LogKey, offset: int, *, follow: bool, timestamps: bool) -> AsyncGenerator[Tail]:
        try:
            peers = [peer for peer in (await self._list_peers()).values() if peer.address]
            await self._forget(peers)
            if not peers:
                return
            call = await self._find(peers, _request(key, offset, follow=follow, timestamps=timestamps))
            if call is None:
                return
            try:
                with errors_of_call("another server"):
                    async for response in call:
                        if response.data:
                            time = response.time.ToDatetime(UTC) if response.HasField("time") else None
                            yield Tail(LogChunk(response.next_offset, response.data, time))
                        if response.ended:
                            yield Tail(None, ended=True)
            finally:
                call.cancel()
        except SluicewayError as error:
            log.debug("log_peer_failed", log=key.path, error=str(error))

    async def close(self) -> None:
        """Close all channels."""
        await self._forget([])

    async def _find(self, peers: list[Peer], request: pb.TailLogRequest) -> _Call | None:
        """Ask all peers; return the stream of the one that has the log, after its first message."""
        calls = [pb_grpc.PeerServiceStub(self._channel(peer)).TailLog(request) for peer in peers]
        asking = [asyncio.create_task(_has(call)) for call in calls]
        found: _Call | None = None
        try:
            for asked in asyncio.as_completed(asking, timeout=_FIRST_SECONDS):
                found = await asked
                if found is not None:
                    break
        except TimeoutError:
            log.info("log_peers_silent", peers=len(peers))
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            for call in calls:
                if call is not found:
                    call.cancel()
        return found

    def _channel(self, peer: Peer) -> grpc.aio.Channel:
        channel = self._channels.get(peer)
        if channel is None:
            channel = open_channel(peer.address, token=peer.token, tls=self._tls)
            self._channels[peer] = channel
        return channel

    async def _forget(self, peers: list[Peer]) -> None:
        for peer in [peer for peer in self._channels if peer not in peers]:
            await self._channels.pop(peer).close()


_Call = grpc.aio.UnaryStreamCall[pb.TailLogRequest, pb.TailLogResponse]


async def _has(call: _Call) -> _Call | None:
    try:
        with errors_of_call("another server"):
            first = await call.read()
    except SluicewayError:
        return None
    return None if first is grpc.aio.EOF else call


def _request(key: LogKey, offset: int, *, follow: bool, timestamps: bool) -> pb.TailLogRequest:
    return pb.TailLogRequest(
        run_id=key.run,
        task_id=key.task,
        database_epoch=key.epoch.database,
        attempt=key.epoch.attempt,
        step=key.step,
        offset=offset,
        follow=follow,
        timestamps=timestamps,
    )
