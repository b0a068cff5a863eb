"""Tasks whose pod is held after a failed step, and shells in the pods of tasks, as a client sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import grpc.aio

from sluiceway.api.run.v1 import hold_service_pb2 as pb
from sluiceway.api.run.v1 import hold_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection
from sluiceway_common.foundation.rpc.status import error_of

__all__ = ["Holds"]


class Holds:
    """The `HoldService`. Every method raises the errors that the comments of the proto list, as `SluicewayError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.HoldServiceStub(connection.channel)

    async def continue_task(self, run_id: str, task_id: str, *, from_next: bool = False, hold: int = 0) -> None:
        """Continue a held task in its pod: with the step that failed again, or with the one after it.

        Args:
            run_id: the run's id.
            task_id: the task's id.
            from_next: continue with the next step; the task stays failed.
            hold: the number of the hold that is meant; 0: the present one.
        """
        start = pb.CONTINUE_FROM_NEXT if from_next else pb.CONTINUE_FROM_FAILED
        request = self._connection.request(
            pb.ContinueTaskRequest, run_id=run_id, task_id=task_id, from_step=start, hold=hold
        )
        await self._connection.call(self._stub.ContinueTask, request)

    async def release(self, run_id: str, task_id: str, *, hold: int = 0) -> None:
        """End the hold of a task, which is failed then. `hold`: the number of the one that is meant; 0: the present."""
        request = self._connection.request(pb.ReleaseTaskRequest, run_id=run_id, task_id=task_id, hold=hold)
        await self._connection.call(self._stub.ReleaseTask, request)

    async def shell(self, requests: AsyncIterator[pb.OpenShellRequest]) -> AsyncGenerator[pb.OpenShellResponse]:
        """Open a shell in the pod of a task. It ends when the generator is closed; nothing is resumed.

        Args:
            requests: the first one names run and task, the others have what is typed.
        """
        call = self._stub.OpenShell(requests, metadata=self._connection.metadata())
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        finally:
            call.cancel()
