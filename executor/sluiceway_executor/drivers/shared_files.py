"""The read-only files that all sandboxed pods of an executor share."""

from __future__ import annotations

from pathlib import Path

from sluiceway_executor.drivers.pod_network import PodNetwork, resolver_file

__all__ = ["GROUP", "PASSWD", "SharedFiles"]

PASSWD, GROUP = "passwd", "group"
_RESOLVER_OF_MACHINE = Path("/etc/resolv.conf")


class SharedFiles:
    """The folder of these files. Its methods block, and may be repeated: they rewrite what has changed."""

    def __init__(self, folder: Path, *, users: str, groups: str) -> None:
        """Take the contents of `/etc/passwd` and `/etc/group`."""
        self.folder = folder
        self._users = users
        self._groups = groups
        self._is_prepared = False
        self._resolvers: dict[str, str] = {}

    def prepare(self) -> None:
        """Create the files that do not depend on the pod."""
        if not self._is_prepared:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755)
            self._write(PASSWD, self._users)
            self._write(GROUP, self._groups)
            self._is_prepared = True

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
