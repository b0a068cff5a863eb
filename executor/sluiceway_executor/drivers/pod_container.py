"""The first process of a container: `pod_init` whose executor is on the other side of its standard input and output.

It runs inside the container, from the files of `pod_bundle`, and keeps to the rules of `pod_init` on what it imports.
No descriptors can be passed to it, so it makes the pipes of the commands itself and sends what they write over its
standard output, at most `WINDOW_BYTES` for each command before the executor acknowledges them: a command that nobody
reads does not hold up another. What a command reads comes over the standard input in the same way.

A message has a length before it, as in `pod_init`. With the highest bit of the length set, it is data of a command: its
number in 4 bytes, then the bytes; none mean the end.

Further messages to the pod:

- `ack` (id, bytes): so much output was read.
- `connect` (id, port): does a port of localhost accept connections?
- `exec` has `user`, `input` (it has one), `memory` and `processes` (limits of the pod, where the kernel has none), and
  `size` (of its terminal).

From the pod:

- `ready` has `home` and `user`; `failed` (text, user) instead of it: `user` says that the image lacks the user.
- `started` (id), or `refused` (id, text).
- `taken` (id, bytes): so much input was written.
- `connected` (id, accepted).
"""
# ruff: noqa: PTH101, PTH103, PTH112, PTH123

from __future__ import annotations

import _ctypes
import fcntl
import os
import select
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any, NoReturn
else:
    import _signal as signal
    import _socket as socket

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import Command, seconds_now
    from sluiceway_executor.drivers.pod_init import LOOK_SECONDS, PodInit
    from sluiceway_executor.drivers.pod_messages import HEADER_BYTES, json_of
    from sluiceway_executor.drivers.pod_processes import prctl, suppress
    from sluiceway_executor.drivers.pod_routes import add_unreachable
else:
    sys.path.append(__file__.rpartition("/")[0])
    from pod_command import Command, seconds_now
    from pod_init import LOOK_SECONDS, PodInit
    from pod_messages import HEADER_BYTES, json_of
    from pod_processes import prctl, suppress
    from pod_routes import add_unreachable

DATA = 1 << 31
"""The bit of a length that says that data of a command follows."""
WINDOW_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
TTY_QUIET_SECONDS = 0.1
HOMELESS = "/home/sluice"
"""The home of users without a home of their own."""
SCRIPTS = "/tmp"  # noqa: S108 - of the container
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
CAP_NET_ADMIN = 12
_CAPABILITY_VERSION_3 = 0x20080522
_OOM_COUNTERS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)


class User:
    """A user of the container."""

    def __init__(self, name: str, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.name = name
        self.ids = (uid, gid, groups)
        self.home = home


def find_user(text: str, passwd: str, group: str) -> User:
    """Return the user `NAME|UID[:GROUP|GID]`, by the contents of `/etc/passwd` and `/etc/group`.

    Raises:
        ValueError: there is no such user or group; the text is for a person.
    """
    who, _, of_group = text.partition(":")
    who = who or "0"
    found = next((f for f in _entries(passwd, 6) if who in {f[0], f[2]}), None)
    if found is not None:
        name, uid, gid, home = found[0], int(found[2]), int(found[3]), found[5]
    elif who.isdecimal():
        name, uid, gid, home = who, int(who), 0, ""
    else:
        raise ValueError(f'the image has no user "{who}"')
    groups = [int(f[2]) for f in _entries(group, 4) if name in f[3].split(",")]
    if of_group:
        entry = next((f for f in _entries(group, 3) if of_group in {f[0], f[2]}), None)
        if entry is None and not of_group.isdecimal():
            raise ValueError(f'the image has no group "{of_group}"')
        gid = int(of_group) if entry is None else int(entry[2])
        groups = []
    return User(name, uid, gid, groups or [gid], home)


def _make_home(user: User) -> None:
    """Make the home of an ordinary user as that user: where it may, or else in the folder of scripts."""
    for home in (user.home, f"{SCRIPTS}/sluice-home-{user.ids[0]}"):
        user.home = home
        with suppress(OSError):
            os.makedirs(home, exist_ok=True)
            if os.access(home, os.W_OK):
                return


def _entries(text: str, fields: int) -> list[list[str]]:
    lines = [line.split(":") for line in text.splitlines()]
    return [f for f in lines if len(f) >= fields and f[2].isdecimal() and (fields < 6 or f[3].isdecimal())]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


class Transfer:
    """The output and input of a command, on this side of the connection."""

    def __init__(self, output: int, *, tty: bool) -> None:
        self.output = output
        self.tty = tty
        self.unacknowledged = 0
        self.left: int | None = None
        """How much output of the command is still to be read, once it is over."""
        self.quiet_at = 0.0
        self.exit: dict[str, Any] | None = None
        self.input = -1
        self.waiting = bytearray()
        self.input_ended = False

    def wants_output(self) -> bool:
        """Return whether there is room for output. What follows the end of the command is read and discarded."""
        return self.output >= 0 and self.unacknowledged < WINDOW_BYTES


class Stdio:
    """The descriptor of the connection, where `PodInit` has a socket."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.number


class ContainerInit(PodInit):
    """The loop of the first process of a container."""

    def __init__(self, source: int, sink: int, user: str) -> None:
        super().__init__(Stdio(source), "namespace")  # type: ignore[arg-type]
        self.source = source
        self.sink = sink
        self.outgoing = bytearray()
        self.transfers: dict[int, Transfer] = {}
        self.user = self._find(user)
        self.oom_kills = _oom_kills()
        if sink >= 0:
            os.set_blocking(sink, False)

    def _ready(self) -> dict[str, Any]:
        return {**super()._ready(), "home": self.user.home, "user": self.user.name}

    def _find(self, text: str) -> User:
        user = find_user(text, _read("/etc/passwd"), _read("/etc/group"))
        if user.home in {"", "/"} or not os.path.isdir(user.home):
            user.home = user.home if user.home not in {"", "/"} else HOMELESS
            if os.getuid():
                _make_home(user)
            elif not os.path.isdir(user.home):
                os.makedirs(user.home, exist_ok=True)
                os.chown(user.home, user.ids[0], user.ids[1])
        return user

    # -- the connection -----------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> None:
        body = to_json(message).encode()
        self.outgoing += len(body).to_bytes(HEADER_BYTES, "big") + body
        self._flush()

    def _send_data(self, number: int, data: bytes) -> None:
        self.outgoing += (DATA | (4 + len(data))).to_bytes(HEADER_BYTES, "big") + number.to_bytes(4, "big") + data

    def _flush(self) -> None:
        while self.outgoing:
            try:
                del self.outgoing[: os.write(self.sink, self.outgoing[:CHUNK_BYTES])]
            except BlockingIOError:
                return
            except OSError:
                self._end()

    def _end(self) -> NoReturn:
        # The last message says why.
        with suppress(OSError):
            os.set_blocking(self.sink, True)
            poll = select.poll()
            poll.register(self.sink, select.POLLOUT)
            if self.outgoing and poll.poll(1000):
                os.write(self.sink, self.outgoing)
        super()._end()

    def _receive(self) -> bool:
        try:
            data = os.read(self.source, CHUNK_BYTES)
        except OSError:
            return False
        if data:
            self._take(data)
        return bool(data)

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
        if message["do"] == "ack":
            transfer = self.transfers.get(message["id"])
            if transfer is not None:
                transfer.unacknowledged -= message["bytes"]
        elif message["do"] == "exec":
            self._execute(message)
        elif message["do"] == "resize":
            transfer = self.transfers.get(message["id"])
            if transfer is not None and transfer.tty and transfer.output >= 0:
                with suppress(OSError):
                    fcntl.ioctl(transfer.output, termios.TIOCSWINSZ, message["size"])
        elif message["do"] == "connect":
            self._send({"event": "connected", "id": message["id"], "accepted": _accepts(message["port"])})
        else:
            super()._obey(message)

    # -- commands -----------------------------------------------------------------------------------------------

    def _execute(self, message: dict[str, Any]) -> None:
        number = message["id"]
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
        source = -1
        if message.get("tty"):
            output, given = os.openpty()
            fcntl.ioctl(given, termios.TIOCSWINSZ, message["size"])
            os.fchown(given, user.ids[0], -1)
            source = os.dup(output)
            descriptors = [given, os.dup(given), os.dup(given)]
        else:
            output, given = os.pipe2(os.O_CLOEXEC)
            if message.get("input"):
                taken, source = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(source, False)
            else:
                taken = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            descriptors = [taken, given, os.dup(given)]
        os.set_blocking(output, False)
        transfer = self.transfers[number] = Transfer(output, tty=bool(message.get("tty")))
        transfer.input = source
        self._send({"event": "started", "id": number})
        self._start(message, descriptors)
        # Where the kernel does not limit it.
        self.max_memory = message["memory"]
        self.max_processes = message["processes"]

    def _exited(self, message: dict[str, Any]) -> None:
        transfer = self.transfers[message["id"]]
        transfer.exit = message
        # A background process may write for good: only what is buffered now is output of the command.
        transfer.left = CHUNK_BYTES * 16 if transfer.tty else _buffered(transfer.output)
        transfer.quiet_at = seconds_now() + TTY_QUIET_SECONDS
        self._close_input(transfer)
        self._report_exit(message["id"], transfer)

    def _finish(self, command: Command) -> None:
        if command.status and not command.limit and self._was_out_of_memory():
            command.limit = "memory"
        super()._finish(command)

    def _report_exit(self, number: int, transfer: Transfer) -> None:
        """Report the end of a command once all of its output has been sent."""
        if transfer.exit is not None and not transfer.left:
            message, transfer.exit = transfer.exit, None
            self._send(message)

    # -- output and input ---------------------------------------------------------------------------------------

    def _register_connection(self, poll: select.poll) -> None:
        if self.outgoing:
            poll.register(self.sink, select.POLLOUT)

    def _register(self, poll: select.poll) -> None:
        self._register_connection(poll)
        for transfer in self.transfers.values():
            if transfer.wants_output() and len(self.outgoing) < WINDOW_BYTES:
                poll.register(transfer.output, select.POLLIN)
            if transfer.input >= 0 and transfer.waiting:
                poll.register(transfer.input, select.POLLOUT)

    def _transfer(self, ready: set[int]) -> None:
        for number, transfer in list(self.transfers.items()):
            if transfer.output in ready:
                self._read_output(number, transfer)
            if transfer.input >= 0 and transfer.input in ready:
                self._write_input(number, transfer)
            if transfer.tty and transfer.left and seconds_now() >= transfer.quiet_at:
                transfer.left = 0
                self._report_exit(number, transfer)
            if transfer.output < 0 and transfer.exit is None and transfer.left is not None:
                del self.transfers[number]
        self._flush()

    def _read_output(self, number: int, transfer: Transfer) -> None:
        limit = CHUNK_BYTES if transfer.left is None or transfer.left == 0 else min(CHUNK_BYTES, transfer.left)
        try:
            data = os.read(transfer.output, limit)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal whose other end is closed
        if not data:
            os.close(transfer.output)
            transfer.output = -1
            if transfer.left is not None:
                transfer.left = 0
        elif transfer.left != 0:
            self._send_data(number, data)
            transfer.unacknowledged += len(data)
            if transfer.left is not None:
                transfer.left -= len(data)
                transfer.quiet_at = seconds_now() + TTY_QUIET_SECONDS
        self._report_exit(number, transfer)

    def _take_input(self, number: int, data: bytes) -> None:
        transfer = self.transfers.get(number)
        if transfer is None or transfer.input < 0:
            self._send({"event": "taken", "id": number, "bytes": len(data)})
            return
        transfer.waiting += data
        transfer.input_ended = transfer.input_ended or not data
        self._write_input(number, transfer)

    def _write_input(self, number: int, transfer: Transfer) -> None:
        try:
            while transfer.waiting:
                written = os.write(transfer.input, transfer.waiting[:CHUNK_BYTES])
                del transfer.waiting[:written]
                self._send({"event": "taken", "id": number, "bytes": written})
        except BlockingIOError:
            return
        except OSError:
            self._send({"event": "taken", "id": number, "bytes": len(transfer.waiting)})
            self._close_input(transfer)
        if transfer.input_ended:
            self._close_input(transfer)

    def _close_input(self, transfer: Transfer) -> None:
        transfer.waiting.clear()
        if transfer.input >= 0:
            os.close(transfer.input)
            transfer.input = -1

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
        for line in _read(path).splitlines():
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


def _buffered(descriptor: int) -> int:
    if descriptor < 0:
        return 0
    waiting = bytearray(4)
    with suppress(OSError):
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting, True)
    return int.from_bytes(waiting, sys.byteorder)


def to_json(message: dict[str, Any]) -> str:
    """Write a message as JSON."""
    return "{" + ", ".join(f'"{name}": {json_of(value)}' for name, value in message.items()) + "}"


def drop_capability(number: int) -> None:
    """Drop a capability of this process and its future children (capabilities(7)). Raises OSError."""
    prctl(PR_CAPBSET_DROP, number)
    lines = (line.split() for line in _read("/proc/self/status").splitlines() if line.startswith("Cap"))
    sets = {line[0]: int(line[1], 16) & ~(1 << number) for line in lines}
    data = b""
    for shift in (0, 32):
        for name in ("CapEff:", "CapPrm:", "CapInh:"):
            data += (sets[name] >> shift & 0xFFFFFFFF).to_bytes(4, sys.byteorder)
    header = (_CAPABILITY_VERSION_3).to_bytes(4, sys.byteorder) + bytes(4)
    function = _ctypes.dlsym(_ctypes.dlopen("libc.so.6", os.RTLD_NOW), "capset")
    _ctypes.call_function(function, (header, data))
    lines = (line.split() for line in _read("/proc/self/status").splitlines() if line.startswith("Cap"))
    if any(int(line[1], 16) & (1 << number) for line in lines):
        raise OSError(0, f"the capability {number} cannot be given up")


def main(arguments: list[str]) -> None:
    """Run as the first process: `pod_container.py USER NETWORK...`, with networks that the pod must not reach."""
    source, sink = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) for number in (0, 1))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # A step may be root, too: without this it could trace this process and feed the pod forever.
    prctl(PR_SET_DUMPABLE, 0)
    if not os.path.isdir(SCRIPTS):
        os.makedirs(SCRIPTS)
        os.chmod(SCRIPTS, 0o1777)  # noqa: S103 - as every /tmp
    try:
        add_unreachable(arguments[1:])
        if arguments[1:]:
            drop_capability(CAP_NET_ADMIN)
        init = ContainerInit(source, sink, arguments[0])
    except (ValueError, OSError) as error:
        body = to_json({"event": "failed", "text": str(error), "user": isinstance(error, ValueError)}).encode()
        os.write(sink, len(body).to_bytes(HEADER_BYTES, "big") + body)
        os._exit(1)
    init.run()


if __name__ == "__main__":
    main(sys.argv[1:])
