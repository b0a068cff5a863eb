"""What the drivers `sandbox` and `host` share: a launcher, and the pods on this machine until they are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from sluiceway_executor.drivers.launcher import Launcher
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.pod_store import PodStore
from sluiceway_executor.drivers.port import PodRequest
from sluiceway_executor.drivers.supervised import Launch, SupervisedPod

__all__ = ["SupervisedDriver"]


class SupervisedDriver:
    """The part of `port.Driver` that does not depend on how a pod is isolated."""

    def __init__(self, work_dir: Path) -> None:
        self._store = PodStore(work_dir / "pods")
        self._launcher = Launcher()
        self._pods: dict[str, SupervisedPod] = {}

    @property
    def archs(self) -> Sequence[str]:
        return machine_archs()

    async def close(self) -> None:
        self._launcher.close()

    async def list_pods(self, session_id: str) -> Sequence[str]:
        return await asyncio.to_thread(self._store.list, session_id)

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        pod = self._pods.get(assignment_id)
        if pod is not None:
            await pod.remove()
        elif assignment_id in await self.list_pods(session_id):
            await asyncio.to_thread(self._store.remove, assignment_id)

    async def sweep(self) -> None:
        """Remove what an earlier process of this executor left on the disk. Before the first pod."""
        for assignment_id in await asyncio.to_thread(self._store.list):
            await asyncio.to_thread(self._store.remove, assignment_id)

    def _new_pod(
        self,
        request: PodRequest,
        launch: Launch,
        *,
        folder: Path,
        users: Sequence[str],
        release: Callable[[], None] = lambda: None,
    ) -> SupervisedPod:
        """Make a pod, to be started. `release` is called when it has been removed."""

        def on_removed() -> None:
            self._pods.pop(request.assignment_id, None)
            release()

        pod = SupervisedPod(
            request,
            launch,
            store=self._store,
            folder=folder,
            users=users,
            launcher=self._launcher,
            on_removed=on_removed,
        )
        self._pods[request.assignment_id] = pod
        return pod
