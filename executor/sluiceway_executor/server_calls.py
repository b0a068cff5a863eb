"""Calls to a server beside the stream, repeated while no server answers."""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.errors import DeadlineExceeded, Unavailable
from sluiceway_common.foundation.rpc.status import errors_of_call

__all__ = ["repeat_call"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


async def repeat_call(
    open_channel: Callable[[], grpc.aio.Channel],
    what: str,
    call: Callable[[pb_grpc.ExecutorServiceAsyncStub], Awaitable[T]],
    *,
    random: Callable[[], float] = _random.random,
) -> T:
    """Return the result of a call, made again with growing pauses until a server answers, or it is cancelled.

    Args:
        open_channel: opens a channel to a server.
        what: the call does, for the log.
        call: may be made again.
        random: between 0 and 1, for the pauses.

    Raises:
        SluicewayError: a server refuses the call.
    """
    failures = 0
    while True:
        channel = open_channel()
        try:
            with errors_of_call(what):
                return await call(pb_grpc.ExecutorServiceStub(channel))
        except (DeadlineExceeded, Unavailable) as error:
            failures += 1
            log.info("call_repeated", what=what, reason=error.reason, error=str(error), failures=failures)
        finally:
            await channel.close()
        await asyncio.sleep(backoff_seconds(failures, first=_FIRST_PAUSE, limit=_LONGEST_PAUSE, random=random))
