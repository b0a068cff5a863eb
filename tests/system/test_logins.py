"""`sluice login` and `logout` against a real installation: with a password, and with a browser."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import SLUICE, Installation, installation, run_sluice, sentence_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("logins"), "--executors", "0") as running:
        running.sluice("user", "create", "eve")
        with running.http() as client:
            client.post("/api/v1/users/eve:setPassword", json={"password": "correct horse"}).raise_for_status()
        yield running


def sluice(here: Installation, home: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command with an own login file."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "SLUICE_SERVER": "", "SLUICE_TOKEN": ""}
    return subprocess.run(
        [*SLUICE, *arguments], env=environment, input=typed, capture_output=True, text=True, timeout=120, check=False
    )


def login_of(home: Path) -> dict[str, Any]:
    path = home / "sluice" / "login.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_login_with_a_password_and_logout(here: Installation, tmp_path: Path) -> None:
    server = here.state["grpc"]
    command = ("login", "--server", server, "--user", "eve", "--password-stdin")
    wrong = sluice(here, tmp_path, *command, typed="wrong horse\n")
    assert sentence_of(wrong) == "the name or the password is wrong"
    assert not (tmp_path / "sluice").exists()
    done = sluice(here, tmp_path, *command, typed="correct horse\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"logged in to {server} as eve")
    token = login_of(tmp_path)["token"]
    assert token not in done.stdout + done.stderr
    assert sluice(here, tmp_path, "run", "list").returncode == 0
    out = sluice(here, tmp_path, "logout")
    assert out.stdout == f"logged out of {server}; the token is revoked\n"
    assert not (tmp_path / "sluice" / "login.json").exists()
    assert "token" in sentence_of(run_sluice("run", "list", "--server", server, "--token", token))
    assert sluice(here, tmp_path, "logout").stdout == "not logged in\n"


def test_login_with_a_browser_waits_for_the_confirmation(here: Installation, tmp_path: Path) -> None:
    with start_browser_login(here, tmp_path) as process:
        code = code_of(process)
        with here.http() as client:
            shown = client.get(f"/api/v1/deviceLogins/{code}").json()
            assert shown["clientName"].startswith("sluice on ")
            client.post(f"/api/v1/deviceLogins/{code}:answer", json={"confirmed": True}).raise_for_status()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "as admin; the token is in" in out
    assert sluice(here, tmp_path, "user", "list").returncode == 0
    assert "the token is revoked" in sluice(here, tmp_path, "logout").stdout


def test_denied_login_ends_with_a_sentence(here: Installation, tmp_path: Path) -> None:
    with start_browser_login(here, tmp_path) as process:
        code = code_of(process)
        with here.http() as client:
            client.post(f"/api/v1/deviceLogins/{code}:answer", json={}).raise_for_status()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the login was denied in the browser" in err
    assert not (tmp_path / "sluice").exists()


def start_browser_login(here: Installation, home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "SLUICE_SERVER": "", "SLUICE_TOKEN": ""}
    command = [*SLUICE, "login", "--server", here.state["grpc"], "--browser"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def code_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"/device\?code=([A-Z]{4}-[A-Z]{4})$", line.strip())
    assert found is not None, line
    return found[1]


def test_given_token_stays_valid_after_logout(here: Installation, tmp_path: Path) -> None:
    done = sluice(here, tmp_path, "login", "--server", here.state["grpc"], typed=here.token + "\n")
    assert done.returncode == 0, done.stderr
    assert "issued" not in login_of(tmp_path)
    assert "the token stays valid" in sluice(here, tmp_path, "logout").stdout
    here.sluice("run", "list")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 1, "standard input has no token"),
        (("--user", "eve"), 1, "--password-stdin"),
        (("--user", "eve", "--password-stdin"), 1, "standard input has no password"),
        (("--user", "eve", "--browser"), 2, "choose one"),
        (("--password-stdin",), 2, "needs --user"),
    ],
)
def test_login_without_a_terminal_says_what_to_do(
    here: Installation, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = sluice(here, tmp_path, "login", "--server", here.state["grpc"], *arguments)
    assert done.returncode == code
    assert sentence in " ".join(done.stderr.split())


def test_password_is_not_sent_in_clear_to_another_machine(here: Installation, tmp_path: Path) -> None:
    for arguments in (("--user", "eve", "--password-stdin"), ("--browser",)):
        done = sluice(here, tmp_path, "login", "--server", "192.0.2.1:7070", *arguments, typed="correct horse\n")
        assert "in clear" in sentence_of(done)


def test_logout_while_the_server_is_away_keeps_the_login(here: Installation, tmp_path: Path) -> None:
    (tmp_path / "sluice").mkdir()
    login = {"server": "127.0.0.1:1", "token": "sluice_" + "x" * 43, "issued": "yes"}
    (tmp_path / "sluice" / "login.json").write_text(json.dumps(login))
    assert "--forget-only" in sentence_of(sluice(here, tmp_path, "logout"))
    assert (tmp_path / "sluice" / "login.json").exists()
    assert "stays valid" in sluice(here, tmp_path, "logout", "--forget-only").stdout
    assert not (tmp_path / "sluice" / "login.json").exists()
