"""Which members of archives are packed and unpacked: the rules, and hostile archives."""

from __future__ import annotations

import tarfile

import pytest

from sluiceway_executor.archives.members import (
    ArchiveRefused,
    ArchiveTooLarge,
    Members,
    Selection,
    Unpacked,
    selections,
)


def member(
    name: str, type_: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644, size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode, made.size = type_, link, mode, size
    made.uid, made.gid, made.uname = 4711, 4711, "somebody"
    return made


@pytest.mark.parametrize(
    ("paths", "below"),
    [
        (["dist/**"], "dist"),
        (["dist/a/*.txt", "dist/b/*.txt"], "dist"),
        (["dist/a/one.txt", "dist/a/two.txt"], "dist/a"),
        (["dist"], ""),
        (["report.xml"], ""),
        (["dist/**", "report.xml"], ""),
        (["*/dist/x"], ""),
        (["./dist/x"], "dist"),
        ([], ""),
    ],
)
def test_only_the_folders_that_patterns_begin_with_are_read(paths: list[str], below: str) -> None:
    (found,) = selections("/work", paths)
    assert (found.folder, found.below) == (f"/work/{below}" if below else "/work", below)


@pytest.mark.parametrize(
    ("paths", "name", "taken"),
    [
        (["dist/**"], "a/b", "dist/a/b"),
        (["dist/*.txt"], "a.txt", "dist/a.txt"),
        (["dist/*.txt"], "a/b.txt", None),
        (["dist/a"], "a/b", "dist/a/b"),
        (["dist/a"], "ab", None),
        ([], "a/b", "a/b"),
    ],
)
def test_files_that_match_are_taken_under_their_path(paths: list[str], name: str, taken: str | None) -> None:
    (selection,) = selections("/work", paths)
    below = f"{selection.below}/" if selection.below else ""
    found = Members().select(member(f"./{name}"), selection)
    assert (found.name if found is not None else None) == (
        None if taken is None else f"{below}{taken.removeprefix(below)}"
    )


def test_destination_is_put_in_front() -> None:
    (selection,) = selections("/work", ["dist/**"], "out/bin")
    found = Members().select(member("./app", mode=0o6755), selection)
    assert found is not None
    assert (found.name, found.mode, found.uid, found.uname) == ("out/bin/dist/app", 0o755, 0, "")


def test_hard_links_need_their_file_and_devices_are_left_out() -> None:
    members, everything = Members(), Selection("/work")
    only_text = selections("/work", ["*.txt"])[0]
    assert members.select(member("a"), everything) is not None
    linked = members.select(member("b", tarfile.LNKTYPE, link="./a"), everything)
    assert linked is not None
    assert linked.linkname == "a"
    assert members.select(member("c.txt", tarfile.LNKTYPE, link="./not.bin"), only_text) is None
    assert members.select(member("pipe", tarfile.FIFOTYPE), everything) is None
    assert members.files == 2
    assert members.left_out == [
        '"c.txt" (a hard link to a file that is not taken)',
        '"pipe" (neither a file nor a folder nor a link)',
    ]


def test_limits_of_members_and_bytes() -> None:
    members = Members(most_members=2)
    for name in "ab":
        members.select(member(name), Selection("/work"))
    with pytest.raises(ArchiveTooLarge, match="more than 2 files"):
        members.select(member("c"), Selection("/work"))
    with pytest.raises(ArchiveTooLarge, match="more than 10 bytes"):
        Members(most_bytes=10).select(member("a", size=11), Selection("/work"))
    with pytest.raises(ArchiveTooLarge):
        Unpacked(most_bytes=10).check(member("a", size=11))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "a\0b", "a/" * 3000], ids=lambda n: ascii(n)[:20]
)
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ArchiveRefused):
        Unpacked().check(member(name))
    with pytest.raises(ArchiveRefused):
        Members().select(member(name), Selection("/work"))


@pytest.mark.parametrize(
    "type_", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=["character device", "block device", "fifo"]
)
def test_devices_are_not_unpacked(type_: bytes) -> None:
    with pytest.raises(ArchiveRefused, match="neither a file nor a folder nor a link"):
        Unpacked().check(member("x", type_))


def test_nothing_is_unpacked_through_a_link_of_the_archive() -> None:
    checks = Unpacked()
    assert checks.check(member("out", tarfile.SYMTYPE, link="/etc")).linkname == "/etc"
    with pytest.raises(ArchiveRefused, match="through a link"):
        checks.check(member("out/passwd"))
    with pytest.raises(ArchiveRefused, match="through a link"):
        checks.check(member("out/deep/passwd"))
    # Nor by the next archive that is unpacked into the same folder.
    checks.begin()
    with pytest.raises(ArchiveRefused, match="through a link"):
        checks.check(member("./out//passwd"))
    assert checks.check(member("outer/passwd")).name == "outer/passwd"


@pytest.mark.parametrize("link", ["/etc/passwd", "../x", "later", "lnk"])
def test_hard_link_to_anything_but_an_earlier_file_is_refused(link: str) -> None:
    checks = Unpacked()
    checks.check(member("lnk", tarfile.SYMTYPE, link="/etc/passwd"))
    with pytest.raises(ArchiveRefused):
        checks.check(member("hard", tarfile.LNKTYPE, link=link))


def test_owner_and_special_bits_are_dropped() -> None:
    found = Unpacked().check(member("a", mode=0o7777))
    assert (found.mode, found.uid, found.gid, found.uname) == (0o777, 0, 0, "")
