"""Bare git repositories, read by git itself, so that the API and a clone agree."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

ZERO = "0" * 40
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}


class GitError(Exception):
    """Git failed. Its message is the text."""


async def git(folder: Path, *arguments: str, stdin: bytes | None = None, more: dict[str, str] | None = None) -> bytes:
    """Run git in a folder, and return its output."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=folder,
        env={**_ENVIRONMENT, "HOME": str(folder), **(more or {})},
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    if process.returncode:
        raise GitError(err.decode(errors="replace"))
    return out


async def create(folder: Path, branch: str) -> None:
    folder.mkdir(parents=True)
    await git(folder, "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}")
    await git(folder, "config", "http.receivepack", "true")


async def commit_files(folder: Path, branch: str, files: dict[str, bytes | None], message: str) -> str:
    """Commit files on a branch of a bare repository, which need not exist; None deletes. Return the commit."""
    index = {"GIT_INDEX_FILE": str(folder / "index.fake")}
    parent = (await refs(folder)).get(f"refs/heads/{branch}")
    (folder / "index.fake").unlink(missing_ok=True)
    if parent:
        await git(folder, "read-tree", parent, more=index)
    lines = b""
    for path, content in files.items():
        if content is None:
            lines += f"0 {ZERO}\t{path}\n".encode()
        else:
            blob = (await git(folder, "hash-object", "-w", "--stdin", stdin=content)).decode().strip()
            lines += f"100644 {blob}\t{path}\n".encode()
    await git(folder, "update-index", "--index-info", stdin=lines, more=index)
    tree = (await git(folder, "write-tree", more=index)).decode().strip()
    parents = ["-p", parent] if parent else []
    made = (await git(folder, "commit-tree", tree, *parents, stdin=message.encode())).decode().strip()
    await git(folder, "update-ref", f"refs/heads/{branch}", made)
    return made


async def refs(folder: Path) -> dict[str, str]:
    """Return the object of each branch and tag; of an annotated tag, the tag object."""
    out = await git(folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    return dict(line.split(" ") for line in out.decode().splitlines())


async def ref_commits(folder: Path, prefix: str) -> list[tuple[str, str, str]]:
    """Return the refs below a prefix that lead to a commit, as (name, object, commit)."""
    form = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)"
    found = []
    for line in (await git(folder, "for-each-ref", f"--format={form}", prefix)).decode().splitlines():
        name, target, kind, peeled, peeled_kind = line.split("\0")
        if "commit" in (kind, peeled_kind):
            found.append((name, target, target if kind == "commit" else peeled))
    return found


async def commit_of(folder: Path, name: str) -> str | None:
    """Return the commit that an id or a name stands for, or None."""
    try:
        return (await git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")).decode().strip()
    except GitError:
        return None


async def message_of(folder: Path, commit: str) -> str:
    return (await git(folder, "log", "-1", "--format=%B", commit)).decode().rstrip("\n") + "\n"


async def tag_message(folder: Path, tag_object: str) -> str:
    return (await git(folder, "cat-file", "tag", tag_object)).decode().partition("\n\n")[2].strip()


@dataclass(frozen=True)
class Entry:
    mode: str
    type: str
    path: str
    size: int
    id: str


async def entry(folder: Path, commit: str, path: str) -> Entry | None:
    """Return what is at a path, or None."""
    found = await _list(folder, commit, path)
    return found[0] if found else None


async def entries(folder: Path, commit: str, path: str) -> list[Entry]:
    """Return what is in a folder."""
    return await _list(folder, commit, f"{path}/" if path else "")


async def _list(folder: Path, commit: str, path: str) -> list[Entry]:
    out = await git(folder, "ls-tree", "-l", "-z", commit, *([path] if path else []))
    found = []
    for line in out.decode().split("\0")[:-1]:
        head, name = line.split("\t")
        mode, kind, id_, size = head.split()
        found.append(Entry(mode, kind, name, int(size) if size != "-" else 0, id_))
    return found


async def content(folder: Path, commit: str, path: str) -> bytes:
    return await git(folder, "cat-file", "blob", f"{commit}:{path}")


async def commits_between(folder: Path, base: str, head: str) -> list[str]:
    """Return the commits that are in `head` and not in `base`, oldest first."""
    return (await git(folder, "rev-list", "--reverse", f"{base}..{head}")).decode().split()


async def files_of_commit(folder: Path, commit: str) -> list[tuple[str, str]]:
    """Return the paths that a commit changed against its first parent, as (status, path)."""
    out = await git(
        folder,
        "diff-tree",
        "--root",
        "-r",
        "-m",
        "--first-parent",
        "--no-commit-id",
        "--name-status",
        "--no-renames",
        "-z",
        commit,
    )
    parts = out.decode().split("\0")[:-1]
    return list(zip(parts[::2], parts[1::2], strict=True))


async def changed(folder: Path, base: str, head: str) -> list[tuple[str, str, str]]:
    """Return how two trees differ, as (status, old path, new path)."""
    out = await git(folder, "diff-tree", "-r", "-M", "--name-status", "-z", base, head)
    parts = iter(out.decode().split("\0")[:-1])
    found = []
    for status in parts:
        old = next(parts)
        found.append((status[0], old, next(parts) if status[0] in "RC" else old))
    return found


async def merge_base(folder: Path, base: str, head: str) -> str | None:
    try:
        return (await git(folder, "merge-base", base, head)).decode().strip()
    except GitError:
        return None
