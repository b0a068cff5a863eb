"""When a schedule is due: cron expressions in time zones, and the faults of a schedule. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from sluiceway.api.project.v1 import schedule_service_pb2 as api
from sluiceway_common.foundation.errors import Violation
from sluiceway_common.foundation.locations import ref_fault
from sluiceway_common.foundation.texts import shown

__all__ = ["full_name", "next_time", "ref_violation", "violations"]

_FIELDS = 5
_BRANCHES = "refs/heads/"
_REFS = (_BRANCHES, "refs/tags/")


def full_name(ref: str) -> str:
    """Return the full name of a ref; a name alone is that of a branch."""
    return ref if ref.startswith("refs/") else f"{_BRANCHES}{ref}"


def ref_violation(ref: str) -> str | None:
    """Return why a text names no branch and no tag; None: it does."""
    fault = ref_fault(ref)
    if fault is not None:
        return f"it {fault}"
    if not full_name(ref).startswith(_REFS):
        return "it is no branch and no tag; the runs of a pull request are restarted or redelivered"
    return None


def next_time(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """Return the first time of a valid schedule after another time, in UTC; None: it never comes again."""
    times = CronSim(cron, after.astimezone(_zone(time_zone)))
    try:
        return next(times).astimezone(UTC)
    except StopIteration:
        return None


def violations(schedule: api.Schedule, now: datetime) -> Iterator[Violation]:
    """Yield the faults of a schedule."""
    zone_fault = _zone_fault(schedule.time_zone)
    if zone_fault is not None:
        yield Violation("schedule.time_zone", zone_fault)
    cron_fault = _cron_fault(schedule.cron)
    if cron_fault is not None:
        yield Violation("schedule.cron", cron_fault)
    elif zone_fault is None and next_time(schedule.cron, schedule.time_zone, now) is None:
        yield Violation("schedule.cron", "this time never comes")
    if schedule.ref and (fault := ref_violation(schedule.ref)) is not None:
        yield Violation("schedule.ref", fault)


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name or "UTC")


def _zone_fault(name: str) -> str | None:
    try:
        _zone(name)
    except (OSError, ValueError, LookupError):
        return f"{shown(name, most=100)!r} is no time zone; give one such as Europe/Berlin"
    return None


def _cron_fault(cron: str) -> str | None:
    fields = len(cron.split())
    if fields != _FIELDS:
        return f"it has {fields} fields; give five: minute, hour, day of the month, month, day of the week"
    try:
        CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return f"{shown(str(error), most=200)}; give five fields such as `30 2 * * mon-fri`"
    return None
