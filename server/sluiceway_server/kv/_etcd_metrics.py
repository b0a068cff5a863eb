"""The quota of etcd before 3.6: one line among its metrics, at the address of its clients.

Best effort: an etcd that serves no metrics there reports none.
"""

from __future__ import annotations

import asyncio
import re

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.kv.access import EtcdTls

_LINE = re.compile(rb"^etcd_server_quota_backend_bytes (\S+)$", re.MULTILINE)
_MOST_BYTES = 4 * 1024 * 1024


async def quota_of(address: str, socket: str | None, *, tls: EtcdTls | None, seconds: float) -> int:
    """Read the quota, in bytes; 0: it is not reported, or not within `seconds`.

    Args:
        address: `host:port`; not used with `socket`.
        socket: path of a unix socket.
        tls: for a member that is spoken to by TLS; None: it is not.
        seconds: how long it may take.
    """
    try:
        async with time_limit(seconds):
            if socket is not None:
                reader, writer = await asyncio.open_unix_connection(socket)
                address = "localhost"
            else:
                host, _, port = address.rpartition(":")
                context = None if tls is None else tls.context()
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
            try:
                # HTTP/1.0: the response ends with the connection.
                writer.write(f"GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                await writer.drain()
                body = bytearray()
                while len(body) < _MOST_BYTES and (data := await reader.read(65536)):
                    body += data
            finally:
                writer.transport.abort()
    except (OSError, ValueError, TimeoutError):
        return 0
    found = _LINE.search(body)
    try:
        return int(float(found.group(1))) if found else 0
    except ValueError:
        return 0
