"""Images of OCI layouts: which one is read, and what its layers make."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.oci_images import OciImages
from sluiceway_executor.drivers.oci_layout import is_layout, read_image, split_tag
from tests.support.oci import INDEX, MANIFEST, Layout, layer, named

BASE = layer(("usr", None), ("usr/a", b"a"), ("bin", "usr"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def shown(root: Path) -> dict[str, str | None]:
    """Return what a folder has: the text of files, the targets of links, None for folders."""
    return {
        str(path.relative_to(root)): f"-> {path.readlink()}"
        if path.is_symlink()
        else None
        if path.is_dir()
        else path.read_text()
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/images/python", ("/images/python", "")),
        ("/images/python:3.11", ("/images/python", "3.11")),
        ("/images/a:b/python", ("/images/a:b/python", "")),
    ],
)
def test_tag_is_what_follows_the_last_colon(name: str, expected: tuple[str, str]) -> None:
    folder, tag = split_tag(name)
    assert (str(folder), tag) == expected


def test_image_of_a_tag_is_read(layout: Layout) -> None:
    layout.add([BASE], tag="one", env=["PATH=/opt/bin:/usr/bin", "EMPTY=", "no-value"])
    layout.add([BASE, layer(("usr/b", b"b"))], tag="two")
    assert is_layout(layout.folder)
    one, two = (read_image(layout.folder, tag, "amd64") for tag in ("one", "two"))
    assert one.environment == {"PATH": "/opt/bin:/usr/bin", "EMPTY": ""}
    assert [len(one.layers), len(two.layers)] == [1, 2]
    assert one.digest != two.digest


def test_image_of_the_architecture_is_chosen_in_an_index(layout: Layout) -> None:
    entries = [layout.manifest([BASE], arch=arch, env=[f"ARCH={arch}"]) for arch in ("arm64", "amd64")]
    layout.extend([layout.json({"manifests": entries}, INDEX) | {"annotations": named("1")}])
    assert read_image(layout.folder, "", "amd64").environment == {"ARCH": "amd64"}
    with pytest.raises(FailedPrecondition, match="not there for arm, but for amd64, arm64"):
        read_image(layout.folder, "1", "arm")


@pytest.mark.parametrize(
    ("tag", "arch", "message"),
    [
        ("", "amd64", "holds 2 images; name one by its tag; tags: one, two"),
        ("three", "amd64", 'has no image with the tag "three"; tags: one, two'),
        ("one", "arm64", "is for amd64; this executor has arm64"),
    ],
)
def test_image_that_is_not_there_is_named(layout: Layout, tag: str, arch: str, message: str) -> None:
    layout.add([BASE], tag="one")
    layout.add([BASE], tag="two")
    with pytest.raises(FailedPrecondition, match=message) as refused:
        read_image(layout.folder, tag, arch)
    assert refused.value.reason == "IMAGE"


DAMAGED: Mapping[str, Callable[[Layout], object]] = {
    "is not JSON": lambda layout: (layout.folder / "index.json").write_text("{"),
    "a list is missing": lambda layout: (layout.folder / "index.json").write_text("{}"),
    "index.json cannot be read": lambda layout: (layout.folder / "index.json").rename(layout.folder / "moved"),
    "no digest of sha256": lambda layout: layout.extend([{"mediaType": MANIFEST, "digest": "../../etc/passwd"}]),
    "does not have its digest": lambda layout: [blob.write_text("{}") for blob in layout.folder.rglob("sha256/*")],
    "cannot be read": lambda layout: shutil.rmtree(layout.folder / "blobs"),
    "more than 4,194,304 bytes": lambda layout: (layout.folder / "index.json").write_text(" " * (5 << 20)),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_damaged_layout_is_refused(layout: Layout, message: str) -> None:
    if message != "no digest of sha256":
        layout.add([BASE])
    DAMAGED[message](layout)
    with pytest.raises(FailedPrecondition, match=message) as refused:
        read_image(layout.folder, "", "amd64")
    assert refused.value.reason == "IMAGE"


def unpacked(layout: Layout, *layers: bytes, compression: str = "gzip") -> Path:
    layout.extend([layout.manifest(layers, compression=compression)])
    return OciImages(layout.folder.parent / "images").root(read_image(layout.folder, "", "amd64"))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_are_applied_in_order(layout: Layout, compression: str) -> None:
    upper = layer(("usr/a", b"new"), ("usr/.wh.gone", b""), ("bin/tool", b"tool"), ("usr/hard", "=bin/tool"))
    lower = layer(("usr", None), ("usr/a", b"a"), ("usr/gone", b"x"), ("bin", "usr"))
    root = unpacked(layout, lower, upper, compression=compression)
    assert shown(root) == {"bin": "-> usr", "usr": None, "usr/a": "new", "usr/tool": "tool", "usr/hard": "tool"}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            [layer(("d", None), ("d/old", b"x")), layer(("d/new", b"y"), ("d/.wh..wh..opq", b""))],
            {"d": None, "d/new": "y"},
        ),
        ([layer(("d", None), ("d/x", b"x")), layer((".wh.d", b""))], {}),
        ([layer(("d", b"file")), layer(("d/x", b"x"))], {"d": None, "d/x": "x"}),
        ([layer(("d", None), ("d/x", b"x")), layer(("d", b"file"))], {"d": "file"}),
        ([layer(("d", "elsewhere")), layer(("d", None))], {"d": None}),
        ([layer(("f", b"new"), (".wh.f", b""))], {"f": "new"}),
        ([layer((".wh...", b""), ("a", b"a"))], {"a": "a"}),
    ],
)
def test_whiteouts_and_changed_kinds(layout: Layout, layers: list[bytes], expected: Mapping[str, str | None]) -> None:
    assert shown(unpacked(layout, *layers)) == expected


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", b"x")],
        [("/outside", b"x")],
        [("a", "../.."), ("a/outside", b"x")],
        [("a", "/"), ("a/outside", b"x")],
        [("a", "b"), ("b", "/../../"), ("a/outside", b"x")],
        [("../.wh.layout", b"")],
        [("a", ".."), ("a/.wh.layout", b"")],
    ],
)
def test_no_member_leaves_the_image(layout: Layout, members: list[tuple[str, bytes | str | None]]) -> None:
    root = unpacked(layout, layer(*members))
    parent = layout.folder.parent
    assert sorted(path.name for path in parent.iterdir()) == ["images", "layout"]
    assert list((parent / "images").iterdir()) == [root]
    assert (layout.folder / "index.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (layer(("a", "b"), ("b", "a"), ("a/x", b"x")), "too many links"),
        (layer(("hard", "=/etc/passwd")), "cannot be unpacked"),
        (b"this is no archive" * 100, "cannot be unpacked"),
    ],
)
def test_layer_that_cannot_be_unpacked_leaves_nothing(layout: Layout, content: bytes, message: str) -> None:
    with pytest.raises(FailedPrecondition, match=message) as refused:
        unpacked(layout, content)
    assert refused.value.reason == "IMAGE"
    assert list((layout.folder.parent / "images").iterdir()) == []


def test_layer_without_its_digest_is_refused(layout: Layout) -> None:
    layout.add([BASE])
    image = read_image(layout.folder, "", "amd64")
    image.layers[0].path.write_bytes(b"other")
    with pytest.raises(FailedPrecondition, match="does not have its digest"):
        OciImages(layout.folder.parent / "images").root(image)


def test_special_bits_and_devices_are_dropped(layout: Layout) -> None:
    root = unpacked(layout, layer(("tool", b"x"), mode=0o6755), layer(("secret", b"x"), mode=0o000))
    assert stat.S_IMODE((root / "tool").stat().st_mode) == 0o755
    assert (root / "tool").stat().st_uid == os.geteuid()
    assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o400


def test_image_is_unpacked_once_and_what_was_cut_off_goes(layout: Layout) -> None:
    images = layout.folder.parent / "images"
    (images / "cut.part" / "usr").mkdir(parents=True)
    layout.add([BASE])
    image = read_image(layout.folder, "", "amd64")
    root = OciImages(images).root(image)
    (root / "mark").touch()
    assert OciImages(images).root(image) == root
    assert [path.name for path in images.iterdir()] == [image.digest]
    assert (root / "mark").exists()
