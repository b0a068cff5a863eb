"""Pods in bubblewrap: no daemon, no images to pull, about 40 ms each.

What a pod sees is built up from nothing (executors.md, "Drivers"): `/usr` read-only with the usual links, of `/etc`
only what tools need, a home and a `/tmp` of its own on disk, and no more. The image `host` is this machine's `/usr`; an
absolute path is a folder with a whole root in it, mounted read-only.

An executor that is root must not start pods as root, not even in a user namespace: that maps uid 1000 inside to uid 0
outside, and to the kernel the owner of `/proc/sys` may write it, capabilities or not. So root first becomes a uid that
nobody else has, one for each pod, and bubblewrap starts from there (docs/decisions/0080).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sluiceway.executor.drivers.machine import machine_archs
from sluiceway.executor.drivers.pod_store import MARKER, PodStore
from sluiceway.executor.drivers.port import Command, PodRequest
from sluiceway.executor.drivers.supervised import Launch, SupervisedPod
from sluiceway.foundation.errors import FailedPrecondition

__all__ = ["SandboxDriver", "SandboxSettings"]

log = structlog.get_logger(__name__)

_HOME = "/home/sluice"
_REPOSITORY = "/mnt/repository"
_USER = "sluice"
_UID = 1000
_NOBODY = 65534
_INIT = "/.sluice/pod_init.py"
_MACHINE_USR = "/.sluice/usr"
_ETC = ("ssl", "alternatives", "ld.so.cache", "nsswitch.conf")
_ETC_OF_NETWORK = ("hosts", "resolv.conf")
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_STAGES = ("/mnt", "/media", "/srv", "/opt", "/tmp")  # noqa: S108 - covered by a private mount, never written to
_SHM_BYTES = 64 << 20
_TMPFS_BYTES = 256 << 20

_STAGE_SCRIPT = """
set -e
stage=$1 uid=$2; shift 2
/usr/bin/mount -t tmpfs -o mode=755,size=64k,nosuid,nodev none "$stage"
while [ "$1" != "--" ]; do
  if [ -d "$2" ]; then /usr/bin/mkdir "$stage/$1"; else : > "$stage/$1"; fi
  /usr/bin/mount --bind "$2" "$stage/$1"
  shift 2
done
shift
exec /usr/bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs -- "$@"
"""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Attributes of the sandbox.

    Attributes:
        first_uid: with `uid_count`, the uids that pods of a root executor run as. Change it when they are somebody's.
        uid_count: how many; at least the number of slots.
        network: whether pods reach the network at all.
    """

    first_uid: int = 210_000
    uid_count: int = 1_000
    network: bool = True


class SandboxDriver:
    """See the module; see `port.Driver`."""

    name = "sandbox"

    def __init__(self, work_dir: Path, settings: SandboxSettings | None = None) -> None:
        self._store = PodStore(work_dir / "pods")
        self._settings = settings or SandboxSettings()
        self._uids_in_use: set[int] = set()
        self._pods: dict[str, SandboxPod] = {}

    @property
    def archs(self) -> Sequence[str]:
        """See `port.Driver.archs`."""
        return machine_archs()

    async def probe(self) -> None:
        """See `port.Driver.probe`."""
        try:
            request = PodRequest(assignment_id=f"probe-{os.getpid()}", session_id="probe", fence_after=60)
            pod = await self.create_pod(request)
            try:
                process = await pod.exec(Command(argv=("true",)))
                while await process.read():
                    pass
                status = await process.wait()
            finally:
                await pod.remove()
        except FailedPrecondition as error:
            raise FailedPrecondition(
                f"the sandbox driver does not work on this machine: {error}", reason="DRIVER_UNAVAILABLE"
            ) from error
        if status.code != 0:
            raise FailedPrecondition(
                f"a sandbox started but `true` ended with {status.code}", reason="DRIVER_UNAVAILABLE"
            )

    async def create_pod(self, request: PodRequest) -> SandboxPod:
        """See `port.Driver.create_pod`."""
        _refuse_impossible(request)
        for tool in ("bwrap", *(("unshare", "setpriv", "mount") if os.geteuid() == 0 else ())):
            if shutil.which(tool, path="/usr/bin:/bin") is None:
                raise FailedPrecondition(f"{tool} is not installed", reason="TOOL_MISSING")
        uid = self._take_uid()
        try:
            folder = await asyncio.to_thread(self._prepare, request, uid)
            launch = Launch(
                argv=_stage(self._bubblewrap(request, folder), folder, request, uid),
                home=_HOME,
                script_dir="/tmp",  # noqa: S108 - the pod's own
                repository=_REPOSITORY if request.repository else "",
                environment={"USER": _USER, "LOGNAME": _USER, "SHELL": "/bin/sh", "LANG": "C.UTF-8"},
            )
            pod = SandboxPod(request, launch, store=self._store, folder=folder, driver=self, uid=uid)
        except BaseException:
            self.give_back(request.assignment_id, uid)
            raise
        self._pods[request.assignment_id] = pod
        await pod.start()
        return pod

    async def list_pods(self, session_id: str) -> Sequence[str]:
        """See `port.Driver.list_pods`."""
        return await asyncio.to_thread(self._store.list, session_id)

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        """See `port.Driver.remove_pod`."""
        pod = self._pods.get(assignment_id)
        if pod is not None:
            await pod.remove()
        elif assignment_id in await self.list_pods(session_id):
            await asyncio.to_thread(self._store.remove, assignment_id)

    async def sweep(self) -> None:
        """Remove what an earlier process of this executor left on the disk. Before the first pod."""
        for assignment_id in await asyncio.to_thread(self._store.list):
            await asyncio.to_thread(self._store.remove, assignment_id)

    def give_back(self, assignment_id: str, uid: int | None) -> None:
        """Take note that a pod is gone."""
        self._pods.pop(assignment_id, None)
        if uid is not None:
            self._uids_in_use.discard(uid)

    def _take_uid(self) -> int | None:
        if os.geteuid() != 0:
            return None
        first, count = self._settings.first_uid, self._settings.uid_count
        for uid in range(first, first + count):
            if uid not in self._uids_in_use and _is_mapped(uid):
                self._uids_in_use.add(uid)
                return uid
        # In a container that has few uids: still not root, though pods share it.
        return _NOBODY

    def _prepare(self, request: PodRequest, uid: int | None) -> Path:
        folder = self._store.make(request)
        (folder / "etc").mkdir()
        (folder / "etc/passwd").write_text(
            f"root:x:0:0:root:/:/usr/sbin/nologin\n{_USER}:x:{_UID}:{_UID}::{_HOME}:/bin/sh\n"
            f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:/:/usr/sbin/nologin\n"
        )
        (folder / "etc/group").write_text(f"root:x:0:\n{_USER}:x:{_UID}:\nnogroup:x:{_NOBODY}:\n")
        shutil.copyfile(Path(__file__).with_name("pod_init.py"), folder / "pod_init.py")
        for path in (folder, folder / "etc"):
            path.chmod(0o755)
        for path in (folder / "etc/passwd", folder / "etc/group", folder / "pod_init.py"):
            path.chmod(0o644)
        for name in ("home", "tmp"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755 if name == "home" else 0o1777)
            if uid is not None:
                os.chown(folder / name, uid, uid)
        return folder

    def _bubblewrap(self, request: PodRequest, folder: Path) -> list[str]:
        staged = Path(_stage_of(folder, request)) if os.geteuid() == 0 else None
        pod = staged / "pod" if staged else folder
        options: list[str] = ["/usr/bin/bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        options += ["--unshare-cgroup-try", "--disable-userns", "--uid", str(_UID), "--gid", str(_UID)]
        options += [
            "--hostname",
            _USER,
            "--new-session",
            "--die-with-parent",
            "--as-pid-1",
            "--clearenv",
            "--cap-drop",
            "ALL",
        ]
        network = request.network and self._settings.network
        if not network:
            options += ["--unshare-net"]
        if request.image == "host":
            options += _machine_root(network=network)
            python = "/usr/bin/python3"
            start = [python]
        else:
            root = staged / "root" if staged else Path(request.image)
            options += _folder_root(root, Path(request.image), network=network)
            start = _machine_python()
        options += [
            "--ro-bind",
            str(pod / "etc/passwd"),
            "/etc/passwd",
            "--ro-bind",
            str(pod / "etc/group"),
            "/etc/group",
        ]
        options += ["--proc", "/proc", "--dev", "/dev", "--bind", str(pod / "tmp"), "/tmp"]  # noqa: S108
        options += ["--dir", "/home", "--bind", str(pod / "home"), _HOME]
        options += ["--ro-bind", str(pod / "pod_init.py"), _INIT]
        if request.repository:
            repository = staged / "repository" if staged else request.repository
            options += ["--dir", "/mnt", "--ro-bind", str(repository), _REPOSITORY]
        for mount in request.tmpfs:
            options += ["--size", str(mount.size_bytes or _TMPFS_BYTES), "--tmpfs", mount.path]
        # A step could fill memory through these.
        options += ["--size", str(_SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
        options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
        return [*options, "--", *start, "-I", "-S", _INIT, "{fd}", "namespace"]


class SandboxPod(SupervisedPod):
    """A pod of bubblewrap."""

    def __init__(
        self,
        request: PodRequest,
        launch: Launch,
        *,
        store: PodStore,
        folder: Path,
        driver: SandboxDriver,
        uid: int | None,
    ) -> None:
        super().__init__(request, launch, store=store, folder=folder, users=(_USER, str(_UID)))
        self._driver = driver
        self._uid = uid
        self._assignment_id = request.assignment_id

    async def _remove(self) -> None:
        await super()._remove()
        self._driver.give_back(self._assignment_id, self._uid)


def _refuse_impossible(request: PodRequest) -> None:
    if request.privileged:
        raise FailedPrecondition("the sandbox driver has no privileged containers; use docker", reason="NO_PRIVILEGED")
    if request.services:
        raise FailedPrecondition(
            "the sandbox driver runs one container a task; services need the docker or kubernetes driver",
            reason="NO_SERVICES",
        )
    if request.user not in {"", _USER, str(_UID)}:
        raise FailedPrecondition(
            f'in a sandbox every step runs as "{_USER}" ({_UID}), not as "{request.user}"', reason="USER_UNSUPPORTED"
        )
    if request.arch and request.arch not in machine_archs():
        raise FailedPrecondition(f"this machine does not run {request.arch}", reason="ARCH")
    if request.image != "host" and not (request.image.startswith("/") and Path(request.image, "usr").is_dir()):
        raise FailedPrecondition(
            f'the sandbox driver has no images of registries: "{request.image}" is neither "host" nor a folder with '
            "a root file system in it",
            reason="IMAGE",
        )
    for mount in request.tmpfs:
        if not mount.path.startswith("/") or ".." in Path(mount.path).parts or mount.path == "/":
            raise FailedPrecondition(f"a volume cannot be mounted at {mount.path}", reason="VOLUME")


def _machine_root(*, network: bool) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKS:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), f"/{name}"]
        elif path.is_dir():
            options += ["--ro-bind", f"/{name}", f"/{name}"]
    options += ["--perms", "0755", "--dir", "/etc"]
    for name in (*_ETC, *(_ETC_OF_NETWORK if network else ())):
        if Path("/etc", name).exists():
            options += ["--ro-bind", str(Path("/etc", name).resolve()), f"/etc/{name}"]
    return options


def _folder_root(source: Path, image: Path, *, network: bool) -> list[str]:
    options: list[str] = []
    for entry in sorted(image.iterdir()):
        if entry.name in {"proc", "dev", "tmp", "home", "mnt", "run", "sys", ".sluice", "etc"}:
            continue
        if entry.is_symlink():
            options += ["--symlink", str(entry.readlink()), f"/{entry.name}"]
        else:
            options += ["--ro-bind", str(source / entry.name), f"/{entry.name}"]
    options += ["--perms", "0755", "--dir", "/etc"]
    if (image / "etc").is_dir():
        for entry in sorted((image / "etc").iterdir()):
            if entry.name in {"passwd", "group", *(_ETC_OF_NETWORK if network else ())}:
                continue
            if entry.is_symlink():
                options += ["--symlink", str(entry.readlink()), f"/etc/{entry.name}"]
            else:
                options += ["--ro-bind", str(source / "etc" / entry.name), f"/etc/{entry.name}"]
    for name in _ETC_OF_NETWORK if network else ():
        if Path("/etc", name).exists():
            options += ["--ro-bind", str(Path("/etc", name).resolve()), f"/etc/{name}"]
    return [*options, "--ro-bind", "/usr", _MACHINE_USR]


def _machine_python() -> list[str]:
    """Start this machine's Python in a root that has none, through this machine's own loader and libraries."""
    loader = next((path for path in Path("/usr/lib64").glob("ld-linux*.so.*")), None) or next(
        (path for path in Path("/usr/lib").glob("ld-linux*.so.*")), None
    )
    if loader is None:
        raise FailedPrecondition("folder images need glibc's loader on this machine", reason="IMAGE")
    triplet = getattr(sys.implementation, "_multiarch", "x86_64-linux-gnu")
    libraries = f"{_MACHINE_USR}/lib/{triplet}:{_MACHINE_USR}/lib"
    python = f"{_MACHINE_USR}/bin/python3"
    # Links in it are absolute, and would lead into the other root.
    inside = f"{_MACHINE_USR}/{loader.resolve().relative_to('/usr')}"
    return [inside, "--library-path", libraries, "--argv0", python, python]


def _stage_of(folder: Path, request: PodRequest) -> str:
    sources = [str(path) for path in _staged(folder, request).values()]
    for stage in _STAGES:
        if Path(stage).is_dir() and not any(source == stage or source.startswith(f"{stage}/") for source in sources):
            return stage
    raise FailedPrecondition(f"none of {', '.join(_STAGES)} is free to mount a pod's folders on", reason="STAGE")


def _staged(folder: Path, request: PodRequest) -> dict[str, Path]:
    staged = {"pod": folder}
    if request.repository:
        staged["repository"] = request.repository
    if request.image != "host":
        staged["root"] = Path(request.image)
    return staged


def _stage(bubblewrap: Sequence[str], folder: Path, request: PodRequest, uid: int | None) -> list[str]:
    """Let root bring the pod's folders where an ordinary uid may reach them, and become that uid.

    The mounts are in a namespace of their own: nobody else sees them, and they go with it.
    """
    if uid is None:
        return list(bubblewrap)
    pairs = [part for name, path in _staged(folder, request).items() for part in (name, str(path))]
    command = ["/usr/bin/unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", _STAGE_SCRIPT, "stage"]
    log.debug("sandbox_staged", mark=MARKER, command=shlex.join(bubblewrap))
    return [*command, _stage_of(folder, request), str(uid), *pairs, "--", *bubblewrap]


def _is_mapped(uid: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            inside, _, length = (int(part) for part in line.split())
            if inside <= uid < inside + length:
                return True
    return False
