"""The SDK without `await`: one thread runs the event loop, every call waits for it.

    with connect("127.0.0.1:7000", token=token) as client:
        run = client.call(lambda c: c.runs.get(run_id))
        for chunk in client.stream(lambda c: c.runs.logs(run_id, task_id)):
            ...

Not for use inside a running event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sluiceway.client.connection import Client
from sluiceway.client.connection import connect as connect_async

__all__ = ["BlockingClient", "connect"]

T = TypeVar("T")


class BlockingClient:
    """A `Client` in a thread of its own. Made by `connect`."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def call(self, use: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Run one call to its end and answer its value. Raises what the call raises."""
        return asyncio.run_coroutine_threadsafe(use(self._client), self._loop).result()

    def stream(self, use: Callable[[Client], AsyncIterator[T]]) -> Iterator[T]:
        """Walk a stream; leaving the loop early ends it."""
        stream = use(self._client)

        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(stream)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                more, value = asyncio.run_coroutine_threadsafe(following(), self._loop).result()
                if not more:
                    return
                yield value  # type: ignore[misc]  # a value is there whenever `more` is true
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                asyncio.run_coroutine_threadsafe(close(), self._loop).result()


@contextmanager
def connect(server: str, *, token: str | None = None) -> Iterator[BlockingClient]:
    """Open a connection; see `sluiceway.client.connect`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sluiceway-client", daemon=True)
    thread.start()
    manager = connect_async(server, token=token)
    try:
        client = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result()
        try:
            yield BlockingClient(client, loop)
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
