"""Writes the output of one step to its spool: masked, counted, and cut at the limit of the log."""

from __future__ import annotations

from collections.abc import Iterable

from sluiceway_common.foundation.clock import Clock
from sluiceway_executor.masking import Masker
from sluiceway_executor.spool import Spool, Spools

__all__ = ["DEFAULT_LOG_LIMIT_BYTES", "StepLog"]

DEFAULT_LOG_LIMIT_BYTES = 1 << 30


class StepLog:
    """The log of a step that runs. One writer at a time."""

    def __init__(
        self, spools: Spools, spool: Spool, *, masks: Iterable[bytes], clock: Clock, limit_bytes: int = 0
    ) -> None:
        self._spools = spools
        self._spool = spool
        self._masker = Masker(masks)
        self._clock = clock
        self._left = limit_bytes or DEFAULT_LOG_LIMIT_BYTES
        self._limit = self._left
        self._cut = False
        self._last = b"\n"

    @property
    def size(self) -> int:
        """The size of the log so far, in bytes."""
        return self._spool.size

    @property
    def sha256(self) -> str:
        """The digest of the log so far, in hex."""
        return self._spool.sha256

    async def write(self, data: bytes) -> None:
        """Write output of the step. Waits while the spools are full."""
        await self._append(self._masker.feed(data))

    async def note(self, text: str) -> None:
        """Write a line of the executor, at most 4 KiB of `text`."""
        await self._append(self._masker.finish())
        start = b"" if self._last == b"\n" else b"\n"
        line = self._masker.once(text.encode("utf-8", "replace")[:4096])
        await self._append(start + b"[sluice] " + line.rstrip(b"\n") + b"\n")

    async def finish(self) -> None:
        """End the log. May be repeated."""
        if not self._spool.ended:
            await self._append(self._masker.finish())
            await self._spools.end(self._spool)

    async def _append(self, data: bytes) -> None:
        if not data or self._cut:
            return
        if len(data) > self._left:
            self._cut = True
            data = data[: self._left]
            start = b"" if (data or self._last).endswith(b"\n") else b"\n"
            notice = f"[sluice] the log reached its limit of {self._limit} bytes; what follows is not kept\n"
            data += start + notice.encode()
        self._left -= len(data)
        self._last = data[-1:]
        await self._spools.append(self._spool, data, self._clock.now())
