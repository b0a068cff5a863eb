"""Writes the output of one step to its spool: masked, counted, and cut at the limit of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sluiceway_common.foundation.clock import Clock
from sluiceway_executor.drivers.port import KEPT_BYTES, Process
from sluiceway_executor.log_mark import Mark
from sluiceway_executor.masking import Masker
from sluiceway_executor.spool import Spool, Spools

__all__ = ["DEFAULT_LOG_LIMIT_BYTES", "StepLog", "copy_output", "forget_when_kept"]

DEFAULT_LOG_LIMIT_BYTES = 1 << 30
_LOOK_SECONDS = 0.25


class StepLog:
    """The log of a step that runs. One writer at a time.

    It continues the log that an earlier process left: the output must be written again from `output` on, and the
    executor's own lines from the first one on.
    """

    def __init__(
        self, spools: Spools, spool: Spool, *, masks: Iterable[bytes], clock: Clock, limit_bytes: int = 0
    ) -> None:
        self._spools = spools
        self._spool = spool
        self._clock = clock
        self._limit = limit_bytes or DEFAULT_LOG_LIMIT_BYTES
        mark = spool.mark or Mark(left=self._limit)
        self._masker = Masker(masks, covered=mark.covered, in_run=mark.in_run)
        self._output = mark.output
        self._left = mark.left
        self._cut = mark.is_cut or spool.ended
        self._last = b"\n" if mark.is_line_start else b" "
        self._notes = 0
        self._known_notes = mark.notes

    @property
    def size(self) -> int:
        """The size of the log so far, in bytes."""
        return self._spool.size

    @property
    def sha256(self) -> str:
        """The digest of the log so far, in hex."""
        return self._spool.sha256

    @property
    def output(self) -> int:
        """So many bytes of the step's output were written to it."""
        return self._output

    @property
    def kept_output(self) -> int:
        """So many of them need not be written again after the end of this process."""
        mark = self._spool.written_mark
        return self._output if self._spool.complete else 0 if mark is None else mark.output

    def mask(self, secrets: Iterable[bytes]) -> None:
        """Mask more secrets in what follows."""
        self._masker.add(secrets)

    async def keep(self) -> None:
        """Write the log to disk, so that it is kept if this process ends. Raises OSError."""
        await self._spools.write(self._spool)

    async def begin_output(self) -> None:
        """Begin with the output of another command, in the same log."""
        await self._append(self._masker.finish())
        self._output = self._notes = self._known_notes = 0
        await self._append(b"")
        await self.keep()

    async def write(self, data: bytes) -> None:
        """Write output of the step. Waits while the spools are full."""
        self._output += len(data)
        await self._append(self._masker.feed(data))

    async def note(self, text: str) -> None:
        """Write a line of the executor, at most 4 KiB of `text`."""
        if self._notes < self._known_notes:
            self._notes += 1
            return
        await self._append(self._masker.finish())
        start = b"" if self._last == b"\n" else b"\n"
        line = self._masker.once(text.encode("utf-8", "replace")[:4096])
        self._notes += 1
        await self._append(start + b"[sluice] " + line.rstrip(b"\n") + b"\n")

    async def finish(self) -> None:
        """End the log. May be repeated."""
        if not self._spool.ended:
            await self._append(self._masker.finish())
            await self._spools.end(self._spool)

    async def _append(self, data: bytes) -> None:
        if self._cut:
            data = b""
        elif len(data) > self._left:
            self._cut = True
            data = data[: self._left]
            start = b"" if (data or self._last).endswith(b"\n") else b"\n"
            notice = f"[sluice] the log reached its limit of {self._limit} bytes; what follows is not kept\n"
            data += start + notice.encode()
        self._left -= len(data)
        self._last = data[-1:] or self._last
        covered, in_run = self._masker.state
        mark = Mark(
            size=self._spool.size + len(data),
            output=self._output - self._masker.held,
            covered=covered,
            in_run=in_run,
            is_line_start=self._last == b"\n",
            left=max(0, self._left),
            is_cut=self._cut,
            notes=max(self._notes, self._known_notes),
        )
        await self._spools.append(self._spool, data, self._clock.now(), mark)


async def copy_output(process: Process, step_log: StepLog) -> None:
    """Write the output of a command to its log, to the end, and acknowledge what is kept of it."""
    kept = step_log.output
    while data := await process.read():
        await step_log.write(data)
        if step_log.output - kept >= KEPT_BYTES // 2:
            await step_log.keep()
            kept = step_log.kept_output
            if step_log.output - kept >= KEPT_BYTES // 2:
                # The masker holds back so much of a long secret that the command would be held up for good.
                kept = step_log.output
            await process.acknowledge(kept)


async def forget_when_kept(process: Process, step_log: StepLog) -> None:
    """Delete what the pod keeps of a finished command, once its log is on disk or stored."""
    while step_log.kept_output < step_log.output:  # noqa: ASYNC110 - the spools write within a second
        await asyncio.sleep(_LOOK_SECONDS)
    await process.forget()
