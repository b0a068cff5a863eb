"""Errors as HTTP (api.md, "Errors"): one table, one JSON shape, on every path and for every failure. Pure.

An error of a service is passed on unchanged: code, message and details. Errors of gRPC itself, when the server is
unreachable or too slow, get a message for people.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway_common.foundation.errors import DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.status import DETAILS_KEY, error_of, status_of

__all__ = [
    "HTTP_CODES",
    "HTTP_VERSION_NOT_SUPPORTED",
    "NOT_IMPLEMENTED",
    "HttpError",
    "body_of",
    "dumps",
    "headers_of",
    "http_code",
    "reason_of",
    "status_from_rpc",
]

CANCELLED_BY_CLIENT = 499
NOT_IMPLEMENTED = 501
HTTP_VERSION_NOT_SUPPORTED = 505

HTTP_CODES: dict[str, int] = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": CANCELLED_BY_CLIENT,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class HttpError(Exception):
    """An error of the gateway itself, with a more specific HTTP code than that of the table (405, 413, 415, 431).

    Attributes:
        error: the error to send.
        code: the HTTP code.
        headers: that belong to it.
    """

    def __init__(self, error: SluicewayError, code: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        self.headers = headers or {}


def http_code(status: status_pb2.Status) -> int:
    """Return the HTTP code of a status."""
    try:
        return HTTP_CODES[code_pb2.Code.Name(status.code)]
    except (ValueError, KeyError):
        return HTTP_CODES["UNKNOWN"]


def body_of(status: status_pb2.Status, *, code: int | None = None) -> dict[str, Any]:
    """Make the JSON of an error; `code` where it is not that of the table."""
    try:
        name = code_pb2.Code.Name(status.code)
    except ValueError:
        name = "UNKNOWN"
    return {
        "error": {
            "code": code or http_code(status),
            "status": name,
            "message": status.message,
            "details": [_detail(detail) for detail in status.details],
        }
    }


def reason_of(status: status_pb2.Status) -> str:
    """Return the stable reason of a status; empty if it has none."""
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            return str(error_details_pb2.ErrorInfo.FromString(detail.value).reason)
    return ""


def headers_of(status: status_pb2.Status, code: int) -> dict[str, str]:
    """Return the headers of an error: `Retry-After` and `WWW-Authenticate`."""
    headers: dict[str, str] = {}
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo.FromString(detail.value)
            headers["retry-after"] = str(max(1, math.ceil(info.retry_delay.ToTimedelta().total_seconds())))
    if code == HTTP_CODES["UNAVAILABLE"]:
        headers.setdefault("retry-after", "1")
    if code == HTTP_CODES["UNAUTHENTICATED"]:
        headers["www-authenticate"] = 'Bearer realm="sluiceway"'
    return headers


def status_from_rpc(error: grpc.aio.AioRpcError, server: str) -> status_pb2.Status:
    """Take the status of a failed call.

    Args:
        error: as grpc raised it.
        server: its address, for the message when it cannot be reached.
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except Exception:  # noqa: S112 - DecodeError or RuntimeError, by the implementation of protobuf
                continue
            if status.code == error.code().value[0]:
                return status
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return status_of(
                Unavailable(f"the server at {server} cannot be reached now; try again", reason="UPSTREAM_UNAVAILABLE")
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return status_of(DeadlineExceeded("the server did not respond in time; the call may have had an effect"))
    return status_of(error_of(error))


def dumps(value: Any) -> bytes:
    """Write JSON on one line, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")


def _detail(detail: AnyMessage) -> dict[str, Any]:
    try:
        return json_format.MessageToDict(detail)
    except Exception:
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}
