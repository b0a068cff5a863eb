"""From a step to its command: what is refused before git ever sees it, and real clones by the script."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.steps import CloneOf, Source, clone_command, run_command
from tests.support.git_server import git_server

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
        replace(GOOD, ref="refs/heads/a..b"),
        replace(GOOD, ref="refs/heads/a b"),
        replace(GOOD, ref="refs/heads/a:refs/heads/b"),
        replace(GOOD, ref="refs/heads/*"),
        replace(GOOD, ref="main"),
        replace(GOOD, ref=SHA[:12]),
        replace(GOOD, ref="b" * 40),
        replace(GOOD, branch="a\nb"),
        replace(GOOD, commit_sha="HEAD"),
        replace(GOOD, commit_sha=""),
        replace(GOOD, commit_sha="a" * 39),
        replace(GOOD, commit_sha="-" + "a" * 39),
        replace(GOOD, commit_sha=SHA + "\n"),
    ],
    ids=repr,
)
def test_source_is_refused(source: Source) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        clone_command(CloneOf(source))
    assert caught.value.reason == "CLONE_REFUSED"


@pytest.mark.parametrize(
    "url", ["https://h/r", "http://h:80/r.git", "ssh://git@h:22/r", "git@h.example:o/r.git", "https://user:pw@h/r"]
)
def test_source_is_cloned(url: str) -> None:
    command = clone_command(CloneOf(replace(GOOD, repository=url)))
    assert command.environment["SLUICE_CLONE_URL"] == url
    assert command.environment["SLUICE_CLONE_PROTOCOLS"] == "https:http:ssh"
    assert url not in (command.script or "")


@pytest.mark.parametrize("sha", [SHA, "a" * 64])
@pytest.mark.parametrize(
    "ref", ["", None, "refs/heads/123/-testing2", "refs/heads/-x", "refs/tags/-v1", "refs/pull/1/head"]
)
def test_ref_is_cloned(ref: str | None, sha: str) -> None:
    command = clone_command(CloneOf(replace(GOOD, commit_sha=sha, ref=sha if ref is None else ref, branch="")))
    assert command.environment["SLUICE_CLONE_REF"] == (ref or "")
    assert command.environment["SLUICE_CLONE_FORMAT"] == ("sha256" if len(sha) == 64 else "")


def test_clone_takes_only_connection_variables_of_the_task() -> None:
    of_task = {
        "TMPDIR": "/nowhere",
        "GIT_DIR": "/elsewhere",
        "GIT_CONFIG_COUNT": "1",
        "HOME": "/root",
        "PATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "BASH_ENV": "/evil.sh",
        "SLUICE_CLONE_SHA": "b" * 40,
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
    }
    command = clone_command(CloneOf(GOOD), environment=of_task)
    assert not command.inherit
    own = {name: value for name, value in command.environment.items() if not name.startswith("SLUICE_CLONE_")}
    assert own == {name: of_task[name] for name in ("https_proxy", "NO_PROXY", "SSL_CERT_FILE")}
    assert command.environment["SLUICE_CLONE_SHA"] == SHA


def test_run_step_is_a_script_for_its_shell() -> None:
    command = run_command("echo 'x'\n", shell="/bin/bash -eo pipefail", environment={"A": "b"}, tty=True)
    assert command.argv == ["/bin/bash", "-eo", "pipefail"]
    assert (command.script, command.environment, command.tty) == ("echo 'x'\n", {"A": "b"}, True)


@pytest.mark.parametrize(
    ("shell", "environment"),
    [("", {}), ("sh 'open", {}), ("sh \0", {}), ("sh", {"A=B": "x"}), ("sh", {"A": "x\0"}), ("sh", {"": "x"})],
)
def test_step_that_cannot_be_run_is_refused(shell: str, environment: dict[str, str]) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        run_command("true", shell=shell, environment=environment)
    assert caught.value.reason == "STEP_INVALID"


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A repository with three commits on `main`, in a folder whose name has to be quoted."""
    path = tmp_path / "répo sitory'"
    path.mkdir()
    git(path, "init", "-q", "-b", "main", f"--object-format={request.param}")
    for number in range(3):
        commit(path, str(number))
    return path


def commit(path: Path, content: str) -> str:
    (path / "file").write_text(content)
    git(path, "add", "file")
    git(path, "commit", "-q", "-m", f"commit {content}")
    return git(path, "rev-parse", "HEAD")


def clone(source: Source, target: Path, *, depth: int = 0, submodules: bool = False) -> str:
    """Clone a folder or URL as a step does; return the log."""
    mounted = source.repository if source.repository.startswith("/") else ""
    command = clone_command(CloneOf(source, mounted=mounted, depth=depth, submodules=submodules))
    target.mkdir(exist_ok=True)
    done = subprocess.run(
        [*command.argv, "-c", command.script or ""],
        cwd=target,
        env={"PATH": os.environ["PATH"], "HOME": str(target.parent), **command.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.system
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("back", [0, 1, 2])
def test_clone_ends_at_the_commit(repository: Path, tmp_path: Path, depth: int, back: int) -> None:
    sha = git(repository, "rev-parse", f"HEAD~{back}")
    source = Source(str(repository), "refs/heads/main", sha, "main")
    target = tmp_path / "target"
    for _ in range(2):  # a second time changes nothing
        said = clone(source, target, depth=depth)
        assert said == f"cloning {repository} at {sha}\n{git(repository, 'log', '-1', '--format=%h %s', sha)}\n"
        assert git(target, "rev-parse", "HEAD") == sha
        assert (target / "file").read_text() == str(2 - back)
        assert git(target, "branch", "--show-current") == "main"
        assert git(target, "status", "--porcelain") == ""
    assert list(tmp_path.glob(".gitconfig")) == []


@pytest.mark.system
@pytest.mark.parametrize("branch", ["123/-testing2", "-x", "-", "größe/ß", "a'b\"c$d`e"])
def test_branch_of_any_name_is_cloned(repository: Path, tmp_path: Path, branch: str) -> None:
    sha = git(repository, "rev-parse", "HEAD~1")
    git(repository, "update-ref", f"refs/heads/{branch}", sha)
    clone(Source(str(repository), f"refs/heads/{branch}", sha, branch), tmp_path / "target")
    assert git(tmp_path / "target", "symbolic-ref", "HEAD") == f"refs/heads/{branch}"
    assert git(tmp_path / "target", "rev-parse", "HEAD") == sha


@pytest.mark.system
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("ref", ["the commit", ""])
def test_commit_of_no_branch_is_cloned(repository: Path, tmp_path: Path, ref: str, depth: int) -> None:
    git(repository, "checkout", "-q", "--detach")
    sha = commit(repository, "detached")
    git(repository, "checkout", "-q", "main")
    clone(Source(str(repository), sha if ref else "", sha), tmp_path / "target", depth=depth)
    assert git(tmp_path / "target", "rev-parse", "HEAD") == sha
    assert git(tmp_path / "target", "branch", "--show-current") == ""


@pytest.mark.system
def test_tag_is_cloned(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "-a", "v1", "-m", "one", "HEAD~1")
    sha = git(repository, "rev-parse", "HEAD~1")
    clone(Source(str(repository), "refs/tags/v1", sha), tmp_path / "target")
    assert git(tmp_path / "target", "describe", "--exact-match") == "v1"


@pytest.mark.system
def test_bare_repository_and_one_without_branches_are_cloned(repository: Path, tmp_path: Path) -> None:
    sha = git(repository, "rev-parse", "HEAD")
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    clone(Source(str(tmp_path / "bare.git"), "refs/heads/main", sha, "main"), tmp_path / "one")
    git(tmp_path / "bare.git", "update-ref", "-d", "refs/heads/main")
    clone(Source(str(tmp_path / "bare.git"), "", sha), tmp_path / "two")
    assert git(tmp_path / "two", "rev-parse", "HEAD") == sha


@pytest.mark.system
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("ref", ["refs/heads/123/-testing2", "refs/tags/v1", ""])
def test_clone_comes_from_a_server(repository: Path, tmp_path: Path, ref: str, depth: int) -> None:
    repository.rename(tmp_path / "served")
    sha = git(tmp_path / "served", "rev-parse", "HEAD~1")
    if ref:
        git(tmp_path / "served", "update-ref", ref, sha)
    branch = ref.removeprefix("refs/heads/") if "heads" in ref else ""
    with git_server(tmp_path) as url:
        clone(Source(f"{url}/served/.git", ref, sha, branch), tmp_path / "target", depth=depth)
    assert git(tmp_path / "target", "rev-parse", "HEAD") == sha
    assert git(tmp_path / "target", "branch", "--show-current") == branch
    assert git(tmp_path / "target", "rev-list", "--count", "HEAD") == ("1" if depth else "2")


@pytest.mark.system
def test_submodules_are_cloned_on_request(repository: Path, tmp_path: Path) -> None:
    repository.rename(tmp_path / "inner")
    outer = tmp_path / "outer"
    outer.mkdir()
    object_format = git(tmp_path / "inner", "rev-parse", "--show-object-format")
    git(outer, "init", "-q", "-b", "main", f"--object-format={object_format}")
    with git_server(tmp_path) as url:
        git(outer, "submodule", "--quiet", "add", f"{url}/inner/.git", "sub")
        git(outer, "commit", "-q", "-m", "with a submodule")
        source = Source(f"{url}/outer/.git", "refs/heads/main", git(outer, "rev-parse", "HEAD"), "main")
        clone(source, tmp_path / "without")
        clone(source, tmp_path / "with", submodules=True)
    assert not list((tmp_path / "without/sub").iterdir())
    assert (tmp_path / "with/sub/file").read_text() == "2"
