"""The gateway's composition root."""

from __future__ import annotations

from dataclasses import dataclass

from sluiceway.foundation.lifecycle import Stop, run_process
from sluiceway.foundation.logging import set_up_logging
from sluiceway.gateway.serve import serve_gateway

__all__ = ["GatewaySettings", "main"]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What `sluice gateway` was told: where to listen (port 0 picks one), and the server's gRPC address."""

    http: str
    server: str


def main(settings: GatewaySettings) -> int:
    """Run until SIGTERM or SIGINT; answers the exit code of the process."""
    set_up_logging()

    async def work(stop: Stop) -> None:
        await serve_gateway(settings.http, settings.server, stop)

    return run_process(work)
