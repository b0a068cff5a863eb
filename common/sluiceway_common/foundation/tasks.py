"""Task groups whose failure is a single error of our family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sluiceway_common.foundation.errors import SluicewayError


@contextmanager
def one_error() -> Iterator[None]:
    """Put around a task group: raise the first error of our family instead of the group, if the group has no others.

    One task failed, and the others were cancelled because of it, so one error is enough. This cannot be a `raise` in an
    `except*`: Python 3.11.2 (Debian 12) puts even a single error that is raised there into a group again.
    """
    try:
        yield
    except BaseExceptionGroup as errors:
        _, others = errors.split(SluicewayError)
        if others is not None:
            raise
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from errors
