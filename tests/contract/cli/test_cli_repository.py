"""Resolve a repository and a ref to a commit, with real git, in folders and over HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway.cli.repository import Checkout, open_commit, ref_name
from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from tests.support.git_server import git_server

CONFIG = ".sluice/config.json"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str, message: str) -> str:
    target = folder / CONFIG
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module", params=["sha1", "sha256"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Yield a repository with a branch, a plain and an annotated tag: its folder and its URL."""
    root = tmp_path_factory.mktemp("served")
    folder = root / "app"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main", f"--object-format={request.param}")
    commit(folder, "one", "first\n\nwith a body")
    git(folder, "tag", "plain")
    git(folder, "tag", "-a", "annotated", "-m", "of the first")
    git(folder, "checkout", "-q", "-b", "feature/x")
    commit(folder, "two", "second")
    git(folder, "checkout", "-q", "main")
    with git_server(root) as url:
        yield folder, f"{url}/app/.git"


@pytest.fixture(params=["folder", "url"])
def repository(request: pytest.FixtureRequest, served: tuple[Path, str]) -> str:
    return str(served[0]) if request.param == "folder" else served[1]


def opened(repository: str, ref: str | None) -> tuple[Checkout, bytes | None]:
    with open_commit(repository, ref) as checkout:
        return checkout, checkout.files.read(CONFIG)


REFS = {
    "the default branch": (None, "main", "branch", "refs/heads/main", "main", b"one"),
    "HEAD by name": ("HEAD", "main", "branch", "refs/heads/main", "main", b"one"),
    "a branch": ("feature/x", "feature/x", "branch", "refs/heads/feature/x", "feature/x", b"two"),
    "a full ref": ("refs/heads/feature/x", "feature/x", "branch", "refs/heads/feature/x", "feature/x", b"two"),
    "a plain tag": ("plain", "main", "tag", "refs/tags/plain", "plain", b"one"),
    "an annotated tag": ("annotated", "main", "tag", "refs/tags/annotated", "annotated", b"one"),
}


@pytest.mark.parametrize(("ref", "at", "kind", "full", "name", "content"), REFS.values(), ids=REFS.keys())
def test_ref_resolves_to_its_commit_and_files(
    served: tuple[Path, str], repository: str, ref: str | None, at: str, kind: str, full: str, name: str, content: bytes
) -> None:
    checkout, read = opened(repository, ref)
    context = checkout.context
    assert context.commit_sha == git(served[0], "rev-parse", at)
    assert (context.ref_type, context.ref, ref_name(context), read) == (kind, full, name, content)
    assert checkout.repository == repository


def test_commit_is_named_by_its_digits(served: tuple[Path, str], repository: str) -> None:
    wanted = git(served[0], "rev-parse", "feature/x")
    checkout, read = opened(repository, wanted)
    assert (checkout.context.commit_sha, checkout.context.ref, checkout.context.ref_type) == (wanted, wanted, "")
    assert (checkout.message, read) == ("second", b"two")


def test_commit_message_is_read_whole(served: tuple[Path, str]) -> None:
    assert opened(str(served[0]), "plain")[0].message == "first\n\nwith a body"


@pytest.mark.parametrize("ref", ["nobody", "refs/heads/nobody", "0" * 40, "v1"])
def test_unknown_ref_or_file_is_not_found(repository: str, ref: str) -> None:
    with pytest.raises(NotFound):
        opened(repository, ref)


def test_abbreviated_commit_id_is_refused_with_a_hint(served: tuple[Path, str]) -> None:
    with pytest.raises(NotFound, match="40 digits"):
        opened(str(served[0]), git(served[0], "rev-parse", "--short", "HEAD"))


@pytest.mark.parametrize(
    "ref", ["-x", "--upload-pack=x", "", "a\nb", "a b", "a\0b", "a..b", "a:b", "a^", "a~1", "@{u}"]
)
def test_malformed_ref_is_refused(served: tuple[Path, str], ref: str) -> None:
    with pytest.raises(InvalidInput, match="not a ref"):
        opened(str(served[0]), ref)


URLS = [
    "file:///srv/app",
    "ext::sh -c touch% /tmp/x",
    "git://example.org/app",
    "ftp://example.org/app",
    "HTTPS://",
    "--upload-pack=touch /tmp/x",
    "-oProxyCommand=x",
    "ssh://-oProxyCommand=x/app",
    "https://",
    "host:app",
    "",
    "a\0b",
]


@pytest.mark.parametrize("url", URLS)
def test_unsupported_repository_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="not taken"):
        opened(url, None)


@pytest.mark.parametrize("url", ["https://user:secret@example.org/app", "https://token@example.org/app"])
def test_url_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(url, None)
    assert "secret" not in caught.value.message
    assert "token@" not in caught.value.message


def test_repository_url_with_a_bad_response_is_unavailable(served: tuple[Path, str]) -> None:
    with pytest.raises(Unavailable, match="could not read"):
        opened(served[1].replace("/app/", "/nobody/"), None)


def test_folder_that_is_no_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a git repository"):
        opened(str(tmp_path), None)
    with pytest.raises(NotFound, match="no folder"):
        opened(str(tmp_path / "nobody"), None)


def test_repository_without_a_commit_is_an_error(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    with pytest.raises(NotFound, match="no commit"):
        opened(str(tmp_path), None)


def test_detached_head_is_its_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    first = commit(tmp_path, "one", "first")
    commit(tmp_path, "two", "second")
    git(tmp_path, "checkout", "-q", "--detach", first)
    checkout, read = opened(str(tmp_path), None)
    assert (checkout.context.ref, checkout.context.ref_type, read) == (first, "", b"one")
    with git_server(tmp_path.parent) as url:
        fetched, _ = opened(f"{url}/{tmp_path.name}/.git", None)
        assert fetched.context.commit_sha == first


def test_subfolder_resolves_to_its_repository(served: tuple[Path, str]) -> None:
    checkout, _ = opened(str(served[0] / ".sluice"), None)
    assert (checkout.repository, checkout.name) == (str(served[0]), "app")


def test_bare_repository_is_opened_and_named_without_its_suffix(served: tuple[Path, str], tmp_path: Path) -> None:
    bare = tmp_path / "app.git"
    git(tmp_path, "clone", "-q", "--bare", str(served[0]), str(bare))
    checkout, read = opened(str(bare), "feature/x")
    assert (checkout.repository, checkout.name, read) == (str(bare), "app", b"two")


def test_git_dir_in_the_environment_is_ignored(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "-b", "other")
    monkeypatch.setitem(os.environ, "GIT_DIR", str(tmp_path / ".git"))
    assert opened(str(served[0]), None)[0].context.branch == "main"


def test_git_configuration_of_a_repository_runs_no_program(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, "one", "first")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o700)
    for key in ("gpg.program", "core.fsmonitor", "core.pager", "diff.external"):
        git(tmp_path, "config", key, str(trap))
    git(tmp_path, "config", "log.showSignature", "true")
    signed = git(tmp_path, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\n", 1
    )
    done = subprocess.run(
        ["git", "-C", str(tmp_path), "hash-object", "-t", "commit", "-w", "--stdin"],
        input=signed + "\n",
        check=True,
        capture_output=True,
        text=True,
    )
    assert opened(str(tmp_path), done.stdout.strip())[1] == b"one"
    assert not (tmp_path / "sprung").exists()


def test_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(InvalidInput, match="not UTF-8"):
        opened(str(folder), None)


def test_worktree_is_read_at_its_own_head(tmp_path: Path) -> None:
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q", "-b", "main")
    commit(main, "one", "first")
    git(main, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "123/-testing2")
    sha = commit(tmp_path / "tree", "two", "second")
    checkout, content = opened(str(tmp_path / "tree"), None)
    assert (checkout.repository, checkout.context.commit_sha, content) == (str(tmp_path / "tree"), sha, b"two")
    assert checkout.context.ref == "refs/heads/123/-testing2"
