"""URLs of repositories that are read with git alone. Pure.

git has more forms of URLs than these, and some run programs: `ext::`, `file:`, options. Only what is understood here is
given to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sluiceway_common.foundation.locations import holds_password, is_remote

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_SCP = re.compile(r"([A-Za-z0-9_.][A-Za-z0-9_.-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):([^\s:-][^\s]*)")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_MAX_LENGTH = 1000
_PORTS = {"https": 443, "http": 80, "ssh": 22}


@dataclass(frozen=True, slots=True)
class GitAddress:
    """Where a URL leads. `path` is for people."""

    scheme: str
    host: str
    port: int
    path: str


def git_url_fault(text: str) -> str | None:
    """Return why a URL is not read, as the end of a sentence about it; None: it is."""
    if holds_password(text):
        return "has a user or a password in it; give them apart from the URL"
    if address_of(text) is None:
        return "is not a URL of https, http or ssh, such as https://git.example.org/app.git or git@git.example.org:app"
    return None


def address_of(text: str) -> GitAddress | None:
    """Return where a URL leads; None: it is none that is read."""
    if len(text) > _MAX_LENGTH or not text.isascii() or not text.isprintable() or not is_remote(text):
        return None
    if "://" not in text:
        scp = _SCP.fullmatch(text)
        return None if scp is None else GitAddress("ssh", scp[2], _PORTS["ssh"], _shown(scp[3]))
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    user, at, named = parts.netloc.rpartition("@")
    if (at and not _USER.fullmatch(user)) or parts.query or parts.fragment or "\\" in text or "%" in parts.netloc:
        return None
    spelled = named if named.startswith("[") and named.endswith("]") else re.sub(r":[0-9]+\Z", "", named)
    if not _HOST.fullmatch(spelled) or len(parts.path) < 2 or parts.path.startswith("/-"):
        return None
    return GitAddress(parts.scheme, host, port or _PORTS[parts.scheme], _shown(parts.path))


def _shown(path: str) -> str:
    return path.strip("/").removesuffix(".git")
