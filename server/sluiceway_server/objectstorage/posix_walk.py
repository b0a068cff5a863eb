"""Keys of a posix storage in byte order, without looking where none can be. Blocks.

Each folder is read whole and sorted (see `posix_names` for why that gives byte order); folders are entered only when
keys below them can be wanted: with the prefix, after `start_after`, not under a common prefix that was already
returned.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sluiceway_server.objectstorage.port import ObjectInfo
from sluiceway_server.objectstorage.posix_names import Entry, EntryKind, parse_name


def walk(root: Path, *, prefix: bytes, start_after: bytes, delimiter: bytes) -> Iterator[ObjectInfo]:
    """Yield the objects under `root` as `ObjectStorage.list` promises.

    Objects that come or go meanwhile may or may not be seen; all others are, once.

    Raises:
        OSError: a folder cannot be read; ELOOP: a folder of ours is a symbolic link.
    """
    return _Walk(prefix, start_after, delimiter).objects(root)


class _Walk:
    def __init__(self, prefix: bytes, start_after: bytes, delimiter: bytes) -> None:
        self._prefix = prefix
        self._start_after = start_after
        self._delimiter = delimiter
        # The last common prefix that was returned: nothing below it is returned again.
        self._folded: bytes | None = None

    def objects(self, root: Path) -> Iterator[ObjectInfo]:
        # A stack of our own: a key may have more segments than Python allows calls inside calls.
        stack = [(root, b"", iter(_entries(root)))]
        while stack:
            path, base, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            key = base + entry.key_part
            if entry.kind is EntryKind.OBJECT:
                if self._wants_object(key):
                    yield from self._object(path / entry.name, key)
            elif self._may_hold_wanted(key):
                folder = path / entry.name
                stack.append((folder, key, iter(_entries(folder))))

    def _object(self, path: Path, key: bytes) -> Iterator[ObjectInfo]:
        try:
            found, name = path.stat(), key.decode()
        except (FileNotFoundError, UnicodeDecodeError):
            # Deleted since we read the folder; or a name that we would never have given.
            return
        common = self._common_prefix(key)
        if common is not None:
            self._folded = common
            yield ObjectInfo(common.decode(), 0, None, is_prefix=True)
        else:
            yield ObjectInfo(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _wants_object(self, key: bytes) -> bool:
        is_folded = self._folded is not None and key.startswith(self._folded)
        return key.startswith(self._prefix) and key > self._start_after and not is_folded

    def _may_hold_wanted(self, base: bytes) -> bool:
        if not (base.startswith(self._prefix) or self._prefix.startswith(base)):
            return False
        if self._folded is not None and base.startswith(self._folded):
            return False
        # All keys below begin with `base`; they sort before `start_after` unless it goes on below `base` too.
        return base > self._start_after or self._start_after.startswith(base)

    def _common_prefix(self, key: bytes) -> bytes | None:
        if not self._delimiter:
            return None
        place = key.find(self._delimiter, len(self._prefix))
        return None if place < 0 else key[: place + len(self._delimiter)]


def _entries(path: Path) -> list[Entry]:
    try:
        with os.scandir(path) as found:
            return sorted(entry for each in found if (entry := _entry(each)) is not None)
    except FileNotFoundError:
        return []


def _entry(found: os.DirEntry[str]) -> Entry | None:
    if not found.is_symlink():
        return parse_name(found.name, is_folder=found.is_dir(follow_symlinks=False))
    # We make no links, and who follows those of others may leave the root. But one in the place of a folder of ours is
    # followed by whoever knows a key: a list without these keys would say that the objects are gone.
    if parse_name(found.name, is_folder=True) is not None and found.is_dir():
        raise OSError(errno.ELOOP, "a symbolic link stands for a folder", found.path)
    return None
