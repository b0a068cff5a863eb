"""Connects its standard input and output with the socket of the first process: `pod_connect.py NAME`.

The executor runs it in the container, by `exec`, for each connection. It ends when either side does. It ends with
`NOT_LISTENING` if the first process does not listen for `WAIT_SECONDS`. `NAME` is as in `pod_listener`.
"""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
else:
    import _socket as socket

NOT_LISTENING = 3
WAIT_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
_CHUNK_BYTES = 1 << 16


def main(name: str) -> None:
    """Run until one side ends."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    until = time.monotonic() + WAIT_SECONDS
    while connection.connect_ex(name if name.startswith("/") else "\0" + name):
        # The first process may just be starting.
        if time.monotonic() >= until:
            os._exit(NOT_LISTENING)
        time.sleep(_PAUSE_SECONDS)
    number = connection.fileno()
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(number, select.POLLIN)
    try:
        while True:
            for ready, _ in poll.poll():
                data = os.read(ready, _CHUNK_BYTES)
                if not data:
                    os._exit(0)
                target = number if ready == 0 else 1
                while data:
                    data = data[os.write(target, data) :]
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
