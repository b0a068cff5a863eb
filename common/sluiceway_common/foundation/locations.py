"""Where things are: repositories, refs, links, and paths inside of a folder. Pure.

Each `..._fault` returns what is wrong, as the end of a sentence about the text, or None.
"""

from __future__ import annotations

import re

from sluiceway_common.foundation.texts import MAX_TEXT, foreign_fault

REPOSITORY_FORMS = "name a folder, or a URL of https, http or ssh"
MAX_LINK = 2_048

_URL = re.compile(r"(https?|ssh)://[^\s-][^\s]*")
_SCP = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:-][^\s]*")
_USER_IN_URL = re.compile(r"https?://[^/?#]*@|ssh://[^/?#@]*:[^/?#]*@")
_HOST = re.compile(
    r"(?:https?|ssh)://(?:[^/?#@]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#:@\s]+)(?::(?P<port>[0-9]+))?(?:[/?#]|\Z)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# git-check-ref-format(1).
_NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f:?*\[\\^~]|\.\.|@\{")


def is_remote(repository: str) -> bool:
    """Return whether a text is safe as an argument of git: a URL or `user@host:path`, and not an option."""
    return bool(_URL.fullmatch(repository) or _SCP.fullmatch(repository))


def is_over_ssh(repository: str) -> bool:
    """Return whether git reads a repository over SSH: `ssh://...` or `user@host:path`."""
    return is_remote(repository) and not repository.startswith(("http://", "https://"))


def holds_password(repository: str) -> bool:
    """Return whether a URL holds a password, or a user, which may be a token. The user of an ssh URL is allowed."""
    return bool(_USER_IN_URL.match(repository))


def host_and_port(repository: str) -> tuple[str, str]:
    """Return the host of a repository's URL and the port that it names; empty where there is none."""
    if _SCP.fullmatch(repository):
        return repository.partition("@")[2].partition(":")[0], ""
    found = _HOST.match(repository)
    return (found["host"].strip("[]"), found["port"] or "") if found else ("", "")


def repository_fault(text: str) -> str | None:
    """Return why a text is not a repository: a URL, or the absolute path of a folder."""
    if holds_password(text):
        return (
            "has a password or token in it, which would be stored with the run, for all to see; leave it out, and let"
            " git's credential helper or ssh know it"
        )
    if not is_remote(text) and not text.startswith("/"):
        return f"is not taken: {REPOSITORY_FORMS}"
    return foreign_fault(text)


def ref_fault(text: str) -> str | None:
    """Return why a text is not the name of a ref, a branch or a tag."""
    if not text or text.startswith("-") or _NOT_IN_REFS.search(text):
        return (
            'is not a ref: one does not begin with "-", and has no blank, control character, "..", "@{" or any of '
            ": ? * [ \\ ^ ~ in it"
        )
    return foreign_fault(text)


def commit_fault(text: str) -> str | None:
    """Return why a text is not the whole id of a commit."""
    return None if _COMMIT.fullmatch(text) else "is not the id of a commit, 40 or 64 hexadecimal digits"


def link_fault(text: str) -> str | None:
    """Return why a text is not a link that is safe to show in a browser."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - the command line needs this module, and no links

    if len(text) > MAX_LINK:
        return f"can have at most {MAX_LINK} characters, not {len(text)}"
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        return "is not a URL of http or https"
    if "@" in parts.netloc:
        return "has a user or a password in it"
    return foreign_fault(text, most=MAX_LINK)


def absolute_path_fault(text: str) -> str | None:
    """Return why a text is not an absolute path."""
    if not text.startswith("/") or ".." in text.split("/"):
        return "must be an absolute path without `..`"
    return foreign_fault(text)


def inner_path_fault(text: str, *, downward: bool = False) -> str | None:
    """Return why a path or pattern leaves its folder.

    Args:
        text: the path.
        downward: it may begin with `/` or `~`, which stand for the top then.
    """
    if not downward and (text.startswith(("/", "~")) or "\\" in text):
        return "must be a path inside its folder, without a leading / or ~"
    if ".." in text.split("/"):
        return "leaves its folder by `..`"
    return "must not be empty" if not text.strip() else foreign_fault(text, most=MAX_TEXT)
