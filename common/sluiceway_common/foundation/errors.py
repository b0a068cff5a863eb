"""The one family of errors.

    SluicewayError
    ├── InvalidInput          INVALID_ARGUMENT     the request can never work
    ├── OutOfRange            OUT_OF_RANGE         a position or offset that is no longer, or not yet, there
    ├── FailedPrecondition    FAILED_PRECONDITION  a true request at the wrong moment
    ├── NotFound              NOT_FOUND            not there, or not visible to this caller
    ├── AlreadyExists         ALREADY_EXISTS
    ├── Conflict              ABORTED              another writer was first: read again and redo
    ├── Unauthenticated       UNAUTHENTICATED      no token, or an unknown one
    ├── PermissionDenied      PERMISSION_DENIED    known, but not allowed
    ├── Exhausted             RESOURCE_EXHAUSTED   a limit that we set
    ├── Unavailable           UNAVAILABLE          the same call may be retried
    ├── DeadlineExceeded      DEADLINE_EXCEEDED    it did not end in time; it may have had an effect
    ├── Cancelled             CANCELLED            the caller went away
    ├── Unimplemented         UNIMPLEMENTED        this server does not offer it
    ├── DataLoss              DATA_LOSS            stored data is missing or damaged
    └── Internal              INTERNAL             our mistake; the cause stays in our log

A class says what happened and knows its wire code; the call site says which one it was and what a person can do. An
error
of this family is raised at the place that knows, and translated once, by an interceptor (`foundation.rpc.status`).
What is
not of this family becomes INTERNAL with an incident id.

Pure: no protobuf and no grpc here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """The gRPC status codes that we use, by their canonical names (google.rpc.Code)."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of a request: `path` as the caller wrote it (`tasks[2].depends[0]`), `message` for a person."""

    path: str
    message: str


class SluicewayError(Exception):
    """The root of the family. Never raised itself.

    Attributes:
        code: the wire code of the class.
        reason: stable, UPPER_SNAKE_CASE; programs may rely on it (google.rpc.ErrorInfo.reason). A subclass names its
            own; a call site may name one where a class for it would say nothing more.
        message: what happened, to which one, and what to do. For people.
        metadata: strings that a program may want (google.rpc.ErrorInfo.metadata). Never a secret.
    """

    code: ClassVar[Code] = Code.UNKNOWN
    reason: str = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})

    def __str__(self) -> str:
        return self.message


class InvalidInput(SluicewayError):
    """The request can never work. Carries every fault, not only the first."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_INPUT"

    def __init__(
        self,
        violations: Sequence[Violation] | str,
        *,
        message: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(violations, str):
            self.violations: tuple[Violation, ...] = ()
            text = violations
        else:
            self.violations = tuple(violations)
            text = message or "; ".join(f"{v.path}: {v.message}" if v.path else v.message for v in self.violations)
        super().__init__(text, reason=reason, metadata=metadata)


class OutOfRange(SluicewayError):
    """A position or offset that is no longer, or not yet, there. Start again from a snapshot."""

    code = Code.OUT_OF_RANGE
    reason = "OUT_OF_RANGE"


class FailedPrecondition(SluicewayError):
    """A true request at the wrong moment; to send it again alone does not help."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        subject: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.subject = subject


class _AboutResource(SluicewayError):
    def __init__(
        self,
        message: str,
        *,
        resource_type: str = "",
        resource_name: str = "",
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.resource_type = resource_type
        self.resource_name = resource_name


class NotFound(_AboutResource):
    """Not there, or not visible to this caller: a caller cannot distinguish the two."""

    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(_AboutResource):
    """The object to be created exists already."""

    code = Code.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class Conflict(SluicewayError):
    """Another writer was first. Read again and redo."""

    code = Code.ABORTED
    reason = "CONFLICT"


class Unauthenticated(SluicewayError):
    """No credential, or one that is unknown, expired or revoked."""

    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(SluicewayError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class Exhausted(SluicewayError):
    """A limit was reached. The message names the limit."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "LIMIT_REACHED"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        subject: str = "",
        retry_after: timedelta | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.subject = subject
        self.retry_after = retry_after


class Unavailable(SluicewayError):
    """A dependency is unavailable. The same call may be sent again after `retry_after`."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: timedelta = timedelta(seconds=1),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class DeadlineExceeded(SluicewayError):
    """The call did not end in time. It may have had an effect."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Cancelled(SluicewayError):
    """The caller went away before the end."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class Unimplemented(SluicewayError):
    """This server does not offer it."""

    code = Code.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class DataLoss(SluicewayError):
    """Stored data is missing or damaged. The message names the object and what to do."""

    code = Code.DATA_LOSS
    reason = "DATA_LOSS"


class Internal(SluicewayError):
    """Our mistake. The message is always the same sentence; `incident` finds the cause in the server's log."""

    code = Code.INTERNAL
    reason = "INTERNAL"

    def __init__(self, incident: str) -> None:
        super().__init__(
            f"internal server error; the server's log has it under incident {incident}",
            metadata={"incident": incident},
        )
        self.incident = incident
