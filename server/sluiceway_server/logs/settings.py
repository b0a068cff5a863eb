"""When logs are cut into segments, and how much of them is buffered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class LogBufferSettings:
    """When segments are cut, and how much is buffered. Sizes in bytes.

    Attributes:
        cut_bytes: a segment is cut when so much is not stored.
        segment_bytes: the size of a segment, at most: what arrives while one is stored goes into the next one.
        cut_after: a segment is cut at this age, however small it is. A longer time makes fewer objects, and larger
            spools.
        first_cut_after: the same within `first_period`, because most failures come early.
        first_period: since this server opened the log.
        log_bytes: bytes of one log that are not stored; above it, its pushers wait.
        all_bytes: the same of all logs of this server. Lower it where memory is scarce.
        tail_bytes: stored bytes that are kept per log, for readers that are close behind.
        give_up_after: a log without a pusher that cannot be stored for so long is dropped; its executor has the bytes.
    """

    cut_bytes: int = 1024 * 1024
    segment_bytes: int = 4 * 1024 * 1024
    cut_after: timedelta = timedelta(seconds=30)
    first_cut_after: timedelta = timedelta(seconds=5)
    first_period: timedelta = timedelta(minutes=1)
    log_bytes: int = 8 * 1024 * 1024
    all_bytes: int = 256 * 1024 * 1024
    tail_bytes: int = 256 * 1024
    give_up_after: timedelta = timedelta(minutes=2)
