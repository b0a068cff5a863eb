"""The services of a pod: waits until they are ready. Kubernetes starts them with the pod."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.container_pod import ContainerPod
from sluiceway_executor.drivers.kubernetes_api import ApiError, KubernetesApi
from sluiceway_executor.drivers.kubernetes_manifest import service_name
from sluiceway_executor.drivers.kubernetes_pods import Pods
from sluiceway_executor.drivers.kubernetes_state import is_running, terminated
from sluiceway_executor.drivers.port import Note, ServiceRequest

__all__ = ["Services"]

_PAUSE_SECONDS = 0.5
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one pod.

    Attributes:
        api: of the cluster.
        pods: as the API server reports them.
        name: of the pod.
        pod: the same.
        note: writes to the log of the setup.
    """

    api: KubernetesApi
    pods: Pods
    name: str
    pod: ContainerPod
    note: Note

    async def wait(self, services: Sequence[ServiceRequest]) -> None:
        """Wait until all are ready. The caller limits the time.

        Raises:
            FailedPrecondition: one has ended before it was ready (`SERVICE`).
        """
        if not services:
            return
        await self.note(f"waiting for {len(services)} services")
        waits = [asyncio.create_task(self._wait_ready(*each)) for each in enumerate(services, 1)]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def _wait_ready(self, number: int, service: ServiceRequest) -> None:
        what, container = f"service {number} ({service.image})", service_name(number)
        while True:
            found = self.pods.get(self.name)
            over = None if found is None else terminated(found, container)
            if over is not None:
                for line in await self.api.logs(self.name, container, lines=_LAST_LINES):
                    await self.note(f"service {number} | {line}")
                memory = ", because it used more memory than it may" if over.get("reason") == "OOMKilled" else ""
                raise FailedPrecondition(
                    f"{what} ended with {over.get('exitCode')} before it was ready{memory}", reason="SERVICE"
                )
            if found is not None and is_running(found, container) and await self._is_ready(container, service):
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        await self.note(f"{what} is {'ready' if service.ready_command or service.ready_port else 'started'}")

    async def _is_ready(self, container: str, service: ServiceRequest) -> bool:
        if service.ready_port and not await self.pod.accepts(service.ready_port):
            return False
        if service.ready_command:
            try:
                return await self.api.run(self.name, container, ("/bin/sh", "-c", service.ready_command)) == 0
            except ApiError:
                return False
        return True
