"""The data folder: made for one user, and refused when another user could change its contents."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.app.data_folder import prepare_data_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
SOMEBODY = 65_533


@pytest.fixture
def above(tmp_path: Path) -> Path:
    """Return a folder that only this user can change, as are those above it."""
    folder = tmp_path / "above"
    folder.mkdir(mode=0o755)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_data_folder_is_private_whatever_the_umask(above: Path) -> None:
    before = os.umask(0)
    try:
        made = prepare_data_folder(above / "new" / "data")
    finally:
        os.umask(before)
    assert (made, mode(made)) == (above / "new" / "data", 0o700)


def test_own_data_folder_is_made_private(above: Path) -> None:
    data = above / "data"
    data.mkdir(mode=0o755)
    (data / "kept").write_text("as it was")
    assert prepare_data_folder(data) == prepare_data_folder(data) == data
    assert (mode(data), (data / "kept").read_text()) == (0o700, "as it was")


def test_relative_path_with_own_links_is_resolved(above: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (above / "disk" / "deep").mkdir(parents=True)
    (above / "link").symlink_to("disk/../disk")
    (above / "second").symlink_to(above / "link")
    monkeypatch.chdir(above)
    assert prepare_data_folder(Path("second/deep")) == above / "disk" / "deep"
    assert mode(above / "disk" / "deep") == 0o700


def others_write_in_it(above: Path) -> Path:
    (above / "data").mkdir()
    (above / "data").chmod(0o777)
    return above / "data"


def a_group_writes_in_it(above: Path) -> Path:
    (above / "data").mkdir()
    (above / "data").chmod(0o770)
    return above / "data"


def others_write_in_it_though_it_is_sticky(above: Path) -> Path:
    (above / "data").mkdir()
    (above / "data").chmod(0o1777)
    return above / "data"


def others_write_above_it(above: Path) -> Path:
    (above / "data").mkdir(mode=0o700)
    above.chmod(0o777)
    return above / "data"


def a_group_writes_above_it(above: Path) -> Path:
    above.chmod(0o775)
    return above / "new"


def others_write_where_a_link_to_it_is(above: Path) -> Path:
    (above / "data").mkdir(mode=0o700)
    (above / "shared").mkdir()
    (above / "shared" / "link").symlink_to(above / "data")
    (above / "first").symlink_to(above / "shared" / "link")
    (above / "shared").chmod(0o777)
    return above / "first"


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        pytest.param(others_write_in_it, "write in it (mode 0777); make sure", id="others write in it"),
        pytest.param(a_group_writes_in_it, "mode 0770", id="a group writes in it"),
        pytest.param(others_write_in_it_though_it_is_sticky, "mode 1777", id="it is as /tmp itself"),
        pytest.param(others_write_above_it, "so can replace it", id="others write above it"),
        pytest.param(a_group_writes_above_it, "chmod go-w", id="a group writes above it"),
        pytest.param(others_write_where_a_link_to_it_is, "shared", id="others write where a link to it is"),
    ],
)
def test_data_folder_that_others_can_change_is_refused(scene: Callable[[Path], Path], words: str, above: Path) -> None:
    data = scene(above)
    with pytest.raises(FailedPrecondition) as refused:
        prepare_data_folder(data)
    assert refused.value.reason == "DATA_FOLDER_UNSAFE"
    assert words in refused.value.message


def test_own_data_folder_below_a_sticky_folder_is_accepted(above: Path) -> None:
    above.chmod(0o1777)
    assert prepare_data_folder(above / "data") == above / "data"


@as_root
@pytest.mark.parametrize("what", ["the folder", "a folder above", "a link to it"])
def test_root_refuses_a_data_folder_of_another_user(what: str, above: Path) -> None:
    data = above / "folder" / "data"
    data.mkdir(parents=True, mode=0o700)
    link = above / "link"
    link.symlink_to(data)
    owned = {"the folder": data, "a folder above": data.parent, "a link to it": link}[what]
    os.chown(owned, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(FailedPrecondition) as refused:
        prepare_data_folder(link)
    assert refused.value.reason == "DATA_FOLDER_UNSAFE"
    assert f"uid {SOMEBODY}" in refused.value.message


@as_root
def test_ordinary_user_refuses_a_data_folder_of_root(above: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (above / "data").mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    with pytest.raises(FailedPrecondition, match=f"belongs to root, and this process runs as uid {SOMEBODY}"):
        prepare_data_folder(above / "data")


def file_in_its_place(above: Path) -> Path:
    (above / "data").write_text("a file")
    return above / "data"


def file_above(above: Path) -> Path:
    (above / "file").write_text("a file")
    return above / "file" / "data"


def link_to_nothing(above: Path) -> Path:
    (above / "link").symlink_to(above / "nothing")
    return above / "link"


def link_to_itself(above: Path) -> Path:
    (above / "link").symlink_to(above / "link")
    return above / "link"


@pytest.mark.parametrize("scene", [file_in_its_place, file_above, link_to_nothing, link_to_itself])
def test_path_that_cannot_be_a_folder_is_refused(scene: Callable[[Path], Path], above: Path) -> None:
    data = scene(above)
    with pytest.raises(FailedPrecondition) as refused:
        prepare_data_folder(data)
    assert refused.value.reason == "DATA_FOLDER_UNUSABLE"
    assert str(data) in refused.value.message
