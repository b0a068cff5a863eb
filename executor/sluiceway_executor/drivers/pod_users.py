"""The users of a container: who a command runs as, and where its home is.

It runs inside the container, beside `pod_init.py`, and keeps to the same rules on what it imports.
"""
# ruff: noqa: PTH103, PTH123

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_processes import suppress
else:
    from pod_processes import suppress

HOMELESS = "/home/sluice"
"""The home of users without a home of their own."""
SCRIPTS = "/tmp"  # noqa: S108 - of the container


class User:
    """A user of the container."""

    def __init__(self, name: str, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.name = name
        self.ids = (uid, gid, groups)
        self.home = home


def find_user(text: str, passwd: str, group: str) -> User:
    """Return the user `NAME|UID[:GROUP|GID]`, by the contents of `/etc/passwd` and `/etc/group`.

    Raises:
        ValueError: there is no such user or group; the text is for a person.
    """
    who, _, of_group = text.partition(":")
    who = who or "0"
    found = next((f for f in _entries(passwd, 6) if who in {f[0], f[2]}), None)
    if found is not None:
        name, uid, gid, home = found[0], int(found[2]), int(found[3]), found[5]
    elif who.isdecimal():
        name, uid, gid, home = who, int(who), 0, ""
    else:
        raise ValueError(f'the image has no user "{who}"')
    groups = [int(f[2]) for f in _entries(group, 4) if name in f[3].split(",")]
    if of_group:
        entry = next((f for f in _entries(group, 3) if of_group in {f[0], f[2]}), None)
        if entry is None and not of_group.isdecimal():
            raise ValueError(f'the image has no group "{of_group}"')
        gid = int(of_group) if entry is None else int(entry[2])
        groups = []
    return User(name, uid, gid, groups or [gid], home)


def make_home(user: User) -> None:
    """Make the home of an ordinary user as that user: where it may, or else in the folder of scripts."""
    for home in (user.home, f"{SCRIPTS}/sluice-home-{user.ids[0]}"):
        user.home = home
        with suppress(OSError):
            os.makedirs(home, exist_ok=True)
            if os.access(home, os.W_OK):
                return


def _entries(text: str, fields: int) -> list[list[str]]:
    lines = [line.split(":") for line in text.splitlines()]
    return [f for f in lines if len(f) >= fields and f[2].isdecimal() and (fields < 6 or f[3].isdecimal())]


def read_file(path: str) -> str:
    """Return the start of a file; empty: it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""
