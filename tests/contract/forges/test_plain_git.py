"""Repositories that are read with git alone, from real servers over HTTP and SSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.forges.errors import AddressRefused, BadForgeResponse, ForgeUnavailable, NotAtForge, TokenRefused
from sluiceway_server.forges.git_command import GitAccess, run_git
from sluiceway_server.forges.plain_git import GitFolders, PlainGit
from sluiceway_server.forges.port import EntryKind, Repository
from sluiceway_server.triggers.config_files import blob_id
from tests.fakes.forge import FakeForge, Kind, fake_forge
from tests.fakes.forge.model import Key, Repo, User

pytestmark = pytest.mark.system

LOOPBACK = AddressPolicy(parse_networks(["127.0.0.0/8"]))


@dataclass
class Served:
    forge: FakeForge
    repo: Repo
    user: User
    commit: str
    folder: Path
    key: bytes

    @property
    def http(self) -> GitAccess:
        return GitAccess(username="ann", password=self.user.token)

    @property
    def ssh(self) -> GitAccess:
        return GitAccess(private_key=self.key, host_key=self.forge.ssh.host_key)

    def git(self, url: str, access: GitAccess, policy: AddressPolicy = LOOPBACK) -> PlainGit:
        return PlainGit("p1", url, access, GitFolders(self.folder, policy))

    @property
    def http_url(self) -> str:
        return f"{self.forge.url}/{self.repo.path}.git"

    @property
    def ssh_url(self) -> str:
        return self.forge.ssh_url(self.repo)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    async with fake_forge(Kind.GITEA, tmp_path / "forge") as forge:
        user = forge.add_user("ann")
        repo = await forge.add_repository(user, "acme/app")
        repo.keys.append(Key(1, "ours", key.export_public_key().decode(), read_only=True))
        commit = await forge.commit(repo, user, {"a/b.txt": b"content", "README": b"# App"}, message="Begin\n\nMore")
        await forge.tag(repo, user, "v1", commit, message="one")
        yield Served(forge, repo, user, commit, tmp_path / "git", key.export_private_key())


@pytest.fixture(params=["http", "ssh"])
async def reading(served: Served, request: pytest.FixtureRequest) -> tuple[Served, PlainGit, Repository]:
    url, access = (served.http_url, served.http) if request.param == "http" else (served.ssh_url, served.ssh)
    git = served.git(url, access)
    return served, git, await git.repository_by_id("", "p1")


async def test_repository_is_read(reading: tuple[Served, PlainGit, Repository]) -> None:
    served, git, repository = reading
    assert (repository.id, repository.path, repository.default_branch) == ("p1", "acme/app", "main")
    refs = await git.refs("", repository)
    assert refs == {"refs/heads/main": served.commit, "refs/tags/v1": served.commit}
    assert await git.file("", repository, "a/b.txt", served.commit) == b"content"
    assert await git.file("", repository, "a", served.commit) is None
    assert await git.file("", repository, "a/none", served.commit) is None
    listed = await git.folder("", repository, "", served.commit)
    assert [(entry.path, entry.kind) for entry in listed or ()] == [("README", EntryKind.FILE), ("a", EntryKind.FOLDER)]
    (inner,) = await git.folder("", repository, "a", served.commit) or ()
    assert (inner.path, inner.object_id) == ("a/b.txt", blob_id(b"content"))
    assert await git.folder("", repository, "none", served.commit) is None
    assert await git.commit_message("", repository, served.commit) == "Begin\n\nMore"


async def test_commit_that_is_gone_is_not_there(reading: tuple[Served, PlainGit, Repository]) -> None:
    _, git, repository = reading
    with pytest.raises(NotAtForge):
        await git.file("", repository, "README", "f" * 40)


async def test_wrong_password_is_refused_and_not_repeated(served: Served) -> None:
    with pytest.raises(TokenRefused) as caught:
        await served.git(served.http_url, GitAccess("ann", "wrong-password")).refs("", None)  # type: ignore[arg-type]
    assert "wrong-password" not in str(caught.value)


async def test_unknown_key_is_refused(served: Served) -> None:
    served.repo.keys.clear()
    with pytest.raises(TokenRefused, match="add it to the repository"):
        await served.git(served.ssh_url, served.ssh).refs("", None)  # type: ignore[arg-type]


async def test_other_host_key_is_refused(served: Served) -> None:
    other = " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])
    with pytest.raises(BadForgeResponse, match="another SSH host key"):
        await served.git(served.ssh_url, GitAccess(private_key=served.key, host_key=other)).refs("", None)  # type: ignore[arg-type]
    assert served.forge.ssh.attempts == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_address_that_is_not_public_is_refused(served: Served, host: str) -> None:
    url = served.http_url.replace("127.0.0.1", host)
    with pytest.raises(AddressRefused):
        await served.git(url, served.http, AddressPolicy()).refs("", None)  # type: ignore[arg-type]
    assert served.forge.calls == []


async def test_git_is_never_given_another_protocol(tmp_path: Path) -> None:
    for url in ("ext::sh -c 'touch pwned'", "file:///etc", "--upload-pack=touch pwned"):
        with pytest.raises(SluicewayError):
            await run_git(["ls-remote", "--", url], tmp_path, url=url, seconds=30, limit_bytes=1000)
        with pytest.raises(SluicewayError):
            # Without the check of URLs, git itself refuses.
            await run_git(["ls-remote", "--", url], tmp_path, seconds=30, limit_bytes=1000)
    assert list(tmp_path.iterdir()) == []


async def test_host_that_does_not_respond_is_given_up(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/app"
        with pytest.raises(ForgeUnavailable, match="did not end within"):
            await run_git(["ls-remote", "--", url], tmp_path, url=url, policy=LOOPBACK, seconds=2, limit_bytes=1000)
        # The processes of git are gone. On a slow machine, they had not yet connected.
        if began.is_set():
            await ended.wait()
