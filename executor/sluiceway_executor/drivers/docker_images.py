"""The images of containers: found at the engine, or pulled from a registry, by the policy of the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.docker_engine import DockerEngine, EngineError
from sluiceway_executor.drivers.docker_request import registry_of
from sluiceway_executor.drivers.port import Note, RegistryLogin

__all__ = ["Image", "Images", "PullPolicy"]

_DOCKER_HUB = ("docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io")
_NOTE_SECONDS = 5.0


class PullPolicy(StrEnum):
    """When an image is pulled: at each use, when the engine does not have it, or never."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the engine has.

    Attributes:
        digest: its id.
        shown_digest: of its manifest, by which a registry has it; that of its configuration if it came from none.
        environment: of its containers.
        user: of its containers; empty: root.
        arch: its architecture (`amd64`).
    """

    digest: str
    shown_digest: str
    environment: Mapping[str, str]
    user: str
    arch: str


class Images:
    """The images of an engine."""

    def __init__(self, engine: DockerEngine, policy: PullPolicy) -> None:
        self._engine = engine
        self._policy = policy
        self._pulls: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, logins: Mapping[str, RegistryLogin], note: Note) -> Image:
        """Return an image, after pulling it if the policy says so.

        Raises:
            FailedPrecondition: it cannot be had (`IMAGE`).
        """
        # Two tasks with one image pull it once.
        async with self._pulls.setdefault(name, asyncio.Lock()):
            found = None if self._policy is PullPolicy.ALWAYS else await self._engine.image(name)
            if found is None and self._policy is PullPolicy.NEVER:
                raise _unavailable(
                    f'this executor pulls no images (--docker-pull never), and its engine does not have "{name}"'
                )
            if found is None:
                await self._pull(name, logins, note)
                found = await self._engine.image(name)
            if found is None:
                raise _unavailable(f'the image "{name}" was pulled, but the engine does not have it')
        return _image(name, found)

    async def _pull(self, name: str, logins: Mapping[str, RegistryLogin], note: Note) -> None:
        registry = registry_of(name)
        login = _login_of(registry, logins)
        await note(f"pulling the image {name}{' with the credentials of ' + registry if login else ''}")
        progress = _Progress()
        loop = asyncio.get_running_loop()
        noted = loop.time()
        try:
            async for message in self._engine.pull(name, login=login):
                progress.take(message)
                if loop.time() - noted >= _NOTE_SECONDS:
                    noted = loop.time()
                    await note(progress.line())
        except EngineError as error:
            # The engine says with this message also that the registry wants other credentials.
            raise _unavailable(f'the image "{name}" cannot be pulled: {error}') from error
        await note(f"pulled the image {name}: {progress.line()}")


class _Progress:
    """The progress of a pull, over all layers."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._status = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message of the engine."""
        self._status = str(message.get("status", ""))
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and "total" in detail:
            self._layers[str(message.get("id"))] = (int(detail.get("current", 0)), int(detail["total"]))
        elif message.get("status") == "Download complete" and message.get("id") in self._layers:
            total = self._layers[str(message["id"])][1]
            self._layers[str(message["id"])] = (total, total)

    def line(self) -> str:
        """Return a line for a person."""
        if not self._layers:
            return self._status
        done, total = (sum(each) / 1e6 for each in zip(*self._layers.values(), strict=True))
        return f"{len(self._layers)} layers, {done:.1f} of {total:.1f} MB"


def _login_of(registry: str, logins: Mapping[str, RegistryLogin]) -> dict[str, str] | None:
    names = _DOCKER_HUB if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
    for name in names:
        if name in logins:
            login = logins[name]
            address = "https://index.docker.io/v1/" if registry == "docker.io" else registry
            return {"username": login.username, "password": login.password, "serveraddress": address}
    return None


def _image(name: str, found: Mapping[str, Any]) -> Image:
    # From API 1.52 on, what is not set is left out.
    config = found.get("Config") or {}
    pairs = (text.partition("=") for text in config.get("Env") or ())
    return Image(
        digest=str(found.get("Id", "")),
        shown_digest=_shown_digest(name, found),
        environment={name: value for name, _, value in pairs},
        user=str(config.get("User") or ""),
        arch=str(found.get("Architecture", "")),
    )


def _shown_digest(name: str, found: Mapping[str, Any]) -> str:
    known = [str(each) for each in found.get("RepoDigests") or ()]
    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    # The engine has the short names of Docker Hub, and one image may be of several registries.
    same = [each for each in known if each.partition("@")[0] == repository.removeprefix("docker.io/")]
    return (same or known or [str(found.get("Id", ""))])[0].rpartition("@")[2]


def _unavailable(message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason="IMAGE")
