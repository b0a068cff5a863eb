"""Where a secret could be found: files, also what is compressed in them, and processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import zstandard

_ZSTD = b"\x28\xb5\x2f\xfd"


def command_lines() -> dict[str, bytes]:
    """Return the command lines of all processes that can be read."""
    return _of_processes("cmdline")


def environments() -> dict[str, bytes]:
    """Return the environments of all processes that can be read."""
    return _of_processes("environ")


def _of_processes(name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[f"{entry.name} {name}"] = (entry / name).read_bytes()
    return found


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files that are there, with their content. Servers may delete some meanwhile."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.read_bytes()


def readable(content: bytes) -> bytes:
    """Return bytes, and behind them what is compressed in them with zstd."""
    parts = [content]
    at = content.find(_ZSTD)
    while at >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            parts.append(zstandard.ZstdDecompressor().decompressobj().decompress(content[at:]))
        at = content.find(_ZSTD, at + 1)
    return b"\n".join(parts)
