"""The services of a pod: containers that share the network of the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.container_pod import ContainerPod
from sluiceway_executor.drivers.docker_engine import DockerEngine
from sluiceway_executor.drivers.docker_request import service_container
from sluiceway_executor.drivers.port import Note, ServiceRequest

__all__ = ["Services"]

_PAUSE_SECONDS = 0.25
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one pod.

    Attributes:
        engine: that runs them.
        pod: whose services they are.
        first: the id of its first container.
        labels: of all that belongs to the pod.
        note: writes to the log of the setup.
    """

    engine: DockerEngine
    pod: ContainerPod
    first: str
    labels: Mapping[str, str]
    note: Note

    async def start(self, services: Sequence[ServiceRequest]) -> None:
        """Start services, and wait until all are ready. The caller limits the time, and removes them.

        Raises:
            FailedPrecondition: one cannot be started, or has ended before it was ready (`SERVICE`).
        """
        started = []
        for number, service in enumerate(services, 1):
            config = service_container(service, self.labels, first=self.first)
            container, _ = await self.engine.run_container("", config)
            started.append((number, service, container))
        waits = [asyncio.create_task(self._wait_ready(*each)) for each in started]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def _wait_ready(self, number: int, service: ServiceRequest, container: str) -> None:
        what = f"service {number} ({service.image})"
        while not await self._is_ready(service, container):
            await self._check_runs(number, what, container)
            await asyncio.sleep(_PAUSE_SECONDS)
        await self.note(f"{what} is {'ready' if service.ready_command or service.ready_port else 'started'}")

    async def _check_runs(self, number: int, what: str, container: str) -> None:
        found = await self.engine.inspect(container)
        state = {} if found is None else found["State"]
        if state.get("Running"):
            return
        for line in await self.engine.last_lines(container, _LAST_LINES) if found is not None else ():
            await self.note(f"service {number} | {line}")
        memory = ", because it used more memory than it may" if state.get("OOMKilled") else ""
        raise FailedPrecondition(
            f"{what} ended with {state.get('ExitCode')} before it was ready{memory}", reason="SERVICE"
        )

    async def _is_ready(self, service: ServiceRequest, container: str) -> bool:
        if service.ready_port and not await self.pod.accepts(service.ready_port):
            return False
        if service.ready_command:
            return await self.engine.run_in(container, ("/bin/sh", "-c", service.ready_command)) == 0
        return True
