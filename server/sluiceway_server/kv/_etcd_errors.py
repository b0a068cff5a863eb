"""What is known after a call to etcd failed. Pure.

Once a write was sent, only etcd's own word is certain: applied, or refused for a reason that it finds before applying.
The tables below list those reasons; whatever they do not know is `OutcomeUnknown`, never a guess.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import grpc.aio

from sluiceway_common.foundation.errors import (
    DataLoss,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
    Unavailable,
)
from sluiceway_server.kv.port import Compacted, LeaseId, OutcomeUnknown

# What gRPC says when it never found a connection to send on.
_NOT_SENT = ("failed to connect to all addresses", "connections to all backends failing")
# What etcd says before it proposes anything to its log.
_NOT_PROPOSED = ("etcdserver: no leader", "etcdserver: too many requests", "etcdserver: not capable")


def broken(message: str, *, may_write: bool) -> SluicewayError:
    if may_write:
        return OutcomeUnknown(f"{message}; it may or may not have been applied")
    return Unavailable(message)


def translate(error: grpc.aio.AioRpcError, what: str, address: str, *, may_write: bool) -> Exception:
    """Translate an error of etcd to an error of the port."""
    code, details = error.code(), error.details() or ""
    text = f"etcd at {address}: {what}: {details or code.name}"
    if details.startswith(_NOT_PROPOSED) or (code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_SENT)):
        return Unavailable(text)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT if "user name is empty" in details:
            return Unauthenticated(f"{text}; it asks for a user: give --etcd-user and its password")
        case grpc.StatusCode.INVALID_ARGUMENT if "revision of auth store is old" in details:
            return Unavailable(text)
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidInput(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in details:
            return InvalidInput(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "space exceeded" in details:
            return Unavailable(
                f"{text}; make room (compact, defragment, or a larger --quota-backend-bytes) and disarm the alarm",
                reason="STORE_FULL",
                retry_after=timedelta(seconds=10),
            )
        case grpc.StatusCode.OUT_OF_RANGE if "compacted" in details:
            return Compacted(0)
        case grpc.StatusCode.OUT_OF_RANGE:
            return InvalidInput(text)
        case grpc.StatusCode.NOT_FOUND:
            return NotFound(text)
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDenied(
                f"{text}; the user of etcd, or the name in the client certificate, needs readwrite on the prefix"
            )
        case grpc.StatusCode.UNAUTHENTICATED:
            return Unauthenticated(text)
        case grpc.StatusCode.DATA_LOSS:
            return DataLoss(text)
    return broken(text, may_write=may_write)


def watch_ended(response: Any, what: str, address: str) -> Exception:
    if response.compact_revision:
        return Compacted(response.compact_revision)
    if "permission denied" in response.cancel_reason:
        return PermissionDenied(f"etcd at {address} refuses the {what}: {response.cancel_reason}")
    return Unavailable(f"etcd at {address} cancelled the {what}: {response.cancel_reason or 'no reason given'}")


def lease_gone(lease: LeaseId) -> NotFound:
    return NotFound(f"lease {lease:x} has run out", resource_type="lease", resource_name=f"{lease:x}")
