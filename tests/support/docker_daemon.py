"""A real Docker daemon for tests, with images that are made from the packages of this machine.

All test processes share one: with its images it takes ten seconds of processor time to start.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import GuardedProcess
from tests.support.shared_server import shared_server

__all__ = ["BUSYBOX", "DEBIAN", "DockerDaemon", "docker_daemon", "missing_for_docker"]

DEBIAN = "sluice-test/debian:1"
"""An image with the shells, tools, Python and git of this machine."""
BUSYBOX = "sluice-test/busybox:1"
"""An image with a static busybox and nothing else."""

_WITHOUT = frozenset({"perl", "dpkg", "debconf", "init-system-helpers", "util-linux-extra", "base-files"})
_PACKAGES = ("bash", "coreutils", "findutils", "git", "grep", "sed", "tar", "util-linux", "procps", "python3", "dash")
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_READY_SECONDS = 60.0
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DockerDaemon:
    """A running daemon; `url` is its address."""

    url: str

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return self.url.removeprefix("unix://")

    def call(self, method: str, path: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
        """Call its API."""
        got, text = _call(self.socket, method, path, headers=headers)
        assert got == status, text
        return text

    def import_image(self, name: str, archive: bytes) -> None:
        """Make an image of a tar archive."""
        repository, _, tag = name.partition(":")
        path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}"
        status, text = _call(self.socket, "POST", path, archive)
        assert status == 200, text
        assert b"error" not in text, text

    def count(self, label: str) -> int:
        """Count the containers and networks with a label."""
        chosen = urllib.parse.quote(json.dumps({"label": [label]}))
        paths = (f"/containers/json?all=1&filters={chosen}", f"/networks?filters={chosen}")
        return sum(len(json.loads(_call(self.socket, "GET", path)[1])) for path in paths)


def missing_for_docker() -> str:
    """Return why no Docker daemon can be started on this machine; empty: one can."""
    if os.geteuid() != 0:
        return "a Docker daemon needs root"
    missing = [name for name in ("dockerd", "containerd", "runc", "busybox") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (docker.io, busybox-static)"
    cgroups = Path("/proc/self/mounts").read_text()
    return "" if " cgroup" in cgroups else "no cgroups are mounted"


@contextlib.contextmanager
def docker_daemon() -> Iterator[DockerDaemon]:
    """Yield the daemon of all test processes, with the two images; skip the test if this machine cannot run one.

    Others use it at the same time: count and remove only what has a label of your own.
    `SLUICE_TEST_DOCKER` names the address of a daemon that is to be used instead.
    """
    if given := os.environ.get("SLUICE_TEST_DOCKER"):
        daemon = DockerDaemon(given)
        _import_images(daemon)
        yield daemon
        return
    if missing := missing_for_docker():
        pytest.skip(missing)
    # Another version of this file makes other images. A short path: that of a socket has at most 107 bytes.
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    top = Path("/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir())
    with shared_server(f"{__name__}:_serve", top / f"sluice-docker-{version}") as found:
        if "missing" in found:
            pytest.skip(f"dockerd does not start on this machine: {found['missing']}")
        yield DockerDaemon(found["url"])


@contextlib.contextmanager
def _serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run a daemon in a folder."""
    process, why = None, ""
    try:
        for storage in ("overlay2", "vfs"):
            process, why = _start(folder, storage)
            if process is not None:
                break
        if process is None:
            yield {"missing": why}
            return
        daemon = DockerDaemon(f"unix://{folder}/docker.sock")
        _import_images(daemon)
        yield {"url": daemon.url}
    finally:
        if process is not None:
            process.end(signal.SIGTERM, seconds=_END_SECONDS)
        _remove(folder)


def _start(folder: Path, storage: str) -> tuple[GuardedProcess | None, str]:
    log = folder / "log"
    command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", f"--storage-driver={storage}"]
    command += ["--data-root", f"{folder}/{storage}", "--exec-root", f"{folder}/exec"]
    command += ["--host", f"unix://{folder}/docker.sock", "--pidfile", f"{folder}/pid"]
    process = GuardedProcess(command, words=log, environment={"PATH": os.environ["PATH"]})
    try:
        process.wait_until_ready(lambda: _fault(f"{folder}/docker.sock"), seconds=_READY_SECONDS)
    except AssertionError as error:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "level=error" in line or "fail" in line]
        return None, (errors or [str(error)])[-1][-300:]
    return process, ""


def _remove(folder: Path) -> None:
    # Killed daemons leave mounts of containers behind.
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["/bin/umount", "-l", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


class _Connection(http.client.HTTPConnection):
    """A connection to the socket of a daemon."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _call(
    socket_path: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = _Connection(socket_path)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _fault(socket_path: str) -> str | None:
    try:
        status, text = _call(socket_path, "GET", "/_ping")
    except OSError as error:
        return str(error)
    return None if status == 200 else text.decode(errors="replace")


def _import_images(daemon: DockerDaemon) -> None:
    for name, archive in ((DEBIAN, _debian()), (BUSYBOX, busybox_root())):
        daemon.import_image(name, archive)


@functools.cache
def busybox_root() -> bytes:
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("home/worker", 0o755)):
            _add_folder(archive, folder, mode=mode, owner=1234 if folder.startswith("home") else 0)
        _add(archive, "bin/busybox", busybox, mode=0o755)
        for name in ("sh", "cat", "echo", "env", "id", "sleep", "ls", "nc", "httpd", "touch", "pwd", "tar", "wget"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, "bin/busybox", 0o755
            archive.addfile(entry)
        _add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nworker:x:1234:1234::/home/worker:/bin/sh\n")
        _add(archive, "etc/group", b"root:x:0:\nworker:x:1234:\nextra:x:4321:worker\n")
    return sink.getvalue()


@functools.cache
def _debian() -> bytes:
    sink = io.BytesIO()
    seen: set[str] = set()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for link in _LINKS:
            if Path("/", link).is_symlink():
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, str(Path("/", link).readlink())
                archive.addfile(entry)
                seen.add(f"/{link}")
        _add_folder(archive, "tmp", mode=0o1777)
        _add_folder(archive, "root", mode=0o700)
        _add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/sh\n")
        _add(archive, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        for path in _files_of(_closure(_PACKAGES)):
            real = Path(os.path.realpath(path.parent), path.name)
            if str(real) in seen or not os.path.lexists(real) or (real.is_dir() and not real.is_symlink()):
                continue
            seen.add(str(real))
            archive.add(str(real), str(real).lstrip("/"), recursive=False)
        for path in (Path("/usr/bin/awk"), Path("/usr/share/git-core")):
            # The first one is a link to a link in /etc.
            if path.exists():
                archive.add(str(path.resolve()), str(path).lstrip("/"))
    return sink.getvalue()


def _closure(packages: tuple[str, ...]) -> list[str]:
    shown = subprocess.run(
        ["/usr/bin/dpkg-query", "-W", "-f", "${Package}|${Pre-Depends},${Depends}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    depends: dict[str, list[str]] = {}
    for line in shown.stdout.splitlines():
        name, _, needed = line.partition("|")
        depends[name] = re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", needed)
    found: dict[str, None] = {}
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name in depends and name not in found and name not in _WITHOUT:
            found[name] = None
            waiting += depends[name]
    return list(found)


def _files_of(packages: list[str]) -> list[Path]:
    listed = subprocess.run(["/usr/bin/dpkg-query", "-L", *packages], capture_output=True, text=True, check=True)
    # No documentation, and nothing that a package moved away.
    unwanted = ("/usr/share", "/usr/lib/x86_64-linux-gnu/perl", "/etc")
    lines = (line for line in listed.stdout.splitlines() if line.startswith("/") and not line.startswith(unwanted))
    return [Path(line) for line in lines]


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _add_folder(archive: tarfile.TarFile, name: str, *, mode: int, owner: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    archive.addfile(entry)
