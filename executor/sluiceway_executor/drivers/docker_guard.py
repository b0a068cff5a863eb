"""Removes the pods of an executor's process when that process is killed.

The guard is a small process of its own session that waits for the end of its standard input, which the executor's
process holds open. An executor that ends in order dismisses it with a byte. The end of the first container of a pod
needs no guard (`docker.py`); services and networks do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from subprocess import DEVNULL

__all__ = ["Guard"]

_DISMISSED = b"."
_TRIES = 20
_PAUSE_SECONDS = 3.0


class Guard:
    """The guard of this process."""

    def __init__(self, url: str, label: str) -> None:
        """Take the engine, and the label of what is to be removed."""
        self._url = url
        self._label = label
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            self._url,
            self._label,
            stdin=asyncio.subprocess.PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )

    async def close(self) -> None:
        """Dismiss it. May be repeated."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.write(_DISMISSED)
            await process.stdin.drain()
            process.stdin.close()
        await process.wait()


async def _remove(url: str, label: str) -> None:
    # Not before it is needed: an idle guard is a small process.
    from sluiceway_executor.drivers.docker_engine import DockerEngine, EngineError  # noqa: PLC0415 - as above

    engine = DockerEngine(url)
    try:
        for _ in range(_TRIES):
            try:
                return await engine.remove_all(label)
            except EngineError:
                await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await engine.close()


def main(url: str, label: str) -> None:
    """Run as the guard: wait, then remove what has the label."""
    if os.read(0, 1) != _DISMISSED:
        asyncio.run(_remove(url, label))


if __name__ == "__main__":
    main(*sys.argv[1:])
