"""The meaning of each error of an S3 endpoint, as a table."""

from __future__ import annotations

from ssl import SSLCertVerificationError

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
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
from sluiceway_server.objectstorage.s3_errors import error_of, read_fault

REFUSED = (FailedPrecondition, "REFUSED_BY_STORAGE", False)


def answered(status: int, code: str, message: str = "words") -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")  # type: ignore[arg-type]  # botocore's own has more that nobody reads


def told(cause: BaseException) -> SluicewayError:
    return error_of(read_fault(cause), place="s3://b at http://e", key="k", right="s3:PutObject")


@pytest.mark.parametrize(
    ("cause", "expected", "reason", "repeated"),
    [
        (answered(404, "NoSuchKey"), NotFound, "NOT_FOUND", False),
        (answered(404, "404"), NotFound, "NOT_FOUND", False),
        (answered(404, "NoSuchBucket"), Unavailable, "BUCKET_NOT_FOUND", False),
        (answered(403, "AccessDenied"), PermissionDenied, "PERMISSION_DENIED", False),
        (answered(403, "RequestTimeTooSkewed"), PermissionDenied, "PERMISSION_DENIED", False),
        (answered(401, "Unauthorized"), PermissionDenied, "PERMISSION_DENIED", False),
        (answered(400, "ExpiredToken"), PermissionDenied, "CREDENTIALS_EXPIRED", False),
        (answered(403, "ExpiredToken"), PermissionDenied, "CREDENTIALS_EXPIRED", False),
        (answered(400, "TokenRefreshRequired"), PermissionDenied, "CREDENTIALS_EXPIRED", False),
        (answered(400, "InvalidToken"), PermissionDenied, "PERMISSION_DENIED", False),
        (answered(400, "InvalidAccessKeyId"), PermissionDenied, "PERMISSION_DENIED", False),
        (answered(403, "QuotaExceeded"), Unavailable, "STORAGE_FULL", False),
        (answered(507, "507"), Unavailable, "STORAGE_FULL", False),
        (answered(400, "XMinioStorageFull"), Unavailable, "STORAGE_FULL", False),
        (answered(301, "PermanentRedirect"), FailedPrecondition, "WRONG_REGION", False),
        (answered(400, "AuthorizationHeaderMalformed"), FailedPrecondition, "WRONG_REGION", False),
        (answered(501, "NotImplemented"), *REFUSED),
        (answered(400, "InvalidArgument"), *REFUSED),
        (answered(409, "ConditionalRequestConflict"), Unavailable, "UNAVAILABLE", True),
        (answered(409, "OperationAborted"), Unavailable, "UNAVAILABLE", True),
        (answered(400, "RequestTimeout"), Unavailable, "UNAVAILABLE", True),
        (answered(400, "BadDigest"), Unavailable, "UNAVAILABLE", True),
        (answered(429, "TooManyRequests"), Unavailable, "UNAVAILABLE", True),
        (answered(500, "InternalError"), Unavailable, "UNAVAILABLE", True),
        (answered(503, "SlowDown"), Unavailable, "UNAVAILABLE", True),
        (answered(200, "InternalError"), Unavailable, "UNAVAILABLE", True),
        (TimeoutError(), Unavailable, "UNAVAILABLE", True),
        (ConnectionResetError(), Unavailable, "UNAVAILABLE", True),
        (ReadTimeoutError(endpoint_url="u", error="e"), Unavailable, "UNAVAILABLE", True),
        (ConnectionClosedError(endpoint_url="u"), Unavailable, "UNAVAILABLE", True),
        (EndpointConnectionError(endpoint_url="u", error="e"), Unavailable, "UNAVAILABLE", True),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Unavailable, "UNAVAILABLE", True),
        (ResponseParserError("<html>"), Unavailable, "UNAVAILABLE", True),
        (FlexibleChecksumError(error_msg="e"), DataLoss, "DATA_LOSS", True),
        (NoCredentialsError(), PermissionDenied, "NO_CREDENTIALS", False),
        (ParamValidationError(report="r"), *REFUSED),
        (SSLError(endpoint_url="u", error=SSLCertVerificationError("own")), *REFUSED),
        (SSLError(endpoint_url="u", error=ConnectionResetError()), Unavailable, "UNAVAILABLE", True),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, BaseException) else None,
)
def test_s3_error_maps_to_its_class_and_retry(cause, expected, reason, repeated):
    error = told(cause)

    assert type(error) is expected
    assert error.reason == reason
    assert "s3://b at http://e" in error.message
    assert read_fault(cause).repeat is repeated


def test_denied_call_names_the_permission_and_the_key():
    message = told(answered(403, "AccessDenied")).message

    assert "s3:PutObject" in message
    assert ": k:" in message
    assert "clock" in message


def test_long_error_message_is_cut_to_one_line():
    message = told(answered(500, "InternalError", "line\nbreak " * 1000)).message

    assert len(message) < 500
    assert "\n" not in message
