"""The pages of the gateway beside the API: OpenAPI, the root page, metrics."""

from __future__ import annotations

from typing import Any


async def test_unchanged_openapi_is_304(installation: Any) -> None:
    async with installation.client(None) as client:
        first = await client.get("/openapi.json")
        tag = first.headers["etag"]
        same = await client.get("/openapi.json", headers={"if-none-match": f'"x", W/{tag}'})
        other = await client.get("/openapi.json", headers={"if-none-match": tag[:-2] + '"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, other.content) == (200, first.content)


async def test_docs_page_is_served_beside_the_web_ui(installation: Any) -> None:
    async with installation.client(None) as client:
        docs = await client.get("/docs")
        assert 'src="/docs.js"' in docs.text
        assert (await client.get("/docs.js")).headers["content-type"].startswith("text/javascript")
        assert "Sluiceway" in (await client.get("/")).text
        assert (await client.post("/runs/1")).headers["allow"] == "GET, HEAD"


async def test_openapi_has_only_offered_methods(installation: Any) -> None:
    async with installation.client(None) as client:
        api = (await client.get("/openapi.json")).json()
    assert api["openapi"] == "3.1.0"
    assert set(api["paths"]) == {
        "/api/v1/runs",
        "/api/v1/runs/{runId}",
        "/api/v1/runs/{runId}:stop",
        "/api/v1/runs/{runId}:watch",
        "/api/v1/runs/{runId}/tasks/{taskId}/log",
        "/api/v1/logins:end",
        "/api/v1/users:beginSession",
        "/api/v1/version",
    }
    create = api["paths"]["/api/v1/runs"]["post"]
    assert set(create["responses"]) >= {"201", "400", "401", "403", "409", "413", "415", "429", "500", "503", "504"}
    assert create["responses"]["201"]["headers"]["Location"]
    assert set(api["paths"]["/api/v1/runs/{runId}/tasks/{taskId}/log"]) == {"get", "delete"}
    assert api["paths"]["/api/v1/version"]["get"]["security"] == []


async def test_openapi_is_503_while_the_server_is_unavailable(installation: Any) -> None:
    await installation.stop_server()
    async with installation.client(None) as client:
        assert (await client.get("/openapi.json")).status_code == 503


async def test_metrics_count_by_route_not_by_path(installation: Any) -> None:
    async with installation.client() as client:
        await client.get("/api/v1/runs/r1")
        await client.get("/api/v1/runs/r2")
        await client.get("/made-up")
        text = (await client.get("/metrics")).text
    assert 'sluiceway_gateway_requests_total{code="200",method="GET",route="/api/v1/runs/{run_id}"} 2.0' in text
    assert 'sluiceway_gateway_requests_total{code="404",method="GET",route="other"} 1.0' in text
    assert "made-up" not in text
