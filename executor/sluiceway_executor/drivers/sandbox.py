"""Pods in namespaces of their own: no daemon, no images to pull, about 20 ms of processor time each.

The root of a pod is built from an empty one (executors.md, "Drivers"): `/usr` read-only with the usual links, of `/etc`
only what tools need, a home and a `/tmp` of its own on disk, and no more. The image `host` is this machine's `/usr`; an
absolute path is a folder with a whole root in it, or an OCI image layout, mounted read-only.

An executor that is root must not start pods as root, not even in a user namespace: that maps uid 1000 inside to uid 0
outside, and to the kernel the owner of `/proc/sys` may write it, capabilities or not. So root first becomes a uid that
nobody else has, one for each pod, and the pod's namespaces are made from there (docs/decisions/0080, 0244).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import SANDBOX
from sluiceway_executor.drivers.launcher import MountEntry, PodStart, bind
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.mounted_repository import (
    clone_source,
    repository_files,
    repository_folders,
    repository_mounts,
)
from sluiceway_executor.drivers.oci_images import OciImages
from sluiceway_executor.drivers.oci_layout import is_layout, read_image, split_tag
from sluiceway_executor.drivers.pod_launch import Launch
from sluiceway_executor.drivers.pod_network import missing_for_isolation, this_machine
from sluiceway_executor.drivers.port import Command, Network, Note, PodRequest, no_note
from sluiceway_executor.drivers.refusal import narrower_network, refuse_request
from sluiceway_executor.drivers.shared_files import GROUP, PASSWD, SharedFiles
from sluiceway_executor.drivers.supervised import SupervisedPod
from sluiceway_executor.drivers.supervised_driver import SupervisedDriver
from sluiceway_executor.drivers.syscall_filter import task_filter

__all__ = ["SandboxDriver", "SandboxSettings", "overlap"]

log = structlog.get_logger(__name__)

_HOME = "/home/sluice"
_USER = "sluice"
_UID = 1000
_NOBODY = 65534
_PASSWD = (
    f"root:x:0:0:root:/:/usr/sbin/nologin\n{_USER}:x:{_UID}:{_UID}::{_HOME}:/bin/sh\n"
    f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:/:/usr/sbin/nologin\n"
)
_GROUP = f"root:x:0:\n{_USER}:x:{_UID}:\nnogroup:x:{_NOBODY}:\n"
_ETC = ("ssl", "alternatives", "ld.so.cache", "nsswitch.conf")
_ETC_OF_NETWORK = ("hosts", "resolv.conf")
_NOT_OF_IMAGES = frozenset({"proc", "dev", "tmp", "home", "mnt", "run", "sys", "etc"})
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_STAGES = ("/mnt", "/media", "/srv", "/opt", "/tmp")  # noqa: S108 - covered by a private mount, never written to
_TMPFS_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Attributes of the sandbox.

    Attributes:
        first_uid: with `uid_count`, the uids that pods of a root executor run as. Change it if they are in use.
        uid_count: how many; at least the number of slots.
        network: the most access that pods get.
        image_dir: below it are the folders and OCI image layouts that may be named as images; None: none may.
    """

    first_uid: int = 210_000
    uid_count: int = 1_000
    network: Network = Network.ISOLATED
    image_dir: Path | None = None


class SandboxDriver(SupervisedDriver):
    """See the module; see `port.Driver`."""

    name = SANDBOX.driver
    capabilities = SANDBOX

    _users = (_USER, str(_UID))

    def __init__(self, work_dir: Path, settings: SandboxSettings | None = None, *, outlives: bool = False) -> None:
        super().__init__(work_dir, outlives=outlives)
        self._settings = settings or SandboxSettings()
        self._preparing = threading.Lock()
        self._shared = SharedFiles(work_dir / "shared", users=_PASSWD, groups=_GROUP)
        self._images = OciImages(work_dir / "images")
        self._work_dir = work_dir
        self._uids_in_use: set[int] = set()

    async def probe(self) -> None:
        if self._settings.network is Network.ISOLATED and (missing := missing_for_isolation()):
            log.warning("tasks_have_no_network", why=missing)
            self._settings = replace(self._settings, network=Network.NONE)
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

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> SupervisedPod:
        refuse_request(request, self.capabilities)
        _check_mounts(request)
        network = narrower_network(request.network, self._settings.network)
        uid = self._take_uid()
        try:
            # In one call to a thread: a call costs as much as most of these steps.
            folder, launch = await asyncio.to_thread(self._prepare, request, network, uid)
            release = functools.partial(self._give_back, uid)
            pod = self._new_pod(request, launch, folder=folder, users=self._users, release=release)
        except BaseException:
            self._give_back(uid)
            raise
        await pod.start()
        return pod

    def _hold(self, launch: Launch) -> Callable[[], None]:
        if launch.uid is not None:
            self._uids_in_use.add(launch.uid)
        return functools.partial(self._give_back, launch.uid)

    def _give_back(self, uid: int | None) -> None:
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

    def _root(self, image: str) -> tuple[Path | None, Mapping[str, str]]:
        """Return the root folder of an image, None for `host`, and the variables that it sets. Blocks."""
        if image == "host":
            return None, {}
        allowed = self._settings.image_dir
        if allowed is None:
            raise FailedPrecondition(
                f'this executor was started without --image-dir, so the folder "{image}" cannot be an image;'
                ' use "host", or ask its operator',
                reason="IMAGE",
            )
        layout, tag = split_tag(image)
        if not is_layout(layout):
            return image_folder(Path(image), allowed, self._work_dir), {}
        found = read_image(folder_below(layout, allowed, self._work_dir), tag, machine_archs()[0])
        # Its home is that of its user, and a pod has another.
        variables = {name: value for name, value in found.environment.items() if name != "HOME"}
        return self._images.root(found), variables

    def _prepare(self, request: PodRequest, network: Network, uid: int | None) -> tuple[Path, Launch]:
        """Create the folder of a pod, and return how to start it. Blocks."""
        image, variables = self._root(request.image)
        outside = this_machine() if network is Network.ISOLATED else None
        with self._preparing:
            self._shared.prepare()
            resolver = "" if outside is None else self._shared.resolver(outside)
        folder = self._make_folder(request, uid)
        mounts = {"pod": folder, "shared": self._shared.folder, **repository_folders(request.repository)}
        if image is not None:
            mounts["root"] = image
        stage = "" if uid is None else _stage()
        sources = {name: Path(stage, name) for name in mounts} if stage else mounts
        start = PodStart(
            mounts=_mounts(request, sources, image, network, resolver=resolver),
            hostname=_USER,
            uid_inside=_UID,
            uid=uid,
            stage=stage,
            staged=mounts if stage else {},
            network=None if network is Network.HOST else () if outside is None else outside.unreachable,
        )
        return folder, Launch(
            home=_HOME,
            script_dir="/tmp",  # noqa: S108 - the pod's own
            repository=clone_source(request.repository),
            environment={**variables, "USER": _USER, "LOGNAME": _USER, "SHELL": "/bin/sh", "LANG": "C.UTF-8"},
            pod=start,
            uid=uid,
            network=outside,
            syscall_filter=task_filter(),
        )

    def _make_folder(self, request: PodRequest, uid: int | None) -> Path:
        folder = self._store.make(request)
        # Only its pod can reach it: the folder of all pods is accessible to its owner only.
        folder.chmod(0o755)
        files = repository_files(request.repository)
        if files:
            (folder / "repository").mkdir()
            (folder / "repository").chmod(0o755)
        for name, text in files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)
        for name in ("home", "tmp"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755 if name == "home" else 0o1777)
            if uid is not None:
                os.chown(folder / name, uid, uid)
        return folder


def _mounts(
    request: PodRequest, sources: Mapping[str, Path], image: Path | None, network: Network, *, resolver: str
) -> list[MountEntry]:
    """Return what a pod shows; `sources`: the paths of its folder, repository and root at that time."""
    pod, shared = sources["pod"], sources["shared"]
    mounts = _machine_root() if image is None else _folder_root(sources["root"], image)
    mounts += [bind(f"/etc/{name}", shared / name) for name in (PASSWD, GROUP)]
    if network is not Network.NONE:
        if Path("/etc/hosts").exists():
            mounts.append(bind("/etc/hosts", Path("/etc/hosts")))
        names = shared / resolver if network is Network.ISOLATED else Path("/etc/resolv.conf")
        if network is Network.ISOLATED or names.exists():
            mounts.append(bind("/etc/resolv.conf", names))
    mounts.append(bind("/tmp", pod / "tmp", writable=True))  # noqa: S108 - the pod's own
    mounts.append(bind(_HOME, pod / "home", writable=True))
    mounts += repository_mounts(request.repository, sources)
    # A step could fill the memory through these.
    mounts += [("tmpfs", each.path, each.size_bytes or _TMPFS_BYTES) for each in request.tmpfs]
    return mounts


def overlap(one: Path, other: Path) -> bool:
    """Return whether one of two folders is the other or holds it, with links resolved."""
    one, other = one.resolve(), other.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def image_folder(image: Path, allowed: Path, work_dir: Path) -> Path:
    """Return the folder of an image that is a root file system, with every link resolved.

    Raises:
        FailedPrecondition: it is not below `allowed`, overlaps `work_dir`, or has no `usr` folder (`IMAGE`).
    """
    folder = folder_below(image, allowed, work_dir)
    usr = folder / "usr"
    if usr.is_symlink() or not usr.is_dir():
        raise FailedPrecondition(f'the image folder "{image}" has no root file system: no "usr" in it', reason="IMAGE")
    return folder


def folder_below(image: Path, allowed: Path, work_dir: Path) -> Path:
    """Return the folder of an image with every link resolved.

    Raises:
        FailedPrecondition: it is not below `allowed`, or overlaps `work_dir` (`IMAGE`).
    """
    try:
        folder, parent, work = image.resolve(strict=True), allowed.resolve(strict=True), work_dir.resolve()
    except (OSError, RuntimeError) as error:
        raise FailedPrecondition(f'there is no image folder "{image}"', reason="IMAGE") from error
    if folder == parent or not folder.is_relative_to(parent):
        raise FailedPrecondition(f'the image folder "{image}" is not below {allowed} (--image-dir)', reason="IMAGE")
    if overlap(folder, work):
        raise FailedPrecondition(f'the image folder "{image}" overlaps the executor\'s work folder', reason="IMAGE")
    return folder


def _check_mounts(request: PodRequest) -> None:
    for mount in request.tmpfs:
        if not mount.path.startswith("/") or ".." in Path(mount.path).parts or mount.path == "/":
            raise FailedPrecondition(f"a volume cannot be mounted at {mount.path}", reason="VOLUME")


def _machine_root() -> list[MountEntry]:
    mounts = [bind("/usr", Path("/usr"))]
    for name in _LINKS:
        path = Path("/", name)
        if path.is_symlink():
            mounts.append(("link", f"/{name}", str(path.readlink())))
        elif path.is_dir():
            mounts.append(bind(f"/{name}", path))
    return mounts + [bind(f"/etc/{name}", Path("/etc", name)) for name in _ETC if Path("/etc", name).exists()]


def _folder_root(source: Path, image: Path) -> list[MountEntry]:
    mounts = []
    for entry in sorted(image.iterdir()):
        if entry.name not in _NOT_OF_IMAGES:
            mounts.append(_entry_of_image(source, image, entry))
    if (image / "etc").is_dir():
        for entry in sorted((image / "etc").iterdir()):
            if entry.name not in {PASSWD, GROUP, *_ETC_OF_NETWORK}:
                mounts.append(_entry_of_image(source, image, entry))
    return mounts


def _entry_of_image(source: Path, image: Path, entry: Path) -> MountEntry:
    inside = entry.relative_to(image)
    if entry.is_symlink():
        return ("link", f"/{inside}", str(entry.readlink()))
    return bind(f"/{inside}", source / inside)


def _stage() -> str:
    """Return a folder on which a pod's own folders are mounted, where an ordinary uid reaches them."""
    for stage in _STAGES:
        if Path(stage).is_dir():
            return stage
    raise FailedPrecondition(f"none of {', '.join(_STAGES)} is there to mount a pod's folders on", reason="STAGE")


@functools.cache
def _is_mapped(uid: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            inside, _, length = (int(part) for part in line.split())
            if inside <= uid < inside + length:
                return True
    return False
