"""What the fake breaks on request, over HTTP: `POST /fake/NAME` with an object of arguments."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.kubernetes.store import ApiFault, Store

__all__ = ["Faults"]


@dataclass
class _Refusal:
    pattern: re.Pattern[str]
    status: int
    reason: str
    message: str
    retry_after: int
    times: int


class Faults:
    """Which requests fail, and what else happens.

    - `refuse` (`request`: a pattern of `METHOD PATH?QUERY`; `status`, `reason`, `message`, `retry_after`, `times`)
    - `compact`: watches of earlier revisions end with 410.
    - `cut`: all connections are reset.
    - `away` (`seconds`): the same, and requests are cut for so long.
    - `evict` (`namespace`, `pod`, `message`): the node evicts a pod.
    - `seen`: returns the requests so far.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._refusals: list[_Refusal] = []
        self._away_until = 0.0
        self.seen: list[str] = []
        self.connections: set[asyncio.BaseTransport] = set()

    @property
    def is_away(self) -> bool:
        """Whether requests are cut."""
        return asyncio.get_running_loop().time() < self._away_until

    def check(self, request: web.Request) -> None:
        """Raise if this request is to be refused."""
        text = f"{request.method} {request.path_qs}"
        self.seen.append(text)
        for each in self._refusals:
            if each.times > 0 and each.pattern.search(text):
                each.times -= 1
                raise ApiFault(each.status, each.reason, each.message, retry_after=each.retry_after)

    async def do(self, name: str, given: dict[str, Any]) -> Any:
        """Do what a test asks for."""
        match name:
            case "refuse":
                self._refusals.append(
                    _Refusal(
                        re.compile(given["request"]),
                        given["status"],
                        given.get("reason", "Fault"),
                        given.get("message", "a test wants it so"),
                        given.get("retry_after", 0),
                        given.get("times", 1),
                    )
                )
            case "compact":
                self._store.compact()
            case "cut" | "away":
                self._away_until = asyncio.get_running_loop().time() + given.get("seconds", 0.0)
                for transport in list(self.connections):
                    transport.abort()  # type: ignore[attr-defined]
            case "evict":
                await self._evict(given["namespace"], given["pod"], given["message"])
            case "seen":
                return self.seen
            case _:
                raise ApiFault(404, "NotFound", f"there is no fault {name}")
        return {}

    async def _evict(self, namespace: str, name: str, message: str) -> None:
        def evict(pod: dict[str, Any]) -> None:
            pod["status"] |= {"phase": "Failed", "reason": "Evicted", "message": message}

        await self._store.update("pods", namespace, name, evict)
