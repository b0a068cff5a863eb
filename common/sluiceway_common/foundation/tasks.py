"""The errors of task groups."""

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
        raise errors_in(errors)[0] from errors


def errors_in(error: BaseException) -> list[BaseException]:
    """Return the errors of a group and of groups in it, in order; of another error, only that."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for part in error.exceptions for inner in errors_in(part)]
    return [error]
