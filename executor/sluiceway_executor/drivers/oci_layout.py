"""Images in OCI image layouts: folders of this machine that `skopeo copy ... oci:DIR:TAG` and its like write.

The format is the OCI Image Format Specification 1.1 (image-layout.md, manifest.md, config.md). A layout may hold
several images, told apart by their tags, and one of them for several architectures. Every document is checked against
its digest before it is parsed; nothing of a layout is trusted beyond that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import FailedPrecondition

_MARK = "oci-layout"
_TAG = "org.opencontainers.image.ref.name"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_DOCUMENT_BYTES = 4 << 20
_MAX_NESTED_INDEXES = 4
_MAX_NAMED = 5

INDEXES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFESTS = frozenset(
    {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image: the file of its blob, the blob's digest (hex of sha256) and its media type."""

    path: Path
    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a layout.

    Attributes:
        digest: of its manifest, hex of sha256: what names it and all that is in it.
        layers: the first is the lowest.
        environment: of its processes.
    """

    digest: str
    layers: Sequence[Layer]
    environment: Mapping[str, str]


def split_tag(name: str) -> tuple[Path, str]:
    """Return the folder and the tag of `/FOLDER[:TAG]`; an empty tag is any."""
    folder, colon, tag = name.rpartition(":")
    return (Path(folder), tag) if colon and "/" not in tag else (Path(name), "")


def is_layout(folder: Path) -> bool:
    """Return whether a folder is an image layout."""
    return (folder / _MARK).is_file()


def read_image(folder: Path, tag: str, arch: str) -> Image:
    """Return the image of a tag and an architecture. Reads its documents and no layer; blocks.

    Args:
        folder: the layout.
        tag: empty: the layout must hold one image.
        arch: as in run configurations: `amd64`, `arm64`, `arm`, `386`.

    Raises:
        FailedPrecondition: there is no such image, or the layout is damaged (`IMAGE`).
    """
    index = _parsed(_read_some(folder / "index.json"), "index.json")
    entry = _of_tag(_entries(index), tag, folder)
    for _ in range(_MAX_NESTED_INDEXES):
        if entry.get("mediaType") in MANIFESTS:
            break
        if entry.get("mediaType") not in INDEXES:
            raise _damaged(f"the media type {entry.get('mediaType')!r} is not that of an image")
        entry = _of_arch(_entries(_document(folder, entry)), arch, folder)
    else:
        raise _damaged("its indexes are nested too deep")
    manifest = _document(folder, entry)
    config = _document(folder, _mapping(manifest.get("config")))
    found = config.get("architecture")
    if found != arch:
        raise FailedPrecondition(f'the image "{folder}" is for {found}; this executor has {arch}', reason="IMAGE")
    return Image(
        _digest(entry),
        [_layer(folder, _mapping(each)) for each in _list(manifest.get("layers"))],
        _environment(config),
    )


def _of_tag(entries: Sequence[Mapping[str, Any]], tag: str, folder: Path) -> Mapping[str, Any]:
    tags = [str(_mapping(entry.get("annotations") or {}).get(_TAG, "")) for entry in entries]
    found = [entry for entry, name in zip(entries, tags, strict=True) if not tag or name == tag]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(name for name in tags if name)[:_MAX_NAMED]) or "none"
    what = f'has no image with the tag "{tag}"' if tag else f"holds {len(found)} images; name one by its tag"
    raise FailedPrecondition(f'the image layout "{folder}" {what}; tags: {names}', reason="IMAGE")


def _of_arch(entries: Sequence[Mapping[str, Any]], arch: str, folder: Path) -> Mapping[str, Any]:
    platforms = [_mapping(entry.get("platform") or {}) for entry in entries]
    for entry, platform in zip(entries, platforms, strict=True):
        if platform.get("os", "linux") == "linux" and platform.get("architecture") == arch:
            return entry
    names = ", ".join(sorted({str(platform.get("architecture")) for platform in platforms})[:_MAX_NAMED])
    raise FailedPrecondition(f'the image "{folder}" is not there for {arch}, but for {names}', reason="IMAGE")


def _layer(folder: Path, descriptor: Mapping[str, Any]) -> Layer:
    digest = _digest(descriptor)
    return Layer(_blob(folder, digest), digest, str(descriptor.get("mediaType", "")))


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    made: dict[str, str] = {}
    for each in _list(_mapping(config.get("config") or {}).get("Env") or []):
        name, equals, value = str(each).partition("=")
        if name and equals and "\0" not in value:
            made[name] = value
    return made


def _document(folder: Path, descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
    digest = _digest(descriptor)
    content = _read_some(_blob(folder, digest))
    if hashlib.sha256(content).hexdigest() != digest:
        raise _damaged(f"the blob {digest[:12]} does not have its digest")
    return _parsed(content, f"the blob {digest[:12]}")


def _read_some(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise _damaged(f"{path.name[:12]} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise _damaged(f"{path.name[:12]} has more than {_MAX_DOCUMENT_BYTES:,} bytes")
    return content


def _parsed(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"{what} is not JSON") from error


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest


def _digest(descriptor: Mapping[str, Any]) -> str:
    found = _DIGEST.fullmatch(str(descriptor.get("digest", "")))
    if found is None:
        raise _damaged("a descriptor has no digest of sha256")
    return found[1]


def _entries(index: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_mapping(entry) for entry in _list(index.get("manifests"))]


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _damaged("an object is missing in it")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _damaged("a list is missing in it")
    return value


def _damaged(why: str) -> FailedPrecondition:
    return FailedPrecondition(f"the image layout is damaged: {why}", reason="IMAGE")
