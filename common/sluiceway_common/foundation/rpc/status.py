"""Convert errors of our family to `google.rpc.Status` and back (api.md, "Errors").

What an error carries is in the standard details, so that programs in any language can read it: the reason and the
metadata in ErrorInfo, faults in BadRequest, the subject in PreconditionFailure or QuotaFailure, the resource in
ResourceInfo, the pause in RetryInfo. An error that is converted back has the same class
of the family and the same content; a subclass is lost, but the reason says which it was.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]  # ships no types

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
from sluiceway_common.foundation.rpc.limits import MAX_DETAILS_BYTES, MAX_TEXT_BYTES

DOMAIN = "sluiceway"
DETAILS_KEY = "grpc-status-details-bin"

# The text of gRPC's core (1.60 and later). With several addresses it has the error of the last one.
_UNREACHABLE = re.compile(
    r"(connections to all backends failing|failed to connect to all addresses); last error: .*: (?P<why>[^:]+)"
)
_NO_SUCH_HOST = re.compile(r"errors resolving (?P<host>[^:]+): .*(Domain name not found|NXDOMAIN).*")

D = TypeVar("D", bound=Message)


def status_of(error: BaseException) -> status_pb2.Status:
    """Make the status of an error.

    An error that is not of our family becomes INTERNAL, without its text; the interceptor replaces those by one with an
    incident id. Faults that do not fit in the trailers are left out, and the last entry says how many.
    """
    if not isinstance(error, SluicewayError):
        error = Internal("")
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code.value), message=_cut(error.message))
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason, metadata=error.metadata)
    status.details.add().Pack(info)
    for detail in _details(error):
        status.details.add().Pack(detail)
    if status.ByteSize() > MAX_DETAILS_BYTES + MAX_TEXT_BYTES:
        # Only metadata can be this large by now. An error without it is better than one that no client can receive.
        del status.details[:]
        status.details.add().Pack(error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason))
    return status


def error_of(rpc_error: grpc.aio.AioRpcError) -> SluicewayError:
    """Make the error that the other end raised, or the one for the code of a failure of gRPC itself."""
    code, message = rpc_error.code(), rpc_error.details() or ""
    for key, value in rpc_error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            if status.code == code.value[0]:
                return error_of_status(status)
    text = _in_plain_words(message) or f"the call ended with {code.name}"
    return error_of_status(status_pb2.Status(code=code.value[0], message=text))


@contextmanager
def errors_of_call(what: str) -> Iterator[None]:
    """Raise what ends a call in the block as an error of our family.

    grpc raises `CancelledError` for a call that the other end has reset. That is `Unavailable`, unless the task itself
    is being cancelled. `what` names the call in the message.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable(f"{what} was cancelled") from None


def _in_plain_words(message: str) -> str:
    """Rewrite gRPC's text for an address where nothing listens; return other texts unchanged."""
    if (found := _UNREACHABLE.fullmatch(message)) is not None:
        return f"the server cannot be reached: {found['why']}; is it running, and is this its address?"
    if (found := _NO_SUCH_HOST.fullmatch(message)) is not None:
        return f'the host name "{found["host"]}" is not known'
    return message


def error_of_status(status: status_pb2.Status) -> SluicewayError:
    """Make the error of a status."""
    info = _detail(status, error_details_pb2.ErrorInfo)
    try:
        code = Code(code_pb2.Code.Name(code_pb2.Code.ValueType(status.code)))
    except ValueError:
        code = Code.UNKNOWN
    error = _BUILDERS[code](status)
    error.message = status.message
    error.args = (status.message,)
    if info is not None:
        error.reason = info.reason or error.reason
        error.metadata = dict(info.metadata)
    return error


def _details(error: SluicewayError) -> Iterable[Message]:
    match error:
        case InvalidInput() if error.violations:
            yield _bad_request(error.violations)
        case FailedPrecondition():
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(type=error.reason, subject=error.subject, description=_cut(error.message))
            yield failure
        case NotFound() | AlreadyExists() if error.resource_type or error.resource_name:
            yield error_details_pb2.ResourceInfo(
                resource_type=error.resource_type,
                resource_name=error.resource_name,
                description=_cut(error.message),
            )
        case Exhausted():
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=error.subject, description=_cut(error.message))
            yield quota
            if error.retry_after is not None:
                yield _retry_info(error.retry_after)
        case Unavailable():
            yield _retry_info(error.retry_after)
        case _:
            pass


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    left = MAX_DETAILS_BYTES - MAX_TEXT_BYTES
    for number, violation in enumerate(violations):
        path, text = _cut(violation.path, 1024), _cut(violation.message, 1024)
        left -= len(path.encode()) + len(text.encode()) + 8
        if left < 0:
            request.field_violations.add(description=f"and {len(violations) - number} more")
            break
        request.field_violations.add(field=path, description=text)
    return request


def _retry_info(pause: timedelta) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(pause)
    return info


def _cut(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    data = text.encode(errors="replace")
    return text if len(data) <= limit else data[: limit - 4].decode(errors="ignore") + " …"


def _detail(status: status_pb2.Status, kind: type[D]) -> D | None:
    for detail in status.details:
        if detail.Is(kind.DESCRIPTOR):
            found = kind()
            try:
                detail.Unpack(found)
            except DecodeError:
                return None
            return found
    return None


def _invalid_input(status: status_pb2.Status) -> SluicewayError:
    request = _detail(status, error_details_pb2.BadRequest)
    if request is None:
        return InvalidInput(status.message)
    return InvalidInput([Violation(item.field, item.description) for item in request.field_violations])


def _failed_precondition(status: status_pb2.Status) -> SluicewayError:
    failure = _detail(status, error_details_pb2.PreconditionFailure)
    subject = failure.violations[0].subject if failure is not None and failure.violations else ""
    return FailedPrecondition(status.message, subject=subject)


def _about_resource(kind: type[NotFound] | type[AlreadyExists]) -> Callable[[status_pb2.Status], SluicewayError]:
    def build(status: status_pb2.Status) -> SluicewayError:
        info = _detail(status, error_details_pb2.ResourceInfo)
        if info is None:
            return kind(status.message)
        return kind(status.message, resource_type=info.resource_type, resource_name=info.resource_name)

    return build


def _exhausted(status: status_pb2.Status) -> SluicewayError:
    quota = _detail(status, error_details_pb2.QuotaFailure)
    retry = _detail(status, error_details_pb2.RetryInfo)
    return Exhausted(
        status.message,
        subject=quota.violations[0].subject if quota is not None and quota.violations else "",
        retry_after=None if retry is None else retry.retry_delay.ToTimedelta(),
    )


def _unavailable(status: status_pb2.Status) -> SluicewayError:
    retry = _detail(status, error_details_pb2.RetryInfo)
    if retry is None:
        return Unavailable(status.message)
    return Unavailable(status.message, retry_after=retry.retry_delay.ToTimedelta())


def _internal(status: status_pb2.Status) -> SluicewayError:
    info = _detail(status, error_details_pb2.ErrorInfo)
    return Internal("" if info is None else info.metadata.get("incident", ""))


def _plain(kind: type[SluicewayError]) -> Callable[[status_pb2.Status], SluicewayError]:
    return lambda status: kind(status.message)


_BUILDERS: dict[Code, Callable[[status_pb2.Status], SluicewayError]] = {
    Code.CANCELLED: _plain(Cancelled),
    Code.UNKNOWN: _plain(SluicewayError),
    Code.INVALID_ARGUMENT: _invalid_input,
    Code.DEADLINE_EXCEEDED: _plain(DeadlineExceeded),
    Code.NOT_FOUND: _about_resource(NotFound),
    Code.ALREADY_EXISTS: _about_resource(AlreadyExists),
    Code.PERMISSION_DENIED: _plain(PermissionDenied),
    Code.RESOURCE_EXHAUSTED: _exhausted,
    Code.FAILED_PRECONDITION: _failed_precondition,
    Code.ABORTED: _plain(Conflict),
    Code.OUT_OF_RANGE: _plain(OutOfRange),
    Code.UNIMPLEMENTED: _plain(Unimplemented),
    Code.INTERNAL: _internal,
    Code.UNAVAILABLE: _unavailable,
    Code.DATA_LOSS: _plain(DataLoss),
    Code.UNAUTHENTICATED: _plain(Unauthenticated),
}
