"""A repository that is read with git alone, behind the port of git providers.

It has refs, files and messages of commits. What only a provider has is refused, and commit statuses are dropped. A
commit is fetched without its history, into a folder that it has for itself; a few of these are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.locations import ref_fault
from sluiceway_server.forges.addresses import AddressPolicy
from sluiceway_server.forges.api import check_commit
from sluiceway_server.forges.errors import BadForgeResponse, ForgeResponseTooLarge, NotAtForge, WebhookRefused
from sluiceway_server.forges.git_command import GitAccess, run_git
from sluiceway_server.forges.git_urls import address_of
from sluiceway_server.forges.port import (
    MAX_FILE_BYTES,
    CommitStatus,
    EntryKind,
    Event,
    FolderEntry,
    ForgeUser,
    PullRequest,
    Repository,
    RepositoryPage,
)

_LIST_SECONDS, _FETCH_SECONDS, _LOCAL_SECONDS = 60.0, 120.0, 30.0
_LIST_BYTES = 4 << 20
_MAX_ENTRIES = 1000
_KEPT_COMMITS = 16
_SHA256_DIGITS = 64
_KINDS = {"040000": EntryKind.FOLDER, "120000": EntryKind.LINK, "160000": EntryKind.SUBMODULE}


class GitFolders:
    """The commits that were fetched, below a folder. One for a process; what an earlier one left is removed."""

    def __init__(self, folder: Path, policy: AddressPolicy) -> None:
        self.policy = policy
        self._folder = folder
        self._kept: OrderedDict[str, asyncio.Lock] = OrderedDict()
        self._is_clean = False

    @asynccontextmanager
    async def of_commit(self, url: str, commit: str) -> AsyncIterator[Path]:
        """Yield the folder of a commit, which is this coroutine's alone; it is empty when it is new."""
        if not self._is_clean:
            self._is_clean = True
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        name = hashlib.sha256(f"{url} {commit}".encode()).hexdigest()[:32]
        lock = self._kept.setdefault(name, asyncio.Lock())
        self._kept.move_to_end(name)
        async with lock:
            folder = self._folder / name
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            yield folder
        for other in [each for each, held in self._kept.items() if not held.locked()][:-_KEPT_COMMITS]:
            del self._kept[other]
            await asyncio.to_thread(shutil.rmtree, self._folder / other, ignore_errors=True)


class PlainGit:
    """The repository at one URL. Its methods raise what `port` lists, and take any token."""

    def __init__(self, repository_id: str, url: str, access: GitAccess, folders: GitFolders) -> None:
        self._id = repository_id
        self._url = url
        self._access = access
        self._folders = folders

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        head, _ = await self._listed()
        address = address_of(self._url)
        is_ssh = address is not None and address.scheme == "ssh"
        return Repository(
            id=self._id,
            path=address.path if address is not None else "",
            default_branch=head,
            web_url="",
            http_url="" if is_ssh else self._url,
            ssh_url=self._url if is_ssh else "",
            is_private=is_ssh,
        )

    async def refs(self, token: str, repository: Repository) -> Mapping[str, str]:
        return (await self._listed())[1]

    async def file(self, token: str, repository: Repository, path: str, commit: str) -> bytes | None:
        async with self._fetched(commit) as folder:
            entry = await self._entry(folder, commit, path)
            if entry is None or entry[1] != "blob":
                return None
            if int((await self._local(folder, "cat-file", "-s", entry[2])).strip()) > MAX_FILE_BYTES:
                raise ForgeResponseTooLarge(f"{path} has more than {MAX_FILE_BYTES} bytes", subject=path)
            return await self._local(folder, "cat-file", "blob", entry[2])

    async def folder(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> tuple[FolderEntry, ...] | None:
        async with self._fetched(commit) as folder:
            tree = commit
            if path:
                entry = await self._entry(folder, commit, path)
                if entry is None or entry[1] != "tree":
                    return None
                tree = entry[2]
            listed = _entries(await self._local(folder, "ls-tree", "-z", tree))
        if len(listed) > _MAX_ENTRIES:
            raise ForgeResponseTooLarge(f"the folder {path} has more than {_MAX_ENTRIES} entries", subject=path)
        prefix = f"{path}/" if path else ""
        found = (
            FolderEntry(path=prefix + name, kind=_KINDS.get(mode, EntryKind.FILE), object_id=target)
            for mode, _, target, name in listed
        )
        return tuple(sorted(found, key=lambda entry: entry.path))

    async def commit_message(self, token: str, repository: Repository, commit: str) -> str:
        async with self._fetched(commit) as folder:
            said = await self._local(folder, "log", "-1", "--format=%B", commit, "--")
        return said.decode(errors="replace").strip()

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        """Return None: commits are fetched without their history."""
        return None

    async def set_status(self, token: str, repository: Repository, commit: str, status: CommitStatus) -> None:
        """Drop a status: there is nobody to tell."""

    async def pull_request(self, token: str, repository: Repository, number: str) -> PullRequest:
        raise NotAtForge("the repository is read with git alone, and has no pull requests")

    async def pull_request_heads(self, token: str, repository: Repository) -> Mapping[str, str]:
        """Return nothing: there are none."""
        return {}

    async def user(self, token: str) -> ForgeUser:
        _refuse("users")

    async def repository(self, token: str, path: str) -> Repository:
        _refuse("other repositories")

    async def repositories(self, token: str, *, page: int = 1) -> RepositoryPage:
        _refuse("other repositories")

    async def create_webhook(self, token: str, repository: Repository, *, url: str, secret: str) -> str:
        _refuse("webhooks")

    async def delete_webhook(self, token: str, repository: Repository, webhook_id: str) -> None:
        _refuse("webhooks")

    async def create_deploy_key(self, token: str, repository: Repository, *, title: str, public_key: str) -> str:
        _refuse("an API for deploy keys")

    async def delete_deploy_key(self, token: str, repository: Repository, deploy_key_id: str) -> None:
        _refuse("an API for deploy keys")

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        raise WebhookRefused("the repository is read with git alone, and has no webhook")

    async def _listed(self) -> tuple[str, dict[str, str]]:
        """Return the default branch, and the commit of each branch and tag."""
        async with self._folders.of_commit(self._url, "list") as folder:
            arguments = ["ls-remote", "--symref", "--", self._url, "HEAD", "refs/heads/*", "refs/tags/*"]
            said = await self._remote(folder, arguments, seconds=_LIST_SECONDS)
        return read_list(said)

    @asynccontextmanager
    async def _fetched(self, commit: str) -> AsyncIterator[Path]:
        """Yield a folder with a repository that has a commit.

        Raises:
            NotAtForge: the commit is not there any more.
        """
        check_commit(commit)
        async with self._folders.of_commit(self._url, commit) as folder:
            if not (folder / "HEAD").exists():
                await self._fetch(folder, commit)
            yield folder

    async def _fetch(self, folder: Path, commit: str) -> None:
        kind = "sha256" if len(commit) == _SHA256_DIGITS else "sha1"
        await self._local(folder, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}")
        fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", self._url]
        try:
            try:
                await self._remote(folder, [*fetch, commit], seconds=_FETCH_SECONDS)
            except NotAtForge:
                # An old server gives out only what a ref names.
                wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
                await self._remote(folder, [*fetch, *wanted], seconds=_FETCH_SECONDS)
            await self._local(folder, "cat-file", "-e", f"{commit}^{{commit}}")
        except BaseException:
            (folder / "HEAD").unlink(missing_ok=True)
            raise

    async def _entry(self, folder: Path, commit: str, path: str) -> tuple[str, str, str, str] | None:
        """Return mode, type, object and path of what is at a path."""
        found = _entries(await self._local(folder, "--literal-pathspecs", "ls-tree", "-z", commit, "--", path))
        return next((each for each in found if each[3] == path), None)

    async def _remote(self, folder: Path, arguments: list[str], *, seconds: float) -> bytes:
        return await run_git(
            arguments,
            folder,
            url=self._url,
            access=self._access,
            policy=self._folders.policy,
            seconds=seconds,
            limit_bytes=_LIST_BYTES,
        )

    @staticmethod
    async def _local(folder: Path, *arguments: str) -> bytes:
        return await run_git(arguments, folder, seconds=_LOCAL_SECONDS, limit_bytes=2 * MAX_FILE_BYTES)


def read_list(said: bytes) -> tuple[str, dict[str, str]]:
    """Return the default branch (empty: none), and the commit of each ref, from what `ls-remote --symref` prints. Pure.

    Raises:
        BadForgeResponse: it is something else.
    """
    head, found = "", {}
    for line in said.decode(errors="replace").splitlines():
        target, tab, name = line.partition("\t")
        if not tab:
            raise BadForgeResponse("the git host returned no list of refs")
        if target.startswith("ref: refs/heads/") and name == "HEAD":
            head = target.removeprefix("ref: refs/heads/")
        elif name.startswith(("refs/heads/", "refs/tags/")):
            # Of an annotated tag, the commit comes after the tag.
            ref = name.removesuffix("^{}")
            if ref_fault(ref) is None:
                found[ref] = check_commit(target)
    return head, found


def _entries(said: bytes) -> list[tuple[str, str, str, str]]:
    found = []
    for line in said.decode(errors="surrogateescape").split("\0")[:-1]:
        head, _, name = line.partition("\t")
        mode, kind, target = head.split(" ")
        found.append((mode, kind, target, name))
    return found


def _refuse(what: str) -> NoReturn:
    raise FailedPrecondition(f"a repository that is read with git alone has no {what}", reason="PROVIDER_MISSING")
