"""Where a server gets its master keys: a file that only its user can read, or the output of a command.

A command is for installations that keep keys elsewhere, such as in a KMS or Vault: `--master-key-command
"vault kv get -field=key sluice/master"`. It is split as a shell does, and run without one.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.errors import InvalidInput, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.projects.envelope import Envelope, MasterKeys, new_master_key, parse_master_keys

__all__ = ["MASTER_KEY_FILE", "MasterKeySource", "ensure_master_key_file"]

log = structlog.get_logger(__name__)

MASTER_KEY_FILE = "master.key"
"""The name of the file that `standalone` makes in its data folder."""

_MAX_BYTES = 64 * 1024
_COMMAND_WITHIN = timedelta(seconds=30)
_FOLLOW_SECONDS = 5.0
# A command may ask a service that counts its calls.
_RUN_AGAIN_SECONDS = 300.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class MasterKeySource:
    """The options of a server that say where its master keys are.

    Attributes:
        file: `--master-key-file`.
        command: `--master-key-command`. At most one of the two is given; without any, there are no master keys.
    """

    file: Path | None = None
    command: str = ""

    def check(self) -> None:
        """Check that the options go together.

        Raises:
            InvalidInput: both are given, or the command cannot be split.
        """
        if self.file is not None and self.command:
            raise InvalidInput("--master-key-file and --master-key-command exclude each other: give one of them")
        if self.command:
            _split(self.command)

    async def follow(
        self, envelope: Envelope, *, seconds: float = _FOLLOW_SECONDS, run_again: float = _RUN_AGAIN_SECONDS
    ) -> None:
        """Have an envelope read the file again when it was changed, or run the command again, until cancelled.

        Args:
            envelope: reads its keys from this source.
            seconds: between two looks at the file.
            run_again: the seconds between two runs of the command.
        """
        if self.file is not None:
            await self._follow_file(envelope, self.file, seconds)
        elif self.command:
            while True:
                await asyncio.sleep(run_again)
                await _reload(envelope)

    async def _follow_file(self, envelope: Envelope, file: Path, seconds: float) -> None:
        seen = await asyncio.to_thread(_stamp, file)
        while True:
            await asyncio.sleep(seconds)
            stamp = await asyncio.to_thread(_stamp, file)
            if stamp != seen:
                seen = stamp
                await _reload(envelope)

    async def read(self) -> MasterKeys | None:
        """Read the master keys; None if no option names any. May be repeated.

        Raises:
            InvalidInput: `MASTER_KEY_UNUSABLE`: the file or the output of the command cannot be used. The message names
                it and what to do, and contains nothing of its content.
        """
        self.check()
        try:
            if self.file is not None:
                return parse_master_keys(await asyncio.to_thread(_read_file, self.file))
            if self.command:
                return parse_master_keys(await _run(self.command))
        except InvalidInput as error:
            name = f"--master-key-file {self.file}" if self.file is not None else "--master-key-command"
            raise InvalidInput(f"{name}: {error.message}", reason="MASTER_KEY_UNUSABLE") from None
        return None


async def _reload(envelope: Envelope) -> None:
    """Read the keys again. What cannot be read is logged, and the keys stay as they are."""
    before = envelope.master_key_ids
    try:
        await envelope.reload()
    except SluicewayError as error:
        log.warning("master_keys_not_read", error=error.message)
    else:
        if envelope.master_key_ids != before:
            log.info("master_keys_read", ids=envelope.master_key_ids)


def ensure_master_key_file(path: Path) -> None:
    """Make a master key file with one new key and mode 0600, unless there is one. May be repeated.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists():
        return
    # Complete or not there: a server that was killed here must not find half a key.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("# The master key of this installation: secrets cannot be read without it. Keep a copy.\n")
            file.write(new_master_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced; empty if there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode


def _read_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}") from None
    try:
        _check_file(path, os.fstat(descriptor))
        content = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MAX_BYTES:
        raise InvalidInput(f"it has more than {_MAX_BYTES} bytes")
    return content


def _check_file(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput("it is not a file")
    if status.st_uid not in {0, os.geteuid()}:
        raise InvalidInput(
            f"it belongs to another user (uid {status.st_uid}), who could replace it; make this process's user"
            f" (uid {os.geteuid()}) its owner"
        )
    if mode & _OTHERS:
        raise InvalidInput(f"other users may use it (mode {mode:04o}); run: chmod 600 {path}")


async def _run(command: str) -> bytes:
    argv = _split(command)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=_MAX_BYTES
        )
    except OSError as error:
        raise InvalidInput(f"{argv[0]} cannot be started: {error.strerror}") from None
    output = process.stdout
    assert output is not None  # noqa: S101 - a pipe was asked for
    try:
        async with time_limit(_COMMAND_WITHIN.total_seconds()):
            content = b""
            while len(content) <= _MAX_BYTES and (part := await output.read(_MAX_BYTES)):
                content += part
            code = 0 if len(content) > _MAX_BYTES else await process.wait()
    except TimeoutError:
        raise InvalidInput(f"{argv[0]} did not end within {_COMMAND_WITHIN.total_seconds():.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if len(content) > _MAX_BYTES:
        raise InvalidInput(f"{argv[0]} printed more than {_MAX_BYTES} bytes")
    if code != 0:
        raise InvalidInput(f"{argv[0]} exited with {code}; what it wrote to its standard error is above")
    return content


def _split(command: str) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"--master-key-command cannot be split into words: {error}") from None
    if not argv:
        raise InvalidInput("--master-key-command is empty")
    return argv
