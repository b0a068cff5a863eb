"""The methods that the server offers, by its reflection service, which leaves out those that are not implemented."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

__all__ = ["OfferedMethods"]

_KEPT = timedelta(seconds=60)
_TIMEOUT_SECONDS = 5.0


class OfferedMethods:
    """Asks the server by reflection, and caches the response for a minute."""

    def __init__(self, channel: grpc.aio.Channel, rpcs: Iterable[str], *, kept: timedelta = _KEPT) -> None:
        """Ask through `channel` for `rpcs`, the paths of methods (`/package.Service/Method`)."""
        self._channel = channel
        self._rpcs = sorted(set(rpcs))
        self._kept = kept.total_seconds()
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._offered: frozenset[str] = frozenset()

    async def get(self) -> frozenset[str]:
        """Return the paths that the server offers.

        Raises:
            AioRpcError: the server cannot be asked now.
        """
        async with self._lock:
            if time.monotonic() >= self._until:
                self._offered = await self._ask()
                self._until = time.monotonic() + self._kept
        return self._offered

    async def _ask(self) -> frozenset[str]:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(self._channel)  # type: ignore[arg-type]  # typed for the blocking one
        questions = [
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=rpc[1:].replace("/", "."))
            for rpc in self._rpcs
        ]
        known = [
            response.HasField("file_descriptor_response")
            async for response in stub.ServerReflectionInfo(iter(questions), timeout=_TIMEOUT_SECONDS)
        ]
        return frozenset(rpc for rpc, is_known in zip(self._rpcs, known, strict=True) if is_known)
