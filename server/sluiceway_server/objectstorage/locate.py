"""From the address in the settings to a storage."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.objectstorage.s3_address import parse_address

if TYPE_CHECKING:
    from sluiceway_server.objectstorage.s3 import S3Storage


async def open_storage(url: str, *, only_reads: bool = False) -> ObjectStorage:
    """Open the storage that `url` names, in the running event loop; the caller closes it.

    Args:
        url: `posix:DIR` (made if it is not there), or `s3://BUCKET[/PREFIX][?endpoint=URL][&region=REGION]`.
        only_reads: nothing is made, tried out or removed when it is opened, so that rights to read and list suffice.

    Raises:
        InvalidInput: it names none, or holds credentials (reason `CREDENTIALS_IN_ADDRESS`).
        FailedPrecondition: see `PosixStorage` and `S3Storage.open`.
        PermissionDenied, Unavailable: see `PosixStorage` and `S3Storage.open`.
    """
    scheme, colon, place = url.partition(":")
    if scheme == "posix" and colon and place.strip("/"):
        # posix:///srv/data is what people used to URLs write.
        path = Path("/" + place.lstrip("/") if place.startswith("//") else place)
        return await asyncio.to_thread(lambda: PosixStorage(path, only_reads=only_reads))
    if scheme == "s3" and place.startswith("//"):
        address = parse_address(url)
        # In a thread: importing botocore takes 1.5 s, and only S3 needs it.
        return await (await asyncio.to_thread(_s3_storage)).open(address, only_reads=only_reads)
    raise InvalidInput(
        f'"{url}" names no object storage; write posix:DIR, such as posix:/var/lib/sluiceway/objects, or'
        " s3://BUCKET/PREFIX?endpoint=URL"
    )


def _s3_storage() -> type[S3Storage]:
    from sluiceway_server.objectstorage.s3 import S3Storage  # noqa: PLC0415 - slow, see above

    return S3Storage
