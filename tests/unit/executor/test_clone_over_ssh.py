"""Clones over SSH with a deploy key, by the script of the step, from a server that knows the keys of repositories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.steps import CloneOf, Source, SshAccess, clone_command
from tests.fakes.forge import Kind
from tests.fakes.forge.model import Key, Repo
from tests.support.running_forge import RunningForge, running_forge

pytestmark = pytest.mark.system


@dataclass
class Private:
    """A private repository with a deploy key."""

    forge: RunningForge
    repo: Repo
    commit: str
    access: SshAccess
    temporary: Path

    def clone(self, target: Path, access: SshAccess | None, *, depth: int = 0) -> subprocess.CompletedProcess[str]:
        source = Source(self.forge.fake.ssh_url(self.repo), "refs/heads/main", self.commit, "main")
        command = clone_command(CloneOf(source, depth=depth, ssh=access))
        target.mkdir()
        script = target.parent / "script"
        script.write_text(command.script or "")
        return subprocess.run(
            [*command.argv, str(script)],
            cwd=target,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(target.parent),
                "TMPDIR": str(self.temporary),
                **command.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Private]:
    temporary = tmp_path / "a b" / ("long" * 25)
    temporary.mkdir(parents=True)
    with running_forge(Kind.GITEA, tmp_path / "forge") as forge:
        repo = forge.repository("acme/secret", {"file": b"content"}, is_private=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        repo.keys.append(Key(1, "ours", key.export_public_key().decode(), read_only=True))
        access = SshAccess(key.export_private_key(), (forge.fake.ssh.host_key,))
        yield Private(forge, repo, forge.head(repo), access, temporary)


@pytest.mark.parametrize("depth", [0, 1])
def test_private_repository_is_cloned_with_its_key(private: Private, tmp_path: Path, depth: int) -> None:
    done = private.clone(tmp_path / "target", private.access, depth=depth)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "target/file").read_bytes() == b"content"
    assert list(private.temporary.iterdir()) == []


def test_clone_with_a_revoked_key_says_what_to_do(private: Private, tmp_path: Path) -> None:
    private.repo.keys.clear()
    done = private.clone(tmp_path / "target", private.access, depth=1)
    assert done.returncode != 0
    assert "Permission denied" in done.stdout
    assert "does not accept the deploy key of the project. Add it to the repository" in done.stdout
    assert private.forge.fake.ssh.attempts == 1
    assert list(private.temporary.iterdir()) == []


def test_host_with_another_key_is_not_spoken_to(private: Private, tmp_path: Path) -> None:
    other = " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])
    done = private.clone(tmp_path / "target", SshAccess(private.access.private_key, (other,)))
    assert done.returncode != 0
    assert "Host key verification failed" in done.stdout
    assert "has another SSH host key than is set for it" in done.stdout
    assert private.forge.fake.ssh.attempts == 0


def test_host_key_of_another_type_is_refused(private: Private, tmp_path: Path) -> None:
    other = " ".join(asyncssh.generate_private_key("ssh-rsa").export_public_key().decode().split()[:2])
    done = private.clone(tmp_path / "target", SshAccess(private.access.private_key, (other,)))
    assert done.returncode != 0
    assert "has another SSH host key than is set for it" in done.stdout
    assert private.forge.fake.ssh.attempts == 0


def test_key_of_another_repository_is_refused(private: Private, tmp_path: Path) -> None:
    other = private.forge.repository("acme/other", {"file": b"x"}, is_private=True)
    other.keys.append(private.repo.keys.pop())
    done = private.clone(tmp_path / "target", private.access)
    assert done.returncode != 0
    assert "Repository not found" in done.stdout


def test_deploy_key_does_not_push(private: Private, tmp_path: Path) -> None:
    assert private.clone(tmp_path / "target", private.access).returncode == 0
    key = tmp_path / "key"
    key.write_bytes(private.access.private_key)
    key.chmod(0o600)
    done = subprocess.run(
        ["git", "push", "origin", "HEAD:refs/heads/other"],
        cwd=tmp_path / "target",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GIT_SSH_COMMAND": f"ssh -F none -i {key} -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "read only" in done.stderr


def test_key_without_a_host_key_is_refused() -> None:
    source = Source("ssh://git@example.com/a.git", "refs/heads/main", "a" * 40)
    with pytest.raises(FailedPrecondition) as caught:
        clone_command(CloneOf(source, ssh=SshAccess(b"key", ())))
    assert caught.value.reason == "CLONE_REFUSED"
    assert "key" not in repr(SshAccess(b"secret", ("a",))).replace("host_keys", "")
