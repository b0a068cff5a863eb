"""The files that all sandboxed pods of an executor see alike, read-only: made once and not for each pod."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import structlog

from sluiceway_executor.drivers.pod_network import PodNetwork, resolver_file

__all__ = ["GROUP", "INIT_FOLDER", "PASSWD", "SharedFiles"]

log = structlog.get_logger(__name__)

PASSWD, GROUP = "passwd", "group"
INIT_FOLDER = "init"
"""Holds the program of the first process of pods, and the modules that it imports."""

_INIT_MODULES = ("pod_init", "pod_command", "pod_processes")

_RESOLVER_OF_MACHINE = Path("/etc/resolv.conf")
_COMPILE = "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], sys.argv[3], doraise=True)"


class SharedFiles:
    """A folder of such files. Its methods block on the disk, and may be called again: they change what has changed."""

    def __init__(self, folder: Path, *, users: str, groups: str) -> None:
        """Say what `/etc/passwd` and `/etc/group` hold."""
        self.folder = folder
        self._users = users
        self._groups = groups
        self._init = ""
        self._resolvers: dict[str, str] = {}

    def prepare(self) -> str:
        """Make what does not depend on the pod; return the name, in `INIT_FOLDER`, of the first process's program."""
        if not self._init:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755)
            self._write(PASSWD, self._users)
            self._write(GROUP, self._groups)
            (self.folder / INIT_FOLDER).mkdir(exist_ok=True)
            (self.folder / INIT_FOLDER).chmod(0o755)
            names = [self._compile(Path(__file__).with_name(f"{name}.py")) for name in _INIT_MODULES]
            self._init = names[0]
        return self._init

    def resolver(self, network: PodNetwork) -> str:
        """Return the name of the `resolv.conf` of pods in that network, with this machine's search domains."""
        machine = _RESOLVER_OF_MACHINE.read_text(errors="replace") if _RESOLVER_OF_MACHINE.exists() else ""
        text = resolver_file(network, machine)
        name = f"resolv.conf-{network.resolver}"
        if self._resolvers.get(name) != text:
            # Pods that run keep the file that they see.
            (self.folder / name).unlink(missing_ok=True)
            self._write(name, text)
            self._resolvers[name] = text
        return name

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)

    def _compile(self, source: Path) -> str:
        """Compile a module for the Python that will run it; without success, take it as it is."""
        compiled = self.folder / INIT_FOLDER / f"{source.stem}.pyc"
        command = ["/usr/bin/python3", "-I", "-S", "-c", _COMPILE, str(source), str(compiled), source.name]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30, env={})
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("pod_init_not_compiled", error=str(error))
            compiled = self.folder / INIT_FOLDER / source.name
            shutil.copyfile(source, compiled)
        compiled.chmod(0o644)
        return compiled.name
