"""Clones of repositories on the executor's machine, of every kind, in real pods."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_executor.app import Network
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import Start, script

pytestmark = pytest.mark.system

BEGUN = 3
"""Commits of the main repository."""


@pytest.fixture(params=["sandbox", "host"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, content: str) -> str:
    (folder / "file").write_text(content)
    git(folder, "add", "file")
    git(folder, "commit", "-q", "-m", content)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that an executor may clone from, with the repository `main` in it."""
    root = tmp_path / "repositories"
    main = root / "main"
    main.mkdir(parents=True)
    git(main, "init", "-q", "-b", "main")
    for number in range(BEGUN):
        commit(main, str(number))
    return root


def plain(root: Path) -> Path:
    return root / "main"


def bare(root: Path) -> Path:
    git(root, "clone", "-q", "--bare", "main", "bare.git")
    return root / "bare.git"


def shallow(root: Path) -> Path:
    git(root, "clone", "-q", "--depth", "2", f"file://{root}/main", "shallow")
    return root / "shallow"


def worktree(root: Path) -> Path:
    git(root / "main", "worktree", "add", "-q", "../worktree", "-b", "of-worktree")
    commit(root / "worktree", "in the worktree")
    return root / "worktree"


def detached_worktree(root: Path) -> Path:
    git(root / "main", "worktree", "add", "-q", "--detach", "../worktree")
    commit(root / "worktree", "in the worktree")
    return root / "worktree"


def worktree_of_a_clone_that_borrows(root: Path) -> Path:
    borrowing(root)
    git(root / "borrowing", "worktree", "add", "-q", "../worktree", "-b", "of-worktree")
    commit(root / "worktree", "in the worktree")
    return root / "worktree"


def borrowing(root: Path) -> Path:
    git(root, "clone", "-q", "--shared", "main", "borrowing")
    commit(root / "borrowing", "own")
    return root / "borrowing"


def borrowing_twice(root: Path) -> Path:
    borrowing(root)
    git(root, "clone", "-q", "--shared", "borrowing", "twice")
    return root / "twice"


def borrowing_by_a_relative_path(root: Path) -> Path:
    folder = borrowing(root)
    (folder / ".git/objects/info/alternates").write_text("# where from\n../../../main/.git/objects\n")
    return folder


def borrowing_from_an_unusual_name(root: Path) -> Path:
    (root / "main").rename(root / 'a "é"')
    git(root, "clone", "-q", "--shared", 'a "é"', "borrowing")
    alternates = f'"{root}/a \\"\\303\\251\\"/.git/objects"\n'
    (root / "borrowing/.git/objects/info/alternates").write_text(alternates)
    return root / "borrowing"


def git_folder_elsewhere(root: Path) -> Path:
    git(root, "clone", "-q", "--separate-git-dir", "elsewhere.git", "main", "apart")
    return root / "apart"


def git_folder_by_a_link(root: Path) -> Path:
    git_folder_elsewhere(root)
    (root / "apart/.git").unlink()
    (root / "apart/.git").symlink_to(root / "elsewhere.git")
    return root / "apart"


def submodule(root: Path) -> Path:
    outer = root / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../main", "inner")
    return outer / "inner"


def partial(root: Path) -> Path:
    git(root / "main", "config", "uploadpack.allowFilter", "true")
    git(root, "clone", "-q", "--filter=blob:none", f"file://{root}/main", "partial")
    return root / "partial"


def outside(root: Path) -> Path:
    """Move the main repository out of the executor's reach."""
    target = root.parent / "outside"
    (root / "main").rename(target)
    return target


def specification_of(repository: Path, *, depth: int = 0) -> pb.Specification:
    specification = script("", "cat file; echo; git rev-parse HEAD; git rev-list --count HEAD; git status --porcelain")
    specification.source.repository = str(repository)
    specification.source.commit_sha = git(repository, "rev-parse", "HEAD")
    branch = git(repository, "branch", "--show-current")
    specification.source.branch = branch
    specification.source.ref = f"refs/heads/{branch}" if branch else specification.source.commit_sha
    specification.steps[0].definition.clone.depth = depth
    return specification


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize(
    ("make", "commits"),
    [
        pytest.param(plain, BEGUN, id="plain"),
        pytest.param(bare, BEGUN, id="bare"),
        pytest.param(shallow, 2, id="shallow"),
        pytest.param(worktree, BEGUN + 1, id="worktree"),
        pytest.param(detached_worktree, BEGUN + 1, id="worktree on no branch"),
        pytest.param(worktree_of_a_clone_that_borrows, BEGUN + 2, id="worktree with alternates"),
        pytest.param(borrowing, BEGUN + 1, id="alternates"),
        pytest.param(borrowing_twice, BEGUN + 1, id="alternates of alternates"),
        pytest.param(borrowing_by_a_relative_path, BEGUN + 1, id="relative alternates"),
        pytest.param(borrowing_from_an_unusual_name, BEGUN, id="quoted alternates"),
        pytest.param(git_folder_elsewhere, BEGUN, id="git folder elsewhere"),
        pytest.param(git_folder_by_a_link, BEGUN, id="git folder by a link"),
        pytest.param(submodule, BEGUN, id="submodule"),
    ],
)
async def test_repository_is_cloned(
    server: FakeExecutorServer,
    start: Start,
    root: Path,
    driver: str,
    make: Callable[[Path], Path],
    commits: int,
    depth: int,
) -> None:
    repository = make(root)
    await start(drivers=(driver,), local_repositories=root, network=Network.NONE)
    specification = specification_of(repository, depth=depth)
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    sha = specification.source.commit_sha
    said = server.log_of("a1", 0).decode()
    assert said.startswith(f"cloning {repository} at {sha}\n"), said
    assert len(said.splitlines()) == 2, said
    count = depth or commits
    assert server.log_of("a1", 1).decode() == f"{git(repository, 'show', 'HEAD:file')}\n{sha}\n{count}\n", said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(worktree, "belongs to the git repository {outside}/.git, which is not below", id="worktree"),
        pytest.param(
            borrowing, "borrows objects from {outside}/.git/objects, which is not a folder below", id="alternates"
        ),
        pytest.param(borrowing_twice, "borrows objects from {outside}/.git/objects", id="alternates of alternates"),
    ],
)
async def test_repository_with_a_part_outside_is_refused(
    server: FakeExecutorServer, start: Start, root: Path, make: Callable[[Path], Path], words: str
) -> None:
    repository = make(root)
    moved = outside(root)
    for file in (root / "borrowing/.git/objects/info/alternates", root / "worktree/.git"):
        if file.exists():
            file.write_text(file.read_text().replace(str(root / "main"), str(moved)))
    await start(drivers=("host",), local_repositories=root)
    server.assign("a1", specification_of(repository))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.reason.code == "SETUP_FAILED"
    assert words.format(outside=moved) in final.reason.message
    assert "--local-repositories" in final.reason.message


async def test_partial_clone_is_cloned_with_a_depth_only(
    server: FakeExecutorServer, start: Start, root: Path, driver: str
) -> None:
    repository = partial(root)
    await start(drivers=(driver,), local_repositories=root, network=Network.NONE)
    server.assign("a1", specification_of(repository, depth=1))
    server.assign("a2", specification_of(repository))
    await server.until(lambda: server.final_of("a1") and server.final_of("a2"))
    first, second = server.final_of("a1"), server.final_of("a2")
    assert first is not None
    assert second is not None
    assert first.phase == pb.ASSIGNMENT_PHASE_SUCCESS, server.log_of("a1", 0)
    assert "is a partial clone" in second.reason.message
    assert {step.phase for step in second.steps if step.step >= 0} == {run_pb2.STEP_PHASE_SKIPPED}


@pytest.mark.skipif(os.geteuid() != 0, reason="only pods of a root executor run as another user")
async def test_repository_that_pods_cannot_read_is_named(server: FakeExecutorServer, start: Start, root: Path) -> None:
    (root / "main").chmod(0o700)
    await start(drivers=("sandbox",), local_repositories=root, network=Network.NONE)
    server.assign("a1", specification_of(root / "main"))
    await server.until(lambda: server.final_of("a1"))
    said = server.log_of("a1", 0).decode()
    assert f"{root / 'main'} cannot be read by the user that tasks run as" in said, said
