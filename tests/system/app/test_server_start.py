"""The start of a server: what it waits for, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.etcd import etcd_process, wheel_etcd
from tests.support.installation import SLUICE, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the address of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("away", ["etcd", "object storage"])
def test_server_waiting_at_its_start_ends_on_sigterm(
    away: str, number: signal.Signals, tmp_path: Path, silent: str
) -> None:
    data = tmp_path / "data"
    storage = f"posix:{tmp_path / 'objects'}" if away == "etcd" else f"s3://bucket/prefix?endpoint={silent}"
    where = ["--etcd", silent, "--object-storage", storage, "--grpc", "127.0.0.1:0"]
    server = subprocess.Popen(
        [*SLUICE, "server", "--data-dir", str(data), *where],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    )
    try:
        until(data.exists, "its data folder is there", seconds=60)
        server.send_signal(number)
        _, said = server.communicate(timeout=60)
        # Not 1, and no message about who did not respond: nobody waited for that any more.
        assert (server.returncode, said) == (0, "")
    finally:
        server.kill()


def test_slashes_around_a_prefix_are_ignored(tmp_path: Path, etcd_endpoint: str, etcd_prefix: str) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    where = [
        "--etcd",
        etcd_endpoint,
        "--object-storage",
        f"posix:{tmp_path / 'objects'}",
        "--prefix",
        f"/{etcd_prefix}",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*SLUICE, "server", "--data-dir", str(data), *where, "--grpc", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stderr=output,
        )

    def port() -> int | None:
        events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        ready = any(event["event"] == "server_ready" for event in events)
        return next((event["port"] for event in events if ready and event["event"] == "rpc_listening"), None)

    try:
        address = f"127.0.0.1:{until(port, 'the server is ready', seconds=60)}"
        token = (data / "admin.token").read_text().strip()
        answers = [
            json.loads(
                subprocess.run(
                    [*SLUICE, "db", "status", *options, "-o", "json"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                ).stdout
            )
            for options in (["--server", address, "--token", token], where)
        ]
        assert [(answer["epoch"], answer.get("findings", [])) for answer in answers] == [("1", []), ("1", [])]
        files = [data, *data.rglob("*")]
        assert any(file.suffix == ".sqlite" for file in files)
        assert [str(file) for file in files if file.stat().st_mode & 0o077] == []  # for this user only
    finally:
        server.kill()
        server.wait()


def test_server_refuses_a_data_folder_that_others_may_write(tmp_path: Path, silent: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    where = ["--etcd", silent, "--object-storage", f"posix:{tmp_path / 'objects'}", "--grpc", "127.0.0.1:0"]
    server = subprocess.run(
        [*SLUICE, "server", "--data-dir", str(data), *where],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (server.returncode, list(data.iterdir()), (tmp_path / "objects").exists()) == (1, [], False)
    assert f"the data folder {data} is not safe" in server.stderr
    assert f"chmod 700 {data}" in server.stderr


def test_server_warns_of_an_etcd_release_with_known_faults(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with etcd_process(tmp_path / "etcd", binary=wheel_etcd()) as etcd, log.open("wb") as output:
        where = ["--etcd", etcd.endpoint, "--object-storage", f"posix:{tmp_path / 'objects'}"]
        server = subprocess.Popen(
            [*SLUICE, "server", "--data-dir", str(tmp_path / "data"), *where, "--grpc", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            said = until(lambda: _lines(log, "etcd_version_unsafe"), "it warns", seconds=60)
        finally:
            server.kill()
            server.wait(30)

    assert len(said) == 1
    assert (said[0]["level"], said[0]["version"]) == ("warning", "3.5.1")
    assert "install etcd 3.5.5 or later" in said[0]["advice"]


def _lines(log: Path, event: str) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_second_server_makes_no_tokens(tmp_path: Path) -> None:
    def is_ready(log: Path) -> bool:
        return '"server_ready"' in log.read_text()

    with ExitStack() as stack:
        etcd = stack.enter_context(etcd_process(tmp_path / "etcd"))
        where = ["--etcd", etcd.endpoint, "--object-storage", f"posix:{tmp_path / 'objects'}"]
        for name in ("one", "two"):
            log = tmp_path / f"{name}.log"
            with log.open("wb") as output:
                command = ["server", "--data-dir", str(tmp_path / name), *where, "--grpc", "127.0.0.1:0"]
                server = subprocess.Popen([*SLUICE, *command], stdin=subprocess.DEVNULL, stderr=output)
            stack.callback(server.wait)
            stack.callback(server.kill)
            until(partial(is_ready, log), f"the server {name} is ready", seconds=60)
        assert {path.name for path in (tmp_path / "one").glob("*.token")} == {"admin.token", "executor.token"}
        assert list((tmp_path / "two").glob("*.token")) == []
        assert str(tmp_path / "one") in (tmp_path / "two.log").read_text()
        address = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--executors", "0"]
        third = subprocess.run(
            [*SLUICE, "standalone", "--data-dir", str(tmp_path / "three"), *where, *address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert third.returncode == 1
        assert f"{tmp_path / 'three' / 'admin.token'} holds no token" in third.stderr
        assert "sluice token create" in third.stderr
