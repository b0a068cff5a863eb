"""Pods of containers, made by Docker or Podman over its API.

A pod is a network of its own, a first container with the image of the task, which runs the steps, and a container for
each service, which shares the network of the first. The first process of the first container is ours
(`pod_listener.py`): it is copied into the container before its start, with all that it needs (`pod_bundle.py`), so that
an image need have nothing but what the steps use. It is reached by `exec` (`link_channel.py`), also by the next process
of the executor. When nobody feeds the pod, the first container ends, and a guard (`docker_guard.py`) removes the rest.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runconfig.capabilities import DOCKER, Capabilities
from sluiceway_executor.drivers import docker_request as requests
from sluiceway_executor.drivers.container_pod import ContainerPod, PodPlan
from sluiceway_executor.drivers.docker_engine import ContainerStream, DockerEngine, EngineError, uncancelled
from sluiceway_executor.drivers.docker_guard import Guard, Guarded
from sluiceway_executor.drivers.docker_images import Image, Images, PullPolicy
from sluiceway_executor.drivers.docker_services import Services
from sluiceway_executor.drivers.link_channel import LinkChannel
from sluiceway_executor.drivers.mounted_repository import (
    clone_source,
    repository_files,
    repository_folders,
    repository_mounts,
)
from sluiceway_executor.drivers.pod_bundle import BUNDLE_ROOT, make_bundle, program
from sluiceway_executor.drivers.pod_container import CONTAINER_PROTOCOL
from sluiceway_executor.drivers.pod_listener import STARVED
from sluiceway_executor.drivers.pod_network import own_networks
from sluiceway_executor.drivers.pod_routes import DONE
from sluiceway_executor.drivers.port import ImageDigest, Network, Note, PodRequest, no_note
from sluiceway_executor.drivers.refusal import narrower_network, refuse_request

__all__ = ["DockerDriver", "DockerSettings", "PullPolicy"]

log = structlog.get_logger(__name__)

_SOCKET = f"{BUNDLE_ROOT}/socket"
_AWAY_SECONDS = 120.0
_ROUTES_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_ARCHS = {"x86_64": ("amd64", "386"), "aarch64": ("arm64",), "armv7l": ("arm",), "i686": ("386",)}


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """The settings of the driver.

    Attributes:
        url: the address of the engine; empty: as the command `docker` finds it.
        pull: when images are pulled.
        network: the most access that pods get.
        allow_privileged: tasks may have privileged containers.
        owner: whose pods they are; `process_id` is chosen by the driver.
    """

    url: str = ""
    pull: PullPolicy = PullPolicy.MISSING
    network: Network = Network.ISOLATED
    allow_privileged: bool = False
    owner: requests.Owner = field(default_factory=lambda: requests.Owner(secrets.token_hex(8), ""))


class DockerDriver:
    """See the module; see `port.Driver`."""

    name = DOCKER.driver

    def __init__(self, work_dir: Path, settings: DockerSettings | None = None, *, outlives: bool = False) -> None:
        """Take a folder of its own, for files that pods see.

        `outlives`: pods continue when this process is killed, until they starve.
        """
        self._work_dir = work_dir
        self._settings = settings or DockerSettings()
        self._owner = replace(self._settings.owner, process_id=secrets.token_hex(8))
        self._engine = DockerEngine(self._settings.url)
        self._images = Images(self._engine, self._settings.pull)
        self._archs: Sequence[str] = ()
        self._bundle = b""
        self._preparing = asyncio.Lock()
        self._own = f"{requests.LABEL_JOURNAL}={self._owner.journal_id}"
        guarded = Guarded(self._settings.url, f"{requests.LABEL_PROCESS}={self._owner.process_id}")
        if outlives:
            guarded = Guarded(
                self._settings.url,
                self._own,
                first=requests.LABEL_PROTOCOL,
                assignment=requests.LABEL_ASSIGNMENT,
                work_dir=str(work_dir.resolve()),
            )
        self._guard = Guard(guarded)
        self._pods: dict[str, ContainerPod] = {}

    @property
    def archs(self) -> Sequence[str]:
        return self._archs

    @property
    def capabilities(self) -> Capabilities:
        return replace(DOCKER, privileged=self._settings.allow_privileged)

    async def probe(self) -> None:
        try:
            await self._prepare()
        except FailedPrecondition as error:
            raise FailedPrecondition(
                f"the docker driver does not work on this machine: {error}", reason="DRIVER_UNAVAILABLE"
            ) from error

    async def take_over(self, assignment_ids: Collection[str]) -> Mapping[str, ContainerPod]:
        if not assignment_ids:
            return {}
        await self._prepare()
        taken = {}
        for found in await self._engine.containers(self._own, f"{requests.LABEL_PROTOCOL}={CONTAINER_PROTOCOL}"):
            assignment_id = _assignment_of(found)
            if assignment_id in assignment_ids and (pod := await self._take_over(assignment_id, found)) is not None:
                taken[assignment_id] = pod
        return taken

    async def _take_over(self, assignment_id: str, found: Mapping[str, Any]) -> ContainerPod | None:
        session_id = str(found["Labels"].get(requests.LABEL_SESSION, ""))
        request = PodRequest(assignment_id=assignment_id, session_id=session_id)
        pod, ended = self._connected(request, PodPlan(), str(found["Id"]))
        try:
            await pod.take_over(ended=ended)
        except FailedPrecondition as error:
            log.warning("pod_not_taken_over", assignment=assignment_id, why=str(error))
            await pod.remove()
            return None
        return pod

    async def sweep(self) -> None:
        """Remove what an earlier process of this executor left. Before the first pod."""
        found = [*await self._engine.containers(self._own), *await self._engine.networks(self._own)]
        for assignment_id in {_assignment_of(each) for each in found} - set(self._pods):
            await self._engine.remove_all(self._own, f"{requests.LABEL_ASSIGNMENT}={assignment_id}")
        kept = {requests.pod_name(each, self._owner) for each in self._pods}
        for folder in self._work_dir.glob("*"):
            if folder.name not in kept:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> ContainerPod:
        bundle = await self._prepare()
        refuse_request(request, self.capabilities, self._archs)
        access = narrower_network(request.network, self._settings.network)
        image = await self._image(request.image, request, note)
        services = [await self._images.get(each.image, request.registries, note) for each in request.services]
        if services:
            await note(f"starting {len(services)} services")
        await self._remove(request.assignment_id)
        try:
            pod, first = await self._start(request, image, access, bundle)
            names = (request.image, *(each.image for each in request.services))
            pod.images = [
                ImageDigest(name, each.shown_digest) for name, each in zip(names, (image, *services), strict=True)
            ]
        except BaseException:
            await asyncio.shield(self._remove(request.assignment_id))
            raise
        try:
            await Services(self._engine, pod, first, self._labels(request), note).start(request.services)
        except BaseException:
            await pod.remove()
            raise
        return pod

    async def list_pods(self, session_id: str) -> Sequence[str]:
        label = f"{requests.LABEL_SESSION}={session_id}"
        found = [*await self._engine.containers(label), *await self._engine.networks(label)]
        return sorted({_assignment_of(each) for each in found} - {""})

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        pod = self._pods.get(assignment_id)
        if pod is not None:
            await pod.remove()
        else:
            labels = (f"{requests.LABEL_SESSION}={session_id}", f"{requests.LABEL_ASSIGNMENT}={assignment_id}")
            await self._engine.remove_all(*labels)

    async def close(self) -> None:
        for pod in list(self._pods.values()):
            await pod.remove()
        await self._guard.close()
        await self._engine.close()

    # -- the parts of a pod -------------------------------------------------------------------------------------

    async def _prepare(self) -> bytes:
        async with self._preparing:
            if not self._bundle:
                info = await self._engine.info()
                machine = str(info.get("Architecture", ""))
                self._archs = _ARCHS.get(machine, (machine,))
                self._bundle = await asyncio.to_thread(make_bundle)
                await self._guard.start()
            return self._bundle

    async def _image(self, name: str, request: PodRequest, note: Note) -> Image:
        image = await self._images.get(name, request.registries, note)
        if image.arch and image.arch not in self._archs:
            raise FailedPrecondition(
                f'the image "{name}" is for {image.arch}, and this machine runs {" and ".join(self._archs)}',
                reason="ARCH_UNSUPPORTED",
            )
        return image

    async def _start(
        self, request: PodRequest, image: Image, access: Network, bundle: bytes
    ) -> tuple[ContainerPod, str]:
        labels, name = self._labels(request), requests.pod_name(request.assignment_id, self._owner)
        mode = str(access)
        unreachable: Sequence[str] = ()
        if access is Network.ISOLATED:
            mode, unreachable = await self._create_network(name, labels)
        config = requests.first_container(
            request,
            labels,
            argv=(*program("pod_listener.py"), _SOCKET, request.user or image.user or "0"),
            network_mode=mode,
            mounts=await asyncio.to_thread(self._mounts, request, name),
        )
        first, printed = await self._engine.run_container(name, config, archive=bundle)
        assert printed is not None  # noqa: S101 - it is attached
        plan = PodPlan(
            environment={"SHELL": "/bin/sh", "LANG": "C.UTF-8", **image.environment},
            repository=clone_source(request.repository),
        )
        try:
            await self._make_unreachable(request, first, unreachable, bundle)
            pod, ended = self._connected(request, plan, first)
            try:
                await pod.start(ended=ended)
            except BaseException:
                await pod.remove()
                raise
        except FailedPrecondition as error:
            await self._engine.remove_container(first)
            raise await _failure(printed, error) from error
        finally:
            await printed.close()
        return pod, first

    def _connected(
        self, request: PodRequest, plan: PodPlan, first: str
    ) -> tuple[ContainerPod, Coroutine[Any, Any, str]]:
        """Return a pod whose link is being made, and what waits for its end."""
        name = requests.pod_name(request.assignment_id, self._owner)
        command = (*program("pod_connect.py"), _SOCKET)
        channel = LinkChannel(
            requests.link_secret(name, self._owner),
            lambda: self._engine.exec(first, command, has_input=True),
            what=name,
        )
        pod = ContainerPod(request, plan, channel, remove=lambda: self._remove(request.assignment_id))
        self._pods[request.assignment_id] = pod
        channel.open()
        return pod, self._wait_end(first, channel)

    async def _make_unreachable(self, request: PodRequest, first: str, networks: Sequence[str], bundle: bytes) -> None:
        """Make IPv4 networks unreachable from a pod.

        A container of its own does it: what a first container may do, each `exec` in it may do, too.
        """
        if not networks:
            return
        name = f"{requests.pod_name(request.assignment_id, self._owner)}-routes"
        argv = (*program("pod_routes.py"), *networks)
        config = requests.routes_container(request, self._labels(request), argv=argv, first=first)
        container, printed = await self._engine.run_container(name, config, archive=bundle)
        assert printed is not None  # noqa: S101 - it is attached
        try:
            async with time_limit(_ROUTES_SECONDS):
                text = (await printed.read_all()).strip()
        except (OSError, TimeoutError) as error:
            text = str(error)
        finally:
            await printed.close()
            await self._engine.remove_container(container)
        if text != DONE:
            raise FailedPrecondition(
                f"the routes of the pod cannot be set: {text or printed.errors.strip()}", reason="NETWORK_UNAVAILABLE"
            )

    async def _create_network(self, name: str, labels: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """Create the network of a pod; return it, and what must not be reached through it."""
        try:
            network = await uncancelled(self._engine.create_network(requests.network(name, labels)))
            found = await self._engine.network(network)
        except EngineError as error:
            hint = ""
            if "address pool" in str(error):
                hint = "; give the engine more of them (`default-address-pools` in /etc/docker/daemon.json)"
            raise FailedPrecondition(f"{error}{hint}", reason="NETWORK_UNAVAILABLE") from error
        configs = (found.get("IPAM") or {}).get("Config") or ()
        # An address of the engine's machine, which need not be this one.
        gateways = [f"{each['Gateway'].partition('/')[0]}/32" for each in configs if "." in each.get("Gateway", "")]
        own = await asyncio.to_thread(own_networks)
        return network, tuple(dict.fromkeys((*own, *gateways)))

    async def _wait_end(self, container: str, channel: LinkChannel) -> str:
        """Wait until a first container has ended, and close its channel; return why."""
        loop = asyncio.get_running_loop()
        code: int | None = None
        reached_at = loop.time()
        while loop.time() - reached_at < _AWAY_SECONDS:
            try:
                code = await self._engine.wait(container)
                break
            except EngineError as error:
                # Containers may outlive a restart of their engine.
                log.warning("container_wait_failed", container=container[:12], error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
        channel.end()
        return "fenced" if code == STARVED else ""

    def _mounts(self, request: PodRequest, name: str) -> list[dict[str, Any]]:
        """Return the mounts of a repository of this machine. Writes the files that are mounted over it."""
        if request.repository is None:
            return []
        folder = self._work_dir / name
        for path, text in repository_files(request.repository).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        sources = {**repository_folders(request.repository), "pod": folder}
        return [
            {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": True}
            for _, target, source, *_ in repository_mounts(request.repository, sources)
        ]

    def _labels(self, request: PodRequest) -> dict[str, str]:
        return requests.pod_labels(request, self._owner)

    async def _remove(self, assignment_id: str) -> None:
        # Another executor on this engine may be of an installation with the same id.
        await self._engine.remove_all(self._own, f"{requests.LABEL_ASSIGNMENT}={assignment_id}")
        folder = self._work_dir / requests.pod_name(assignment_id, self._owner)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._pods.pop(assignment_id, None)


async def _failure(printed: ContainerStream, error: FailedPrecondition) -> FailedPrecondition:
    """Return why a first process did not start, by what it has written before its end."""
    try:
        text = (await printed.read_all()).strip()
        message = json.loads(text.splitlines()[-1]) if text else {}
    except (OSError, ValueError):
        message = {}
    if message.get("event") == "failed":
        reason = "USER_UNSUPPORTED" if message["user"] else "POD_START"
        return FailedPrecondition(f"the pod did not start: {message['text']}", reason=reason)
    if printed.errors.strip():
        return FailedPrecondition(f"the pod did not start: {printed.errors.strip()[-2000:]}", reason="POD_START")
    return error


def _assignment_of(found: Mapping[str, Any]) -> str:
    return str((found.get("Labels") or {}).get(requests.LABEL_ASSIGNMENT, ""))
