"""How the gateway treats methods that its server does not offer."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc

LOG = "/api/v1/runs/r/tasks/t/log"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        pytest.param("/api/v1/runs", {"GET", "HEAD", "POST"}, id="all methods are offered"),
        pytest.param(LOG, {"DELETE", "GET", "HEAD"}, id="all methods of a stream"),
    ],
)
async def test_allow_names_the_methods_that_are_offered(installation: Any, path: str, allow: set[str]) -> None:
    async with installation.client() as client:
        answer = await client.put(path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allow


async def test_allow_leaves_out_a_method_that_is_not_offered(installation: Any) -> None:
    fewer = type("Fewer", (type(installation.runs),), {"DeleteLogs": pb_grpc.RunServiceServicer.DeleteLogs})
    await installation.stop_server()
    installation.runs = fewer()
    await installation.start_server()
    async with installation.client() as client:
        answer = await client.put(LOG)
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
        deleted = await client.delete(LOG)
        assert (deleted.status_code, deleted.headers["allow"]) == (405, "GET, HEAD")


async def test_path_without_offered_methods_is_404(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r:restart")
    assert answer.status_code == 404
    assert answer.json()["error"]["details"][0]["reason"] == "ROUTE_UNKNOWN"


async def test_allow_has_every_method_while_the_server_is_away(installation: Any) -> None:
    await installation.stop_server()
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r:restart")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
