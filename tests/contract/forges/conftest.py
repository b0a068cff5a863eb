"""Each client with the fake of its provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.forges.http import ForgeHttp
from sluiceway_server.forges.kinds import forge_at
from sluiceway_server.forges.port import Forge, Repository
from tests.fakes.forge import FakeForge, Kind, fake_forge, git
from tests.fakes.forge.model import Repo, User


@dataclass
class Provider:
    """A client, the fake that it calls, and a repository with one commit."""

    fake: FakeForge
    client: Forge
    ann: User
    stored: Repo
    commit: str

    @property
    def token(self) -> str:
        return self.ann.token

    async def repository(self) -> Repository:
        return await self.client.repository(self.ann.token, self.stored.path)


FILES: dict[str, bytes | None] = {
    "README.md": b"# App\n",
    ".sluice/config.yml": b"runs: []\n",
    ".sluice/lib/a b+c#d%20.jsonnet": b"{}\n",
    "bytes": bytes(range(256)),
}


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a bare repository, which is copied for each test, and its commit."""
    folder = tmp_path_factory.mktemp("session-content") / "content.git"

    async def create() -> str:
        await git.create(folder, "main")
        return await git.commit_files(folder, "main", FILES, "Begin")

    return folder, asyncio.run(create())


@pytest.fixture(params=list(Kind))
async def provider(
    request: pytest.FixtureRequest, tmp_path: Path, content: tuple[Path, str]
) -> AsyncIterator[Provider]:
    """Yield each provider."""

    async def no_pause(_: float) -> None:
        """Retry at once."""

    http = ForgeHttp(AddressPolicy(parse_networks(["127.0.0.1"])), sleep=no_pause)
    try:
        async with fake_forge(request.param, tmp_path) as fake:
            ann = fake.add_user("ann")
            folder, commit = content
            stored = await fake.add_repository(ann, "acme/app", content=folder)
            yield Provider(fake, forge_at(request.param.product, fake.api_url, http), ann, stored, commit)
    finally:
        await http.close()
