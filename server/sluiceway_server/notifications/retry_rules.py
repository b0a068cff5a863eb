"""What follows from an attempt to send a delivery. Pure.

An attempt that fails is repeated with back-off, from some seconds to an hour, for `GIVE_UP_AFTER`. Then the delivery is
given up, and the webhook is disabled if nothing else succeeded in that time. A receiver that responds with 410 does not
want the webhook any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sluiceway_common.foundation.backoff import backoff_seconds

GIVE_UP_AFTER = timedelta(hours=24)
GONE = 410
_FIRST_SECONDS = 5.0
_LIMIT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended.

    Attributes:
        status: of the response; 0: there was none.
        duration: until the response, or until it was given up.
        fault: a sentence for people; empty: the receiver has it.
        retry_after: how long the receiver wants to be left alone.
    """

    status: int
    duration: timedelta
    fault: str = ""
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Next:
    """What to do after an attempt.

    Attributes:
        retry: when to send it again; None: it is settled.
        is_delivered: the receiver has it.
        disable: why the webhook is to be disabled; empty: it is not.
    """

    retry: datetime | None
    is_delivered: bool
    disable: str = ""


def after_attempt(
    attempt: Attempt, *, failures: int, first: datetime, failing_since: datetime | None, now: datetime
) -> Next:
    """Return what follows from an attempt.

    Args:
        attempt: how it ended.
        failures: of this delivery before it.
        first: when the delivery was sent first.
        failing_since: since when nothing of this webhook succeeds; None: the last attempt did.
        now: the time.
    """
    if not attempt.fault:
        return Next(None, is_delivered=True)
    if attempt.status == GONE:
        return Next(None, is_delivered=False, disable="the receiver responds with 410: it wants no more events")
    if now - first < GIVE_UP_AFTER:
        pause = backoff_seconds(failures + 1, first=_FIRST_SECONDS, limit=_LIMIT_SECONDS)
        wanted = min(attempt.retry_after.total_seconds(), _LIMIT_SECONDS)
        return Next(now + timedelta(seconds=max(pause, wanted)), is_delivered=False)
    disable = ""
    if failing_since is not None and now - failing_since >= GIVE_UP_AFTER:
        hours = GIVE_UP_AFTER // timedelta(hours=1)
        disable = f"no request has succeeded for {hours} hours; the last one: {attempt.fault}"
    return Next(None, is_delivered=False, disable=disable)
