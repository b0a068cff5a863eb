"""OCI image layouts that tests write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


class Layout:
    """An image layout in `folder`, to which images are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: list[dict[str, Any]] = []
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store a blob, and return its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add(self, layers: Sequence[bytes], *, tag: str = "", arch: str = "amd64", env: Sequence[str] = ()) -> None:
        """Add an image of tar streams."""
        self.extend([self.manifest(layers, arch=arch, env=env) | ({"annotations": named(tag)} if tag else {})])

    def manifest(
        self, layers: Sequence[bytes], *, arch: str = "amd64", env: Sequence[str] = (), compression: str = "gzip"
    ) -> dict[str, Any]:
        """Store a manifest, and return its descriptor."""
        config = {"architecture": arch, "os": "linux", "config": {"Env": list(env)}}
        blobs = [self.blob(*_compressed(layer, compression)) for layer in layers]
        manifest = {"schemaVersion": 2, "config": self.json(config, CONFIG), "layers": blobs}
        return self.json(manifest, MANIFEST) | {"platform": {"os": "linux", "architecture": arch}}

    def json(self, document: object, media_type: str) -> dict[str, Any]:
        return self.blob(json.dumps(document).encode(), media_type)

    def extend(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add entries to the index."""
        self._entries += entries
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self._entries}))


def named(tag: str) -> dict[str, str]:
    return {"org.opencontainers.image.ref.name": tag}


def _compressed(layer: bytes, compression: str) -> tuple[bytes, str]:
    if compression == "gzip":
        return gzip.compress(layer), f"{LAYER}+gzip"
    if compression == "zstd":
        return zstandard.compress(layer), f"{LAYER}+zstd"
    return layer, LAYER


def layer(*members: tuple[str, bytes | str | None], mode: int = 0o755) -> bytes:
    """Return a tar stream: bytes are a file, a text a symbolic link, None a folder; `=PATH` a hard link."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
                continue
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif content.startswith("="):
                entry.type, entry.linkname = tarfile.LNKTYPE, content[1:]
            else:
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            archive.addfile(entry)
    return sink.getvalue()
