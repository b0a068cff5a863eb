"""Which methods the server offers, as its reflection says: those that are not built are not in its list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

__all__ = ["ask_offered"]


async def ask_offered(channel: grpc.aio.Channel, rpcs: Iterable[str], *, timeout: float = 5.0) -> frozenset[str]:
    """Ask which of these paths (`/package.Service/Method`) the server offers.

    Raises:
        AioRpcError: it cannot be asked now.
    """
    asked = sorted(set(rpcs))
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=rpc[1:].replace("/", ".")) for rpc in asked
    ]
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for the blocking one
    offered: set[str] = set()
    number = 0
    async for reply in stub.ServerReflectionInfo(iter(requests), timeout=timeout):
        if reply.HasField("file_descriptor_response"):
            offered.add(asked[number])
        number += 1
    return frozenset(offered)
