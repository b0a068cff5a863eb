"""The kubelet and scheduler of the fake: runs the containers of pods on a real Docker daemon, and reports on them.

The containers of a pod share the network of a sandbox container, and the volumes that they mount. What is real: images
and their registries, processes, users, capabilities, memory limits, exit codes, output, files. What is not: several
nodes (there are names of them, and all are this machine), restarts, probes other than `exec` ones of liveness, networks
between pods, and any volume but `emptyDir`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import json
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiodocker

from tests.fakes.kubernetes import containers
from tests.fakes.kubernetes.scheduling import choose_node
from tests.fakes.kubernetes.store import ApiFault, Store, now

__all__ = ["Kubelet"]

_START_TRIES = 4
_PULL_BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0)


class Kubelet:
    """Runs all pods of a store."""

    def __init__(self, store: Store, docker: aiodocker.Docker, folder: Path, *, sandbox_image: str) -> None:
        self.store = store
        self.docker = docker
        self.folder = folder
        self.sandbox_image = sandbox_image
        self._pods: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run pods until cancelled."""
        revision = 0
        try:
            while True:
                revision = self.store.revision
                for pod in self.store.all("pods", None):
                    uid = pod["metadata"]["uid"]
                    if uid not in self._pods:
                        self._pods[uid] = asyncio.create_task(_Run(self, pod).run())
                await self.store.wait(revision)
        finally:
            for task in self._pods.values():
                task.cancel()
            if self._pods:
                await asyncio.wait(self._pods.values())

    def container(self, pod: Mapping[str, Any], name: str) -> Any:
        """Return the container of a pod at the daemon."""
        return self.docker.containers.container(containers.name_of(pod, name))


class _Run:
    """The life of one pod."""

    def __init__(self, kubelet: Kubelet, pod: Mapping[str, Any]) -> None:
        self._kubelet = kubelet
        self._store, self._docker = kubelet.store, kubelet.docker
        self._pod = pod
        metadata = pod["metadata"]
        self._key = ("pods", metadata["namespace"], metadata["name"])
        self._uid = metadata["uid"]
        self._folder = kubelet.folder / self._uid
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        work = asyncio.create_task(self._reported(self._work()))
        try:
            grace = await self._wait_deleted(work)
        finally:
            work.cancel()
            await asyncio.wait([work])
            for watch in self._watches:
                watch.cancel()
        await self._end(grace)
        with contextlib.suppress(ApiFault):
            if self._present() is not None:
                await self._store.remove(*self._key)

    def _present(self) -> dict[str, Any] | None:
        try:
            found = self._store.get(*self._key)
        except ApiFault:
            return None
        return found if found["metadata"]["uid"] == self._uid else None

    async def _wait_deleted(self, work: asyncio.Task[None]) -> int:
        """Wait for the deletion of the pod; return its grace period."""
        while True:
            revision = self._store.revision
            pod = self._present()
            if pod is None:
                return 0
            if pod["metadata"].get("deletionTimestamp"):
                return int(pod["metadata"].get("deletionGracePeriodSeconds", 30))
            await self._store.wait(revision)

    async def _reported(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self._status(phase="Failed", reason="KubeletFailed", message=repr(error))

    # -- its start ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        spec = self._pod["spec"]
        await self._schedule()
        every = [*spec.get("initContainers", ()), *spec["containers"]]
        for each in every:
            await self._state(each["name"], waiting={"reason": "PodInitializing"})
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        await self._make_sandbox()
        for each in spec.get("initContainers", ()):
            await self._pull(each)
            if not await self._start(each):
                return
            await self._watch(each["name"])
            if self._code_of(each["name"]) != 0:
                await self._status(phase="Failed")
                return
        for each in spec["containers"]:
            await self._pull(each)
            if await self._start(each):
                self._watches.append(asyncio.create_task(self._watch(each["name"])))
                if each.get("livenessProbe"):
                    self._watches.append(asyncio.create_task(self._probe(each)))
        await self._status(phase="Running")

    async def _schedule(self) -> None:
        while True:
            revision = self._store.revision
            node, why = choose_node(self._pod, self._store.all("nodes", None), self._store.all("pods", None))
            condition = {"type": "PodScheduled", "status": "True" if node else "False", "lastTransitionTime": now()}
            if not node:
                condition |= {"reason": "Unschedulable", "message": why}
            await self._update(functools.partial(_set_condition, condition=condition))
            if node:
                await self._update(functools.partial(_bind, node=node))
                return
            await self._store.wait(max(revision, self._store.revision))

    async def _pull(self, container: Mapping[str, Any]) -> None:
        name, image, policy = container["name"], container["image"], container.get("imagePullPolicy", "IfNotPresent")
        for turn in range(1000):
            if policy != "Always" and await self._has(image):
                return
            if policy == "Never":
                text = f'Container image "{image}" is not present with pull policy of Never'
                await self._state(name, waiting={"reason": "ErrImageNeverPull", "message": text})
            elif containers.is_no_image(image):
                text = (
                    f'Failed to apply default image tag "{image}": couldn\'t parse image name: invalid reference format'
                )
                await self._state(name, waiting={"reason": "InvalidImageName", "message": text})
            else:
                try:
                    await self._docker.images.pull(image, auth=self._login(image))
                except aiodocker.DockerError as error:
                    text = f'failed to pull and unpack image "{image}": {error.message}'
                    await self._state(name, waiting={"reason": "ErrImagePull", "message": text})
                else:
                    return
            await asyncio.sleep(0.5)
            back_off = f'Back-off pulling image "{image}": ErrImagePull: {text}'
            await self._state(name, waiting={"reason": "ImagePullBackOff", "message": back_off})
            await asyncio.sleep(_PULL_BACKOFF_SECONDS[min(turn, len(_PULL_BACKOFF_SECONDS) - 1)])

    async def _has(self, image: str) -> bool:
        try:
            await self._docker.images.inspect(image)
        except aiodocker.DockerError:
            return False
        return True

    def _login(self, image: str) -> dict[str, str] | None:
        registry = containers.registry_of(image)
        for reference in self._pod["spec"].get("imagePullSecrets", ()):
            with contextlib.suppress(ApiFault, KeyError, ValueError):
                secret = self._store.get("secrets", self._key[1], reference["name"])
                auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
                for key, login in auths.items():
                    if key.removeprefix("https://").split("/")[0] == registry:
                        return {"username": login["username"], "password": login["password"], "serveraddress": registry}
        return None

    async def _make_sandbox(self) -> None:
        config = containers.sandbox(self._pod, self._kubelet.sandbox_image)
        await self._run_container(config, "sandbox")
        for volume in self._pod["spec"].get("volumes", ()):
            await self._docker.volumes.create(containers.volume(self._pod, volume))

    async def _start(self, container: Mapping[str, Any]) -> bool:
        name = container["name"]
        message = self._folder / f"{name}.message"
        await asyncio.to_thread(message.touch)
        await asyncio.to_thread(message.chmod, 0o666)
        try:
            config = containers.config(self._pod, container, message)
            await self._run_container(config, name)
        except aiodocker.DockerError as error:
            await self._state(name, waiting={"reason": "CreateContainerError", "message": str(error.message)})
            return False
        await self._state(name, running={"startedAt": now()})
        return True

    async def _run_container(self, config: dict[str, Any], name: str) -> None:
        """Create and start a container, again if runc sees an empty root file system (see `drivers.docker_engine`)."""
        for tries_left in reversed(range(_START_TRIES)):
            made = await self._docker.containers.create(config, name=containers.name_of(self._pod, name))
            try:
                await made.put_archive("/", containers.marker())
                await made.start()
                pid = (await made.show())["State"]["Pid"]
                root = Path(f"/proc/{pid}/root")
                # One that has ended was started.
                if not pid or (root / containers.MARKER).exists() or not (root / "proc").exists():
                    return
            except aiodocker.DockerError as error:
                if "no such file or directory" not in str(error.message) or not tries_left:
                    raise
            await made.delete(force=True)
        raise AssertionError(f"the container {name} has an empty root file system")

    # -- containers that run ------------------------------------------------------------------------------------

    async def _watch(self, name: str) -> None:
        """Wait for the end of a container, and report it."""
        container = self._kubelet.container(self._pod, name)
        with contextlib.suppress(aiodocker.DockerError):
            await container.wait()
        try:
            state = (await container.show())["State"]
        except aiodocker.DockerError:
            return
        message = await asyncio.to_thread((self._folder / f"{name}.message").read_text)
        over = {"exitCode": state["ExitCode"], "reason": "Completed" if state["ExitCode"] == 0 else "Error"}
        if state.get("OOMKilled"):
            over["reason"] = "OOMKilled"
        if message:
            over["message"] = message[:4096]
        await self._state(name, terminated={**over, "finishedAt": now()})
        spec = self._pod["spec"]
        codes = [self._code_of(each["name"]) for each in spec["containers"]]
        if all(code is not None for code in codes):
            await self._status(phase="Failed" if any(codes) else "Succeeded")

    async def _probe(self, container: Mapping[str, Any]) -> None:
        """End a container whose probe of liveness fails. It is not started again."""
        probe = container["livenessProbe"]
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = 0
        found = self._kubelet.container(self._pod, container["name"])
        while failures < probe.get("failureThreshold", 3):
            await asyncio.sleep(probe.get("periodSeconds", 10))
            try:
                run = await found.exec(probe["exec"]["command"])
                async with run.start(detach=False) as stream:
                    while await stream.read_out() is not None:
                        pass
                failures = 0 if (await run.inspect())["ExitCode"] == 0 else failures + 1
            except aiodocker.DockerError:
                return
        with contextlib.suppress(aiodocker.DockerError):
            await found.kill(signal="SIGKILL")

    # -- its end ------------------------------------------------------------------------------------------------

    async def _end(self, grace: int) -> None:
        spec = self._pod["spec"]
        every = [each["name"] for each in (*spec.get("initContainers", ()), *spec["containers"])]
        await asyncio.gather(*(self._stop(name, grace) for name in every))
        await self._stop("sandbox", 0)
        for volume in spec.get("volumes", ()):
            with contextlib.suppress(aiodocker.DockerError):
                found = await self._docker.volumes.get(containers.volume_name(self._pod, volume["name"]))
                await found.delete()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _stop(self, name: str, grace: int) -> None:
        container = self._kubelet.container(self._pod, name)
        with contextlib.suppress(aiodocker.DockerError, TimeoutError):
            if grace:
                await container.kill(signal="SIGTERM")
                async with asyncio.timeout(grace):
                    await container.wait()
        with contextlib.suppress(aiodocker.DockerError):
            await container.delete(force=True, v=True)

    # -- its status ---------------------------------------------------------------------------------------------

    def _code_of(self, name: str) -> int | None:
        pod = self._present() or {"status": {}}
        for each in containers.statuses(pod):
            if each["name"] == name and "terminated" in each["state"]:
                return int(each["state"]["terminated"]["exitCode"])
        return None

    async def _status(self, **fields: Any) -> None:
        await self._update(lambda pod: pod["status"].update(fields))

    async def _state(self, name: str, **state: Mapping[str, Any]) -> None:
        await self._update(lambda pod: containers.set_state(pod, name, state))

    async def _update(self, change: Any) -> None:
        with contextlib.suppress(ApiFault):
            if self._present() is not None:
                await self._store.update(*self._key, change)


def _bind(pod: dict[str, Any], node: str) -> None:
    pod["spec"]["nodeName"] = node


def _set_condition(pod: dict[str, Any], condition: Mapping[str, Any]) -> None:
    conditions: Sequence[Mapping[str, Any]] = pod["status"].get("conditions", ())
    same = next((each for each in conditions if each["type"] == condition["type"]), None)
    if same is not None and same.get("message") == condition.get("message") and same["status"] == condition["status"]:
        return
    pod["status"]["conditions"] = [each for each in conditions if each["type"] != condition["type"]] + [condition]
