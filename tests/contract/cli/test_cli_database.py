"""`sluice db` as a process on etcd and object storage: output, exit codes and effects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.store import LogStore
from sluiceway_server.projects.tokens import TokenAuthenticator, TokenSpec, make_token, token_id
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.databases import FAST
from tests.support.installation import SLUICE


def where(backing: BackingStores, *, etcd: bool = True) -> list[str]:
    options = ["--object-storage", f"posix:{backing.folder / 'objects'}", "--prefix", PREFIX]
    return [*options, "--etcd", backing.etcd.endpoint] if etcd else options


def sluice(
    backing: BackingStores, command: str, *arguments: str, etcd: bool = True, **how: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a `sluice db` command on the backing stores."""
    how = {"text": True, "stdin": subprocess.DEVNULL, **how}
    return subprocess.run(
        [*SLUICE, "db", command, *where(backing, etcd=etcd), *arguments],
        capture_output=True,
        timeout=60,
        check=False,
        **how,
    )


async def test_db_status_shows_etcd_and_object_storage(backing: BackingStores) -> None:
    await backing.written(5, rounds=2)
    done = sluice(backing, "status")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for word in ("epoch", "head", "flushed", "recoverable", str(LogSequence(1, 10)), "wal"):
        assert word in done.stdout
    found = json.loads(sluice(backing, "status", "-o", "json").stdout)
    assert (found["epoch"], found["head"], found["flushed"]) == ("1", str(LogSequence(1, 10)), str(LogSequence(1, 10)))
    assert {item["kind"] for item in found["objects"] if item.get("count", "0") != "0"} == {"epoch", "wal"}
    assert found["findings"] == []


async def test_db_status_works_when_the_database_is_damaged(backing: BackingStores) -> None:
    await backing.written(5)
    await backing.lose_keys()
    done = sluice(backing, "status")
    assert done.returncode == 0
    assert "sluice db recover" in done.stdout
    # Etcd away, and the object storage damaged.
    segment = (await backing.keys("wal/"))[-1]
    await backing.storage.put(segment, b"nothing")
    done = sluice(backing, "status", "--etcd", "http://127.0.0.1:1", etcd=False)
    assert done.returncode == 0, done.stderr
    assert "away" in done.stdout
    assert segment in done.stdout


@pytest.mark.parametrize("command", [["status"], ["verify"], ["export", "-"]], ids=lambda command: command[0])
def test_read_only_command_creates_no_mistyped_folder(
    backing: BackingStores, tmp_path: Path, command: list[str]
) -> None:
    where = ["--object-storage", f"posix:{tmp_path / 'mistyped'}", "--etcd", backing.etcd.endpoint]
    done = subprocess.run(
        [*SLUICE, "db", *command, *where],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in (1, 2)
    assert "mistyped" in done.stderr
    assert not (tmp_path / "mistyped").exists()


async def test_verify_exits_with_0_1_or_2(backing: BackingStores) -> None:
    await backing.written(5, rounds=2)
    done = sluice(backing, "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no faults" in done.stdout
    assert sluice(backing, "verify", etcd=False).returncode == 0
    (first, *_) = await backing.keys("wal/")
    body = await backing.storage.get(first)
    await backing.storage.put(first, body[:-1])
    done = sluice(backing, "verify")
    assert done.returncode == 1
    assert f"fault: the segment {first} is damaged" in done.stdout
    found = json.loads(sluice(backing, "verify", "-o", "json").stdout)
    assert found["faults"][0]["object"] == first
    assert found["objects"] > 1
    away = sluice(backing, "verify", "--prefix", "nowhere")
    assert away.returncode == 2
    assert "no database" in away.stderr


async def test_export_is_restored_by_import(backing: BackingStores, tmp_path: Path) -> None:
    before = await backing.written(5)
    file = tmp_path / "export"
    done = sluice(backing, "export", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0
    again = sluice(backing, "export", str(file))
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert sluice(backing, "export", str(file), "--force").returncode == 0
    through_a_pipe = sluice(backing, "export", "-", text=False)
    assert through_a_pipe.returncode == 0
    assert through_a_pipe.stdout[:5] == b"SLEXP"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".export")]

    refused = sluice(backing, "import", str(file))
    assert refused.returncode == 1
    assert "empty place" in refused.stderr
    await backing.lose_keys()
    await backing.storage.close()
    (backing.folder / "objects").rename(backing.folder / "old-objects")
    backing = BackingStores(backing.etcd, backing.folder)
    cut = sluice(backing, "import", "-", text=False, stdin=None, input=through_a_pipe.stdout[:-20])
    assert cut.returncode == 1
    assert b"at byte" in cut.stderr
    done = sluice(backing, "import", "-", text=False, stdin=None, input=through_a_pipe.stdout)
    assert done.returncode == 0, done.stderr
    assert b"start servers now" in done.stdout
    assert await backing.contents() == before
    await backing.close()


async def test_export_replaces_files_only(backing: BackingStores, tmp_path: Path) -> None:
    await backing.written(1)
    os.mkfifo(tmp_path / "pipe")
    done = sluice(backing, "export", "--force", str(tmp_path / "pipe"))
    assert done.returncode == 1
    assert "is no file" in done.stderr
    assert (tmp_path / "pipe").is_fifo()


async def test_checkpoint_is_made_once(backing: BackingStores) -> None:
    await backing.written(5)
    first = json.loads(sluice(backing, "checkpoint", "-o", "json").stdout)
    assert first == {"sequence": str(LogSequence(1, 5)), "made": True}
    second = sluice(backing, "checkpoint")
    assert second.returncode == 0
    assert "nothing has changed" in second.stdout
    assert await backing.keys("manifest/") == [f"{PREFIX}/manifest/{LogSequence(1, 5)}"]


async def test_recover_asks_and_prints_what_it_does(backing: BackingStores) -> None:
    before = await backing.written(5)
    healthy = sluice(backing, "recover", "--yes")
    assert healthy.returncode == 1
    assert "nothing to recover" in healthy.stderr
    await backing.lose_keys()
    silent = sluice(backing, "recover")
    assert silent.returncode == 2
    assert "--yes" in silent.stderr
    assert (await backing.standing()).kind == "ETCD_EMPTY"
    done = sluice(backing, "recover", "--yes")
    assert done.returncode == 0, done.stderr
    assert "is empty" in done.stderr
    assert str(LogSequence(1, 5)) in done.stderr
    assert "epoch 2" in done.stdout
    assert await backing.contents() == before
    assert sluice(backing, "verify").returncode == 0


async def test_prompt_at_a_terminal_can_be_declined(backing: BackingStores) -> None:
    await backing.written(5)
    await backing.lose_keys()
    for answer, code, kind in ((b"n\n", 1, "ETCD_EMPTY"), (b"y\n", 0, "HEALTHY")):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = sluice(backing, "recover", "--force", stdin=theirs)
        os.close(ours)
        os.close(theirs)
        assert done.returncode == code, done.stderr
        assert "Recover?" in done.stderr
        assert (await backing.standing()).kind == kind


@pytest.mark.parametrize("command", [["recover", "--force"], ["restore", "--to", str(LogSequence(1, 3))]])
async def test_prompt_at_a_terminal_can_be_interrupted(command: list[str], backing: BackingStores) -> None:
    await backing.written(5)
    if command[0] == "recover":
        await backing.lose_keys()
    before = (await backing.standing()).kind
    ours, theirs = pty.openpty()
    asking = await asyncio.create_subprocess_exec(
        *SLUICE, "db", *command, *where(backing), stdin=theirs, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert asking.stderr is not None
        async with asyncio.timeout(60):
            await asking.stderr.readuntil(b"[y/N]")
            while asking.returncode is None:
                # One that comes between the prompt and the read is seen by Python only after the read: press again.
                asking.send_signal(signal.SIGINT)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asking.wait(), 5)
    finally:
        os.close(ours)
        os.close(theirs)
        if asking.returncode is None:
            asking.kill()
            await asking.wait()
    assert asking.returncode == 130
    assert (await backing.standing()).kind == before


async def test_restore_goes_back_and_prints_what_is_lost(backing: BackingStores) -> None:
    await backing.written(5)
    before = await backing.contents()
    await backing.written(5)
    done = sluice(backing, "restore", "--to", str(LogSequence(1, 5)), "--yes")
    assert done.returncode == 0, done.stderr
    assert "5 entries" in done.stderr
    assert await backing.contents() == before
    wrong = sluice(backing, "restore", "--to", "5", "--yes")
    assert wrong.returncode == 1
    assert "is neither a sequence" in wrong.stderr
    unknown = sluice(backing, "restore", "--to", str(LogSequence(1, 9)), "--yes")
    assert unknown.returncode == 1
    assert "not part of the present history" in unknown.stderr
    beyond = sluice(backing, "restore", "--to", str(LogSequence(2, 99)), "--yes")
    assert beyond.returncode == 1
    assert "the history ends at" in beyond.stderr
    assert "Given up" not in beyond.stderr, "nobody is asked about what cannot be"
    assert sluice(backing, "verify").returncode == 0


async def test_equal_notes_are_printed_on_one_line(backing: BackingStores) -> None:
    await backing.written(1, rounds=6)
    assert sluice(backing, "restore", "--to", str(LogSequence(1, 1)), "--yes").returncode == 0
    everything = sluice(backing, "verify", "-o", "wide")
    notes = [line for line in everything.stdout.splitlines() if line.startswith("note: ")]
    assert len([line for line in notes if "are void" in line]) >= 5
    summed = sluice(backing, "verify")
    assert (summed.returncode, everything.returncode) == (0, 0)
    shown = summed.stdout.splitlines()
    assert len([line for line in shown if "are void" in line]) == 1
    assert [line.strip() for line in shown if "The same holds for" in line]
    assert shown[-1] == everything.stdout.splitlines()[-1]
    found = json.loads(sluice(backing, "verify", "-o", "json").stdout)
    assert len(found["notes"]) == len(notes)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["status", "--object-storage", "posix:/tmp/x", "--etcd", "http://x", "--server", "y"], "give one"),
        (["recover", "--yes"], "both stores"),
        (["import", "x"], "two stores"),
        (["status", "--etcd", "http://x"], "--object-storage"),
        (["status", "--object-storage", "posix:/tmp/x"], "--etcd"),
    ],
)
def test_command_without_a_store_option_names_it(command: list[str], says: str) -> None:
    done = subprocess.run([*SLUICE, "db", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr


def _reset(backing: BackingStores, *arguments: str) -> subprocess.CompletedProcess[Any]:
    return sluice(backing, "reset-operator-token", *arguments)


async def test_lost_operator_token_is_reset_while_a_server_runs(backing: BackingStores) -> None:
    settings = replace(FAST, server_id="one")
    async with DataManager.open(
        kv=backing.kv,
        storage=backing.storage,
        prefix=PREFIX,
        path=backing.folder / "db",
        types=RECORD_TYPES,
        settings=settings,
    ) as database:
        authenticator = TokenAuthenticator(database)
        everything = frozenset({"*"})
        lost = await make_token(database, TokenSpec(CallerKind.OPERATOR, "lost", user_id="admin", scopes=everything))
        user = await make_token(database, TokenSpec(CallerKind.USER, "user", user_id="u", scopes=everything))
        silent = await asyncio.to_thread(_reset, backing)
        assert silent.returncode == 2
        assert "--yes" in silent.stderr
        kept = await asyncio.to_thread(_reset, backing, "--yes", "--keep-others")
        assert kept.returncode == 0, kept.stderr
        made = await asyncio.to_thread(_reset, backing, "--yes")
        assert made.returncode == 0, made.stderr
        assert f"Revoked: {token_id(lost)[:16]} lost" in made.stderr
        caller = await authenticator.authenticate(made.stdout.strip())
        assert caller is not None
        assert (caller.kind, caller.id, caller.scopes) == (CallerKind.OPERATOR, "admin", everything)
        assert await authenticator.authenticate(lost) is None
        assert await authenticator.authenticate(kept.stdout.strip()) is None
        assert await authenticator.authenticate(user) is not None


async def test_token_reset_creates_no_database_at_a_mistyped_place(backing: BackingStores) -> None:
    done = sluice(backing, "reset-operator-token", "--yes")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no database" in done.stderr or "is new" in done.stderr or "empty" in done.stderr
    keys, _ = await backing.kv.list_prefix(f"{PREFIX}/", timeout=timedelta(seconds=5))
    assert keys == ()
    assert await backing.keys("epoch/") == []


async def test_history_lists_times_that_restore_accepts(backing: BackingStores) -> None:
    await backing.written(3, rounds=4)
    done = sluice(backing, "history", "-o", "json")
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    assert points[0]["sequence"] == str(LogSequence(1, 12))
    times = [datetime.fromisoformat(point["time"]) for point in points]
    assert times == sorted(times, reverse=True)
    assert sum(point["entries"] for point in points) == 12
    assert len(json.loads(sluice(backing, "history", "-n", "2", "-o", "json").stdout)) == 2
    older = points[2]
    before = json.loads(sluice(backing, "history", "--before", older["time"], "-o", "json").stdout)
    assert before == points[2:]
    # Between two entries: the earlier one counts.
    moment = times[2] + (times[1] - times[2]) / 2
    for text in ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00", "yesterday"):
        refused = sluice(backing, "restore", "--to", text, "--yes")
        assert refused.returncode == 1
        assert "sluice db history" in refused.stderr
    restored = sluice(backing, "restore", "--to", moment.isoformat(), "--yes", "-o", "json")
    assert restored.returncode == 0, restored.stderr
    kept = LogSequence.parse(json.loads(restored.stdout)["lastSequence"])
    assert LogSequence.parse(older["sequence"]) <= kept < LogSequence.parse(points[1]["sequence"])
    assert (await backing.contents())["counter"][1] == kept.counter
    again = json.loads(sluice(backing, "history", "-o", "json").stdout)
    assert again[0]["sequence"].startswith("00000002-")
    assert [point["sequence"] for point in again[1:]] == sorted(
        (point["sequence"] for point in again[1:]), reverse=True
    )
    assert all(LogSequence.parse(point["sequence"]) <= kept for point in again[1:])


async def test_verify_names_damaged_stored_logs(backing: BackingStores) -> None:
    await backing.written(3)
    store = LogStore(backing.storage, SystemClock(), prefix=PREFIX)
    whole, gap, short, live = (LogKey("run", name, Epoch(1, 1), 0) for name in ("whole", "gap", "short", "live"))
    for key in (whole, short):
        for offset in (0, 4):
            await store.put_segment(key, offset, b"abc\n")
        assert await store.end(key, 8)
        await store.compose(key)
    await store.put_segment(gap, 0, b"abc\n")
    await store.put_segment(gap, 9, b"beyond")
    await store.put_segment(live, 0, b"it still runs")
    assert sluice(backing, "verify", "--skip-logs").returncode == 0
    complete = f"log.{8:020d}"
    index = (await backing.storage.get(f"{PREFIX}/{short.path}{complete}"))[8:]
    await backing.storage.put(f"{PREFIX}/{short.path}{complete}", b"abc\nabd\n" + index)
    await backing.storage.put(f"{PREFIX}/logs/README", b"mine")
    done = sluice(backing, "verify", "-o", "json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    faults = {item["object"]: item["message"] for item in found["faults"]}
    assert set(faults) == {f"{PREFIX}/{gap.path}", f"{PREFIX}/{short.path}"}
    assert "bytes are missing after 4" in faults[f"{PREFIX}/{gap.path}"]
    assert "differ from those of its index" in faults[f"{PREFIX}/{short.path}"]
    assert f"{PREFIX}/logs/README" in {item["object"] for item in found["notes"]}
    await backing.storage.put(f"{PREFIX}/{whole.path}{complete}", b"abc\nabc\n{}")
    again = json.loads(sluice(backing, "verify", "-o", "json").stdout)
    faults = {item["object"]: item["message"] for item in again["faults"]}
    assert "its index is damaged" in faults[f"{PREFIX}/{whole.path}"]
