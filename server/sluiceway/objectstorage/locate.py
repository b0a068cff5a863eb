"""From the address in the settings to a storage."""

from __future__ import annotations

from pathlib import Path

from sluiceway.foundation.errors import InvalidInput
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.objectstorage.posix import PosixStorage

__all__ = ["open_storage"]


def open_storage(url: str) -> ObjectStorage:
    """Open the storage that `url` names: `posix:DIR`. Blocks shortly (makes the folder).

    Raises:
        InvalidInput: it names none, or one that this build does not offer (reason `STORAGE_NOT_OFFERED`).
        PermissionDenied, Unavailable: see `PosixStorage`.
    """
    scheme, colon, place = url.partition(":")
    if scheme == "posix" and colon and place.strip("/"):
        # posix:///srv/data is what people used to URLs write.
        return PosixStorage(Path("/" + place.lstrip("/") if place.startswith("//") else place))
    if scheme == "s3" and place.startswith("//"):
        raise InvalidInput(
            f"{url}: an S3 object storage is not offered by this build yet; use posix:DIR",
            reason="STORAGE_NOT_OFFERED",
        )
    raise InvalidInput(f'"{url}" names no object storage; write posix:DIR, such as posix:/var/lib/sluiceway/objects')
