"""Signatures of outgoing webhooks, as Standard Webhooks describes them. Pure.

The signed text is `ID.TIMESTAMP.BODY`; a header may have several signatures with blanks between them, of which one has
to be right. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64


def secret_fault(secret: str) -> str | None:
    """Return why a text is no secret of a webhook. The fault never contains a part of it."""
    if not secret.startswith(PREFIX):
        return f'must begin with "{PREFIX}"'
    try:
        size = len(base64.b64decode(secret.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError):
        return f'must be base64 after "{PREFIX}"'
    if not MIN_BYTES <= size <= MAX_BYTES:
        return f"has {size} bytes after base64; give {MIN_BYTES} to {MAX_BYTES}, such as openssl rand -base64 32 makes"
    return None


def signed_headers(secrets: Sequence[str], delivery_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """Return the headers of a request.

    Args:
        secrets: without fault, the present one first.
        delivery_id: the same in each attempt.
        body: as it is sent.
        now: the wall time of the attempt.
    """
    timestamp = str(int(now.timestamp()))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    signatures = [_signature(base64.b64decode(secret.removeprefix(PREFIX)), signed) for secret in secrets]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
