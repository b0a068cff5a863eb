"""Archives of files of real pods: packed, unpacked and refused, on each driver."""

from __future__ import annotations

import asyncio
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.archives.members import ArchiveRefused, selections
from sluiceway_executor.archives.packing import Source, pack, unpack
from tests.support.pods import NewPod, run

pytestmark = pytest.mark.system

TREE = """
mkdir -p work/dist/sub work/empty work/.git
printf one > work/dist/app; chmod 755 work/dist/app
head -c 3000000 /dev/urandom > work/dist/sub/big
printf 'name with spaces' > 'work/dist/a b\nc'
ln -s app work/dist/link; ln -s /usr/bin/env work/dist/env; ln work/dist/app work/dist/hard
mkfifo work/dist/pipe
printf no > work/.git/HEAD
"""
DIGESTS = "find . -type f -exec sha256sum {} + | sort; find . -type l -printf '%p %l\\n' | sort; stat -c %a dist/app"


async def test_files_come_back_as_they_were(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    await run(pod, TREE)
    packed = await pack(pod, selections("~/work", ["dist/**"]), tmp_path / "archive")
    assert packed.files == 6
    assert packed.left_out == ['"dist/pipe" (neither a file nor a folder nor a link)']
    assert packed.size == (tmp_path / "archive").stat().st_size
    assert await unpack(pod, "~/again", [Source(tmp_path / "archive")]) == 6
    _, before = await run(pod, f"cd work; rm -r .git empty; {DIGESTS}")
    _, after = await run(pod, f"cd again; {DIGESTS}")
    assert after == before
    assert b"dist/sub/big" in after


async def test_artifact_is_a_zip_file_without_links(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    await run(pod, TREE)
    packed = await pack(
        pod, selections("~/work", ["dist/app", "dist/link", "dist/sub/**"]), tmp_path / "a", for_people=True
    )
    with zipfile.ZipFile(tmp_path / "a") as found:
        assert sorted(found.namelist()) == ["dist/app", "dist/sub/big"]
        assert found.testzip() is None
        assert found.read("dist/app") == b"one"
        assert found.getinfo("dist/app").external_attr >> 16 == 0o100755
    assert packed.files == 2
    assert packed.left_out == ['"dist/link" (a link)']


async def test_folder_that_is_not_there_has_no_files(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    packed = await pack(pod, selections("~/none", ["**"]), tmp_path / "archive")
    assert packed.files == 0


async def test_file_in_place_of_a_folder_is_an_error(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    await run(pod, "printf x > file")
    with pytest.raises(FailedPrecondition, match="cannot pack") as caught:
        await pack(pod, selections("~/file", ["**"]), tmp_path / "archive")
    assert caught.value.reason == "COPY_FAILED"


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 200], ids="after {} turns of the loop".format)
async def test_pack_that_is_cancelled_ends(new_pod: NewPod, tmp_path: Path, turns: int) -> None:
    pod = await new_pod()
    await run(pod, "mkdir work; head -c 50000000 /dev/urandom > work/numbers")
    for for_people in (False, True):
        packing = asyncio.create_task(
            pack(pod, selections("~/work", ["**"]), tmp_path / "archive", for_people=for_people)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        packing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await packing
    status, _ = await run(pod, "true")
    assert status.code == 0


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path


def entry(
    name: str, content: bytes = b"", *, type_: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = type_, link
    return made, content


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([entry("../../hostile-file", b"x")], id="parent"),
        pytest.param([entry("/tmp/hostile-file", b"x")], id="absolute"),
        pytest.param(
            [entry("l", type_=tarfile.SYMTYPE, link=".."), entry("l/hostile-file", b"x")], id="through a link"
        ),
        pytest.param([entry("hostile-link", type_=tarfile.LNKTYPE, link="../out")], id="hard link"),
        pytest.param([entry("hostile-device", type_=tarfile.CHRTYPE)], id="device"),
    ],
)
async def test_hostile_archive_writes_nothing_outside(
    new_pod: NewPod, tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    pod = await new_pod()
    await run(pod, "mkdir -p in/deep")
    source = Source(archive(tmp_path / "archive", *members))
    with pytest.raises(ArchiveRefused):
        await unpack(pod, "~/in/deep", [source])
    _, found = await run(pod, "find . /tmp -maxdepth 4 -name 'hostile-*'")
    assert found == b""


async def test_damaged_archive_is_refused(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    whole = archive(tmp_path / "archive", entry("a", b"content" * 1000)).read_bytes()
    for number, data in enumerate((whole[:-20], b"no archive at all", whole[:40] + b"\0" * 20 + whole[60:])):
        (tmp_path / f"{number}").write_bytes(data)
        with pytest.raises(ArchiveRefused, match="damaged"):
            await unpack(pod, "~/in", [Source(tmp_path / f"{number}")])


async def test_archives_of_unrelated_tasks_must_agree(new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    one = archive(tmp_path / "one", entry("same", b"s"), entry("other", b"1"))
    two = archive(tmp_path / "two", entry("same", b"s"), entry("mine", b"2"))
    three = archive(tmp_path / "three", entry("other", b"3"))
    assert await unpack(pod, "~/in", [Source(one, "a"), Source(two, "b")]) == 3
    with pytest.raises(FailedPrecondition, match='"a" and "c" both saved "other"') as caught:
        await unpack(pod, "~/in", [Source(one, "a"), Source(three, "c")])
    assert caught.value.reason == "WORKSPACE_CONFLICT"
    assert await unpack(pod, "~/in", [Source(one, "a"), Source(three, "c", frozenset({"a"}))]) == 2
    _, text = await run(pod, "cat in/other")
    assert text == b"3"
