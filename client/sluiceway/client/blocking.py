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
        return _wait(use(self._client), self._loop)

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
                more, value = _wait(following(), self._loop)
                if not more:
                    return
                yield value  # type: ignore[misc]  # a value is there whenever `more` is true
        finally:
            close = getattr(stream, "aclose", None)
            # A generator that outlives the connection was closed with it.
            if close is not None and not self._loop.is_closed():
                _wait(close(), self._loop)


@contextmanager
def connect(server: str, *, token: str | None = None) -> Iterator[BlockingClient]:
    """Open a connection; see `sluiceway.client.connect`. When it is left, the thread has ended."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="sluiceway-client", daemon=True)
    thread.start()
    manager = connect_async(server, token=token)
    try:
        client = _wait(manager.__aenter__(), loop)
        try:
            yield BlockingClient(client, loop)
        finally:
            _wait(manager.__aexit__(None, None, None), loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # Streams that were not walked to their end.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _wait(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        # The waiting was interrupted (Ctrl-C): nobody wants the answer any more. Without effect when it is there.
        future.cancel()
        raise
