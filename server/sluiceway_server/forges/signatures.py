"""Signatures of deliveries: verified for the exact bytes, in constant time. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

from sluiceway_server.forges.errors import WebhookRefused

__all__ = ["MAX_AGE", "signing_token", "verify_hex", "verify_signing_token", "verify_token"]

MAX_AGE = timedelta(minutes=5)
"""How far the time of a signature with a time may be away (Standard Webhooks)."""

_SIGNING_PREFIX = "whsec_"


def verify_hex(header: str | None, body: bytes, secret: str, *, prefix: str = "") -> None:
    """Verify an HMAC-SHA256 over the body, in hexadecimal digits (Gitea; GitHub with the prefix `sha256=`).

    Raises:
        WebhookRefused: it is missing, empty or wrong.
    """
    given = _present(header, secret)
    expected = prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # Gitea without a secret sends the prefix alone.
    if given == prefix:
        raise _missing("the signature is empty")
    _compare(given, expected)


def verify_token(header: str | None, secret: str) -> None:
    """Verify a header that has the secret itself (GitLab).

    Raises:
        WebhookRefused: it is missing, empty or wrong.
    """
    _compare(_present(header, secret), secret)


def signing_token(secret: str) -> str:
    """Return the signing token that goes with a secret (GitLab): 32 bytes, derived from it."""
    return _SIGNING_PREFIX + base64.b64encode(_signing_key(secret)).decode()


def verify_signing_token(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> None:
    """Verify the signature of Standard Webhooks, with the key of `signing_token`.

    The signed text is `ID.TIME.BODY`; the header has one or more `v1,BASE64`, of which one has to fit.

    Args:
        headers: with lower-case names.
        body: as received.
        secret: of the webhook.
        now: the wall time.

    Raises:
        WebhookRefused: it is missing, wrong or expired.
    """
    given = _present(headers.get("webhook-signature"), secret)
    number = headers.get("webhook-timestamp", "")
    if not (number.isascii() and number.isdigit() and len(number) < 12):
        raise _missing("the signature has no time")
    signed = f"{headers.get('webhook-id', '')}.{number}.".encode() + body
    expected = hmac.new(_signing_key(secret), signed, hashlib.sha256).digest()
    if not any(hmac.compare_digest(candidate, expected) for candidate in _candidates(given)):
        raise _wrong()
    if abs(now.timestamp() - int(number)) > MAX_AGE.total_seconds():
        raise WebhookRefused(
            "the delivery was signed more than 5 minutes ago, or the clock is wrong", reason="WEBHOOK_SIGNATURE_EXPIRED"
        )


def _candidates(header: str) -> list[bytes]:
    found: list[bytes] = []
    for part in header.split(" ")[:16]:
        version, _, text = part.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _signing_key(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"signing token of a webhook", hashlib.sha256).digest()


def _present(header: str | None, secret: str) -> str:
    if not secret:
        # With an empty secret, anybody could sign.
        raise _missing("the webhook has no secret")
    if not header:
        raise _missing("the delivery has no signature")
    return header


def _compare(given: str, expected: str) -> None:
    # As bytes: `compare_digest` refuses texts that are not ASCII.
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise _wrong()


def _missing(text: str) -> WebhookRefused:
    return WebhookRefused(f"{text}; create the webhook again", reason="WEBHOOK_SIGNATURE_MISSING")


def _wrong() -> WebhookRefused:
    return WebhookRefused("the signature is not that of this body; create the webhook again")
