"""Clones over HTTP with a user name and a password, by the script of the step."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.steps import CloneOf, HttpAccess, Source, clone_command
from tests.fakes.forge import Kind
from tests.support.running_forge import RunningForge, running_forge

PASSWORD = "pass 'word' \"quoted\" $HOME \\n"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[RunningForge]:
    with running_forge(Kind.GITEA, tmp_path / "forge") as running:
        running.user.token = PASSWORD
        yield running


def clone(forge: RunningForge, folder: Path, *, origin: str, password: str) -> subprocess.CompletedProcess[str]:
    """Clone from the fake. It has no TLS, so the URL and its origin are put in after the check for https."""
    repo = forge.repository("acme/app", {"file": b"content"}, is_private=True)
    source = Source(f"https://git.example.org/{repo.path}.git", "refs/heads/main", forge.head(repo), "main")
    command = clone_command(CloneOf(source, http=HttpAccess("ann", password)))
    assert command.environment["SLUICE_CLONE_ORIGIN"] == "https://git.example.org"
    url = f"{forge.fake.url}/{repo.path}.git"
    folder.mkdir()
    return subprocess.run(
        [*command.argv, "-c", command.script or ""],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            **command.environment,
            "SLUICE_CLONE_URL": url,
            "SLUICE_CLONE_ORIGIN": origin or forge.fake.url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.system
def test_password_is_given_to_its_host(forge: RunningForge, tmp_path: Path) -> None:
    done = clone(forge, tmp_path / "target", origin="", password=PASSWORD)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "target/file").read_bytes() == b"content"
    assert PASSWORD not in (tmp_path / "target/.git/config").read_text()


@pytest.mark.system
def test_password_is_not_given_to_another_host(forge: RunningForge, tmp_path: Path) -> None:
    done = clone(forge, tmp_path / "target", origin="https://git.example.org", password=PASSWORD)
    assert done.returncode != 0


@pytest.mark.system
def test_wrong_password_is_refused(forge: RunningForge, tmp_path: Path) -> None:
    done = clone(forge, tmp_path / "target", origin="", password="wrong")
    assert done.returncode != 0
    assert "Authentication failed" in done.stdout
    assert "wrong" not in done.stdout


@pytest.mark.parametrize("url", ["http://git.example.org/app", "ssh://git@git.example.org/app", "https://a b/app"])
def test_password_is_sent_over_https_only(url: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        clone_command(CloneOf(Source(url, "refs/heads/main", "a" * 40), http=HttpAccess("ann", "secret")))
    assert caught.value.reason == "CLONE_REFUSED"
    assert "secret" not in str(caught.value) + repr(HttpAccess("ann", "secret"))
