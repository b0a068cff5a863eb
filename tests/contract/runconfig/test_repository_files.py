"""One promise for every source of a repository's files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_common.runconfig.files import FileRefused, FolderFiles, GitFiles, MappingFiles, RepositoryFiles

Maker = Callable[[dict[str, bytes], dict[str, str]], RepositoryFiles]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def write(root: Path, files: dict[str, bytes], links: dict[str, str]) -> None:
    root.mkdir()
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for path, target in links.items():
        (root / path).symlink_to(target)


def commit(root: Path) -> str:
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture(params=["mapping", "folder", "git"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    def maker(files: dict[str, bytes], links: dict[str, str]) -> RepositoryFiles:
        if request.param == "mapping":
            if links:
                pytest.skip("a mapping has no links")
            return MappingFiles(files)
        root = tmp_path / "r"
        write(root, files, links)
        if request.param == "folder":
            return FolderFiles(root)
        return GitFiles(root, commit(root))

    return maker


def test_file_is_read_byte_for_byte(make: Maker) -> None:
    files = make({"a/b c.txt": b"\x00\xff\r\n", "e": b""}, {})
    assert files.read("a/b c.txt") == b"\x00\xff\r\n"
    assert files.read("e") == b""
    assert files.read("a/../a/./b c.txt") == b"\x00\xff\r\n"


@pytest.mark.parametrize("path", ["x", "a/x", "a/b/c", "b.txt/x"])
def test_missing_file_is_none(make: Maker, path: str) -> None:
    assert make({"a/b": b"1", "b.txt": b"2"}, {}).read(path) is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b", "a\nb"])
def test_way_out_is_refused(make: Maker, path: str) -> None:
    with pytest.raises(FileRefused):
        make({"a": b"1"}, {}).read(path)


def test_large_file_is_refused(make: Maker) -> None:
    files = make({"fits": b"x" * (1 << 20), "large": b"x" * ((1 << 20) + 1)}, {})
    assert files.read("fits") is not None
    with pytest.raises(FileRefused, match="at most 1048576 are read"):
        files.read("large")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "loop"])
def test_link_out_or_in_a_circle_is_refused(make: Maker, target: str) -> None:
    files = make({"a": b"1"}, {"loop": target})
    with pytest.raises(FileRefused):
        files.read("loop")


def test_link_inside_is_followed_and_a_dangling_one_is_missing(make: Maker) -> None:
    files = make({"sub/a": b"1"}, {"to-file": "sub/a", "to-folder": "sub", "dangling": "sub/x"})
    assert files.read("to-file") == b"1"
    assert files.read("to-folder/a") == b"1"
    assert files.read("dangling") is None


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("", (".a", "b", "e", "z z", "é")),
        (".", (".a", "b", "e", "z z", "é")),
        ("b", ("c", "d")),
        ("b/d", ("x",)),
        ("b/c", ()),
        ("e", ()),
        ("nowhere", ()),
        ("b/../b/d/.", ("x",)),
        ("-x", ()),
        ("*", ()),
    ],
)
def test_names_in_a_folder_are_listed(make: Maker, folder: str, names: tuple[str, ...]) -> None:
    files = make({".a": b"", "b/c": b"", "b/d/x": b"", "e": b"", "é": b"", "z z/y": b""}, {})
    assert files.list(folder) == names


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../..", "a\0b"])
def test_no_folder_outside_is_listed(make: Maker, folder: str) -> None:
    with pytest.raises(FileRefused):
        make({"a": b""}, {}).list(folder)


def test_links_are_listed_and_not_followed_out(make: Maker) -> None:
    files = make({"a/b": b""}, {"out": "/etc", "dangling": "x"})
    assert files.list("") == ("a", "dangling", "out")
    try:
        assert files.list("out") == ()
    except FileRefused:
        assert isinstance(files, FolderFiles)


def test_names_that_are_not_text_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "r", {"a": b""}, {})
    (tmp_path / "r" / "b\udcff").write_bytes(b"")
    for files in (FolderFiles(tmp_path / "r"), GitFiles(tmp_path / "r", commit(tmp_path / "r"))):
        assert files.list("") == ("a",)


def test_listing_of_a_commit_that_is_not_there_is_away(tmp_path: Path) -> None:
    write(tmp_path / "r", {"a": b""}, {})
    commit(tmp_path / "r")
    with pytest.raises(Unavailable):
        GitFiles(tmp_path / "r", "0" * 40).list("")


def test_commit_is_read_not_the_working_tree(tmp_path: Path) -> None:
    write(tmp_path / "r", {"a": b"old"}, {})
    files = GitFiles(tmp_path / "r", commit(tmp_path / "r"))
    (tmp_path / "r" / "a").write_bytes(b"new")
    (tmp_path / "r" / "b").write_bytes(b"new")
    assert files.read("a") == b"old"
    assert files.read("b") is None


def test_commit_that_is_not_there_is_away_not_empty(tmp_path: Path) -> None:
    write(tmp_path / "r", {"a": b"1"}, {})
    commit(tmp_path / "r")
    with pytest.raises(Unavailable, match="is not in"):
        GitFiles(tmp_path / "r", "0" * 40).read("a")
    with pytest.raises(Unavailable):
        GitFiles(tmp_path / "nowhere", "0" * 40).read("a")


@pytest.mark.parametrize("name", ["HEAD", "-x", "--help", "0" * 39, "0" * 40 + "\n"])
def test_only_an_object_id_names_a_commit(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        GitFiles(tmp_path, name)
