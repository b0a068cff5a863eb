"""The start of a pod: what it waits for is noted, and what keeps it from starting is raised."""

from __future__ import annotations

import asyncio

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.kubernetes_manifest import TASK
from sluiceway_executor.drivers.kubernetes_pods import Pods
from sluiceway_executor.drivers.kubernetes_state import failure_of_start, is_running, pull_trouble, waits_for
from sluiceway_executor.drivers.port import Note

__all__ = ["PodStart"]


class PodStart:
    """The start of one pod: what it waits for, for the log of the setup and for the error when it takes too long."""

    def __init__(self, note: Note, *, seconds: float, pull_seconds: float) -> None:
        """Take the time limits.

        Args:
            note: writes to the log of the setup.
            seconds: of the whole start.
            pull_seconds: since the first failure to pull an image, while it may help to try again.
        """
        self._note = note
        self._seconds = seconds
        self._pull_seconds = pull_seconds
        self._waits = ""
        self._pull_failed_at: float | None = None

    async def waits_for(self, text: str) -> None:
        """Note what it waits for, if that has changed."""
        if text and text != self._waits:
            self._waits = text
            await self._note(text)

    def too_long(self) -> FailedPrecondition:
        """Return the error of a start that exceeded its limit."""
        return FailedPrecondition(
            f"the pod did not start within {self._seconds:g} s{': ' + self._waits if self._waits else ''}",
            reason="POD_START",
        )

    async def wait(self, pods: Pods, name: str) -> None:
        """Wait until the first container of a pod runs.

        Raises:
            FailedPrecondition: it will not; the message has the reason (`IMAGE`, `POD_START`, `USER_UNSUPPORTED`).
        """
        loop = asyncio.get_running_loop()
        while True:
            pod = pods.get(name)
            failure = failure_of_start(pod)
            if failure is not None:
                raise FailedPrecondition(failure.message, reason=failure.reason)
            assert pod is not None  # noqa: S101 - else it has failed
            if is_running(pod, TASK):
                return
            trouble = pull_trouble(pod)
            if trouble is not None:
                if self._pull_failed_at is None:
                    self._pull_failed_at = loop.time()
                if trouble.is_final or loop.time() - self._pull_failed_at >= self._pull_seconds:
                    raise FailedPrecondition(
                        f'the image "{trouble.image}" cannot be pulled: {trouble.message}', reason="IMAGE"
                    )
            await self.waits_for(waits_for(pod))
            try:
                async with time_limit(1.0 if trouble is not None else 30.0):
                    await pods.wait(lambda seen=pod: pods.get(name) is not seen)  # type: ignore[misc]
            except TimeoutError:
                pass
