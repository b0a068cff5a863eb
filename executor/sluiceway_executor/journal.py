"""Stores what an executor must know after its own restart: its id, its session, and the assignments that it holds.

The journal is a small JSON file, mode 600, replaced atomically and synced before a call returns; concurrent changes
share a sync. Changes that may be lost are written with the next one: phases, and, after a second at most, that an
assignment was forgotten (a server that sees it in a hello sends `release` again).
It has a secret of the executor, by which its next process reaches the pods that are in containers.
It contains no secret of a user: a specification is requested again. Its id is random; a server that sees another one
knows that the executor forgot all it held.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import DataLoss

__all__ = ["Journal", "JournaledAssignment"]

_NUMBERS_AT_ONCE = 10_000
_VERSION = 1
_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class JournaledAssignment:
    """An assignment that this executor holds.

    Attributes:
        assignment_id: its id.
        database_epoch: the database's epoch when it was assigned.
        attempt: the attempt, from 1.
        run_id: its run.
        task_id: its task.
        phase: the number of its phase in the protocol.
        driver: the driver that runs it; empty: an earlier version of the executor accepted it, and nothing is known of
            how far it is.
        final: its last update, serialised, in base64; empty: it is not over.
    """

    assignment_id: str
    database_epoch: int
    attempt: int
    run_id: str
    task_id: str
    phase: int
    final: str = ""
    driver: str = ""


_FIELDS = tuple(field.name for field in fields(JournaledAssignment))


class Journal:
    """The journal of an executor. Changes are visible at once; the module says when they are on disk."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self.journal_id: str = content["journal_id"]
        self.executor_id: str = content["executor_id"]
        self.session_id: str = content["session_id"]
        self.session_secret: str = content["session_secret"]
        self.pod_secret = bytes.fromhex(content.get("pod_secret", "")) or secrets.token_bytes(32)
        self._numbers_to: int = content["numbers_to"]
        self._next_number: int = self._numbers_to
        self.held = {item["assignment_id"]: JournaledAssignment(**item) for item in content["held"]}
        self._lock = asyncio.Lock()
        self._waiting = asyncio.Event()
        self._changed = 0
        self._written = 0

    @classmethod
    async def open(cls, path: Path, *, executor_id: str = "") -> Journal:
        """Read the journal at `path`, or create it.

        `executor_id` is the id of the executor if it is given; else the journal chooses one when it is created.

        Raises:
            DataLoss: the file is not a journal.
        """
        content = await asyncio.to_thread(_read, path)
        if content is None:
            content = {
                "version": _VERSION,
                "journal_id": secrets.token_hex(16),
                "executor_id": executor_id or f"executor-{secrets.token_hex(4)}",
                "session_id": "",
                "session_secret": "",
                "numbers_to": 1,
                "held": [],
            }
        elif executor_id and content["executor_id"] != executor_id:
            # With another id it is another executor, which does not have this session.
            content |= {"executor_id": executor_id, "session_id": "", "session_secret": ""}
        journal = cls(path, content)
        await journal._sync()
        return journal

    async def set_session(self, session_id: str, session_secret: str) -> None:
        """Store the session."""
        if (session_id, session_secret) != (self.session_id, self.session_secret):
            self.session_id, self.session_secret = session_id, session_secret
            await self._sync()

    async def hold(self, held: JournaledAssignment) -> None:
        """Store an assignment, new or changed."""
        if self.held.get(held.assignment_id) != held:
            self.held[held.assignment_id] = held
            await self._sync()

    def mark(self, assignment_id: str, phase: int) -> None:
        """Set the phase of an assignment. It is written with the next change, and may be lost."""
        held = self.held.get(assignment_id)
        if held is not None and not held.final:
            self.held[assignment_id] = replace(held, phase=phase)

    def forget(self, assignment_id: str) -> None:
        """Remove an assignment; `run` removes it from the disk. May be repeated."""
        if self.held.pop(assignment_id, None) is not None:
            self._changed += 1
            self._waiting.set()

    async def run(self) -> None:
        """Write pending changes within a second, until cancelled."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            await asyncio.sleep(_WAIT_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write pending changes."""
        await self._write_out(self._changed)

    async def forget_all(self) -> None:
        """Remove the session and all assignments: the session was fenced."""
        self.held.clear()
        self.session_id = self.session_secret = ""
        await self._sync()

    async def reserve_numbers(self) -> None:
        """Reserve numbers for `next_number` on disk, so that no number is used again after a crash."""
        if self._next_number + _NUMBERS_AT_ONCE // 2 > self._numbers_to:
            self._numbers_to = self._next_number + _NUMBERS_AT_ONCE
            await self._sync()

    def next_number(self) -> int:
        """Return the next number of an update."""
        self._next_number += 1
        return self._next_number - 1

    async def _sync(self) -> None:
        self._changed += 1
        await self._write_out(self._changed)

    async def _write_out(self, wanted: int) -> None:
        # Shielded: if it was cancelled half-way, its thread could overwrite a later change.
        await asyncio.shield(asyncio.create_task(self._write(wanted)))

    async def _write(self, wanted: int) -> None:
        async with self._lock:
            if self._written >= wanted:
                return
            writing = self._changed
            content = {
                "version": _VERSION,
                "journal_id": self.journal_id,
                "executor_id": self.executor_id,
                "session_id": self.session_id,
                "session_secret": self.session_secret,
                "pod_secret": self.pod_secret.hex(),
                "numbers_to": self._numbers_to,
                "held": [{name: getattr(held, name) for name in _FIELDS} for held in self.held.values()],
            }
            await asyncio.to_thread(_replace, self._path, json.dumps(content).encode())
            self._written = writing


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss(
            f"{path} is not an executor's journal ({error}); move it away to begin as a new executor"
        ) from error
    return dict(content)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
