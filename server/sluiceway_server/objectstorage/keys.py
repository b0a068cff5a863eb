"""What a key may be, for every storage alike. Pure."""

from __future__ import annotations

from sluiceway_common.foundation.errors import InvalidInput

LONGEST_KEY_BYTES = 300
"""What fits into the 1,024 bytes of an S3 object's name, whatever the key's characters (decision 0100)."""


def encode_key(key: str, storage: str) -> bytes:
    """Encode a key as UTF-8.

    Args:
        key: as the port takes it.
        storage: how to name the storage in an error.

    Raises:
        InvalidInput: empty, longer than 300 bytes, or not UTF-8.
    """
    if not key:
        raise InvalidInput(f"{storage}: an object's key cannot be empty")
    encoded = encode_prefix(key, storage)
    if len(encoded) > LONGEST_KEY_BYTES:
        raise InvalidInput(
            f"{storage}: the key {key[:60]!r}... has {len(encoded)} bytes; at most {LONGEST_KEY_BYTES} are possible"
        )
    return encoded


def encode_prefix(prefix: str, storage: str) -> bytes:
    """Encode what keys are compared with; any text that is UTF-8.

    Raises:
        InvalidInput: it is not.
    """
    try:
        return prefix.encode()
    except UnicodeEncodeError as cause:
        raise InvalidInput(f"{storage}: the key {prefix[:60]!r} cannot be written as UTF-8") from cause
