"""An executor in the event loop of its test, and its journal and tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2
from sluiceway_executor.app import ExecutorSettings, run_executor

__all__ = ["RunningExecutor", "Start", "StopRequest", "journal_of", "script", "until", "until_exists"]


class StopRequest:
    """The request of an operator to end the process: `event` is set."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self) -> None:
        await self.event.wait()


@dataclass
class RunningExecutor:
    """One executor; it may be started again on the same folder."""

    settings: ExecutorSettings
    stop: StopRequest = field(default_factory=StopRequest)
    task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.stop = StopRequest()
        self.task = asyncio.create_task(run_executor(self.settings, self.stop))

    async def kill(self) -> None:
        """End it as by SIGKILL."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    async def drain(self) -> None:
        """Drain it and wait for its end."""
        assert self.task is not None
        self.stop.event.set()
        async with asyncio.timeout(60):
            await self.task


Start = Callable[..., Awaitable[RunningExecutor]]
"""Starts one, with changes to its settings, and waits until it has called its server."""


def script(*commands: str, masks: tuple[bytes, ...] = (), timeout: float = 60, grace: float = 1) -> pb.Specification:
    """Specify a task on the host with a step for each command; one that begins with `always:` runs in any case."""
    specification = pb.Specification(
        run_id="run",
        task_id="task",
        task_name="t",
        working_dir="~/project",
        shell="/bin/sh -e",
        masks=masks,
        environment={"CI": "true"},
    )
    specification.runtime.containers.add(image="host")
    specification.timeout.FromTimedelta(timedelta(seconds=timeout))
    specification.grace.FromTimedelta(timedelta(seconds=grace))
    for command in commands:
        always = command.startswith("always:")
        definition = definition_pb2.StepDefinition(name=command[:20], always=always)
        definition.run.command = command.removeprefix("always:")
        specification.steps.add(definition=definition)
    return specification


def journal_of(executor: RunningExecutor) -> dict[str, Any]:
    """Return the entries of its journal."""
    path = executor.settings.work_dir / "journal.json"
    assert path.stat().st_mode & 0o777 == 0o600
    content: dict[str, Any] = json.loads(path.read_text())
    return content


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the change of a file causes no event
            await asyncio.sleep(0.01)


async def until_exists(path: Path) -> None:
    await until(path.exists)
