"""Root file systems of images of OCI layouts: unpacked once for each manifest, and shared by the pods that use them.

Layers are applied in order, with their whiteouts (OCI Image Format Specification 1.1, layer.md). Links are followed
inside the image only, as a runtime does; owners, set-user-id bits and device files are dropped: a pod has one user
and devices of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import zstandard

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.oci_layout import Image, Layer

__all__ = ["OciImages"]

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_MEMBERS = 1_000_000
_MAX_BYTES = 20 << 30
_MAX_LINKS = 40
_CHUNK_BYTES = 1 << 20
_MODE = 0o777


class OciImages:
    """The unpacked images of one executor, below `folder`, each named by the digest of its manifest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking = threading.Lock()

    def root(self, image: Image) -> Path:
        """Return the root file system of an image, and unpack it if that was not done before. Blocks.

        Raises:
            FailedPrecondition: it is damaged or too large (`IMAGE`).
        """
        root = self._folder / image.digest
        with self._unpacking:
            if root.is_dir():
                return root
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            for left in self._folder.glob("*.part"):
                shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(dir=self._folder, suffix=".part"))
            try:
                unpack(image, made)
                made.chmod(0o755)
                made.rename(root)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
        return root


def unpack(image: Image, root: Path) -> None:
    """Apply the layers of an image to an empty folder. Blocks.

    Raises:
        FailedPrecondition: a layer is damaged, or they are too large (`IMAGE`).
    """
    unpacking = _Unpacking(root)
    for layer in image.layers:
        try:
            with _opened(layer) as file, tarfile.open(fileobj=file, mode="r|") as archive:
                unpacking.apply(archive)
        except (OSError, EOFError, tarfile.TarError, zstandard.ZstdError, UnicodeError, ValueError) as error:
            raise _refused(layer, str(error)) from error


@contextlib.contextmanager
def _opened(layer: Layer) -> Iterator[IO[bytes]]:
    """Yield the tar stream of a layer whose blob has its digest."""
    digest = hashlib.sha256()
    with layer.path.open("rb") as blob:
        while part := blob.read(_CHUNK_BYTES):
            digest.update(part)
        if digest.hexdigest() != layer.digest:
            raise _refused(layer, "it does not have its digest")
        blob.seek(0)
        if layer.media_type.endswith(("+gzip", ".tar.gzip")):
            with gzip.GzipFile(fileobj=blob) as unzipped:
                yield cast("IO[bytes]", unzipped)
        elif layer.media_type.endswith("+zstd"):
            with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as reader:
                yield cast("IO[bytes]", reader)
        elif layer.media_type.endswith(".tar"):
            yield blob
        else:
            raise _refused(layer, f"its media type {layer.media_type!r} is not known")


class _Unpacking:
    """Applies layers to a folder, in order."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._members = 0
        self._bytes = 0

    def apply(self, archive: tarfile.TarFile) -> None:
        added: set[Path] = set()
        for member in archive:
            self._count(member)
            path = self._place(member.name)
            if path == self._root:
                continue
            if path.name == _OPAQUE:
                self._empty(path.parent, added)
            elif path.name.startswith(_WHITEOUT):
                name = path.name.removeprefix(_WHITEOUT)
                if name not in {"", ".", ".."} and path.with_name(name) not in added:
                    _remove(path.with_name(name))
            else:
                self._write(archive, member, path)
                added.update((path, *path.parents))

    def _count(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        self._bytes += member.size if member.isreg() else 0
        if self._members > _MAX_MEMBERS or self._bytes > _MAX_BYTES:
            limits = f"{_MAX_MEMBERS:,} files or {_MAX_BYTES:,} bytes"
            raise FailedPrecondition(f"the image has more than {limits}", reason="IMAGE")

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        self._make_folder(path.parent)
        mode = member.mode & _MODE
        if member.isdir():
            if path.is_symlink() or not path.is_dir():
                _remove(path)
                path.mkdir()
            path.chmod(mode | stat.S_IRWXU)
            return
        if not (member.isreg() or member.issym() or member.islnk()):
            return
        _remove(path)
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.islnk():
            os.link(self._place(member.linkname), path, follow_symlinks=False)
        else:
            content = archive.extractfile(member)
            with path.open("xb") as file:
                if content is not None:
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)
            path.chmod(mode | stat.S_IRUSR)

    def _empty(self, folder: Path, added: set[Path]) -> None:
        if folder.is_dir():
            for entry in folder.iterdir():
                if entry not in added:
                    _remove(entry)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            _remove(folder)
            folder.mkdir(mode=0o755)

    def _place(self, name: str) -> Path:
        """Return where a member goes: links of its parents are followed, and none leads out of the image.

        Raises:
            ValueError: its name has a NUL, or its parents are a cycle of links.
        """
        *parents, last = [part for part in name.split("/") if part not in {"", "."}] or [""]
        if "\0" in name:
            raise ValueError("a name has a NUL")
        place, waiting, links = self._root, parents[::-1], 0
        while waiting:
            part = waiting.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                place = place if place == self._root else place.parent
                continue
            step = place / part
            if not step.is_symlink():
                place = step
                continue
            links += 1
            if links > _MAX_LINKS:
                raise ValueError(f"too many links lead to {name[:60]!r}")
            target = str(step.readlink())
            place = self._root if target.startswith("/") else place
            waiting += target.split("/")[::-1]
        if last in {"", ".."}:
            return self._root
        return place / last


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _refused(layer: Layer, why: str) -> FailedPrecondition:
    return FailedPrecondition(f"the layer {layer.digest[:12]} of the image cannot be unpacked: {why}", reason="IMAGE")
