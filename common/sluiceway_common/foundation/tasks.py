"""Several tasks whose failure is one failure to whoever started them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sluiceway_common.foundation.errors import SluicewayError

__all__ = ["one_error"]


@contextmanager
def one_error() -> Iterator[None]:
    """Around a task group: raise the first of our errors alone; a group with anything else in it stays what it is.

    One hand failed and the others were ended for it, so one error says it all. A `raise` in an `except*` is no way to
    do it: the Python 3.11.2 of Debian 12 puts even a single error that comes from there into a group again.
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
