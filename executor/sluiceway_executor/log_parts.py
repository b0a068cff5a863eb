"""The files of a log on disk, each of which is named by the offset at which it begins. All functions block."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

__all__ = ["cut_parts", "digest_of", "last_parts", "part_path"]


def part_path(folder: Path, start: int) -> Path:
    """Return the path of the file that begins at `start`."""
    return folder / f"{start:020}.part"


def last_parts(folder: Path) -> tuple[list[int], int]:
    """Return where the files of a log begin, and where the last one ends; 0 if there are none.

    What is missing between two files was stored, and so was what is before it, which is removed.
    """
    starts = sorted(int(part.stem) for part in folder.glob("*.part"))
    sizes = {start: part_path(folder, start).stat().st_size for start in starts}
    while any(start + sizes[start] != following for start, following in pairwise(starts)):
        part_path(folder, starts.pop(0)).unlink()
    return starts, starts[-1] + sizes[starts[-1]] if starts else 0


def cut_parts(folder: Path, starts: Sequence[int], end: int, size: int) -> list[int]:
    """Cut the files of a log, which end at `end`, after `size`; return where those begin that are left.

    If they end before `size`, what is missing was stored, and they are removed.
    """
    left = [start for start in starts if start < size <= end]
    for start in set(starts) - set(left):
        part_path(folder, start).unlink(missing_ok=True)
    if left:
        os.truncate(part_path(folder, left[-1]), size - left[-1])
    return left


def digest_of(paths: Sequence[Path]) -> hashlib._Hash:
    """Return the digest of files, one after the other. Blocks."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest
