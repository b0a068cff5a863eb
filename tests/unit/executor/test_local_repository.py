"""From a path to the folders of a repository: what is found, and what is refused before anything is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.port import Repository
from sluiceway_executor.local_repository import local_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "allowed"
    root.mkdir()
    return root


def make(folder: Path, *, alternates: str | None = None, config: str = "") -> Path:
    """Make what looks like a repository with a working tree."""
    (folder / ".git/objects/info").mkdir(parents=True)
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".git/config").write_text(config)
    if alternates is not None:
        (folder / ".git/objects/info/alternates").write_text(alternates)
    return folder


def refused(path: Path, allowed: Path | None) -> str:
    with pytest.raises(FailedPrecondition) as caught:
        local_repository(str(path), allowed)
    assert caught.value.reason == "LOCAL_REPOSITORY"
    return caught.value.message


def test_only_repositories_below_the_folder_are_allowed(root: Path) -> None:
    inside, outside = make(root / "inside"), make(root.parent / "outside")
    (root / "link").symlink_to(outside)
    (root / "good-link").symlink_to(inside)
    assert local_repository(str(inside), root) == Repository(inside, inside / ".git")
    assert local_repository(str(root / "good-link"), root) == Repository(inside, inside / ".git")
    for path in (outside, root / "link", root / ".." / "outside", root / "none"):
        assert "is not a folder below" in refused(path, root)
    assert "--local-repositories" in refused(inside, None)


def test_bare_repository_is_its_own_git_folder(root: Path) -> None:
    bare = (make(root / "one") / ".git").rename(root / "bare")
    assert local_repository(str(bare), root) == Repository(bare, bare)


@pytest.mark.parametrize("target", ["../../outside/.git", "{outside}/.git", "/etc", "link"])
def test_git_file_cannot_point_outside(root: Path, target: str) -> None:
    outside = make(root.parent / "outside")
    folder = root / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc")
    (folder / ".git").write_text(f"gitdir: {target.format(outside=outside)}\n")
    assert "which is not below" in refused(folder, root)


@pytest.mark.parametrize("target", ["../../../outside/.git", "{outside}/.git", "/etc"])
def test_common_folder_cannot_point_outside(root: Path, target: str) -> None:
    outside = make(root.parent / "outside")
    folder = make(root / "folder")
    (folder / ".git/commondir").write_text(target.format(outside=outside))
    assert "which is not below" in refused(folder, root)


def test_objects_folder_must_not_be_a_link(root: Path) -> None:
    outside, folder = make(root.parent / "outside"), make(root / "folder")
    (folder / ".git/objects/info").rmdir()
    (folder / ".git/objects").rmdir()
    (folder / ".git/objects").symlink_to(outside / ".git/objects")
    assert "is not a folder" in refused(folder, root)


@pytest.mark.parametrize(
    "line", ["/etc", "../../../../outside/.git/objects", '"/\\145tc"', "/nowhere", "link", "/proc/self/cwd"]
)
def test_alternates_cannot_point_outside(root: Path, line: str) -> None:
    make(root.parent / "outside")
    folder = make(root / "folder", alternates=f"{line}\n")
    (folder / ".git/objects/link").symlink_to(root.parent)
    assert "borrows objects from" in refused(folder, root)


def test_alternates_are_followed_as_deep_as_git_does(root: Path) -> None:
    for number in range(8):
        make(root / f"r{number}", alternates=f"\n# comment\n{root}/r{number + 1}/.git/objects\n")
    make(root / "r8")
    found = local_repository(str(root / "r0"), root)
    assert [path.parent.parent.name for path in found.alternates] == ["r1", "r2", "r3", "r4", "r5"]


def test_alternates_in_a_circle_end(root: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        make(root / one, alternates=f"{root}/{other}/.git/objects\n")
    found = local_repository(str(root / "a"), root)
    assert set(found.alternates) == {root / "a/.git/objects", root / "b/.git/objects"}


def test_alternates_are_bounded(root: Path) -> None:
    for number in range(33):
        make(root / f"r{number}")
    many = make(root / "many", alternates="".join(f"{root}/r{number}/.git/objects\n" for number in range(33)))
    assert "33 folders" in refused(many, root)


def test_folder_without_a_repository_is_refused(root: Path) -> None:
    (root / "empty").mkdir()
    assert "is not a git repository" in refused(root / "empty", root)
    (root / "empty/.git").write_text(f"gitdir: {root}/gone\n")
    assert f"{root}/gone does not exist" in refused(root / "empty", root)
    for content in (b"\0\xff" * 100_000, b"gitdir: " + b"x" * 5000, b"gitdir: ..\0"):
        (root / "empty/.git").write_bytes(content)
        assert "is not a git repository" in refused(root / "empty", root)


@pytest.mark.parametrize(
    "config",
    ["[extensions]\n\tpartialClone = origin\n", '[remote "origin"]\n\tpromisor = true\n\turl = x\n'],
)
def test_partial_clone_is_refused_for_a_whole_clone(root: Path, config: str) -> None:
    folder = make(root / "folder", config=config)
    assert "is a partial clone" in refused(folder, root)
    assert local_repository(str(folder), root, whole=False).folder == folder
