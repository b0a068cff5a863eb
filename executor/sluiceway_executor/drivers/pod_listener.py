"""The first process of a container, to which the executor connects over a socket: `pod_listener.py NAME USER`.

A connection may break and be made again: what was under way on it continues (`pod_link`). The first executor that
connects chooses the secret of the pod, before any step runs; nobody who does not know it can connect after that.
Another process of the executor, which knows the secret, takes over (`pod_container`). This process ends when it is not
fed, or by the message `end`, and never because a connection has ended.

`NAME` is that of an abstract socket, or a path. `USER` is who commands run as by default; empty: the user of this
process. Why it ended is written to standard output and to the termination message of the container (JSON: `event` is
`failed`, with `text` and `user`, which says that the image lacks the user; or `starved`, with the exit code `STARVED`).
"""
# ruff: noqa: PTH103, PTH112, PTH123 - as in pod_init

from __future__ import annotations

import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any, NoReturn
else:
    import _signal as signal
    import _socket as socket

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import seconds_now
    from sluiceway_executor.drivers.pod_container import ContainerInit, to_json
    from sluiceway_executor.drivers.pod_link import HEADER_BYTES, HELLO_BYTES, ID_BYTES, SECRET_BYTES, Link
    from sluiceway_executor.drivers.pod_processes import prctl, suppress
    from sluiceway_executor.drivers.pod_transfer import CHUNK_BYTES
    from sluiceway_executor.drivers.pod_users import SCRIPTS
else:
    sys.path.append(__file__.rpartition("/")[0])
    from pod_command import seconds_now
    from pod_container import ContainerInit, to_json
    from pod_link import HEADER_BYTES, HELLO_BYTES, ID_BYTES, SECRET_BYTES, Link
    from pod_processes import prctl, suppress
    from pod_transfer import CHUNK_BYTES
    from pod_users import SCRIPTS

STARVED = 75
"""The exit code of a first process that was not fed."""
PR_SET_DUMPABLE = 4
MAX_NEWCOMERS = 8
ACKNOWLEDGE_BYTES = 1 << 18
ACKNOWLEDGE_SECONDS = 0.5
TERMINATION_MESSAGE = "/dev/termination-log"
_NOT_OF_IMAGE = frozenset({"LD_PRELOAD", "LD_LIBRARY_PATH", "HOSTNAME", "HOME"})


class ListeningInit(ContainerInit):
    """The loop of the first process."""

    def __init__(self, listener: socket.socket, user: str) -> None:
        super().__init__(listener, user)
        self.listener = listener
        self.link: Link | None = None
        self.client: socket.socket | None = None
        self.wire = bytearray()
        """Bytes of the link that the present connection has not taken yet."""
        self.newcomers: dict[int, tuple[socket.socket, bytearray]] = {}
        self.acknowledge_at: float | None = None

    def _ready(self) -> dict[str, Any]:
        # The container's environment is that of its image, with what Kubernetes adds.
        image = {
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_OF_IMAGE and not name.startswith("KUBERNETES_")
        }
        return {**super()._ready(), "environment": repr(image)}

    def _obey(self, message: dict[str, Any]) -> None:
        if message["do"] == "end":
            self._end()
        super()._obey(message)

    # -- connections --------------------------------------------------------------------------------------------

    def _receive(self) -> bool:
        with suppress(OSError):
            number, _ = self.listener._accept()  # type: ignore[attr-defined]
            newcomer = socket.socket(fileno=number)
            newcomer.setblocking(False)
            self.newcomers[number] = (newcomer, bytearray())
            if len(self.newcomers) > MAX_NEWCOMERS:
                self._forget(next(iter(self.newcomers)))
        return True

    def _forget(self, number: int) -> None:
        self.newcomers.pop(number)[0].close()

    def _register_connection(self, poll: select.poll) -> None:
        for number in self.newcomers:
            poll.register(number, select.POLLIN)
        if self.client is not None:
            writes = select.POLLOUT if self.wire or (self.link is not None and self.link.unsent()) else 0
            poll.register(self.client.fileno(), select.POLLIN | writes)

    def _transfer(self, ready: set[int]) -> None:
        for number in ready & set(self.newcomers):
            self._greet(number)
        if self.client is not None and self.client.fileno() in ready:
            self._hear(self.client)
        super()._transfer(ready)

    def _greet(self, number: int) -> None:
        """Read the hello of a new connection; if it is the executor's, it replaces the present one."""
        newcomer, heard = self.newcomers[number]
        try:
            heard += newcomer.recv(HELLO_BYTES - len(heard))
        except BlockingIOError:
            return
        except OSError:
            heard.clear()
        if not heard:
            self._forget(number)
            return
        if len(heard) < HELLO_BYTES:
            return
        id_ = bytes(heard[HEADER_BYTES : HEADER_BYTES + ID_BYTES])
        link = self.link
        if link is not None and link.id[:SECRET_BYTES] != id_[:SECRET_BYTES]:
            self._forget(number)
            return
        del self.newcomers[number]
        self._drop()
        if link is None or link.id != id_:
            link = self._begin_link(id_)
        self.link, self.client = link, newcomer
        self.wire += link.hello()
        try:
            link.take(bytes(heard))
        except ValueError:
            self._drop()

    def _begin_link(self, id_: bytes) -> Link:
        """Begin with another process of the executor, which knows nothing of what was sent before."""
        if self.link is not None:
            self._disconnected()
        self.outgoing.clear()
        self.incoming.clear()
        self.acknowledge_at = None
        self._announce()
        return Link(id_, self.outgoing)

    def _hear(self, client: socket.socket) -> None:
        assert self.link is not None  # noqa: S101 - there is no client without one
        try:
            data = client.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop()
            return
        try:
            data = self.link.take(data)
        except ValueError:
            self._drop()
            return
        if data:
            self._take(data)
        if self.link.unreported() and self.acknowledge_at is None:
            self.acknowledge_at = seconds_now() + ACKNOWLEDGE_SECONDS

    def _drop(self) -> None:
        if self.client is not None:
            self.client.close()
        self.client = None
        self.wire.clear()

    def _flush(self) -> None:
        link = self.link
        if self.client is None or link is None:
            return
        due = self.acknowledge_at is not None and seconds_now() >= self.acknowledge_at
        if due or link.unreported() >= ACKNOWLEDGE_BYTES:
            self.wire += link.acknowledgement()
            self.acknowledge_at = None
        try:
            while self.wire or link.unsent():
                if not self.wire:
                    self.wire += link.next_frame()
                del self.wire[: os.write(self.client.fileno(), self.wire)]
        except BlockingIOError:
            return
        except OSError:
            self._drop()

    def _next_wait(self) -> float:
        wait = super()._next_wait()
        return wait if self.acknowledge_at is None else min(wait, max(0.0, self.acknowledge_at - seconds_now()))

    def _tick(self) -> None:
        if seconds_now() >= self.fed_until:
            leave_message({"event": "starved"})
            os._exit(STARVED)
        super()._tick()

    def _end(self) -> NoReturn:
        os._exit(0)


def leave_message(message: dict[str, Any]) -> None:
    """Write why this process ends."""
    with suppress(OSError):
        os.write(1, to_json(message).encode() + b"\n")
    with suppress(OSError), open(TERMINATION_MESSAGE, "w", encoding="utf-8", errors="replace") as stream:
        stream.write(to_json(message))


def main(arguments: list[str]) -> None:
    """Run as the first process."""
    name, user = arguments
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # A step may be of the same user: without this it could trace this process and feed the pod forever.
    prctl(PR_SET_DUMPABLE, 0)
    with suppress(OSError):
        if not os.path.isdir(SCRIPTS):
            os.makedirs(SCRIPTS)
            os.chmod(SCRIPTS, 0o1777)  # noqa: S103, PTH101 - as every /tmp
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        init = ListeningInit(listener, user or str(os.getuid()))
        # A path is for the user of this process only.
        mask = os.umask(0o177)
        listener.bind(name if name.startswith("/") else "\0" + name)
        os.umask(mask)
        listener.listen(MAX_NEWCOMERS)
        listener.setblocking(False)
    except (ValueError, OSError) as error:
        leave_message({"event": "failed", "text": str(error), "user": isinstance(error, ValueError)})
        os._exit(1)
    init.run()


if __name__ == "__main__":
    main(sys.argv[1:])
