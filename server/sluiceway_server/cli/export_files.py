"""The files of `sluice db export` and `sluice db import`; `-` is standard output and standard input."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from sluiceway_common.foundation.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def export_target(file: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open the file of an export: it appears whole or not at all.

    Args:
        file: where it is to be; `-` is standard output.
        force: replace a file that is there.

    Raises:
        FailedPrecondition: there is a file already, or none can be made there.
        Unavailable: it could not be written to its end; nothing of it is left.
        click.UsageError: standard output is a terminal.
    """
    if file == "-":
        if sys.stdout.isatty():
            raise click.UsageError("an export is no text; name a file, or send it to another program")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    if path.exists() and not path.is_file():
        # It would be replaced, not written into: a device, a pipe, a folder.
        raise FailedPrecondition(f"{path} is no file; name one, or write to standard output with -")
    if path.exists() and not force:
        raise FailedPrecondition(f"{path} is there already; name another file, or replace it with --force")
    try:
        # As mkstemp makes it: readable for its owner only. It holds what the database holds.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def export_source(file: str) -> Iterator[Path]:
    """Yield the file of an export. A stream is copied to a temporary file first, because all of it is checked.

    Raises:
        FailedPrecondition: there is no such file.
    """
    if file != "-":
        path = Path(file)
        if not path.is_file():
            raise FailedPrecondition(f"there is no file {path}")
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="sluice-import-") as spool:
        while chunk := sys.stdin.buffer.read(1024 * 1024):
            spool.write(chunk)
        spool.flush()
        yield Path(spool.name)
