"""Removes what the pods of an executor leave when its process is killed and no other one comes.

The guard is a small process of its own session that waits for the end of its standard input, which the executor's
process holds open. An executor that ends in order dismisses it with a byte. Then the pods either end with the
executor, and the guard removes them; or they continue for its next process, and the guard removes the services and the
network of each pod whose first container has ended, which that does when it is not fed. While another process of the
executor runs, which has a guard of its own, it removes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluiceway_executor.drivers.docker_engine import DockerEngine

__all__ = ["Guard", "Guarded"]

_DISMISSED = b"."
_PAUSE_SECONDS = 1.0
_AWAY_SECONDS = 3600.0
"""How long it waits for an engine that is away."""
_SUCCEEDED_SECONDS = 60.0
"""After so long with another process of the executor it ends."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is guarded.

    Attributes:
        url: the address of the engine.
        label: of what is removed (`KEY=VALUE`).
        first: the key of a label of first containers; empty: pods end with the executor.
        assignment: the key of the label with the assignment.
        work_dir: the folder of the driver, in that of the executor, whose lock the executor holds.
    """

    url: str
    label: str
    first: str = ""
    assignment: str = ""
    work_dir: str = ""


class Guard:
    """The guard of this process."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            json.dumps(asdict(self._guarded)),
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


async def _remove(guarded: Guarded) -> None:
    # Not before it is needed: an idle guard is a small process.
    from sluiceway_executor.drivers.docker_engine import DockerEngine, EngineError  # noqa: PLC0415 - as above

    engine = DockerEngine(guarded.url)
    reached_at = succeeded_at = time.monotonic()
    try:
        while time.monotonic() - reached_at < _AWAY_SECONDS:
            with contextlib.suppress(EngineError):
                if not guarded.first:
                    return await engine.remove_all(guarded.label)
                ended = await _ended(engine, guarded)
                if ended is None:
                    return None
                reached_at = time.monotonic()
                if await _remove_pods(engine, guarded, ended):
                    succeeded_at = time.monotonic()
            if time.monotonic() - succeeded_at > _SUCCEEDED_SECONDS:
                return None
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await engine.close()


async def _ended(engine: DockerEngine, guarded: Guarded) -> set[str] | None:
    """Return the assignments of pods whose first container has ended; None: there are no pods."""
    containers = await engine.containers(guarded.label)
    networks = await engine.networks(guarded.label)
    if not containers and not networks:
        return None
    live = {_label(each, guarded.assignment) for each in containers if _is_live(each, guarded.first)}
    return {_label(each, guarded.assignment) for each in (*containers, *networks)} - live


async def _remove_pods(engine: DockerEngine, guarded: Guarded, assignments: set[str]) -> bool:
    """Remove pods; return whether no other process of the executor runs."""
    from sluiceway_common.foundation.file_lock import lock_file  # noqa: PLC0415 - as above

    work_dir = Path(guarded.work_dir)
    # For one pod at a time: an executor that starts waits for the lock.
    for assignment in (*sorted(assignments), ""):
        lock = lock_file(work_dir.parent / "lock")
        if lock is None:
            return False
        with lock:
            if assignment:
                label = f"{guarded.assignment}={assignment}"
                found: Sequence[Mapping[str, object]] = await engine.containers(guarded.label, label)
                names = [str(name).strip("/") for each in found for name in each.get("Names") or ()]  # type: ignore[attr-defined]
                names += [str(each["Name"]) for each in await engine.networks(guarded.label, label)]
                await engine.remove_all(guarded.label, label)
                for name in names:
                    shutil.rmtree(work_dir / name, ignore_errors=True)
    return True


def _label(found: Mapping[str, object], key: str) -> str:
    labels = found.get("Labels")
    return str(labels.get(key, "")) if isinstance(labels, dict) else ""


def _is_live(container: Mapping[str, object], first: str) -> bool:
    return bool(_label(container, first)) and container.get("State") not in {"exited", "dead", "removing"}


def main(guarded: str) -> None:
    """Run as the guard: wait, then remove."""
    if os.read(0, 1) != _DISMISSED:
        asyncio.run(_remove(Guarded(**json.loads(guarded))))


if __name__ == "__main__":
    main(sys.argv[1])
