"""Which members of an archive are taken, and under which name. Pure.

What comes out of a pod was written by its task, and what comes from the storage by the task of somebody: nothing of it
is trusted. A member has a relative name without `..`, and is a file, a folder, a symbolic link or a hard link to an
earlier member. Owners, and the bits that change the user of a program, are dropped. A symbolic link may point anywhere,
as in a virtual environment of Python; but no member is unpacked through a link of the same archive.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition
from sluiceway_common.runconfig.when import path_matcher

MAX_MEMBERS = 1_000_000
MAX_BYTES = 10 << 30
"""Of all files of an archive together, unpacked."""
_MAX_NAME_BYTES = 4096
_SAFE_BITS = 0o777
_MAX_NAMED = 60


class ArchiveRefused(FailedPrecondition):
    """The archive has a member that is not unpacked."""

    reason = "ARCHIVE_REFUSED"


class ArchiveTooLarge(Exhausted):
    """The archive has too many members or bytes."""

    reason = "ARCHIVE_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Selection:
    """Files of a folder of the pod.

    Attributes:
        folder: in the pod.
        below: the path of `folder` from the folder that the patterns are relative to; empty: it is that folder.
        paths: patterns; empty: all files.
        destination: the folder inside the archive; empty: its root.
    """

    folder: str
    below: str = ""
    paths: Sequence[str] = ()
    destination: str = ""


def selections(base: str, paths: Sequence[str], destination: str = "") -> list[Selection]:
    """Return what has to be read of a folder: only the innermost of the folders that all patterns begin with."""
    below: list[str] = []
    for parts in zip(*(_folders(path) for path in paths), strict=False):
        if len(set(parts)) > 1:
            break
        below.append(parts[0])
    inside = "/".join(below)
    return [Selection(f"{base}/{inside}" if inside else base, inside, tuple(paths), destination)]


def _folders(pattern: str) -> list[str]:
    """Return the folders that a pattern begins with."""
    parts = [part for part in pattern.split("/")[:-1] if part != "."]
    plain = next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return parts[:plain]


@dataclass(slots=True)
class Members:
    """Checks and renames the members of the folders that make one archive."""

    most_members: int = MAX_MEMBERS
    most_bytes: int = MAX_BYTES
    files: int = 0
    left_out: list[str] = field(default_factory=list)
    _count: int = 0
    _bytes: int = 0
    _taken: set[str] = field(default_factory=set)

    def select(self, member: tarfile.TarInfo, selection: Selection) -> tarfile.TarInfo | None:
        """Return a member of a folder as it is put into the archive; None: it is not taken.

        Raises:
            ArchiveRefused: its name leaves the folder.
            ArchiveTooLarge: the limits are exceeded.
        """
        inside = inner_name(member.name)
        whole = "/".join(part for part in (selection.below, inside) if part)
        is_wanted = path_matcher(tuple(selection.paths)) if selection.paths else (lambda _: True)
        if member.isdir():
            # Folders come with their files; an empty one only if it is wanted by itself.
            if not whole or not is_wanted(whole):
                return None
        elif not is_wanted(whole):
            return None
        name = "/".join(part for part in (selection.destination, whole) if part)
        if member.islnk():
            target = "/".join(
                part for part in (selection.destination, selection.below, inner_name(member.linkname)) if part
            )
            if target not in self._taken:
                self.left_out.append(f"{shown(whole)} (a hard link to a file that is not taken)")
                return None
            return self._take(member, name, target)
        if not (member.isreg() or member.isdir() or member.issym()):
            self.left_out.append(f"{shown(whole)} (neither a file nor a folder nor a link)")
            return None
        return self._take(member, name, member.linkname)

    def _take(self, member: tarfile.TarInfo, name: str, link: str) -> tarfile.TarInfo:
        self._count += 1
        self._bytes += member.size if member.isreg() else 0
        if self._count > self.most_members:
            raise ArchiveTooLarge(f"there are more than {self.most_members:,} files; save fewer")
        if self._bytes > self.most_bytes:
            raise ArchiveTooLarge(f"the files have more than {self.most_bytes:,} bytes; save fewer")
        self._taken.add(name)
        self.files += not member.isdir()
        return plain_member(member, name, link)


@dataclass(slots=True)
class Unpacked:
    """Checks the members of archives that are unpacked into one folder, one after the other."""

    most_members: int = MAX_MEMBERS
    most_bytes: int = MAX_BYTES
    _count: int = 0
    _bytes: int = 0
    _links: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Begin with another archive."""
        self._taken.clear()

    def check(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        """Return a member as it is unpacked.

        Raises:
            ArchiveRefused: it is not unpacked.
            ArchiveTooLarge: the limits are exceeded.
        """
        name = inner_name(member.name)
        parents = name.split("/")[:-1]
        for length in range(1, len(parents) + 1):
            if "/".join(parents[:length]) in self._links:
                raise ArchiveRefused(f"{shown(name)} would be unpacked through a link of the archive")
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise ArchiveRefused(f"{shown(name)} is neither a file nor a folder nor a link")
        link = member.linkname
        if member.islnk():
            link = inner_name(link)
            if link not in self._taken or link in self._links:
                raise ArchiveRefused(f"{shown(name)} is a hard link to what is not in the archive")
        self._count += 1
        self._bytes += member.size if member.isreg() else 0
        if self._count > self.most_members or self._bytes > self.most_bytes:
            raise ArchiveTooLarge(
                f"more than {self.most_members:,} files or {self.most_bytes:,} bytes would be unpacked"
            )
        if member.issym():
            self._links.add(name)
        else:
            self._links.discard(name)
        self._taken.add(name)
        return plain_member(member, name, link)


def inner_name(name: str) -> str:
    """Return the name of a member without `.` and doubled slashes; empty: the folder itself.

    Raises:
        ArchiveRefused: it is absolute, has a `..` or a NUL, or is too long.
    """
    if name.startswith("/") or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
        raise ArchiveRefused(f"{shown(name)} is not a path inside the folder")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArchiveRefused(f"{shown(name)} leaves the folder")
    return "/".join(parts)


def plain_member(member: tarfile.TarInfo, name: str, link: str) -> tarfile.TarInfo:
    """Return a member under a name, without owner, special bits and other attributes."""
    made = tarfile.TarInfo(name)
    made.type = tarfile.REGTYPE if member.isreg() else member.type
    made.size = member.size if member.isreg() else 0
    made.mode = (member.mode & _SAFE_BITS) | (0o700 if member.isdir() else 0o600 if member.isreg() else 0)
    made.mtime = max(0, int(member.mtime))
    made.linkname = link if member.issym() or member.islnk() else ""
    return made


def shown(name: str) -> str:
    """Return a name as a message shows it: cut, and without what controls a terminal."""
    cut = name if len(name) <= _MAX_NAMED else f"{name[:_MAX_NAMED]}…"
    return ascii(cut) if not cut.isprintable() else f'"{cut}"'
