"""The interface of drivers, which run pods. One suite checks all of them (`tests/contract/drivers`).

A *pod* is created for one assignment and ends with `remove`, and after `fence_after` seconds without `feed`; none of
its processes outlives it. Inside it, commands run one after another. A background process that a command leaves lives
until the pod is stopped or removed, as in a container; the stop of a later command does not touch it.

A pod may outlive the process of the executor. The next process of the same executor takes it over (`Driver.take_over`)
and finds the commands that have a key (`Pod.find`). The output of such a command is kept until it is acknowledged, and
its exit status until it is forgotten, so that nothing is lost and nothing is read twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from sluiceway_common.runconfig.capabilities import Capabilities

__all__ = [
    "KEPT_BYTES",
    "Command",
    "Driver",
    "ExitStatus",
    "ImageDigest",
    "Limits",
    "Network",
    "Note",
    "Pod",
    "PodRequest",
    "Process",
    "RegistryLogin",
    "Repository",
    "ServiceRequest",
    "TmpfsMount",
    "Usage",
    "no_note",
    "usage_of",
]

KEPT_BYTES = 32 << 10
"""So much output that is not acknowledged every driver keeps, before a command is held up; most keep more."""

Note = Callable[[str], Awaitable[None]]
"""Writes a line to the log of the setup."""


async def no_note(text: str) -> None:
    """Write nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pod may use; 0 means no limit.

    Attributes:
        processes: processes and threads at a time.
        memory_bytes: of all its processes together.
        open_files: of each process.
        file_bytes: of each file that it writes.
        cpu_millis: processor time, in thousandths of a processor.
    """

    processes: int = 4096
    memory_bytes: int = 0
    open_files: int = 65536
    file_bytes: int = 0
    cpu_millis: int = 0


class Network(StrEnum):
    """The network access of a pod, from least to most.

    `NONE`: nothing but itself. `ISOLATED`: what this machine reaches, but neither this machine nor another pod.
    `HOST`: it shares this machine's network, with all that listens on loopback.
    """

    NONE = "none"
    ISOLATED = "isolated"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """A memory file system at `path` (absolute); `size_bytes` 0 is the driver's default."""

    path: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository of this machine, with links resolved.

    Attributes:
        folder: its working tree; of a bare one, the repository itself.
        git_folder: with its refs and objects: in `folder`, or elsewhere (of a worktree, that of the main repository).
        alternates: folders of objects that it borrows, and that those borrow.
    """

    folder: Path
    git_folder: Path
    alternates: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """A further container of a pod, which shares its network.

    Attributes:
        image: its root file system.
        environment: of its first process, above the image's.
        user: of its first process; empty is the image's.
        entrypoint: its first process; empty is the image's.
        privileged: with raised rights.
        tmpfs: memory file systems.
        limits: what it may use.
        ready_command: a command that must exit with 0 in it before steps start; empty: none.
        ready_port: a TCP port of localhost that must accept connections before steps start; 0: none.
    """

    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: Sequence[str] = ()
    privileged: bool = False
    tmpfs: Sequence[TmpfsMount] = ()
    limits: Limits = field(default_factory=Limits)
    ready_command: str = ""
    ready_port: int = 0


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """Credentials of a registry of images."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PodRequest:
    """The specification of a pod.

    Attributes:
        assignment_id: whose pod it is; at most one pod of it lives at a time.
        session_id: the executor's session, by which a sibling finds it.
        image: the root file system, by a name of the driver; `host` is that of this machine.
        arch: empty is any.
        user: who commands run as by default; empty is the image's.
        privileged: with raised rights; a driver without this feature refuses.
        network: what it reaches; a driver that cannot separate a pod from its machine ignores it.
        services: further containers; a driver without this feature refuses.
        tmpfs: memory file systems.
        environment: of every command, below its own.
        repository: of this machine, that the pod sees read-only, for `clone`.
        limits: what it may use.
        fence_after: how many seconds it lives without `feed`.
        registries: credentials, by the name of the registry.
        labels: what an operator finds it by, where pods have labels.
    """

    assignment_id: str
    session_id: str
    image: str = "host"
    arch: str = ""
    user: str = ""
    privileged: bool = False
    network: Network = Network.ISOLATED
    services: Sequence[ServiceRequest] = ()
    tmpfs: Sequence[TmpfsMount] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    repository: Repository | None = None
    limits: Limits = field(default_factory=Limits)
    fence_after: float = 720.0
    registries: Mapping[str, RegistryLogin] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        argv: the program and its arguments.
        script: a text that is put into a file of the pod whose path is added to `argv`; no limit of the system's on
            the length of arguments applies to it.
        environment: of its process.
        inherit: the pod's environment counts below `environment`; without it neither the request's variables nor the
            image's reach the process.
        cwd: made when it is missing; a leading `~` is the pod's home. Empty is the home.
        user: empty is the pod's.
        tty: with a terminal as its input and output.
        size: the rows and columns of the terminal.
        key: the name by which `Pod.find` finds it. Its output must be acknowledged. Empty: it is stopped when the
            process of the executor ends.
    """

    argv: Sequence[str]
    script: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = True
    cwd: str = ""
    user: str = ""
    tty: bool = False
    size: tuple[int, int] = (40, 120)
    key: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of a command used, those that had ended by its end.

    Attributes:
        cpu_seconds: processor time, of all of them.
        peak_memory_bytes: resident memory at its peak, of the largest of them.
    """

    cpu_seconds: float
    peak_memory_bytes: int


def usage_of(message: Mapping[str, Any]) -> Usage | None:
    """Return the usage in the first process's report of the end of a command; None: it is not known."""
    if not message.get("peak_kib"):
        return None
    return Usage(message["cpu_us"] / 1e6, message["peak_kib"] * 1024)


@dataclass(frozen=True, slots=True)
class ImageDigest:
    """An image of a pod's container: its name in the request, and the digest that the name stood for."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a command ended.

    Attributes:
        code: 0 to 255; 128 and the signal's number when a signal ended it. None: not known, since the pod ended.
        limit: the limit that ended it (`memory`, `processes`), else empty.
        pod_ended: why the pod is gone (`fenced`, `ended`), else empty.
        error: why its program could not be started (the output says so, too), or why the pod has ended if that is
            known; for a person, else empty.
        output_open: a process that it left behind can still write to its output; that is discarded.
        usage: what it used; None: that is not known.
    """

    code: int | None
    limit: str = ""
    pod_ended: str = ""
    error: str = ""
    output_open: bool = False
    usage: Usage | None = field(default=None, compare=False)


class Process(Protocol):
    """A command that was started.

    It is over when its program has ended and nothing that it started can write to its output any more. Background
    processes that keep the output open are waited for 2 s; filters of the output, as in `exec > >(tee log)`, 30 s, or
    until they have done nothing for 5 s. What comes later is discarded (`ExitStatus.output_open`).
    """

    async def read(self) -> bytes:
        """Wait for output, in the order in which it was written, standard output and standard error in one.

        Empty means the end: the command is over and all that it wrote has been read. Not reading slows the command
        once a pipe's worth waits.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Write to its terminal. Waits while it does not read; after its end, nothing happens. Only without a key."""
        ...

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal. Never waits; after its end, nothing happens. Only without a key."""
        ...

    async def acknowledge(self, offset: int) -> None:
        """Drop the first `offset` bytes of its output, which must have been read. Without a key nothing happens.

        A command with a key is held up when more than `KEPT_BYTES` of its output are not acknowledged.
        """
        ...

    async def forget(self) -> None:
        """Drop the exit status of a command with a key, and what it still writes. Only when it is over."""
        ...

    async def stop(self, grace: float) -> None:
        """End it and all that it started: TERM, after `grace` seconds KILL. Returns when the command is over.

        Processes that earlier commands left behind continue. May be repeated; a shorter grace wins. On a command that
        is over nothing happens, also to what it left behind.
        """
        ...

    async def wait(self) -> ExitStatus:
        """Wait for its end. May be called again. Output must be read meanwhile."""
        ...


class Pod(Protocol):
    """A pod that was made."""

    @property
    def home(self) -> str:
        """The home folder as commands see it."""
        ...

    @property
    def images(self) -> Sequence[ImageDigest]:
        """The images of its containers, the first one that of commands; empty: the driver has none, or cannot know."""
        ...

    @property
    def repository(self) -> str:
        """The path from which commands clone `PodRequest.repository`; empty: there is none."""
        ...

    async def exec(self, command: Command) -> Process:
        """Start a command.

        Raises:
            FailedPrecondition: the pod is gone (`POD_GONE`), or it cannot run as that user (`USER_UNSUPPORTED`).
        """
        ...

    async def find(self, key: str, offset: int) -> Process | None:
        """Find a command in a pod that was taken over; None: it was not started, or it is forgotten.

        Its output is read from `offset`, or from what is kept if that begins later; what is before is dropped.
        """
        ...

    def resume(self, request: PodRequest) -> None:
        """Set what a pod that was taken over was created for. Before the first `exec`."""
        ...

    async def copy_in(self, path: str, tar: AsyncIterator[bytes]) -> None:
        """Unpack a tar stream into the folder `path`, which is made when missing.

        Raises:
            FailedPrecondition: the pod is gone, or the stream cannot be unpacked (`COPY_FAILED`).
        """
        ...

    def copy_out(self, path: str) -> AsyncIterator[bytes]:
        """Pack the folder `path` as a tar stream. Errors as `copy_in`, while iterating."""
        ...

    def feed(self, seconds: float) -> None:
        """Extend its life to so long from now. Never waits; on a pod that is gone, nothing happens."""
        ...

    async def stop(self, grace: float) -> None:
        """End all commands and all that they left behind: TERM, after `grace` seconds KILL. Returns when they are gone.

        The pod stays, and takes further commands. May be repeated; a shorter grace wins.
        """
        ...

    async def remove(self) -> None:
        """End it and remove all that it has on this machine. May be repeated."""
        ...


class Driver(Protocol):
    """Creates pods."""

    @property
    def name(self) -> str:
        """Its name in settings and labels."""
        ...

    @property
    def archs(self) -> Sequence[str]:
        """The architectures that its pods can run (`amd64`, ...)."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of its pods."""
        ...

    async def probe(self) -> None:
        """Check that it works on this machine, by creating a pod.

        Raises:
            FailedPrecondition: it does not (`DRIVER_UNAVAILABLE`); the message says what is missing.
        """
        ...

    async def take_over(self, assignment_ids: Collection[str]) -> Mapping[str, Pod]:
        """Take over the pods of these assignments that an earlier process of this executor left. Before `sweep`.

        Those that are missing in the result have ended, or this version cannot continue them. A driver whose pods end
        with the process returns none.
        """
        ...

    async def sweep(self) -> None:
        """Remove what an earlier process of this executor left and was not taken over. Before the first pod."""
        ...

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> Pod:
        """Make a pod. `note` is called with what takes long, such as the download of an image.

        Raises:
            FailedPrecondition: what was asked for is not possible here; the message goes to the setup log.
        """
        ...

    async def list_pods(self, session_id: str) -> Sequence[str]:
        """List the assignments whose pods of that session are on this driver's machine or cluster."""
        ...

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        """Remove a pod that `list_pods` named. May be repeated."""
        ...

    async def close(self) -> None:
        """End what the driver itself runs on this machine, and with it the pods that were not removed."""
        ...
