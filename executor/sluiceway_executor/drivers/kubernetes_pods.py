"""The pods of this executor, as the API server last reported them: a list, then a watch that is made again for good.

A watch ends for many reasons: the server restarts, a proxy cuts it, its revision was compacted (410). It continues from
the last revision, or begins again with a list. While the server is away, what was known last counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from sluiceway_executor.drivers.kubernetes_api import ApiError, KubernetesApi

__all__ = ["Pods"]

log = structlog.get_logger(__name__)

_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 10.0
_GONE = 410


class Pods:
    """The pods with a label. `run` keeps them up to date."""

    def __init__(self, api: KubernetesApi, label: str) -> None:
        self._api = api
        self._label = label
        self._known: dict[str, Mapping[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._put: dict[str, Mapping[str, Any]] = {}
        """Those that were put since the present list was requested, which may lack them."""
        self._revision = ""

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Return a pod; None: there is none."""
        return self._known.get(name)

    async def put(self, pod: Mapping[str, Any]) -> None:
        """Add a pod that was just created, before the watch reports it."""
        async with self._changed:
            self._put[pod["metadata"]["name"]] = pod
            self._known.setdefault(pod["metadata"]["name"], pod)
            self._changed.notify_all()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition of pods holds. It is evaluated at each change."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def run(self) -> None:
        """Watch, until cancelled."""
        pause = _MIN_PAUSE_SECONDS
        while True:
            try:
                if not self._revision:
                    await self._list()
                async for event in self._api.watch("pods", self._revision, self._label):
                    pause = _MIN_PAUSE_SECONDS
                    await self._take(event)
            except ApiError as error:
                if error.status == _GONE:
                    self._revision = ""
                    continue
                log.info("kubernetes_watch_broken", error=str(error), seconds=round(pause, 1))
                await asyncio.sleep(error.retry_after or pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(_MAX_PAUSE_SECONDS, pause * 2)

    async def _list(self) -> None:
        self._put.clear()
        found = await self._api.find("pods", self._label)
        async with self._changed:
            self._known = self._put | {each["metadata"]["name"]: each for each in found["items"]}
            self._revision = str(found["metadata"]["resourceVersion"])
            self._changed.notify_all()

    async def _take(self, event: Mapping[str, Any]) -> None:
        pod = event["object"]
        name = pod["metadata"].get("name", "")
        async with self._changed:
            with contextlib.suppress(KeyError):
                self._revision = str(pod["metadata"]["resourceVersion"])
            if event["type"] == "DELETED":
                self._known.pop(name, None)
            elif event["type"] != "BOOKMARK":
                self._known[name] = pod
            self._changed.notify_all()
