"""gRPC as JSON over HTTP: routes from the descriptors, server streams as SSE, one shape of error on every path."""

from __future__ import annotations

from sluiceway_server.gateway.serve import serve_gateway
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "serve_gateway"]
