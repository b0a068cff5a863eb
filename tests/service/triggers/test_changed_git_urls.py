"""The URL and the credentials of a repository that is read with git alone are changed."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.project.v1 import project_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.rpc.caller import Origin, as_caller
from sluiceway_server.datamanager.model import Put
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.forges.port import Forge
from sluiceway_server.projects.project_service import ProjectServicer
from sluiceway_server.projects.records import AUDIT_RECORD
from sluiceway_server.triggers.git_repositories import access_of
from sluiceway_server.triggers.links import RepositoryLinks
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import KNOWN_REFS, LINK
from tests.fakes.forge_port import FakeForge
from tests.service.triggers.conftest import EVE, PROJECT_ID, Triggers

HTTPS, SSH = "https://git.example.org/app.git", "git@git.example.org:app.git"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWaukDkteUi588+wP3NHj182Js2bB+DdPFxKLsBOSK"


class GitProject:
    """A project of a git URL, with a user name and a password."""

    def __init__(self, triggers: Triggers) -> None:
        self.triggers = triggers
        self.read: list[str] = []
        self.gone: set[str] = set()
        self.id = ""

        async def git_of(link: pb.LinkRecord) -> Forge:
            self.read.append(link.git.url)
            if link.git.url in self.gone:
                raise NotAtForge("there is no such repository")
            forge = FakeForge(token="")
            forge.repository_ = forge.repository_.__class__(
                **{name: getattr(forge.repository_, name) for name in forge.repository_.__slots__} | {"id": self.id}
            )
            return forge

        providers = Providers(
            triggers.database,
            lambda kind, api_url, through=None: triggers.forge,
            triggers.providers._grants,
            clock=triggers.clock,
            git_of=git_of,
        )
        self.links = RepositoryLinks(
            triggers.database, providers, triggers.envelope, triggers.clock, settings=triggers.settings
        )
        self.servicer = ProjectServicer(
            triggers.database, clock=triggers.clock, ids=triggers.world.ids, links=self.links
        )

    async def create(self) -> api.Project:
        self.id = PROJECT_ID[:-1] + "a"
        ids = iter([self.id])
        self.servicer._ids = type("Ids", (), {"new_id": lambda _: next(ids)})()
        git = api.GitRepository(url=HTTPS, username="ann", password="old secret")
        project = api.Project(name="tool", parent_id=EVE.id, git=git)
        with as_caller(EVE, origin=Origin(method="CreateProject")):
            made = await self.servicer.CreateProject(api.CreateProjectRequest(project=project), None)
        known = pb.KnownRefsRecord(project_id=made.project.id, commits={"refs/heads/main": b"1" * 20})
        await self.triggers.database.commit([Put(KNOWN_REFS, made.project.id, known)])
        return made.project

    async def update(self, **git: Any) -> api.Project:
        project = api.Project(id=self.id, git=api.GitRepository(**git))
        with as_caller(EVE, origin=Origin(method="UpdateProject")):
            request = api.UpdateProjectRequest(project=project, update_mask={"paths": ["git"]})
            return (await self.servicer.UpdateProject(request, None)).project

    async def link(self) -> pb.LinkRecord:
        return await self.triggers.database.get(LINK, self.id)

    async def has_known_refs(self) -> bool:
        return await self.triggers.database.read(lambda view: view.get(KNOWN_REFS, self.id) is not None)


@pytest.fixture
async def project(triggers: Triggers) -> GitProject:
    made = GitProject(triggers)
    await made.create()
    return made


async def test_url_of_the_same_host_keeps_the_password(project: GitProject) -> None:
    other = "https://git.example.org/moved.git"
    changed = await project.update(url=other, username="ann")
    assert (changed.git.url, changed.git.username, changed.git.password) == (other, "ann", "")
    access = await access_of(project.triggers.envelope, await project.link())
    assert (access.username, access.password) == ("ann", "old secret")
    assert project.read[-1] == other
    assert not await project.has_known_refs(), "the first list of the other repository makes no runs"


async def test_new_password_replaces_the_stored_one(project: GitProject) -> None:
    await project.update(url=HTTPS, username="ann", password="new secret")
    link = await project.link()
    assert (await access_of(project.triggers.envelope, link)).password == "new secret"
    assert b"secret" not in link.SerializeToString()
    assert await project.has_known_refs(), "the repository is the same"
    found = await project.triggers.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    (record,) = [each for each in found if each.method == "UpdateProject"]
    assert list(record.details) == ["git: credentials"]


async def test_password_does_not_go_to_another_host(project: GitProject) -> None:
    before = len(project.read)
    with pytest.raises(InvalidInput) as caught:
        await project.update(url="https://evil.example.org/app.git", username="ann")
    assert [each.path for each in caught.value.violations] == ["project.git.password"]
    assert len(project.read) == before
    await project.update(url="https://evil.example.org/app.git")
    assert (await access_of(project.triggers.envelope, await project.link())).password == ""


async def test_repository_over_ssh_gets_a_key(project: GitProject) -> None:
    changed = await project.update(url=SSH, ssh_host_key=KEY)
    assert changed.deploy_key.startswith("ssh-ed25519 ")
    link = await project.link()
    assert not link.encrypted_git_password
    assert (await access_of(project.triggers.envelope, link)).private_key
    same = await project.update(url=SSH.replace("app", "moved"), ssh_host_key=KEY)
    assert same.deploy_key == changed.deploy_key
    back = await project.update(url=HTTPS)
    assert (back.deploy_key, (await project.link()).encrypted_deploy_key) == ("", b"")


async def test_repository_that_cannot_be_read_changes_nothing(project: GitProject) -> None:
    stored = await project.link()
    project.gone.add("https://git.example.org/none.git")
    with pytest.raises(NotAtForge):
        await project.update(url="https://git.example.org/none.git", username="ann")
    with pytest.raises(InvalidInput):
        await project.update(url="ext::sh -c x")
    assert await project.link() == stored


async def test_project_of_a_provider_keeps_its_repository(project: GitProject) -> None:
    project.id = PROJECT_ID
    with pytest.raises(InvalidInput) as caught:
        await project.update(url=HTTPS)
    assert [each.path for each in caught.value.violations] == ["project.git"]
