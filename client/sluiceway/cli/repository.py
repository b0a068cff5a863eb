"""From a repository and a ref to a commit, and the files of that commit.

A repository is a URL (`https`, `http`, `ssh`, or `user@host:path`) or a folder on this machine; never `file:`, `ext:`
or anything that git could read as an option, nor a URL with a password: the URL is stored with the run, and everybody
who can read the run can read it. From a URL, only the commit is fetched, into a temporary folder.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway_common.foundation.locations import (
    REPOSITORY_FORMS,
    holds_password,
    is_remote,
    ref_fault,
    repository_fault,
)
from sluiceway_common.runconfig.files import GitFiles
from sluiceway_common.runconfig.when import Context

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,63}")
# `git rev-parse --local-env-vars`, without the configuration, which the caller may set.
_OF_A_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_SHA256_DIGITS = 64
_LOCAL_SECONDS = 30
_FETCH_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit that was found.

    Attributes:
        repository: the URL, or the absolute path of the working tree or bare repository.
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
    """Return the name of the ref for people: branch, tag, or the commit."""
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
    if ref is not None and (fault := ref_fault(ref)) is not None:
        raise InvalidInput(f'"{ref}" {fault}')
    if ref == "HEAD":
        ref = None
    if holds_password(repository):
        raise InvalidInput(f"a URL {repository_fault(repository)}")
    if is_remote(repository):
        import tempfile

        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            yield _fetch(repository, ref, Path(folder))
        return
    if not repository or "\0" in repository or repository.startswith("-"):
        raise InvalidInput(f'"{repository}" is not taken: {REPOSITORY_FORMS}')
    if _SCHEME.match(repository) and not Path(repository).exists():
        raise InvalidInput(f'"{repository}" is not taken: {REPOSITORY_FORMS}')
    path = Path(repository).expanduser().resolve()
    if not path.is_dir():
        raise NotFound(f"there is no folder {path}")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the name of {str(path)!a} is not UTF-8; rename the folder") from error
    root, head = (None if ref is not None else _checked_out(path)) or (_root_of(path), "")
    yield _open_folder(root, ref, head)


def _checked_out(folder: Path) -> tuple[Path, str] | None:
    """Find the working tree that a folder is in and the branch that it has; `HEAD`: none.

    One process for what `_root_of` and `git symbolic-ref` find with two. None: they have to be asked, since there is
    no working tree, no commit yet, or a branch or tag that is called HEAD.
    """
    found = _git(folder, "rev-parse", "--show-toplevel", "--symbolic-full-name", "HEAD", check=False)
    top, _, head = found.stdout.removesuffix("\n").rpartition("\n")
    if found.returncode != 0 or not top or not (head == "HEAD" or head.startswith("refs/")):
        return None
    return Path(top), head


def _root_of(folder: Path) -> Path:
    """Find the repository that a folder is in: an executor clones the whole of it."""
    top = _git(folder, "rev-parse", "--show-toplevel", check=False)
    if top.returncode == 0 and top.stdout.strip():
        return Path(top.stdout.removesuffix("\n"))
    bare = _git(folder, "rev-parse", "--absolute-git-dir", check=False)
    if bare.returncode != 0:
        raise NotFound(f"{folder} is not a git repository")
    found = Path(bare.stdout.removesuffix("\n"))
    return found.parent if found.name == ".git" else found


def _open_folder(path: Path, ref: str | None, head: str = "") -> Checkout:
    """Resolve a ref of a repository; `head` is what its HEAD is known to be, empty: not known."""
    if ref is None:
        full = head or _git(path, "symbolic-ref", "--quiet", "HEAD", check=False).stdout.strip() or "HEAD"
    else:
        candidates = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        full = next(
            (c for c in candidates if _git(path, "show-ref", "--verify", "--quiet", c, check=False).returncode == 0),
            ref if _COMMIT.fullmatch(ref) else "",
        )
        if not full:
            raise NotFound(f'{path} has no branch or tag "{ref}"{_hint(ref)}')
    return _checkout(str(path), path, "" if full in {"HEAD", ref} and not full.startswith("refs/") else full, full)


def _fetch(url: str, ref: str | None, folder: Path) -> Checkout:
    if ref is not None and _COMMIT.fullmatch(ref):
        full, wanted = "", ref
    else:
        full, wanted = _find_remote_ref(url, ref, folder)
    _git(folder, "init", "--quiet", "--bare", "--template=", *_object_format(wanted), ".")
    fetched = _git(
        folder,
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--",
        url,
        wanted,
        check=False,
        seconds=_FETCH_SECONDS,
        url=url,
    )
    if fetched.returncode != 0:
        # The second: ids of this length belong to the other hash function.
        if "not our ref" in fetched.stderr or "mismatched algorithms" in fetched.stderr:
            raise NotFound(
                f"{url} has no commit {wanted}, or does not give it away by its id alone; name a branch or tag"
            )
        raise _unreadable(url, fetched.stderr)
    return _checkout(url, folder, full, wanted)


def _object_format(commit: str) -> Sequence[str]:
    # Without it for SHA-1: git before 2.29 does not know the option.
    return ("--object-format=sha256",) if len(commit) == _SHA256_DIGITS else ()


def _find_remote_ref(url: str, ref: str | None, folder: Path) -> tuple[str, str]:
    """Find what a remote has under a name: the full ref (empty: a HEAD on no branch), and the object's id."""
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
        if not default and "HEAD" in refs:
            return "", refs["HEAD"]
        candidates = [default]
    elif ref.startswith("refs/"):
        candidates = [ref]
    else:
        candidates = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in candidates:
        if name in refs:
            # Of an annotated tag, the tag itself: older servers send only what they list.
            return name, refs[name]
    raise NotFound(f'{url} has no branch or tag "{ref}"{_hint(ref)}' if ref else f"{url} has no default branch")


def _hint(ref: str) -> str:
    return "; name a commit by all its 40 digits" if _ABBREVIATED.fullmatch(ref) else ""


def _checkout(repository: str, path: Path, full: str, revision: str) -> Checkout:
    """Read what a revision leads to.

    Args:
        repository: as people name it.
        path: where its objects are.
        full: the ref; empty: none.
        revision: a ref or the id of a commit or tag.
    """
    peeled = f"{revision}^{{commit}}"
    # Not `show` or `log`: they read the configuration of the repository, which may name programs to run.
    found = _git(path, "rev-list", "--max-count=1", "--format=%B", "--end-of-options", peeled, check=False)
    heading, _, message = found.stdout.partition("\n")
    commit = heading.removeprefix("commit ")
    if found.returncode != 0 or not _COMMIT.fullmatch(commit):
        resolved = _git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", peeled, check=False)
        if resolved.returncode == 0:
            raise _unreadable(repository, found.stderr)
        raise NotFound(f"{repository} has no commit at {revision}")
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
    return Checkout(repository, name, context, message.strip(), GitFiles(path, commit))


def _unreadable(where: str, output: str) -> Unavailable:
    return Unavailable(f"git could not read {where}: {output.strip()[-500:]}")


def _environment() -> dict[str, str]:
    """Return the environment for git: the caller's, without variables that name another repository (as in a hook)."""
    environment = {key: value for key, value in os.environ.items() if key not in _OF_A_REPOSITORY}
    given = environment.get("GIT_CONFIG_COUNT", "0")
    count = int(given) if given.isdecimal() else 0
    return {
        **environment,
        "GIT_ALLOW_PROTOCOL": "https:http:ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "safe.directory",
        f"GIT_CONFIG_VALUE_{count}": "*",
        "LC_ALL": "C",
    }


def _git(
    folder: Path, *arguments: str, check: bool = True, seconds: int = _LOCAL_SECONDS, url: str = ""
) -> subprocess.CompletedProcess[str]:
    where = url or str(folder)
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-replace-objects", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable("git is not installed; install it and try again") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"git could not read {where}: {error}") from error
    if check and done.returncode != 0:
        raise _unreadable(where, done.stderr)
    return done
