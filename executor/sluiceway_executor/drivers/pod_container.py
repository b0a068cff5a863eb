"""The commands of a container: `pod_init` without descriptors from its executor.

It runs inside the container, from the files of `pod_bundle`, and keeps to the rules of `pod_init` on what it imports.
No descriptors can be passed to it, so it makes the pipes of the commands itself and sends what they write over the
connection (`pod_listener`), at most `WINDOW_BYTES` for each command before the executor acknowledges them: a command
that nobody reads does not hold up another. What a command reads comes over the connection in the same way.

A message has a length before it, as in `pod_init`. With the highest bit of the length set, it is data of a command: its
number in 4 bytes, then the bytes; none mean the end.

The output and the end of a command with a key are kept, and sent again to the next process of the executor, which
acknowledges them by `ack` and `forget`. Commands without a key are stopped when that connects.

Further messages to the pod:

- `ack` (id, bytes): so much output was read. Of a command with a key: (id, offset), its output before that is stored.
- `connect` (id, port): does a port of localhost accept connections?
- `exec` has `user`, `input` (it has one), `memory` and `processes` (limits of the pod, where the kernel has none), and
  `size` (of its terminal).
- `note` (text): is kept for the next process of the executor.

From the pod:

- `kept` (id, key, dropped), then its output from `dropped` on, and its `exit` if it is over.
- `ready` has `home`, `user` and `note`.
- `started` (id), or `refused` (id, text).
- `taken` (id, bytes): so much input was written.
- `connected` (id, accepted).
"""
# ruff: noqa: PTH103, PTH112

from __future__ import annotations

import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any
else:
    import _socket as socket

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import Command, seconds_now
    from sluiceway_executor.drivers.pod_init import LOOK_SECONDS, PodInit
    from sluiceway_executor.drivers.pod_messages import HEADER_BYTES, json_of
    from sluiceway_executor.drivers.pod_processes import suppress
    from sluiceway_executor.drivers.pod_transfer import CHUNK_BYTES, WINDOW_BYTES, Transfer, open_streams
    from sluiceway_executor.drivers.pod_users import HOMELESS, SCRIPTS, User, find_user, make_home, read_file
else:
    sys.path.append(__file__.rpartition("/")[0])
    from pod_command import Command, seconds_now
    from pod_init import LOOK_SECONDS, PodInit
    from pod_messages import HEADER_BYTES, json_of
    from pod_processes import suppress
    from pod_transfer import CHUNK_BYTES, WINDOW_BYTES, Transfer, open_streams
    from pod_users import HOMELESS, SCRIPTS, User, find_user, make_home, read_file

CONTAINER_PROTOCOL = 2
"""The version of the messages. An executor with another one cannot continue the pod."""
DATA = 1 << 31
"""The bit of a length that says that data of a command follows."""
_OOM_COUNTERS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)


class ContainerInit(PodInit):
    """The loop of the first process of a container, without its connection."""

    def __init__(self, connection: socket.socket, user: str) -> None:
        super().__init__(connection, "namespace")
        self.outgoing = bytearray()
        self.transfers: dict[int, Transfer] = {}
        self.note = ""
        self.user = self._find(user)
        self.oom_kills = _oom_kills()

    def _ready(self) -> dict[str, Any]:
        return {
            **super()._ready(),
            "protocol": CONTAINER_PROTOCOL,
            "home": self.user.home,
            "user": self.user.name,
            "note": self.note,
        }

    def _find(self, text: str) -> User:
        user = find_user(text, read_file("/etc/passwd"), read_file("/etc/group"))
        if user.home in {"", "/"} or not os.path.isdir(user.home):
            user.home = user.home if user.home not in {"", "/"} else HOMELESS
            if os.getuid():
                make_home(user)
            elif not os.path.isdir(user.home):
                os.makedirs(user.home, exist_ok=True)
                os.chown(user.home, user.ids[0], user.ids[1])
        return user

    # -- the connection -----------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what is outgoing. Never blocks."""
        raise NotImplementedError

    def _register_connection(self, poll: select.poll) -> None:
        """Register the descriptors of the connection."""
        raise NotImplementedError

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> None:
        body = to_json(message).encode()
        self.outgoing += len(body).to_bytes(HEADER_BYTES, "big") + body
        self._flush()

    def _send_data(self, number: int, data: bytes) -> None:
        self.outgoing += (DATA | (4 + len(data))).to_bytes(HEADER_BYTES, "big") + number.to_bytes(4, "big") + data

    def _announce(self) -> None:
        for number, transfer in self.transfers.items():
            if not transfer.key or transfer.is_discarded:
                continue
            self._send({"event": "kept", "id": number, "key": transfer.key, "dropped": transfer.dropped})
            for start in range(0, len(transfer.kept), CHUNK_BYTES):
                self._send_data(number, bytes(transfer.kept[start : start + CHUNK_BYTES]))
            if transfer.ended is not None:
                self._send(transfer.ended)
        self._send(self._ready())

    def _disconnected(self) -> None:
        for number, transfer in self.transfers.items():
            if not transfer.key:
                self._stop(number, 0.0)
                transfer.discard()

    def _take(self, data: bytes) -> None:
        self.incoming += data
        while len(self.incoming) >= HEADER_BYTES:
            length = int.from_bytes(self.incoming[:HEADER_BYTES], "big")
            end = HEADER_BYTES + (length & ~DATA)
            if len(self.incoming) < end:
                return
            body = bytes(self.incoming[HEADER_BYTES:end])
            del self.incoming[:end]
            if length & DATA:
                self._take_input(int.from_bytes(body[:4], "big"), body[4:])
            else:
                # A literal from the executor, which is trusted.
                self._obey(eval(body, {"__builtins__": {}}))  # noqa: S307 - from the executor

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message["do"]
        if kind == "exec":
            self._execute(message)
        elif kind == "connect":
            self._send({"event": "connected", "id": message["id"], "accepted": _accepts(message["port"])})
        elif kind == "note":
            self.note = message["text"]
        elif kind in {"ack", "forget", "resize"}:
            transfer = self.transfers.get(message["id"])
            if transfer is None:
                return
            if kind == "forget":
                transfer.discard()
            elif kind == "resize":
                transfer.resize(message["size"])
            elif transfer.key:
                transfer.acknowledge(message["offset"])
            else:
                transfer.unacknowledged -= message["bytes"]
        else:
            super()._obey(message)

    # -- commands -----------------------------------------------------------------------------------------------

    def _execute(self, message: dict[str, Any]) -> None:
        number = message["id"]
        self.last_id = max(self.last_id, number)
        try:
            user = self._find(message["user"]) if message.get("user") else self.user
            if os.getuid() not in {0, user.ids[0]}:
                raise ValueError(f'the pod runs as the user {self.user.name}, so a step cannot run as "{user.name}"')
        except (ValueError, OSError) as error:
            self._send({"event": "refused", "id": number, "text": str(error)})
            return
        if not os.getuid():
            message["ids"] = user.ids
        message["env"] = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, **message["env"]}
        message["script_dir"] = SCRIPTS
        message["cwd"] = _absolute(message["cwd"], user.home)
        tty = bool(message.get("tty"))
        output, source, descriptors = open_streams(
            tty=tty, size=message["size"], owner=user.ids[0], has_input=bool(message.get("input"))
        )
        transfer = self.transfers[number] = Transfer(output, tty=tty, key=message.get("key", ""))
        transfer.input = source
        self._send({"event": "started", "id": number})
        self._start(message, descriptors)
        # Where the kernel does not limit it.
        self.max_memory = message["memory"]
        self.max_processes = message["processes"]

    def _exited(self, message: dict[str, Any]) -> None:
        transfer = self.transfers[message["id"]]
        transfer.exited(message)
        transfer.close_input()
        self._report_exit(transfer)

    def _finish(self, command: Command) -> None:
        if command.status and not command.limit and self._was_out_of_memory():
            command.limit = "memory"
        super()._finish(command)

    def _report_exit(self, transfer: Transfer) -> None:
        """Report the end of a command once all of its output has been sent."""
        message = transfer.take_exit()
        if message is not None:
            self._send(message)

    # -- output and input ---------------------------------------------------------------------------------------

    def _register(self, poll: select.poll) -> None:
        self._register_connection(poll)
        for transfer in self.transfers.values():
            if transfer.wants_output() and (transfer.is_discarded or len(self.outgoing) < WINDOW_BYTES):
                poll.register(transfer.output, select.POLLIN)
            if transfer.input >= 0 and transfer.waiting:
                poll.register(transfer.input, select.POLLOUT)

    def _transfer(self, ready: set[int]) -> None:
        for number, transfer in list(self.transfers.items()):
            if transfer.output in ready:
                if data := transfer.read():
                    self._send_data(number, data)
                self._report_exit(transfer)
            if transfer.input >= 0 and transfer.input in ready:
                self._write_input(number, transfer)
            if transfer.tty and transfer.left and seconds_now() >= transfer.quiet_at:
                transfer.left = 0
                self._report_exit(transfer)
            if transfer.is_gone():
                del self.transfers[number]
        self._flush()

    def _take_input(self, number: int, data: bytes) -> None:
        transfer = self.transfers.get(number)
        if transfer is None or transfer.input < 0:
            self._send({"event": "taken", "id": number, "bytes": len(data)})
            return
        transfer.take_input(data)
        self._write_input(number, transfer)

    def _write_input(self, number: int, transfer: Transfer) -> None:
        if count := transfer.write_input():
            self._send({"event": "taken", "id": number, "bytes": count})

    # -- time and memory ----------------------------------------------------------------------------------------

    def _next_wait(self) -> float:
        wait = super()._next_wait()
        return min(wait, LOOK_SECONDS) if any(t.tty and t.left for t in self.transfers.values()) else wait

    def _watch(self) -> None:
        if self._was_out_of_memory():
            self._exceeded("memory")
        else:
            super()._watch()

    def _was_out_of_memory(self) -> bool:
        """Return whether the kernel killed a process for memory since the last time."""
        before, self.oom_kills = self.oom_kills, _oom_kills()
        return self.oom_kills > before


def _oom_kills() -> int:
    for path in _OOM_COUNTERS:
        for line in read_file(path).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.isdecimal():
                return int(value)
    return 0


def _absolute(path: str, home: str) -> str:
    """Return a path, of which a leading `~` is the home of the user, and which is below it otherwise."""
    if path in {"", "~"}:
        return home
    return path if path.startswith("/") else f"{home}/{path.removeprefix('~/')}"


def _accepts(port: int) -> bool:
    """Return whether a port of this network's localhost accepts connections. Localhost answers at once."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with suppress(OSError):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(0.2)
                if connection.connect_ex((address, port)) == 0:
                    return True
            finally:
                connection.close()
    return False


def to_json(message: dict[str, Any]) -> str:
    """Write a message as JSON."""
    return "{" + ", ".join(f'"{name}": {json_of(value)}' for name, value in message.items()) + "}"
