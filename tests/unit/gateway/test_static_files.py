"""Files of the gateway: pages of the web UI, caching, compression, policies, and a web UI that is not built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.settings import GatewaySettings
from sluiceway_server.gateway.static_files import StaticFiles

SCRIPT = b"console.log('a long script');\n" * 1000


@pytest.fixture
def web(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Sluiceway</title>")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-AbC123.js").write_bytes(SCRIPT)
    return tmp_path


def client_of(files: StaticFiles) -> httpx.AsyncClient:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, GatewaySettings(), "id")
        if files.route_of(exchange.path) is None:
            await exchange.respond(404)
        else:
            await files.respond(exchange)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(web: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(StaticFiles(web=web)) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/login", "/runs", "/runs/1/tasks/2", "/projects/a/b", "/runs/%2F"])
async def test_page_of_the_web_ui_is_its_document(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Sluiceway</title>" in page.text
    assert page.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/run", "/loginx", "/assets/missing.js", "/../etc/passwd", "/assets/", "/index.html"])
async def test_path_without_a_page_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_policy_allows_nothing_inline(client: httpx.AsyncClient) -> None:
    page = await client.get("/runs")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "data:" not in policy
    directives = dict(each.partition(" ")[::2] for each in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_file_with_a_hashed_name_is_kept_for_a_year(client: httpx.AsyncClient) -> None:
    script = await client.get("/assets/index-AbC123.js", headers={"accept-encoding": "gzip"})
    assert script.content == SCRIPT
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["content-encoding"] == "gzip"
    assert int(script.headers["content-length"]) < len(SCRIPT) / 10
    plain = await client.get("/assets/index-AbC123.js", headers={"accept-encoding": "identity"})
    assert (plain.content, plain.headers.get("content-encoding")) == (SCRIPT, None)


@pytest.mark.parametrize("path", ["/runs", "/favicon.svg", "/assets/index-AbC123.js", "/docs"])
async def test_unchanged_file_is_304(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


async def test_web_ui_that_is_not_built_says_what_to_run(tmp_path: Path) -> None:
    async with client_of(StaticFiles(web=tmp_path / "missing")) as client:
        root, page = await client.get("/"), await client.get("/runs/1")
    assert (root.status_code, page.status_code) == (200, 404)
    assert "make web" in root.text
    assert "make web" in page.text
