"""Requests the specification of an assignment again, after a restart of this executor."""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Callable

import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_executor.journal import Journal

__all__ = ["SpecificationSource"]

log = structlog.get_logger(__name__)

_CALL_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0


class SpecificationSource:
    """The specifications of one executor at its servers."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        journal: Journal,
        *,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._open_channel = open_channel
        self._journal = journal
        self._random = random

    async def get(self, assignment_id: str, epoch: pb.Epoch) -> pb.Specification:
        """Return the specification of an assignment. Repeats the call until a server returns it, or it is cancelled.

        A server that does not know the assignment says so on the stream, which discards it.
        """
        failures = 0
        while True:
            channel = self._open_channel()
            try:
                with errors_of_call("get a specification"):
                    request = pb.GetSpecificationRequest(
                        executor_id=self._journal.executor_id,
                        session_id=self._journal.session_id,
                        session_secret=self._journal.session_secret,
                        assignment_id=assignment_id,
                        epoch=epoch,
                    )
                    stub = pb_grpc.ExecutorServiceStub(channel)
                    response = await stub.GetSpecification(request, timeout=_CALL_SECONDS)
                    return response.specification
            except SluicewayError as error:
                failures += 1
                log.info("specification_not_returned", assignment=assignment_id, reason=error.reason, error=str(error))
            finally:
                await channel.close()
            pause = backoff_seconds(failures, first=_FIRST_PAUSE, limit=_LONGEST_PAUSE, random=self._random)
            await asyncio.sleep(pause)
