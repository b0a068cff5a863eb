"""Named crash points: places at which a test can make the process die, before and after every external effect.

They are part of the code and off by default: `crash_point(name)` reads one empty table. Tests arm one through
the environment, for a real process:

    SLUICE_CRASH_AT=flush.segment-put          dies the first time, as by kill -9
    SLUICE_CRASH_AT=commit.before-append:20    dies the 20th time

or through `crashing`, inside a test's own process, where the "process" is a task that ends with `Crashed`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CRASH_POINTS: set[str] = set()
"""Every name that was declared; the tests walk through them."""

_VARIABLE = "SLUICE_CRASH_AT"


class Crashed(BaseException):
    """A simulated process died here. Not an Exception, so that no handler catches it."""


_armed: dict[str, Callable[[], None]] = {}


def arm_from_environment() -> None:
    """Read the environment again. Done at import; a process that is forked for a test does it once more."""
    _armed.clear()
    setting = os.environ.get(_VARIABLE, "")
    if not setting:
        return
    name, _, times = setting.partition(":")
    left = int(times or "1")

    def die() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _armed[name] = die


arm_from_environment()


def declare_crash_points(*names: str) -> None:
    """Register the crash points of a module when it is imported, so that tests can visit all of them."""
    CRASH_POINTS.update(names)


def declare_effects(*names: str) -> None:
    """Register the two crash points of each effect, as `crash_points` names them."""
    for name in names:
        declare_crash_points(*_around(name))


def crash_point(name: str) -> None:
    """Die here, if this point is armed."""
    if _armed and (hit := _armed.get(name)) is not None:
        hit()


@contextmanager
def crash_points(effect: str) -> Iterator[None]:
    """Die before or after the effect that the body has, if that point is armed.

    The points of `flush.segment` are `flush.before-segment` and `flush.after-segment`. A body that raises does not
    reach the second one.
    """
    before, after = _around(effect)
    crash_point(before)
    yield
    crash_point(after)


def _around(effect: str) -> tuple[str, str]:
    area, _, name = effect.partition(".")
    return f"{area}.before-{name}", f"{area}.after-{name}"


@contextmanager
def crashing(hit: Callable[[str], None], *names: str) -> Iterator[None]:
    """Call `hit` with the name of each of these points that is reached in this process; `hit` may raise `Crashed`."""

    def armed(name: str) -> Callable[[], None]:
        return lambda: hit(name)

    before = dict(_armed)
    _armed.update({name: armed(name) for name in names})
    try:
        yield
    finally:
        _armed.clear()
        _armed.update(before)
