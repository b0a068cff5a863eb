"""A receiver of outgoing webhooks: an HTTP server whose responses a test decides, and that verifies each signature.

The verification is the example of docs/webhooks.md, and no code of the product.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

_PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def documented_example(folder: Path) -> Any:
    """Return the example of the page as a module."""
    (source,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    path = folder / "verify_webhook.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("verify_webhook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class HookReceiver:
    """Attributes: `respond` returns the status of a response, or None for none until `release`; `received` is all."""

    url: str
    respond: Callable[[Received], int | None] = lambda _: 204
    received: list[Received] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def types(self, run_id: str = "") -> list[str]:
        """Return the types of the events that came, of one run or of all."""
        return [each.event["type"] for each in self.received if run_id in {"", each.event["data"]["run"]["id"]}]

    def release(self) -> None:
        self._released.set()

    async def take(self, request: web.Request) -> web.Response:
        got = Received({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.received.append(got)
        status = self.respond(got)
        if status is None:
            await self._released.wait()
            status = 204
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def hook_receiver() -> AsyncIterator[HookReceiver]:
    """Run a receiver on a free port of loopback."""
    receiver = HookReceiver("")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        receiver.release()
        await runner.cleanup()


@contextmanager
def threaded_receiver() -> Iterator[HookReceiver]:
    """Run a receiver beside a test that has no event loop."""
    started: Future[HookReceiver] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def work() -> None:
        async with hook_receiver() as receiver:
            started.set_result(receiver)
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    try:
        yield started.result(60)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()
