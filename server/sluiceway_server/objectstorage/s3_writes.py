"""Puts into a bucket, and whose object it is that a put finds there.

A put may have been applied without a response: its try timed out or met a 5xx, or somebody on the way sent it a
second time. (aiohttp does, when a connection that was used before ends: it takes a PUT for one that may be repeated.)
It is then refused, because the object is there, and the object is ours. So each call sends a random *writer* along in
the object's metadata, and whenever it is refused, it reads whose the object is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import secrets
from typing import IO

from botocore.exceptions import ClientError

from sluiceway_server.objectstorage.s3_calls import S3Calls, Try
from sluiceway_server.objectstorage.s3_errors import FaultKind, read_fault

WRITER = "sluiceway-writer"
"""The name in the metadata."""

RIGHT_TO_PUT = "s3:PutObject"

# Above this, hashing goes to a thread, and the body is read piece by piece while it is sent.
_SMALL_BYTES = 256 * 1024


async def put(calls: S3Calls, key: str, name: str, body: bytes) -> None:
    """Store an object, replacing what is there. Repeats itself; errors are those of `S3Calls.run`."""
    md5 = await content_md5(body)

    async def attempt(_: Try) -> None:
        await calls.client.put_object(Bucket=calls.address.bucket, Key=name, Body=body_of(body), ContentMD5=md5)

    await calls.run(attempt, key=key, right=RIGHT_TO_PUT, size_bytes=len(body))


async def put_if_absent(calls: S3Calls, key: str, name: str, body: bytes) -> bool:
    """Store an object unless the name is taken. Repeats itself, and knows its own; errors as for `put`."""
    md5, writer = await content_md5(body), new_writer()

    async def attempt(_: Try) -> bool:
        try:
            await calls.client.put_object(
                Bucket=calls.address.bucket,
                Key=name,
                Body=body_of(body),
                ContentMD5=md5,
                Metadata={WRITER: writer},
                IfNoneMatch="*",
            )
        except ClientError as cause:
            if read_fault(cause).kind is not FaultKind.TAKEN:
                raise
            return await is_by(calls, name, writer)
        return True

    return await calls.run(attempt, key=key, right=RIGHT_TO_PUT, size_bytes=len(body))


async def is_by(calls: S3Calls, name: str, writer: str) -> bool:
    """Return whether an object is the one that this writer stored. One request; raises what the client raises.

    Raises:
        ConnectionError: it is gone again. Whose it was cannot be known; tried again, the put finds its place free.
    """
    try:
        found = await calls.client.head_object(Bucket=calls.address.bucket, Key=name)
    except ClientError as cause:
        if read_fault(cause).kind is FaultKind.ABSENT:
            raise ConnectionError("the object was there and is gone again") from cause
        raise
    return found["Metadata"].get(WRITER) == writer


def new_writer() -> str:
    """Choose a name that no other write has."""
    return secrets.token_hex(16)


async def content_md5(body: bytes) -> str:
    """Make the checksum that every endpoint compares with what arrives (RFC 1864)."""
    return _md5(body) if len(body) <= _SMALL_BYTES else await asyncio.to_thread(_md5, body)


def body_of(body: bytes) -> bytes | IO[bytes]:
    """Choose the form in which a body is sent without holding up the event loop."""
    return body if len(body) <= _SMALL_BYTES else io.BytesIO(body)


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
