"""The port to an object storage (`ost`): datamanager.md, "Object storage".

Keys are non-empty text of at most 300 UTF-8 bytes, with `/` as the delimiter; any other character is allowed, and
lists are in byte order of the UTF-8 form. Objects are written whole
or not at all: a reader never sees a part of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a list or a head shows it.

    `is_prefix`: a common prefix that a delimiter folded, without size or time.
    """

    key: str
    size_bytes: int
    modified: datetime | None
    is_prefix: bool = False


class ObjectUpload(Protocol):
    """A stream of unknown size on its way into one object. Nothing is visible before `complete`."""

    async def write(self, chunk: bytes) -> None:
        """Add bytes. Waits when the storage is slower than the caller.

        After one that failed or was cancelled, nobody knows how much of it is there: only `abort` is possible.
        """
        ...

    async def complete(self) -> None:
        """Make the object visible, replacing what was there."""
        ...

    async def abort(self) -> None:
        """Drop all of it. May be called after anything, and twice."""
        ...


class ObjectStorage(Protocol):
    """`posix`, `s3`, or a fake that keeps the same promises (`tests/contract`).

    Raises (all methods): `Unavailable` when the storage is away or full, `PermissionDenied` when it refuses us,
    `InvalidInput` for a key that
    no object can have. Each names the storage and the key.
    """

    async def put(self, key: str, body: bytes) -> None:
        """Store an object, replacing what was there. Durable when it returns."""
        ...

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        """Store an object unless the key is taken.

        Tells whether it was stored. Exactly one of several racing callers gets True.
        """
        ...

    async def get(self, key: str) -> bytes:
        """Read a whole object. Raise `NotFound` if it does not exist."""
        ...

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes from `start`.

        Shorter at the object's end, empty beyond it. Raise `NotFound` if the object does not exist.
        """
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """Return the size and time of an object, or None if it does not exist."""
        ...

    def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        """List keys that begin with `prefix` and sort after `start_after`, in byte order.

        With `delimiter`, keys that share the part up to its next occurrence are folded into one entry.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove an object. Removing one that is not there is not an error."""
        ...

    async def upload(self, key: str) -> ObjectUpload:
        """Begin a stream of unknown size."""
        ...

    async def close(self) -> None:
        """Close connections. May be called twice."""
        ...
