"""The gateway's composition root."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import structlog

from sluiceway_common.foundation.lifecycle import Stop, run_process
from sluiceway_common.foundation.logging import set_up_logging
from sluiceway_server.gateway.serve import serve_gateway
from sluiceway_server.gateway.sessions import read_session_key
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["GatewaySettings", "main"]

log = structlog.get_logger(__name__)

# For everything except connections of clients: the server's, workers, the log.
_OTHER_DESCRIPTORS = 100


def main(
    http: str,
    server: str,
    settings: GatewaySettings,
    *,
    ca_file: Path | None,
    insecure: bool,
    session_key_file: Path | None,
) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code of the process.

    Args:
        http: where to listen, `HOST:PORT` or `fd:N`; port 0 picks one.
        server: the server's gRPC address.
        settings: limits.
        ca_file: connect to the server with TLS, and trust the authorities in this file.
        insecure: send the tokens of callers over a plain connection to another machine.
        session_key_file: holds the key of the sessions of browsers; it is made if it is missing. None: sessions end
            with this process.
    """
    session_key = None if session_key_file is None else read_session_key(session_key_file)
    set_up_logging()
    fitting = _fit(settings)

    async def work(stop: Stop) -> None:
        await serve_gateway(
            http, server, stop, settings=fitting, ca_file=ca_file, insecure=insecure, session_key=session_key
        )

    return run_process(work)


def _fit(settings: GatewaySettings) -> GatewaySettings:
    """Raise the limit of file descriptors to its maximum, and bound the connections by it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or settings.max_connections + _OTHER_DESCRIPTORS <= most:
        return settings
    fitting = max(1, most - _OTHER_DESCRIPTORS)
    log.warning("few_file_descriptors", descriptors=most, max_connections=fitting)
    return replace(settings, max_connections=fitting)
