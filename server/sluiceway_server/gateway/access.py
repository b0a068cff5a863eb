"""Whether a caller may call a method: the gateway asks the server before it reads or checks the request."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import grpc.aio

from sluiceway.api.access.v1 import access_service_pb2 as pb
from sluiceway.api.access.v1 import access_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.rpc.admission import AUTHORIZATION_KEY
from sluiceway_server.gateway.routes import Rule

__all__ = ["AccessChecks", "Metadata"]

_KEPT = timedelta(seconds=5)
_MOST_KEPT = 10_000

Metadata: TypeAlias = Sequence[tuple[str, str]]


class AccessChecks:
    """Asks `AccessService` whether a caller is admitted, and caches a positive response for 5 s.

    Only admissions are cached, so a new token works at once. After a token is revoked, its requests are still read and
    parsed for at most that long; the server authenticates each call itself.
    """

    def __init__(self, channel: grpc.aio.Channel, *, kept: timedelta = _KEPT, most_kept: int = _MOST_KEPT) -> None:
        self._stub: Any = pb_grpc.AccessServiceStub(channel)
        self._kept = kept.total_seconds()
        self._most_kept = most_kept
        # The time until which a caller and a method are admitted, in the order of admission.
        self._admitted: OrderedDict[tuple[bytes, str], float] = OrderedDict()

    async def check(self, rule: Rule, metadata: Metadata, *, timeout: float) -> None:
        """Check that the caller whose metadata this is may call a method.

        Args:
            rule: the method.
            metadata: of the call, with its `authorization`.
            timeout: for the response of the server, in seconds.

        Raises:
            AioRpcError: it may not, or the server cannot be asked now.
        """
        if rule.public:
            return
        key = _key(rule, metadata)
        if self._admitted.get(key, 0.0) > time.monotonic():
            return
        await self._stub.CheckAccess(pb.CheckAccessRequest(method=rule.rpc), metadata=tuple(metadata), timeout=timeout)
        self._admitted[key] = time.monotonic() + self._kept
        self._admitted.move_to_end(key)
        while len(self._admitted) > self._most_kept:
            self._admitted.popitem(last=False)

    def forget(self, rule: Rule, metadata: Metadata) -> None:
        """Ask the server again the next time: it has just refused this caller."""
        self._admitted.pop(_key(rule, metadata), None)


def _key(rule: Rule, metadata: Metadata) -> tuple[bytes, str]:
    # A digest, so that tokens are not kept in memory.
    authorization = next((value for key, value in metadata if key == AUTHORIZATION_KEY), "")
    return hashlib.sha256(authorization.encode()).digest(), rule.rpc
