"""Pods in a Kubernetes cluster: one for each task, through its API server.

The first process of a pod is the one of the other drivers (`pod_listener`); an init container copies it from the image
of Sluiceway into a volume of the pod. It is reached by `exec` (`kubernetes_channel`): when the connection breaks, or
the API server is away, the step continues, and so does its output afterwards. A pod that no executor feeds ends itself.

One watch follows all pods of this executor (`kubernetes_pods`). What a pod waits for, and why it failed, is read from
its status (`kubernetes_state`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runconfig.capabilities import KUBERNETES, Capabilities
from sluiceway_executor.drivers import kubernetes_manifest as manifests
from sluiceway_executor.drivers.container_pod import ContainerPod, PodPlan
from sluiceway_executor.drivers.docker_request import Owner, link_secret
from sluiceway_executor.drivers.kubernetes_api import ApiError, ExecStream, KubernetesApi
from sluiceway_executor.drivers.kubernetes_manifest import (
    LABEL_ASSIGNMENT,
    LABEL_JOURNAL,
    LABEL_PROTOCOL,
    LABEL_SESSION,
    TASK,
)
from sluiceway_executor.drivers.kubernetes_pods import Pods
from sluiceway_executor.drivers.kubernetes_services import Services
from sluiceway_executor.drivers.kubernetes_start import PodStart
from sluiceway_executor.drivers.kubernetes_state import end_of, failure_of_start, is_running
from sluiceway_executor.drivers.kubernetes_template import PodTemplate
from sluiceway_executor.drivers.link_channel import LinkChannel
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.pod_bundle import program
from sluiceway_executor.drivers.pod_container import CONTAINER_PROTOCOL
from sluiceway_executor.drivers.port import Network, Note, PodRequest, no_note
from sluiceway_executor.drivers.refusal import narrower_network, refuse_request

__all__ = ["KubernetesDriver", "KubernetesSettings"]

log = structlog.get_logger(__name__)

_REMOVE_SECONDS = 120.0
_FORCE_SECONDS = 30.0
_QUOTA_PAUSE_SECONDS = 5.0
_ANSWER_SECONDS = 600.0
_FORBIDDEN, _CONFLICT = 403, 409


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The settings of the driver.

    Attributes:
        image: of Sluiceway, from which the first process of each pod is copied.
        namespace: of the pods; empty: the executor's own, or that of the context.
        kubeconfig: None: the service account of the executor's pod, or else the file that `kubectl` uses.
        context: of the kubeconfig; empty: the current one.
        pull: when nodes pull images: `always`, `missing` or `never`.
        template: what the operator adds to pods.
        archs: of the nodes; empty: as the nodes say.
        network: the most access that pods get.
        allow_privileged: tasks may have privileged containers.
        disk_bytes: the limit of the files that a task writes on its node; 0: none.
        start_seconds: the time limit for the start of a pod.
        pull_seconds: how long the pull of an image is tried again.
        owner: whose pods they are.
    """

    image: str
    namespace: str = ""
    kubeconfig: Path | None = None
    context: str = ""
    pull: str = "missing"
    template: PodTemplate = field(default_factory=PodTemplate)
    archs: Sequence[str] = ()
    network: Network = Network.ISOLATED
    allow_privileged: bool = False
    disk_bytes: int = 0
    start_seconds: float = 600.0
    pull_seconds: float = 120.0
    owner: Owner = field(default_factory=lambda: Owner(secrets.token_hex(8), ""))


class KubernetesDriver:
    """See the module; see `port.Driver`."""

    name = KUBERNETES.driver

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._owner = settings.owner
        self._api = KubernetesApi(
            namespace=settings.namespace, kubeconfig=settings.kubeconfig, context=settings.context
        )
        self._label = f"{LABEL_JOURNAL}={manifests.label_value(self._owner.journal_id)}"
        self._pods = Pods(self._api, self._label)
        self._watch: asyncio.Task[None] | None = None
        self._archs: Sequence[str] = settings.archs
        self._preparing = asyncio.Lock()
        self._made: dict[str, ContainerPod] = {}

    @property
    def archs(self) -> Sequence[str]:
        return self._archs

    @property
    def capabilities(self) -> Capabilities:
        return replace(KUBERNETES, privileged=self._settings.allow_privileged)

    async def probe(self) -> None:
        try:
            await self._prepare()
            await self._api.find("pods", self._label)
        except FailedPrecondition as error:
            raise FailedPrecondition(
                f"the kubernetes driver does not work: {error}", reason="DRIVER_UNAVAILABLE"
            ) from error

    async def take_over(self, assignment_ids: Collection[str]) -> Mapping[str, ContainerPod]:
        if not assignment_ids:
            return {}
        await self._prepare()
        taken = {}
        for found in (await self._api.find("pods", self._label))["items"]:
            assignment_id = _assignment_of(found)
            if assignment_id in assignment_ids and (pod := await self._take_over(assignment_id, found)) is not None:
                taken[assignment_id] = pod
        return taken

    async def _take_over(self, assignment_id: str, found: Mapping[str, Any]) -> ContainerPod | None:
        labels = found["metadata"].get("labels") or {}
        if labels.get(LABEL_PROTOCOL) != str(CONTAINER_PROTOCOL) or end_of(found) or not is_running(found, TASK):
            log.warning("pod_not_taken_over", assignment=assignment_id, why="it has ended, or is of another version")
            return None
        await self._pods.put(found)
        session_id = labels.get(LABEL_SESSION, "")
        pod, ended = self._connected(PodRequest(assignment_id=assignment_id, session_id=session_id), found)
        try:
            await pod.take_over(ended=ended)
        except FailedPrecondition as error:
            log.warning("pod_not_taken_over", assignment=assignment_id, why=str(error))
            await pod.remove()
            return None
        return pod

    async def sweep(self) -> None:
        """Remove what an earlier process of this executor left. Before the first pod."""
        kept = {manifests.pod_name(each, self._owner) for each in self._made}
        # The images of pods that were taken over are pulled.
        await self._api.delete_all("secrets", self._label)
        if not kept:
            await self._api.delete_all("pods", self._label)
            return
        for found in (await self._api.find("pods", self._label))["items"]:
            if found["metadata"]["name"] not in kept:
                await self._api.delete("pods", found["metadata"]["name"])

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> ContainerPod:
        await self._prepare()
        refuse_request(request, self.capabilities, self._archs)
        _refuse(request)
        access = narrower_network(request.network, self._settings.network)
        name = manifests.pod_name(request.assignment_id, self._owner)
        await self._remove(request.assignment_id)
        start = PodStart(note, seconds=self._settings.start_seconds, pull_seconds=self._settings.pull_seconds)
        try:
            async with time_limit(self._settings.start_seconds):
                return await self._start(request, name, access, start, note)
        except BaseException as error:
            await asyncio.shield(self._remove(request.assignment_id))
            if isinstance(error, TimeoutError):
                raise start.too_long() from error
            raise

    async def list_pods(self, session_id: str) -> Sequence[str]:
        label = f"{LABEL_SESSION}={manifests.label_value(session_id)}"
        found = (await self._api.find("pods", label))["items"]
        return sorted({_assignment_of(each) for each in found} - {""})

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        pod = self._made.get(assignment_id)
        if pod is not None:
            await pod.remove()
            return
        labels = (
            f"{LABEL_SESSION}={manifests.label_value(session_id)}",
            f"{LABEL_ASSIGNMENT}={manifests.label_value(assignment_id)}",
        )
        for each in (await self._api.find("pods", *labels))["items"]:
            await self._api.delete("pods", each["metadata"]["name"], grace_seconds=1)
        await self._api.delete_all("secrets", *labels)

    async def close(self) -> None:
        for pod in list(self._made.values()):
            await pod.remove()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._api.close()

    # -- the parts of a pod -------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        async with self._preparing:
            if not self._archs:
                self._archs = await self._find_archs()
            if self._watch is None:
                self._watch = asyncio.create_task(self._pods.run(), name="watch of pods")

    async def _find_archs(self) -> Sequence[str]:
        try:
            nodes = await self._api.nodes()
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            log.warning("kubernetes_nodes_forbidden", archs=machine_archs()[:1], hint="name them with --archs")
            return machine_archs()[:1]
        found = {str(((each.get("status") or {}).get("nodeInfo") or {}).get("architecture", "")) for each in nodes}
        # The preferred one is that of most tasks.
        return sorted(found - {""}, key=lambda arch: (arch != "amd64", arch)) or machine_archs()[:1]

    async def _start(
        self, request: PodRequest, name: str, access: Network, start: PodStart, note: Note
    ) -> ContainerPod:
        created = await self._create(request, name, access, start)
        await start.wait(self._pods, name)
        pod, ended = self._connected(request, created)
        try:
            await self._wait_ready(pod, name, ended)
            await Services(self._api, self._pods, name, pod, note).wait(request.services)
            # All images are pulled.
            await self._api.delete("secrets", name)
        except BaseException:
            await pod.remove()
            raise
        return pod

    def _connected(
        self, request: PodRequest, found: Mapping[str, Any]
    ) -> tuple[ContainerPod, Coroutine[Any, Any, str]]:
        """Return a pod whose link is being made, and what waits for its end."""
        name, uid = str(found["metadata"]["name"]), str(found["metadata"]["uid"])
        plan = PodPlan(
            environment={"SHELL": "/bin/sh", "LANG": "C.UTF-8"}, counts_processes=True, answer_seconds=_ANSWER_SECONDS
        )
        channel = LinkChannel(link_secret(name, self._owner), lambda: self._connect(name), what=name)
        pod = ContainerPod(request, plan, channel, remove=lambda: self._remove(request.assignment_id))
        self._made[request.assignment_id] = pod
        channel.open()
        return pod, self._wait_end(name, uid, channel)

    async def _wait_ready(self, pod: ContainerPod, name: str, ended: Coroutine[Any, Any, str]) -> None:
        try:
            await pod.start(ended=ended)
        except FailedPrecondition as error:
            # Its last message says more.
            failure = failure_of_start(self._pods.get(name))
            if failure is None:
                raise
            raise FailedPrecondition(failure.message, reason=failure.reason) from error

    async def _create(self, request: PodRequest, name: str, access: Network, start: PodStart) -> dict[str, Any]:
        """Create the pod and its secret; return the pod."""
        nonce = secrets.token_hex(8)
        settings = manifests.PodSettings(
            image=self._settings.image,
            pull={"always": "Always", "missing": "IfNotPresent", "never": "Never"}[self._settings.pull],
            archs=self._archs,
            disk_bytes=self._settings.disk_bytes,
            template=self._settings.template,
        )
        labels = manifests.pod_labels(request, self._owner)
        if request.registries:
            await self._create_secret(manifests.pull_secret(name, labels, request.registries))
        manifest = manifests.pod_manifest(
            request, settings, self._owner, network=access, nonce=nonce, has_secret=bool(request.registries)
        )
        pod = await self._create_pod(manifest, name, nonce, start)
        await self._pods.put(pod)
        if request.registries:
            uid = str(pod["metadata"]["uid"])
            owner = manifests.pull_secret(name, labels, {}, pod_uid=uid)["metadata"]["ownerReferences"]
            await self._api.merge("secrets", name, {"metadata": {"ownerReferences": owner}})
        return pod

    async def _create_secret(self, secret: dict[str, Any]) -> None:
        try:
            await self._api.create("secrets", secret)
        except ApiError as error:
            # Its name has the id of the assignment: it is of this call, or of an earlier one of this executor.
            if error.status != _CONFLICT:
                raise
            await self._api.delete("secrets", secret["metadata"]["name"])
            await self._api.create("secrets", secret)

    async def _create_pod(self, manifest: dict[str, Any], name: str, nonce: str, start: PodStart) -> dict[str, Any]:
        while True:
            try:
                return await self._api.create("pods", manifest)
            except ApiError as error:
                if error.status == _CONFLICT:
                    found = await self._api.get("pods", name)
                    if found is not None and _nonce_of(found) == nonce:
                        return found
                    # It is being deleted.
                    await asyncio.sleep(0.5)
                elif error.status == _FORBIDDEN and "exceeded quota" in str(error):
                    await start.waits_for(f"waiting for the quota of the namespace {self._api.namespace}: {error}")
                    await asyncio.sleep(_QUOTA_PAUSE_SECONDS)
                else:
                    raise FailedPrecondition(
                        f"Kubernetes did not take the pod: {error}", reason="POD_REFUSED"
                    ) from error

    async def _connect(self, name: str) -> ExecStream:
        command = [*program("pod_connect.py"), manifests.socket_name(name)]
        return await self._api.exec(name, TASK, command, has_input=True)

    async def _wait_end(self, name: str, uid: str, channel: LinkChannel) -> str:
        """Wait until the first container has ended; return why."""

        def state() -> str:
            pod = self._pods.get(name)
            return end_of(pod if pod is not None and pod["metadata"]["uid"] == uid else None)

        await self._pods.wait(lambda: bool(state()))
        why = state()
        channel.end()
        return why

    async def _remove(self, assignment_id: str) -> None:
        """Delete a pod of this executor; return when it is gone."""
        name = manifests.pod_name(assignment_id, self._owner)
        self._made.pop(assignment_id, None)
        await self._api.delete("secrets", name)
        found = await self._api.get("pods", name)
        if found is None:
            return
        uid = str(found["metadata"]["uid"])
        # The first process ignores TERM; steps have been stopped before.
        await self._api.delete("pods", name, grace_seconds=1, uid=uid)
        for limit in (_FORCE_SECONDS, _REMOVE_SECONDS):
            if await self._wait_gone(name, uid, limit):
                return
            # The node may be away: the cluster then forgets the pod.
            log.warning("pod_is_not_deleted", pod=name)
            await self._api.delete("pods", name, grace_seconds=0, uid=uid)

    async def _wait_gone(self, name: str, uid: str, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pause = 0.1
        while loop.time() < until:
            found = await self._api.get("pods", name)
            if found is None or found["metadata"]["uid"] != uid:
                return True
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 1.5)
        return False


def _refuse(request: PodRequest) -> None:
    if request.repository is not None:
        raise FailedPrecondition(
            f"the repository {request.repository.folder} is a folder of the executor's machine, which pods of "
            "Kubernetes do not see: create the run from a repository with a URL",
            reason="REPOSITORY_UNSUPPORTED",
        )
    for number, service in enumerate(request.services, start=1):
        if service.user and not all(part.isdecimal() for part in service.user.split(":")):
            raise FailedPrecondition(
                f'the user "{service.user}" of service {number} ({service.image}) is a name: Kubernetes takes numbers '
                "only, as in 1000 or 1000:1000",
                reason="USER_UNSUPPORTED",
            )


def _assignment_of(pod: dict[str, Any]) -> str:
    metadata = pod["metadata"]
    both = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return str(both.get(LABEL_ASSIGNMENT, ""))


def _nonce_of(pod: dict[str, Any]) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(manifests.PREFIX + "nonce", ""))
