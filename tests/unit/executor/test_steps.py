"""From a step to its command: what is refused before git ever sees it, and real clones by the script."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway.executor.steps import CloneOf, Source, clone_command, local_repository, run_command
from sluiceway.foundation.errors import FailedPrecondition

SHA = "a" * 40
GOOD = Source("https://example.com/o/r.git", "refs/heads/main", SHA, "main")


@pytest.mark.parametrize(
    "source",
    [
        replace(GOOD, repository="ext::sh -c touch% /tmp/x"),
        replace(GOOD, repository="file:///etc"),
        replace(GOOD, repository="--upload-pack=touch /tmp/x"),
        replace(GOOD, repository="-oProxyCommand=x"),
        replace(GOOD, repository="ssh://-oProxyCommand=x/y"),
        replace(GOOD, repository="git@-host:path"),
        replace(GOOD, repository="git@host:-path"),
        replace(GOOD, repository="host::path"),
        replace(GOOD, repository="https://ok/\nevil"),
        replace(GOOD, repository="https://ok/a b"),
        replace(GOOD, repository="../relative"),
        replace(GOOD, repository=""),
        replace(GOOD, ref="--upload-pack=x"),
        replace(GOOD, ref="refs/heads/-x"),
        replace(GOOD, ref="refs/heads/a..b"),
        replace(GOOD, ref="refs/heads/a b"),
        replace(GOOD, ref="refs/heads/a:refs/heads/b"),
        replace(GOOD, ref="refs/heads/*"),
        replace(GOOD, ref="main"),
        replace(GOOD, branch="-x"),
        replace(GOOD, branch="a\nb"),
        replace(GOOD, commit_sha="HEAD"),
        replace(GOOD, commit_sha="a" * 39),
        replace(GOOD, commit_sha="-" + "a" * 39),
        replace(GOOD, commit_sha=SHA + "\n"),
    ],
    ids=repr,
)
def test_sources_that_are_not_cloned(source: Source) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        clone_command(CloneOf(source))
    assert caught.value.reason == "CLONE_REFUSED"


@pytest.mark.parametrize(
    "url", ["https://h/r", "http://h:80/r.git", "ssh://git@h:22/r", "git@h.example:o/r.git", "https://user:pw@h/r"]
)
def test_sources_that_are(url: str) -> None:
    command = clone_command(CloneOf(replace(GOOD, repository=url)))
    assert command.environment["SLUICE_CLONE_URL"] == url
    assert command.environment["SLUICE_CLONE_PROTOCOLS"] == "https:http:ssh"
    assert url not in (command.script or "")


def test_a_run_step_is_its_text_in_a_file() -> None:
    command = run_command("echo 'x'\n", shell="/bin/bash -eo pipefail", environment={"A": "b"}, tty=True)
    assert command.argv == ["/bin/bash", "-eo", "pipefail"]
    assert (command.script, command.environment, command.tty) == ("echo 'x'\n", {"A": "b"}, True)


@pytest.mark.parametrize(
    ("shell", "environment"),
    [("", {}), ("sh 'open", {}), ("sh", {"A=B": "x"}), ("sh", {"A": "x\0"}), ("sh", {"": "x"})],
)
def test_steps_that_cannot_be_run(shell: str, environment: dict[str, str]) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        run_command("true", shell=shell, environment=environment)
    assert caught.value.reason == "STEP_INVALID"


def test_only_repositories_below_the_folder_are_taken(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "one").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (allowed / "link").symlink_to(tmp_path / "outside")
    assert local_repository(str(allowed / "one"), allowed) == (allowed / "one").resolve()
    for path in (tmp_path / "outside", allowed / "link", allowed / ".." / "outside", allowed / "none"):
        with pytest.raises(FailedPrecondition):
            local_repository(str(path), allowed)
    with pytest.raises(FailedPrecondition, match="--local-repositories"):
        local_repository(str(allowed / "one"), None)


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    for number in range(3):
        (path / "file").write_text(str(number))
        git(path, "add", "file")
        git(path, "commit", "-q", "-m", f"commit {number}")
    return path


@pytest.mark.system
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("back", [0, 1, 2])
def test_a_clone_ends_at_the_commit(repository: Path, tmp_path: Path, depth: int, back: int) -> None:
    sha = git(repository, "rev-parse", f"HEAD~{back}")
    source = Source(str(repository), "refs/heads/main", sha, "main")
    command = clone_command(CloneOf(source, mounted=str(repository), depth=depth))
    target = tmp_path / "target"
    target.mkdir()
    for _ in range(2):  # a second time changes nothing
        done = subprocess.run(
            [*command.argv, "-c", command.script or ""],
            cwd=target,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **command.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert git(target, "rev-parse", "HEAD") == sha
        assert (target / "file").read_text() == str(2 - back)
        assert git(target, "branch", "--show-current") == "main"
    assert list(tmp_path.glob(".gitconfig")) == []
