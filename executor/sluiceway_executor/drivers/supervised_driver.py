"""What the drivers `sandbox` and `host` share: a launcher, and the pods on this machine until they are removed.

Each process of an executor starts its new pods with a launcher of its own, and those that it took over stay with that
of the process before: so no code of an earlier version starts a pod.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.launcher import InheritedPod, Launcher
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.pod_launch import Launch
from sluiceway_executor.drivers.pod_store import PodStore, pod_mark
from sluiceway_executor.drivers.port import Pod, PodRequest
from sluiceway_executor.drivers.supervised import SupervisedPod

__all__ = ["SupervisedDriver"]

log = structlog.get_logger(__name__)

_END_SECONDS = 10.0


class SupervisedDriver:
    """The part of `port.Driver` that does not depend on how a pod is isolated."""

    def __init__(self, work_dir: Path, *, outlives: bool = False) -> None:
        """Take a folder of its own. `outlives`: pods continue when this process is killed, until they starve."""
        self._store = PodStore(work_dir / "pods")
        self._launchers = work_dir / "launchers"
        self._launcher = Launcher(self._launchers, orphaned=_cleanup(work_dir)) if outlives else Launcher()
        self._earlier: list[Launcher] = []
        self._pods: dict[str, SupervisedPod] = {}

    @property
    def archs(self) -> Sequence[str]:
        return machine_archs()

    async def close(self) -> None:
        for pod in list(self._pods.values()):
            if pod.launcher in self._earlier:
                await pod.remove()
        for each in (self._launcher, *self._earlier):
            each.close()

    async def list_pods(self, session_id: str) -> Sequence[str]:
        return await asyncio.to_thread(self._store.list, session_id)

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        pod = self._pods.get(assignment_id)
        if pod is not None:
            await pod.remove()
        elif assignment_id in await self.list_pods(session_id):
            await asyncio.to_thread(self._store.remove, assignment_id)

    async def take_over(self, assignment_ids: Collection[str]) -> Mapping[str, Pod]:
        wanted = {pod_mark(each): each for each in assignment_ids}
        taken: dict[str, Pod] = {}
        for path in sorted(self._launchers.glob("*")):
            try:
                launcher, pods = await Launcher.take_over(path)
            except FailedPrecondition as error:
                if error.reason == "POD_VERSION":
                    log.warning("pods_not_taken_over", why=str(error))
                path.unlink(missing_ok=True)
                continue
            self._earlier.append(launcher)
            for each in pods:
                assignment_id = wanted.get(each.name)
                if assignment_id is None:
                    # `sweep` removes the rest.
                    each.process.kill()
                    await each.process.wait(_END_SECONDS)
                elif (pod := await self._take_over(assignment_id, launcher, each)) is not None:
                    taken[assignment_id] = pod
        return taken

    async def _take_over(self, assignment_id: str, launcher: Launcher, inherited: InheritedPod) -> SupervisedPod | None:
        session_id = self._store.session_of(assignment_id)
        request = PodRequest(assignment_id=assignment_id, session_id=session_id)
        launch = Launch.of_note(inherited.note)
        pod = self._new_pod(
            request,
            launch,
            folder=self._store.folder / inherited.name,
            users=self._users,
            release=self._hold(launch),
            launcher=launcher,
        )
        try:
            await pod.take_over(inherited)
        except FailedPrecondition as error:
            log.warning("pod_not_taken_over", assignment=assignment_id, why=str(error))
            return None
        return pod

    @property
    def _users(self) -> Sequence[str]:
        """The users that commands may name."""
        raise NotImplementedError

    def _hold(self, launch: Launch) -> Callable[[], None]:
        """Hold what a pod that was taken over has of this machine; return what gives it back."""
        del launch
        return lambda: None

    async def sweep(self) -> None:
        for assignment_id in await asyncio.to_thread(self._store.list):
            if assignment_id not in self._pods:
                await asyncio.to_thread(self._store.remove, assignment_id)

    def _new_pod(
        self,
        request: PodRequest,
        launch: Launch,
        *,
        folder: Path,
        users: Sequence[str],
        release: Callable[[], None] = lambda: None,
        launcher: Launcher | None = None,
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
            launcher=launcher or self._launcher,
            on_removed=on_removed,
        )
        self._pods[request.assignment_id] = pod
        return pod


def _cleanup(work_dir: Path) -> Sequence[str]:
    """Return the command that removes what pods leave on the disk whose executor is gone."""
    module = "sluiceway_executor.drivers.orphaned_pods"
    return (sys.executable, "-I", "-m", module, str(work_dir.resolve()))
