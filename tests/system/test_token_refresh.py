"""Two servers refresh the access token of one linked account at the same time: its refresh token is for one use."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest

from sluiceway.api.project.v1 import login_service_pb2 as pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as pb_grpc
from tests.fakes.forge import Kind
from tests.support.installation import config, until
from tests.support.ports import free_ports
from tests.support.provider_browser import answer_at_provider, query_of
from tests.support.running_forge import RunningForge, running_forge
from tests.support.several_servers import Servers, several_servers

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

AT_ONCE = 8
FILES = {".sluice/config.json": config({"name": "task", "steps": []}).encode()}


@dataclass
class Linked:
    """Two servers, and a project of a fake GitLab that was linked with an authorization."""

    here: Servers
    forge: RunningForge
    project_id: str

    def refreshes(self) -> int:
        """Return how often a refresh token was used."""
        return sum(1 for form in self.forge.fake.oauth2.asked if form.get("grant_type") == "refresh_token")

    def run_project(self, server: int) -> int:
        """Call the provider through a server; return the status."""
        with self.here.client(server) as client:
            return int(client.post(f"/api/v1/projects/{self.project_id}:run", json={}).status_code)

    def problem(self) -> str:
        """Return what the servers know against the account."""
        (account,) = self.here.get("/api/v1/users/me/linkedAccounts")["linkedAccounts"]
        return str(account.get("problem", ""))


@contextmanager
def linked(folder: Path) -> Iterator[Linked]:
    (port,) = free_ports(1)
    public = f"http://127.0.0.1:{port}"
    key = folder / "master.key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    options = ["--public-url", public, "--allow-private-addresses", "127.0.0.0/8", "--master-key-file", str(key)]
    with (
        several_servers(folder / "here", executors=False, options=options) as here,
        running_forge(Kind.GITLAB, folder / "forge") as forge,
    ):
        repo = forge.repository("acme/app", FILES)
        application = forge.fake.oauth2.register(f"{public}/oauth2/callback")
        source = {
            "name": "forge",
            "type": "gitlab",
            "apiUrl": forge.fake.api_url,
            "oauth2ClientId": application.client_id,
            "oauth2ClientSecret": application.client_secret,
        }
        with here.client() as client:
            client.post("/api/v1/remoteSources", json={"remoteSource": source}).raise_for_status()
        link(here, forge)
        project = {"name": "app", "parentId": "user/admin", "remoteSourceId": "forge", "repositoryPath": repo.path}
        with here.client() as client:
            answer = client.post("/api/v1/projects", json={"project": project})
        assert answer.status_code == 201, answer.text
        yield Linked(here, forge, str(answer.json()["id"]))


def link(here: Servers, forge: RunningForge) -> None:
    """Authorize the servers at the provider, as a person does in a browser."""
    metadata = (("authorization", f"Bearer {here.token}"),)
    with grpc.insecure_channel(here.grpc[0]) as channel:
        stub = pb_grpc.LoginServiceStub(channel)
        begun = stub.BeginLink(pb.BeginLinkRequest(remote_source_id="forge"), metadata=metadata, timeout=60)
        url = begun.authorization.url
        back = query_of(forge.do(lambda: answer_at_provider(url, forge.user.name)))
        request = pb.CompleteAuthorizationRequest(flow=begun.authorization.flow, state=back["state"], code=back["code"])
        stub.CompleteAuthorization(request, metadata=metadata, timeout=60)


async def release(forge: RunningForge) -> None:
    forge.fake.release()


def test_two_servers_refresh_a_token_once(tmp_path: Path) -> None:
    with linked(tmp_path) as site, ThreadPoolExecutor(AT_ONCE) as threads:
        oauth2 = site.forge.fake.oauth2
        assert oauth2.invalidates_refresh_tokens
        for number in range(1, 4):
            oauth2.expire()
            if number == 3:
                # The provider takes its time: the servers wait for each other, and not only by chance.
                oauth2.faults.append("wait")
            calls = [threads.submit(partial(site.run_project, each % 2)) for each in range(AT_ONCE)]
            if number == 3:
                until(lambda: site.refreshes() == 3, "a server refreshes the token")
                site.forge.do(partial(release, site.forge))
            assert [call.result(120) for call in calls] == [201] * AT_ONCE
            assert site.refreshes() == number
            assert site.problem() == ""
        # The server that did it is gone: the other one goes on with what is stored.
        oauth2.expire()
        site.here.servers[0].kill()
        assert site.run_project(1) == 201
        assert site.refreshes() == 4
