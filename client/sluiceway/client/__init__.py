"""The SDK: typed, asyncio first.

    async with connect("127.0.0.1:7070", token=token) as client:
        async for message in client.runs.watch(run_id):
            print(RunPhase(message.run.phase))

Responses are the generated protobuf messages. Their enums are numbers: `RunPhase` and the like turn them into words.
Errors are `SluicewayError` and its subclasses. Streams resume by themselves. `sluiceway.client.blocking` is the same
without `await`.
"""

from __future__ import annotations

from sluiceway.client.client import Client, connect
from sluiceway.client.words import RunEventKind, RunPhase, RunResult, StepPhase, TaskStatus, TokenKind
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    Conflict,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    OutOfRange,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)

__all__ = [
    "AlreadyExists",
    "Cancelled",
    "Client",
    "Code",
    "Conflict",
    "DataLoss",
    "DeadlineExceeded",
    "Exhausted",
    "FailedPrecondition",
    "Internal",
    "InvalidInput",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "RunEventKind",
    "RunPhase",
    "RunResult",
    "SluicewayError",
    "StepPhase",
    "TaskStatus",
    "TokenKind",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Violation",
    "connect",
]
