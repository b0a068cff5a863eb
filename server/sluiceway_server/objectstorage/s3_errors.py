"""Classification of an S3 endpoint's errors, timeouts and broken responses. Pure.

For each of them the message and whether a retry helps differ. Whether a call that failed
had its effect all the same is not asked: nobody can know (see `s3_writes`). Codes are those of AWS
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and of the services that speak its protocol.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.parsers import ResponseParserError

from sluiceway_common.foundation.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    SluicewayError,
    Unavailable,
)

CALL_ERRORS: Final = (BotoCoreError, ClientError, ResponseParserError, aiohttp.ClientError, OSError)
"""All that a call raises when something outside of us is the cause. (`TimeoutError` is an `OSError`.)"""


class FaultKind(StrEnum):
    """What went wrong."""

    ABSENT = "ABSENT"
    """There is no such object."""

    TAKEN = "TAKEN"
    """A conditional put found an object."""

    BEYOND = "BEYOND"
    """The object ends before the range begins."""

    NO_UPLOAD = "NO_UPLOAD"
    """The upload is over, or never was."""

    NO_BUCKET = "NO_BUCKET"
    DENIED = "DENIED"
    NO_CREDENTIALS = "NO_CREDENTIALS"
    EXPIRED = "EXPIRED"
    WRONG_REGION = "WRONG_REGION"
    FULL = "FULL"

    DAMAGED = "DAMAGED"
    """The object's bytes are not those that its checksum was made of."""

    REFUSED = "REFUSED"
    """The endpoint will never do this."""

    AWAY = "AWAY"
    """It cannot be reached, is busy or broken."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One try that failed.

    Attributes:
        kind: see there.
        text: the message of the endpoint, or of the network.
        repeat: whether the same call may succeed in a moment.
    """

    kind: FaultKind
    text: str
    repeat: bool = False


_KINDS = {
    "NoSuchKey": FaultKind.ABSENT,
    "NoSuchBucket": FaultKind.NO_BUCKET,
    "NoSuchUpload": FaultKind.NO_UPLOAD,
    "PreconditionFailed": FaultKind.TAKEN,
    "InvalidRange": FaultKind.BEYOND,
    "ExpiredToken": FaultKind.EXPIRED,
    "ExpiredTokenException": FaultKind.EXPIRED,
    "TokenRefreshRequired": FaultKind.EXPIRED,
    "InvalidToken": FaultKind.DENIED,
    "InvalidAccessKeyId": FaultKind.DENIED,
    "PermanentRedirect": FaultKind.WRONG_REGION,
    "AuthorizationHeaderMalformed": FaultKind.WRONG_REGION,
    "IllegalLocationConstraintException": FaultKind.WRONG_REGION,
    # Of Ceph, MinIO, SeaweedFS and others; AWS is never full.
    "QuotaExceeded": FaultKind.FULL,
    "XMinioStorageFull": FaultKind.FULL,
    "XMinioAdminBucketQuotaExceeded": FaultKind.FULL,
    "InsufficientStorage": FaultKind.FULL,
    "InsufficientStorageSpace": FaultKind.FULL,
    "InsufficientCapacity": FaultKind.FULL,
    "StorageFull": FaultKind.FULL,
}
_STATUSES = {
    301: FaultKind.WRONG_REGION,
    401: FaultKind.DENIED,
    403: FaultKind.DENIED,
    404: FaultKind.ABSENT,
    412: FaultKind.TAKEN,
    416: FaultKind.BEYOND,
    507: FaultKind.FULL,
}
# Refused for now only.
_FOR_NOW_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "SlowDown",
        "RequestTimeout",
        "IncompleteBody",
        "BadDigest",
        "InvalidDigest",
        "XAmzContentSHA256Mismatch",
    }
)
_LONGEST_TEXT = 300


def read_fault(cause: BaseException) -> Fault:
    """Return the fault of one of `CALL_ERRORS`."""
    if isinstance(cause, ClientError):
        return _of_response(cause)
    text = _short(str(cause)) or type(cause).__name__
    if isinstance(cause, TimeoutError):
        return Fault(FaultKind.AWAY, "it did not respond in time", repeat=True)
    if isinstance(cause, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | ProfileNotFound):
        return Fault(FaultKind.NO_CREDENTIALS, text)
    if isinstance(cause, ParamValidationError):
        return Fault(FaultKind.REFUSED, text)
    if isinstance(cause, FlexibleChecksumError):
        # In transit, or in the storage: the next attempt shows which.
        return Fault(FaultKind.DAMAGED, text, repeat=True)
    if isinstance(cause, SSLError) and isinstance(cause.kwargs.get("error"), ssl.CertificateError):
        return Fault(FaultKind.REFUSED, text)
    # What else botocore raises (`IncompleteReadError`, `EndpointConnectionError` and their kind) is about the way.
    return Fault(FaultKind.AWAY, text, repeat=True)


def error_of(fault: Fault, *, place: str, key: str, right: str) -> SluicewayError:
    """Translate a fault to an error of our family.

    Args:
        fault: what happened, at last.
        place: the bucket and its endpoint.
        key: the object's, as the port knows it.
        right: what the call needs, in the words of AWS: `s3:PutObject`.
    """
    where = f"{place}: {key}" if key else place
    match fault.kind:
        case FaultKind.ABSENT:
            return NotFound(f"{place} has no object {key}", resource_type="object", resource_name=key)
        case FaultKind.NO_BUCKET:
            return Unavailable(
                f"{place}: there is no such bucket; make it, or correct the address", reason="BUCKET_NOT_FOUND"
            )
        case FaultKind.DENIED:
            return PermissionDenied(
                f"{where}: refused ({fault.text}); the credentials need the right {right} on this bucket, and the clock"
                " of this machine has to be right"
            )
        case FaultKind.NO_CREDENTIALS:
            return PermissionDenied(
                f"{place}: there are no credentials ({fault.text}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in"
                " the environment, or use a profile of ~/.aws",
                reason="NO_CREDENTIALS",
            )
        case FaultKind.EXPIRED:
            return PermissionDenied(
                f"{where}: the credentials have expired ({fault.text}); renew them, and start this process again if it"
                " has them from its environment or from ~/.aws, which are read once",
                reason="CREDENTIALS_EXPIRED",
            )
        case FaultKind.WRONG_REGION:
            return FailedPrecondition(
                f"{place}: the bucket is in another region ({fault.text}); add ?region=REGION to the address",
                reason="WRONG_REGION",
            )
        case FaultKind.FULL:
            return Unavailable(f"{where}: no room ({fault.text}); make room in that storage", reason="STORAGE_FULL")
        case FaultKind.DAMAGED:
            return DataLoss(f"{where}: the stored bytes are damaged ({fault.text}); restore the object from a copy")
        case FaultKind.REFUSED:
            return FailedPrecondition(
                f"{where}: the endpoint does not take this call ({fault.text}); is it an S3 storage?",
                reason="REFUSED_BY_STORAGE",
            )
        case _:
            return Unavailable(f"{where}: {fault.text}")


def _of_response(cause: ClientError) -> Fault:
    error = cause.response.get("Error", {})
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.get("Code", ""))
    message = str(error.get("Message", ""))
    text = _short(f"{code}: {message}" if code and message and code != message else code or message or str(status))
    if code in _FOR_NOW_CODES or status in (409, 429):
        return Fault(FaultKind.AWAY, text, repeat=True)
    kind = _KINDS.get(code) or _STATUSES.get(status)
    if kind is not None:
        return Fault(kind, text)
    # A CompleteMultipartUpload may fail in a response that began with 200.
    if status == 200 or (status >= 500 and status != 501):
        return Fault(FaultKind.AWAY, text, repeat=True)
    return Fault(FaultKind.REFUSED, text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"
