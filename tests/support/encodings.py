"""The ways in which a secret could be written down, by code that is not the product's."""

from __future__ import annotations

import base64
import binascii
import json
from urllib.parse import quote, quote_plus

__all__ = ["encodings_of"]


def encodings_of(secret: str) -> frozenset[bytes]:
    """Return a secret as it is, and in base64 at each alignment, in hexadecimal, and escaped for URLs and JSON."""
    plain = secret.encode()
    found = {plain, secret.encode("utf-16-le"), secret.encode("utf-16-be")}
    found |= {quote(secret, safe="").encode(), quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode()}
    digits = binascii.hexlify(plain)
    found |= {digits, digits.upper(), b":".join(digits[at : at + 2] for at in range(0, len(digits), 2))}
    for shift in range(3):
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            # Without the characters that depend on what is before and behind the secret.
            text = encode(b"\0" * shift + plain).rstrip(b"=")
            found.add(text[shift + bool(shift) : len(text) - 1])
    return frozenset(found)
