"""From a repository and a ref to a commit, and the files of that commit.

A repository is a URL (`https`, `http`, `ssh`, or `user@host:path`) or a folder on this machine; never `file:`, `ext:`
or anything that git would take for an option. Of a URL, only the commit is fetched, into a folder that goes away.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluiceway.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway.runconfig.files import GitFiles
from sluiceway.runconfig.when import Context

__all__ = ["Checkout", "open_commit", "ref_name"]

_URL = re.compile(r"(https?|ssh)://[^\s-][^\s]*")
_SCP = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:-][^\s]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_LOCAL_SECONDS = 30
_FETCH_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit that was found.

    Attributes:
        repository: the URL, or the absolute path.
        name: its last segment, without `.git`.
        context: ref and commit, as configurations see them.
        message: of the commit.
        files: of the commit.
    """

    repository: str
    name: str
    context: Context
    message: str
    files: GitFiles


def ref_name(context: Context) -> str:
    """Name the ref for people: branch, tag, or the commit."""
    return context.branch or context.tag or context.commit_sha


@contextmanager
def open_commit(repository: str, ref: str | None) -> Iterator[Checkout]:
    """Resolve a ref to a commit and read its files.

    Args:
        repository: URL or path.
        ref: branch, tag, full ref or commit; None: the default branch (of a folder: the one that is checked out).

    Raises:
        InvalidInput: the repository or the ref has a form that is not taken.
        NotFound: there is no repository, no such ref, or no commit yet.
        Unavailable: the repository could not be read.
    """
    if ref is not None and (ref.startswith("-") or not ref or any(c in ref for c in "\0\n :?*[\\^~")):
        raise InvalidInput(f'"{ref}" is not a ref')
    if _URL.fullmatch(repository) or _SCP.fullmatch(repository):
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            yield _fetch(repository, ref, Path(folder))
        return
    if repository.startswith("-") or (_SCHEME.match(repository) and not Path(repository).exists()):
        raise InvalidInput(f'"{repository}" is not taken: name a folder, or a URL of https, http or ssh')
    path = Path(repository).expanduser().resolve()
    if not path.is_dir():
        raise NotFound(f"there is no folder {path}")
    yield _open_folder(path, ref)


def _open_folder(path: Path, ref: str | None) -> Checkout:
    if _git(path, "rev-parse", "--git-dir", check=False).returncode != 0:
        raise NotFound(f"{path} is not a git repository")
    if ref is None:
        head = _git(path, "symbolic-ref", "--quiet", "HEAD", check=False).stdout.strip()
        full = head or "HEAD"
    else:
        candidates = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        full = next(
            (c for c in candidates if _git(path, "show-ref", "--verify", "--quiet", c, check=False).returncode == 0),
            ref if _COMMIT.fullmatch(ref) else "",
        )
        if not full:
            raise NotFound(f'{path} has no branch or tag "{ref}"')
    found = _git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{full}^{{commit}}", check=False)
    commit = found.stdout.strip()
    if found.returncode != 0 or not _COMMIT.fullmatch(commit):
        raise NotFound(f"{path} has no commit at {full}")
    return _checkout(str(path), path, "" if full in {"HEAD", commit} else full, commit)


def _fetch(url: str, ref: str | None, folder: Path) -> Checkout:
    _git(folder, "init", "--quiet", "--bare", ".")
    if ref is not None and _COMMIT.fullmatch(ref):
        full, commit = "", ref
    else:
        full, commit = _find_remote_ref(url, ref, folder)
    _git(folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", url, commit, seconds=_FETCH_SECONDS, url=url)
    return _checkout(url, folder, full, commit)


def _find_remote_ref(url: str, ref: str | None, folder: Path) -> tuple[str, str]:
    listed = _git(folder, "ls-remote", "--symref", "--", url, seconds=_FETCH_SECONDS, url=url).stdout
    refs: dict[str, str] = {}
    default = ""
    for line in listed.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix("ref: ")
        elif _COMMIT.fullmatch(value):
            refs[name] = value
    if ref is None:
        candidates = [default]
    elif ref.startswith("refs/"):
        candidates = [ref]
    else:
        candidates = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in candidates:
        if name in refs:
            # An annotated tag points to its commit under this second name.
            return name, refs.get(f"{name}^{{}}", refs[name])
    raise NotFound(f'{url} has no branch or tag "{ref}"' if ref else f"{url} has no default branch")


def _checkout(repository: str, path: Path, full: str, commit: str) -> Checkout:
    message = _git(path, "show", "--no-patch", "--format=%B", "--end-of-options", commit).stdout.strip()
    branch = full.removeprefix("refs/heads/") if full.startswith("refs/heads/") else ""
    tag = full.removeprefix("refs/tags/") if full.startswith("refs/tags/") else ""
    context = Context(
        ref_type="branch" if branch else "tag" if tag else "",
        ref=full or commit,
        branch=branch,
        tag=tag,
        commit_sha=commit,
    )
    name = re.split(r"[/:]", repository.rstrip("/"))[-1].removesuffix(".git") or "repository"
    return Checkout(repository, name, context, message, GitFiles(path, commit))


def _git(
    folder: Path, *arguments: str, check: bool = True, seconds: int = _LOCAL_SECONDS, url: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "GIT_ALLOW_PROTOCOL": "https:http:ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "LC_ALL": "C",
    }
    where = url or str(folder)
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-replace-objects", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable("git is not installed; install it and try again") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"git could not read {where}: {error}") from error
    if check and done.returncode != 0:
        raise Unavailable(f"git could not read {where}: {done.stderr.strip()[-500:]}")
    return done
