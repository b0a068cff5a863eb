"""The capabilities of drivers, and the parts of a task that a driver cannot run.

The `Capabilities` of each driver are a value. The values are here and not with the drivers, because three programs use
them: `sluice config check`, the server when a run is created, and the executor before it creates a pod. All of them
have the messages of this module. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from sluiceway_common.runconfig.problems import DocumentPath, quoted

BUILT_STEPS: Final = frozenset(
    {
        "run",
        "clone",
        "save_to_workspace",
        "restore_workspace",
        "save_cache",
        "restore_cache",
        "save_artifacts",
        "save_reports",
    }
)
"""The types of steps that this version supports."""

# The grammar of references of the OCI distribution: a host, a path, a tag, a digest.
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_MAX_REFERENCE: Final = 512


class Feature(StrEnum):
    """What a task may ask for and a driver may lack."""

    IMAGE = "image"
    SERVICES = "services"
    PRIVILEGED = "privileged"
    ENTRYPOINT = "entrypoint"
    VOLUMES = "volumes"
    USER = "user"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do.

    Attributes:
        driver: its name.
        steps: the types of steps that its executor supports.
        host_image: the image `host`, which is the executor's own machine.
        registry_images: images of a registry, by name.
        folder_images: folders and OCI image layouts of the executor's machine as images, by absolute path.
        services: containers after the first.
        privileged: privileged containers.
        entrypoint: an entrypoint of the first container.
        volumes: memory file systems.
        users: the users that steps can run as; None: any, or it depends on the machine.
        networks: the values of `network` that it supports.
        limits_processors: `resources.cpu` has an effect.
    """

    driver: str
    steps: frozenset[str] = BUILT_STEPS
    host_image: bool = True
    registry_images: bool = False
    folder_images: bool = False
    services: bool = False
    privileged: bool = False
    entrypoint: bool = False
    volumes: bool = False
    users: frozenset[str] | None = None
    networks: frozenset[str] = frozenset({"none", "isolated", "host"})
    limits_processors: bool = False


SANDBOX: Final = Capabilities("sandbox", folder_images=True, volumes=True, users=frozenset({"sluice", "1000"}))
# Its only user is that of the executor, which other processes do not know.
HOST: Final = Capabilities("host", networks=frozenset({"host"}))
# Its first process is the executor's, so an entrypoint is for services only.
DOCKER: Final = Capabilities(
    "docker",
    host_image=False,
    registry_images=True,
    services=True,
    privileged=True,
    volumes=True,
    limits_processors=True,
)
# The network of a pod is made by the cluster, which has no way to leave it out.
KUBERNETES: Final = Capabilities(
    "kubernetes",
    host_image=False,
    registry_images=True,
    services=True,
    privileged=True,
    volumes=True,
    networks=frozenset({"isolated", "host"}),
    limits_processors=True,
)

DRIVERS: Final = (SANDBOX, HOST, DOCKER, KUBERNETES)
"""The drivers of this version."""


@dataclass(frozen=True, slots=True)
class PodNeeds:
    """The requirements of the pod of a task. `network` is empty if there is none."""

    image: str = "host"
    user: str = ""
    services: int = 0
    privileged: bool = False
    entrypoint: bool = False
    volumes: bool = False
    network: str = ""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A missing feature of a driver: the requirement, with its verb, and a hint, which may be empty."""

    feature: Feature
    what: str
    hint: str = ""

    def sentence_for(self, who: str) -> str:
        """Return the sentence for one driver, or for all drivers."""
        return f"{self.what} not supported by {who}{f': {self.hint}' if self.hint else ''}"


def unsupported(needs: PodNeeds, capabilities: Capabilities) -> list[Unsupported]:
    """List the requirements of a pod that a driver does not meet."""
    return list(_unsupported(needs, capabilities))


def _unsupported(needs: PodNeeds, has: Capabilities) -> Iterator[Unsupported]:
    if not _takes_image(needs.image, has):
        taken = ['"host"'] if has.host_image else []
        taken += ["the path of a folder below the executor's --image-dir"] if has.folder_images else []
        taken += ["the name of an image in a registry"] if has.registry_images else []
        what = f"the image {quoted(needs.image)} is"
        yield Unsupported(Feature.IMAGE, what, f"an image is {' or '.join(taken)}")
    if needs.services and not has.services:
        yield Unsupported(Feature.SERVICES, "services are", "a task has one container")
    if needs.privileged and not has.privileged:
        yield Unsupported(Feature.PRIVILEGED, "privileged containers are")
    if needs.entrypoint and not has.entrypoint:
        yield Unsupported(Feature.ENTRYPOINT, "an entrypoint of the first container is")
    if needs.volumes and not has.volumes:
        yield Unsupported(Feature.VOLUMES, "volumes are")
    if needs.user and has.users is not None and needs.user not in has.users:
        known = " or ".join(quoted(u) for u in sorted(has.users, key=lambda u: (u.isdecimal(), u)))
        yield Unsupported(Feature.USER, f"the user {quoted(needs.user)} is", f"steps run as {known}")
    if needs.network and needs.network not in has.networks:
        known = " or ".join(quoted(n) for n in sorted(has.networks))
        yield Unsupported(Feature.NETWORK, f"the network {quoted(needs.network)} is", f"a task has the network {known}")


def _takes_image(image: str, has: Capabilities) -> bool:
    if image == "host":
        return has.host_image
    if image.startswith("/"):
        return has.folder_images
    return has.registry_images and len(image) <= _MAX_REFERENCE and _REFERENCE.fullmatch(image) is not None


def unsupported_step(kind: str, capabilities: Sequence[Capabilities]) -> str | None:
    """Return a sentence if none of the drivers runs this type of step; None if one does."""
    known = frozenset[str]().union(*(each.steps for each in capabilities))
    if kind in known:
        return None
    return f"steps of the type {kind} are not supported by this version"


# -- tasks, as a configuration and the API have them -------------------------------------------------------------------


class Container(Protocol):
    """A container, as the model of configurations, their outline and the API have it."""

    @property
    def image(self) -> str:
        """Its image."""
        ...

    @property
    def user(self) -> str:
        """Its user; empty: the image's."""
        ...

    @property
    def privileged(self) -> bool:
        """Whether it is privileged."""
        ...

    @property
    def entrypoint(self) -> str:
        """Its first process; empty: the image's."""
        ...

    @property
    def volumes(self) -> Iterable[object]:
        """What is mounted into it."""
        ...


class Runtime(Protocol):
    """A runtime, likewise."""

    @property
    def network(self) -> str | None:
        """Its network; empty: the driver's default."""
        ...

    @property
    def containers(self) -> Iterable[Container]:
        """The first runs the steps, the others are services."""
        ...


def needs_of(runtime: Runtime, user: str) -> PodNeeds:
    """Read the requirements of the pod of a task; `user` is the task's own, which goes before the container's."""
    containers = list(runtime.containers)
    if not containers:
        return PodNeeds(user=user, network=runtime.network or "")
    main = containers[0]
    return PodNeeds(
        image=main.image,
        user=user or main.user,
        services=len(containers) - 1,
        privileged=any(container.privileged for container in containers),
        entrypoint=bool(main.entrypoint),
        volumes=any(True for container in containers for _ in container.volumes),
        network=runtime.network or "",
    )


def unsupported_parts(
    runtime: Runtime, user: str, steps: Iterable[str], drivers: Sequence[Capabilities] = DRIVERS
) -> list[tuple[DocumentPath, str]]:
    """Return which parts of a task cannot be run by any of the given drivers; empty when one of them can do all.

    Args:
        runtime: of the task.
        user: of the task.
        steps: the types of its steps, in their order.
        drivers: at least one.

    Returns:
        For each part its path from the task, and what is wrong with it.
    """
    found: list[tuple[DocumentPath, str]] = []
    needs = needs_of(runtime, user)
    lacks = [unsupported(needs, capabilities) for capabilities in drivers]
    if all(lacks):
        who = f"the {drivers[0].driver} driver" if len(drivers) == 1 else "any driver of this version"
        # What all of them lack; if that is nothing, what the first one lacks, because no single driver can run it.
        shared = set.intersection(*({lack.feature for lack in each} for each in lacks))
        for lack in lacks[0]:
            if not shared or lack.feature in shared:
                of = who if shared else f"the {drivers[0].driver} driver"
                found.append((_path_of(lack.feature, runtime, user), lack.sentence_for(of)))
    for index, kind in enumerate(steps):
        message = unsupported_step(kind, drivers)
        if message is not None:
            found.append((("steps", index), message))
    return found


def drivers_for(runtime: Runtime, user: str, drivers: Sequence[Capabilities] = DRIVERS) -> frozenset[str]:
    """Return the drivers that can run a task; empty: all of them, or none."""
    needs = needs_of(runtime, user)
    able = frozenset(c.driver for c in drivers if not unsupported(needs, c))
    return able if len(able) < len(drivers) else frozenset()


def without_effect(runtime: Runtime, user: str, drivers: Sequence[Capabilities] = DRIVERS) -> str | None:
    """Warn of a limit of processors that none of the given drivers that can run a task enforces; else None."""
    needs = needs_of(runtime, user)
    able = [each for each in drivers if not unsupported(needs, each)] or drivers
    if any(capabilities.limits_processors for capabilities in able):
        return None
    names = " and ".join(capabilities.driver for capabilities in able)
    who = f"the {names} driver does" if len(able) == 1 else f"the drivers {names} do"
    return f"this has no effect: {who} not limit processors"


def _path_of(feature: Feature, runtime: Runtime, user: str) -> DocumentPath:
    containers = list(runtime.containers)
    match feature:
        case Feature.NETWORK:
            return ("runtime", "network")
        case Feature.SERVICES:
            return ("runtime", "containers", 1)
        case Feature.USER if user:
            return ("user",)
        case Feature.PRIVILEGED:
            index = next((i for i, c in enumerate(containers) if c.privileged), 0)
        case Feature.VOLUMES:
            index = next((i for i, c in enumerate(containers) if any(True for _ in c.volumes)), 0)
        case _:
            index = 0
    return ("runtime", "containers", index, feature.value)
