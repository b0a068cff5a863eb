"""The first process of a pod: starts commands, reaps processes, and ends the pod if it is not fed.

It runs inside the pod, so it uses the standard library only, and of ours the modules beside it. It communicates with
its executor over a stream socket. Messages have a length and may have file descriptors: Python literals to the pod,
JSON from it. The stream is a descriptor that arrives over a socket from the launcher (`pod_launcher.py`), which this
process inherits (`pod_init.py FD MODE`): when the executor was restarted, another stream takes the place of the first.
Without a stream the pod continues. When the socket of the launcher ends, or the pod is not fed in time, this process
ends, and all of the pod with it.

- `MODE` is `namespace` when it is process 1 of a pid namespace: the kernel then kills what is left when it ends. Such a
  process is a fork of the launcher (`pod_entry.py`); what was not imported before the fork cannot be imported.
- `MODE` is `tree` when it is a plain process: it makes itself the reaper of its descendants, so that those that fork
  twice or begin a session of their own stay below it, and kills them by itself.

Each command has a *supervisor*: a fork of this process that starts the command's program and reaps all its descendants.
The processes of a command are therefore those below its supervisor, also when they forked twice or began a session of
their own, and can be stopped without those that earlier commands left behind. A supervisor ends when nothing is below
it any more.

A command is over when its program has ended and so have those that still write its output; see `_is_over`.

A command with a key outlives the stream: its output and its end are kept (`pod_output.py`), and named to the next
stream. A command without one is stopped.

To the pod: `exec` (id, argv, env, cwd, tty, script, limits; with 3 descriptors, and those of `KeptOutput` if it has a
`key`), `stop` (grace; the id of a command, or none: all of the pod), `feed` (seconds), `ack` (id, offset), `forget`
(id), `end`.
From the pod: for each command that is kept, `kept` (id, key, dropped; with the descriptor of its output); then `ready`
(pid, protocol, last_id). `exit` (id, status, limit, error, output_open, size), `acked` (id, offset), `stopped` (all of
the pod), `starved`.
"""
# Every pod of the host driver waits for the imports of this file. `_signal`, `_socket` and `_stat` are what `signal`,
# `socket` and `stat` wrap in enums; with those, `json`, `ctypes`, `contextlib` and `pathlib`, the start would take
# three times as long.

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any, NoReturn
else:
    import _signal as signal
    import _socket as socket

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import NOT_EXECUTABLE, Command, seconds_now, supervise
    from sluiceway_executor.drivers.pod_messages import Messages
    from sluiceway_executor.drivers.pod_output import KeptOutput
    from sluiceway_executor.drivers.pod_processes import (
        PR_SET_CHILD_SUBREAPER,
        Processes,
        prctl,
        proportional_bytes,
        resident_bytes,
        suppress,
        work_of,
        writers_of,
    )
else:
    # It is run as a file, or imported by one: there is no package, and these are beside it.
    sys.path.append(__file__.rpartition("/")[0])
    from pod_command import NOT_EXECUTABLE, Command, seconds_now, supervise
    from pod_messages import Messages
    from pod_output import KeptOutput
    from pod_processes import (
        PR_SET_CHILD_SUBREAPER,
        Processes,
        prctl,
        proportional_bytes,
        resident_bytes,
        suppress,
        work_of,
        writers_of,
    )

PROTOCOL = 1
"""The version of the messages. An executor that does not know it cannot continue the pod."""
PR_SET_DUMPABLE = 4
WATCH_SECONDS = 0.25
KILLED = 128 + signal.SIGKILL
LOOK_SECONDS = 0.05
BACKGROUND_SECONDS = 2.0
"""How long a command whose program has ended waits for background processes that have its output open."""
FILTER_SECONDS = 30.0
"""How long it waits for filters of its output, as in `exec > >(tee log)`, whose input has ended."""
IDLE_FILTER_SECONDS = 5.0
"""How long it waits for filters that do nothing."""
ESCALATE_SECONDS = 2.0
KILL_ROUNDS = 10


class PodInit(Messages):
    """The loop of the pod's first process."""

    def __init__(self, connection: socket.socket | None, mode: str, control: socket.socket | None = None) -> None:
        """Take the stream to the executor, or the socket over which one comes."""
        super().__init__(connection, control)
        self.mode = mode
        self.last_id = 0
        self.kept: dict[int, KeptOutput] = {}
        self.commands: list[Command] = []
        self.fed_until = seconds_now() + 60.0
        self.kill_at: float | None = None
        """Set while all of the pod is being stopped."""
        self.childless = True
        self.max_memory = 0
        self.max_processes = 0
        self.watched_at = 0.0

    def _register(self, poll: select.poll) -> None:
        """Register further descriptors of this process."""

    def _transfer(self, ready: set[int]) -> None:
        """Read from and write to them."""

    def run(self) -> None:
        """Serve until the launcher goes away or the pod starves. Never returns normally."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        if self.connection is not None:
            self._send(self._ready())
        while True:
            poll = select.poll()
            # The reports of a supervisor that has ended are at their end, which is always readable.
            reports = [command.reports for command in self.commands if command.supervisor and not command.over]
            sockets = [each.fileno() for each in (self.connection, self.control) if each is not None]
            for descriptor in (*sockets, wake_read, *reports):
                poll.register(descriptor, select.POLLIN)
            for kept in self.kept.values():
                kept.register(poll)
            self._register(poll)
            readable = {descriptor for descriptor, _ in poll.poll(self._next_wait() * 1000)}
            if wake_read in readable:
                with suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            if self.connection is not None and self.connection.fileno() in readable and not self._receive():
                self._lost()
            if self.control is not None and self.control.fileno() in readable:
                self._take_connection(self.control)
            self._transfer(readable)
            self._transfer_kept()
            self._reap()
            self._tick()

    def _ready(self) -> dict[str, Any]:
        return {"event": "ready", "pid": os.getpid(), "protocol": PROTOCOL, "last_id": self.last_id}

    def _next_wait(self) -> float:
        now = seconds_now()
        waits = [self.fed_until - now]
        if self.kill_at is not None or any(c.kill_at or (c.status is not None and not c.over) for c in self.commands):
            waits.append(LOOK_SECONDS)
        if any(kept.is_ending for kept in self.kept.values()):
            waits.append(LOOK_SECONDS)
        if self.max_memory or self.max_processes:
            waits.append(WATCH_SECONDS)
        return max(0.0, min(waits))

    def _tick(self) -> None:
        now = seconds_now()
        if now >= self.fed_until:
            self._send({"event": "starved"})
            self._end()
        for command in list(self.commands):
            # Before its program is known, there may be no process yet to send it to.
            if command.kill_at is not None and command.program and not command.terminated:
                command.terminated = True
                self._signal(command, signal.SIGTERM)
                # A stopped process receives TERM only when it continues.
                self._signal(command, signal.SIGCONT)
            if command.kill_at is not None and now >= command.kill_at:
                self._kill(command, command.kill_at)
            if command.status is not None and not command.over and self._is_over(command):
                self._finish(command)
            if command.over and not command.supervisor:
                os.close(command.reports)
                self.commands.remove(command)
        if self.kill_at is not None:
            if now >= self.kill_at:
                self._kill(None, self.kill_at)
            if self.childless and all(command.over for command in self.commands):
                self.kill_at = None
                self._send({"event": "stopped"})
        if (self.max_memory or self.max_processes) and now - self.watched_at >= WATCH_SECONDS:
            self.watched_at = now
            self._watch()

    def _end(self) -> NoReturn:
        # From now on, a command that ends has been killed.
        self.commands.clear()
        if self.mode == "tree":
            for _ in range(200):
                self._kill(None, 0.0)
                if self.childless:
                    break
                time.sleep(0.01)
        os._exit(0)

    # -- messages -----------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        for kept in self.kept.values():
            if not kept.is_forgotten:
                self._send({"event": "kept", "id": kept.number, "key": kept.key, "dropped": kept.dropped}, kept.output)
                if kept.exit is not None:
                    self._send(kept.exit)
        self._send(self._ready())

    def _disconnected(self) -> None:
        for command in self.commands:
            if command.number not in self.kept:
                self._stop(command.number, 0.0)

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message["do"]
        if kind == "exec":
            count = message.get("descriptors", 3)
            descriptors, self.descriptors = self.descriptors[:count], self.descriptors[count:]
            self.last_id = max(self.last_id, message["id"])
            if "key" in message:
                self.kept[message["id"]] = KeptOutput(message["key"], message["id"], *descriptors[3:])
            self._start(message, descriptors[:3])
        elif kind == "feed":
            self.fed_until = seconds_now() + message["seconds"]
        elif kind == "stop":
            self._stop(message.get("id"), message["grace"])
        elif kind == "ack":
            kept = self.kept.get(message["id"])
            if kept is not None:
                kept.drop(message["offset"])
                self._send({"event": "acked", "id": kept.number, "offset": kept.dropped})
        elif kind == "forget":
            kept = self.kept.get(message["id"])
            if kept is not None:
                kept.forget()
        elif kind == "end":
            self._end()

    # -- the life of a command ----------------------------------------------------------------------------------

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        limits = message.get("limits", {})
        self.max_memory = limits.get("memory", 0)
        self.max_processes = limits.get("processes", 0)
        reports, report = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pid = os.fork()
        except OSError as error:
            text = f"cannot start a process: {error.strerror}"
            os.write(descriptors[2], f"sluice: {text}\n".encode())
            self._exited({"event": "exit", "id": message["id"], "status": NOT_EXECUTABLE, "error": text})
            os.close(reports)
        else:
            if pid == 0:
                supervise(message, descriptors, report)
            # The output stays open here, to find who else has it open, and whether it is full.
            self.commands.append(Command(message["id"], pid, reports, os.dup(descriptors[1])))
        for descriptor in (report, *descriptors):
            os.close(descriptor)

    def _stop(self, number: int | None, grace: float) -> None:
        """Begin to stop one command, or all of the pod: TERM now, KILL after the grace."""
        kill_at = seconds_now() + grace
        if number is None:
            self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)
        for command in self.commands:
            if number is None or (command.number == number and not command.over):
                command.kill_at = kill_at if command.kill_at is None else min(command.kill_at, kill_at)

    def _is_over(self, command: Command) -> bool:
        """Return whether a command whose program has ended is over.

        One that is being stopped is over when all of its processes are gone. Any other is over when none of them has
        its output open any more. Daemons keep it open for good, so those are waited for `BACKGROUND_SECONDS` only. A
        filter, which reads a pipe that nobody writes to any more, is about to end: it has `FILTER_SECONDS`, counted
        while it is not held up by an output that is full. A daemon that was begun with a here-document looks like one,
        but for doing nothing: the wait ends when nothing has been done for `IDLE_FILTER_SECONDS`.
        """
        if command.kill_at is not None or not (command.left or command.abandoned):
            return self._is_gone(command)
        processes = Processes()
        holders, filters = writers_of(command.output, self._living(command, processes))
        command.output_open = bool(holders)
        if not holders:
            return True
        if not filters:
            return seconds_now() - command.waits_since >= BACKGROUND_SECONDS
        now = seconds_now()
        poll = select.poll()
        poll.register(command.output, select.POLLOUT)
        if not poll.poll(0):
            command.waits_since = command.idle_since = now
        work = work_of(filters.union(*map(processes.below, filters)))
        if work is None or work != command.work:
            command.work, command.idle_since = work, now
        return now - command.waits_since >= FILTER_SECONDS or now - command.idle_since >= IDLE_FILTER_SECONDS

    def _is_gone(self, command: Command) -> bool:
        # The end of its supervisor is certain; a listing of /proc may miss processes that come and go.
        return not command.supervisor and not (command.abandoned and self._living(command, Processes()))

    def _finish(self, command: Command) -> None:
        command.over = True
        os.close(command.output)
        self._exited(
            {
                "event": "exit",
                "id": command.number,
                "status": command.status,
                "limit": command.limit,
                "error": command.error,
                "output_open": command.output_open and command.kill_at is None,
                "cpu_us": command.cpu_us,
                "peak_kib": command.peak_kib,
            }
        )
        command.kill_at = None

    def _exited(self, message: dict[str, Any]) -> None:
        """Report the end of a command."""
        kept = self.kept.get(message["id"])
        if kept is None:
            self._send(message)
        else:
            kept.end(message)

    def _transfer_kept(self) -> None:
        for number, kept in list(self.kept.items()):
            had_ended = kept.exit is not None
            kept.transfer()
            if kept.exit is not None and not had_ended:
                self._send(kept.exit)
            if kept.is_gone:
                del self.kept[number]

    def _read_reports(self) -> None:
        for command in self.commands:
            if not command.over:
                command.read_reports()

    def _reap(self) -> None:
        self._read_reports()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                self.childless = True
                return
            self.childless = False
            if pid == 0:
                return
            supervised = next((command for command in self.commands if command.supervisor == pid), None)
            if os.WIFSTOPPED(status):
                if supervised is not None:
                    os.kill(pid, signal.SIGCONT)
            elif supervised is not None:
                self._supervisor_ended(supervised, status)
            else:
                self._read_reports()
                for command in self.commands:
                    # Its supervisor has ended, even if this loop has not handled that yet.
                    if command.program == pid:
                        command.end(_exit_code(status))

    def _supervisor_ended(self, command: Command, status: int) -> None:
        command.supervisor = 0
        if not command.over:
            command.read_reports()
        if os.WIFSIGNALED(status):
            # A process in the pod killed it. Its program continues, as a child of this process.
            command.abandoned = True
            if command.status is None and command.program:
                with suppress(ChildProcessError):
                    pid, ended = os.waitpid(command.program, os.WNOHANG)
                    if pid:
                        command.end(_exit_code(ended))
                    return
        command.end(KILLED)

    # -- processes ----------------------------------------------------------------------------------------------

    def _living(self, command: Command | None, processes: Processes) -> set[int]:
        """List the living processes of a command, or of the whole pod; not this one and not the supervisors."""
        supervisors = {each.supervisor for each in self.commands if each.supervisor}
        if command is None:
            return processes.below(os.getpid()) - supervisors
        if command.supervisor:
            return processes.below(command.supervisor)
        return processes.below(os.getpid(), without=supervisors) if command.abandoned else set()

    def _signal(self, command: Command | None, number: int) -> None:
        """Send a signal to all processes of a command, or of the pod."""
        processes = Processes()
        left = self._living(command, processes)
        others = {group for pid, group in processes.groups.items() if pid not in left}
        # By group: the kernel signals a group at once, and none of it can fork meanwhile. Signalling one process after
        # another would miss those that fork faster than we read /proc.
        groups = {processes.groups[pid] for pid in left} - others
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        for pid in left:
            if processes.groups[pid] not in groups:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _kill(self, command: Command | None, since: float) -> None:
        for _ in range(KILL_ROUNDS):
            self._signal(command, signal.SIGKILL)
            self._reap()
            if self.childless or (command is not None and self._is_gone(command)):
                return
        if self.mode == "namespace" and seconds_now() - since >= ESCALATE_SECONDS:
            # It forks faster than we can read /proc. The kernel can kill all, but only those of the whole pod.
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)

    # -- limits of the pod as a whole ---------------------------------------------------------------------------

    def _watch(self) -> None:
        pids = self._living(None, Processes())
        if self.max_processes and len(pids) > self.max_processes:
            self._exceeded("processes")
        elif self.max_memory and resident_bytes(pids) > self.max_memory and proportional_bytes(pids) > self.max_memory:
            self._exceeded("memory")

    def _exceeded(self, what: str) -> None:
        now = seconds_now()
        for command in self.commands:
            command.kill_at = now
            command.limit = what
        self._kill(None, now)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> None:
    """Run as the first process: `pod_init.py FD MODE`."""
    descriptor, mode = int(arguments[0]), arguments[1]
    os.set_inheritable(descriptor, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # A step has the same uid: without this it could trace this process and feed the pod forever.
    prctl(PR_SET_DUMPABLE, 0)
    if mode == "tree":
        # So that it is scheduled beside a task that starts processes without end; steps begin at 0 again.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    for standard in (0, 1, 2):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, standard)
        os.close(null)
    PodInit(None, mode, socket.socket(fileno=descriptor)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
