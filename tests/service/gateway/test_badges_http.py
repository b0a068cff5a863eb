"""Badges through a real gateway and the real service, on a database in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from sluiceway.api.project.v1 import badge_service_pb2 as api
from sluiceway.api.project.v1 import badge_service_pb2_grpc as api_grpc
from sluiceway.api.project.v1 import visibility_pb2
from sluiceway.api.run.v1 import run_service_pb2
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.datamanager.model import Put
from sluiceway_server.gateway.serve import serve_gateway
from sluiceway_server.notifications.badges import BadgeServicer
from sluiceway_server.notifications.records import BADGE_TOKEN
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, PROJECT_GROUP
from sluiceway_server.runs.engine import Engine
from tests.service.gateway.conftest import Tokens
from tests.support.run_engine import World, request

ADMIN = Caller(CallerKind.OPERATOR, "admin", frozenset("*"))


@dataclass
class Served:
    world: World
    engine: Engine
    badges: BadgeServicer
    client: httpx.AsyncClient
    server: RpcServer

    async def run(self, branch: str = "main", *, name: str = "ci", result: str = "success", of: str = "open") -> None:
        asked = request(group=f"/project/{of}/branch/{branch}", name=name)
        run_id = (await self.engine.create_run(asked, created_by="admin")).value.run.id
        self.world.clock.advance(timedelta(seconds=1))
        if result:
            await self.world.finish(self.engine, run_id, "build", result)

    async def says(self, path: str, **query: str) -> tuple[int, str]:
        """Return the status and the message of a badge."""
        answer = await self.client.get(f"/badges/{path}.json", params=query)
        return answer.status_code, answer.json()["message"]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    world = World()
    public, private = visibility_pb2.VISIBILITY_PUBLIC, visibility_pb2.VISIBILITY_PRIVATE
    await world.db.commit(
        [
            Put(ORGANIZATION, "acme", project_records.Organization(name="acme", visibility=public)),
            Put(PROJECT_GROUP, "g", project_records.ProjectGroup(name="backend", parent_id="acme", visibility=public)),
            Put(PROJECT, "open", project_records.Project(name="api", parent_id="g", visibility=public)),
            Put(PROJECT, "hidden", project_records.Project(name="secret", parent_id="g", visibility=private)),
        ]
    )
    engine = await world.placing_engine(slots=20)
    badges = BadgeServicer(world.db, clock=world.clock, ids=world.ids)
    server = RpcServer(Tokens())
    server.add(api_grpc.add_BadgeServiceServicer_to_server, badges)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    gateway = asyncio.create_task(
        serve_gateway("127.0.0.1:0", address, stop, on_listening=listening.set_result, grace=timedelta(seconds=1))
    )
    url = f"http://127.0.0.1:{await listening}"
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        yield Served(world, engine, badges, client, server)
    stop.set()
    await gateway
    await server.drain(timedelta(0))


async def test_badge_is_of_the_newest_run_that_has_a_state(served: Served) -> None:
    path = "org/acme/backend/api/main"
    assert await served.says(path) == (200, "no runs")
    await served.run(result="failed")
    assert await served.says(path) == (200, "failed")
    await served.run(name="docs")
    assert await served.says(path) == (200, "success")
    assert await served.says(path, run="ci") == (200, "failed")
    assert await served.says(path, run="other") == (200, "no runs")
    await served.run(result="")
    assert await served.says(path) == (200, "running")
    assert await served.says("open/main") == (200, "running")


@pytest.mark.parametrize(
    "path", ["org/acme/backend/api/feat%2Fx", "org/acme/backend/api/feat/x", "org%2Facme%2Fbackend%2Fapi/feat/x"]
)
async def test_branch_may_have_slashes(served: Served, path: str) -> None:
    await served.run("feat%2Fx", result="failed")
    assert await served.says(path) == (200, "failed")


async def test_picture_is_cached_and_embedded(served: Served) -> None:
    await served.run()
    answer = await served.client.get("/badges/org/acme/backend/api/main.svg?label=a%3Cb")
    assert answer.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "a&lt;b: success" in answer.text
    again = await served.client.get(
        "/badges/org/acme/backend/api/main.svg?label=a%3Cb", headers={"if-none-match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    head = await served.client.head("/badges/org/acme/backend/api/main.svg")
    assert (head.status_code, head.content) == (200, b"")
    assert (await served.client.post("/badges/org/acme/backend/api/main.svg")).status_code == 405


async def test_private_project_looks_like_none(served: Served) -> None:
    await served.run(of="hidden")
    answers = [
        await served.client.get(f"/badges/org/acme/backend/{name}/main.svg{query}")
        for name in ("secret", "no-such")
        for query in ("", "?token=guess", "?token=")
    ]
    assert {(answer.status_code, answer.text, answer.headers["cache-control"]) for answer in answers} == {
        (404, answers[0].text, "private, max-age=60")
    }
    assert "not found" in answers[0].text
    with as_caller(ADMIN):
        token = (await served.badges.CreateBadgeToken(api.CreateBadgeTokenRequest(project_id="hidden"), None)).token
    assert await served.says("org/acme/backend/secret/main", token=token) == (200, "success")
    assert await served.says("org/acme/backend/secret/main", token=token + "x") == (404, "not found")
    private = await served.client.get("/badges/hidden/main.svg", params={"token": token})
    assert private.headers["cache-control"] == "private, max-age=60"
    stored = await served.world.db.get(BADGE_TOKEN, "hidden")
    assert stored.digest == hashlib.sha256(token.encode()).digest()
    with as_caller(ADMIN):
        newer = (await served.badges.CreateBadgeToken(api.CreateBadgeTokenRequest(project_id="hidden"), None)).token
    assert await served.says("hidden/main", token=token) == (404, "not found")
    assert await served.says("hidden/main", token=newer) == (200, "success")
    with as_caller(ADMIN):
        for _ in range(2):
            await served.badges.DeleteBadgeToken(api.DeleteBadgeTokenRequest(project_id="hidden"), None)
    assert await served.says("hidden/main", token=newer) == (404, "not found")


@pytest.mark.parametrize(
    "path",
    [
        "x", "org/acme/main", "org/acme/backend/main", "org/acme/backend/api", "user/nobody/x/main", "..%2F..%2Fx/main",
        "%ff/main", "open%00/main", "/".join("a" * 300), f"open/{'x' * 5000}", "open/",
    ],
    ids=[
        "one segment", "organization", "group", "project alone", "unknown user", "dots", "no UTF-8", "NUL",
        "many segments", "long", "empty branch",
    ],
)  # fmt: skip
async def test_path_of_nothing_is_not_found(served: Served, path: str) -> None:
    status, message = await served.says(path)
    assert (status, message) in {(404, "not found"), (200, "no runs")}
    assert status == 404 or path.startswith("open")


async def test_setup_error_is_shown(served: Served) -> None:
    broken = run_service_pb2.CreateRunRequest(setup_errors=["broken"])
    broken.run.name, broken.run.group = "ci", "/project/open/branch/main"
    await served.engine.create_run(broken, created_by="admin")
    assert await served.says("open/main") == (200, "setup error")


async def test_server_that_is_away_is_no_missing_project(served: Served) -> None:
    await served.server.refuse(Unavailable("away"))
    answer = await served.client.get("/badges/open/main.svg")
    assert answer.status_code == 503
