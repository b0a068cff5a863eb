"""Where master keys come from: files with the right mode, and commands that end well."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.projects.envelope import Envelope, new_master_key, parse_master_keys
from sluiceway_server.projects.master_key_source import MasterKeySource, ensure_master_key_file
from tests.support.conditions import eventually

KEY = new_master_key()


def write(path: Path, content: str = KEY, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture(name="path")
def path_of_a_file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
async def test_private_file_is_read(path: Path, mode: int) -> None:
    keys = await MasterKeySource(write(path, mode=mode)).read()
    assert keys is not None
    assert keys.ids == parse_master_keys(KEY.encode()).ids


async def test_symbolic_link_to_a_private_file_is_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(write(tmp_path / "real"))
    assert await MasterKeySource(path).read() is not None


async def test_no_option_means_no_keys() -> None:
    assert await MasterKeySource().read() is None


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda path: None, "it cannot be read: No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "it is not a file", id="folder"),
        pytest.param(lambda path: os.mkfifo(path, 0o600), "it is not a file", id="pipe"),
        pytest.param(lambda path: write(path, mode=0o640), "(mode 0640); run: chmod 600", id="group may read"),
        pytest.param(lambda path: write(path, mode=0o604), "(mode 0604); run: chmod 600", id="others may read"),
        pytest.param(lambda path: write(path, mode=0o620), "(mode 0620); run: chmod 600", id="group may write"),
        pytest.param(lambda path: write(path, ""), "it has no key", id="empty"),
        pytest.param(lambda path: write(path, "not a key"), "line 1 is not in base64", id="no key"),
        pytest.param(lambda path: write(path, "\n" * 70_000), "it has more than 65536 bytes", id="large"),
    ],
)
async def test_unusable_file_is_refused(path: Path, make: Callable[[Path], object], why: str) -> None:
    make(path)
    with pytest.raises(InvalidInput, match=re.escape(why)) as raised:
        await MasterKeySource(path).read()
    assert raised.value.reason == "MASTER_KEY_UNUSABLE"
    assert raised.value.message.startswith(f"--master-key-file {path}: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
async def test_file_of_another_user_is_refused(path: Path) -> None:
    os.chown(write(path), 12345, -1)
    with pytest.raises(InvalidInput, match=re.escape("belongs to another user (uid 12345)")):
        await MasterKeySource(path).read()


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


async def test_output_of_a_command_is_read() -> None:
    keys = await MasterKeySource(command=python(f"print({KEY!r})")).read()
    assert keys is not None
    assert keys.ids == parse_master_keys(KEY.encode()).ids


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("/nowhere/at-all", "/nowhere/at-all cannot be started: No such file", id="missing"),
        pytest.param(python(f"print({KEY!r}); raise SystemExit(3)"), "exited with 3", id="fails"),
        pytest.param(python("print('x' * 70000)"), "printed more than 65536 bytes", id="prints much"),
        pytest.param(python("pass"), "it has no key", id="prints nothing"),
        pytest.param("echo 'one", "cannot be split into words", id="open quote"),
        pytest.param("  ", "is empty", id="no words"),
    ],
)
async def test_unusable_command_is_refused(command: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(why)) as raised:
        await MasterKeySource(command=command).read()
    assert KEY not in raised.value.message


def test_file_and_command_exclude_each_other(path: Path) -> None:
    with pytest.raises(InvalidInput, match="exclude each other"):
        MasterKeySource(path, "true").check()


async def test_made_file_is_private_and_kept(path: Path) -> None:
    ensure_master_key_file(path)
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ensure_master_key_file(path)
    assert path.read_bytes() == content
    assert await MasterKeySource(path).read() is not None
    assert [each.name for each in path.parent.iterdir()] == ["keys"]


async def test_half_written_file_of_a_killed_process_is_replaced(path: Path) -> None:
    write(path.with_name(f".keys.{os.getpid()}"), KEY[:10])
    ensure_master_key_file(path)
    assert await MasterKeySource(path).read() is not None


async def test_changed_file_is_read_again(path: Path) -> None:
    source = MasterKeySource(write(path))
    envelope = Envelope(await source.read(), read=source.read)
    before = envelope.master_key_id
    following = asyncio.create_task(source.follow(envelope, seconds=0.01))
    try:
        # It compares with the file as it was when it began to run, so the file is changed until that was seen.
        async def is_read() -> bool:
            write(path, f"{new_master_key()}\n{KEY}")
            return envelope.master_key_id != before

        await eventually(is_read)
        assert before in envelope.master_key_ids
        assert len(envelope.master_key_ids) == 2
    finally:
        following.cancel()
        await asyncio.wait({following})


async def test_command_is_run_again(path: Path) -> None:
    write(path)
    source = MasterKeySource(command=f"cat {path}")
    envelope = Envelope(await source.read(), read=source.read)
    before = envelope.master_key_id
    following = asyncio.create_task(source.follow(envelope, run_again=0.01))
    try:
        write(path, "not a key")  # is ignored while it is so
        write(path, f"{new_master_key()}\n{KEY}")

        async def is_read() -> bool:
            return envelope.master_key_id != before

        await eventually(is_read)
        assert before in envelope.master_key_ids
    finally:
        following.cancel()
        await asyncio.wait({following})
