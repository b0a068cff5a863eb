"""Sessions of browsers over HTTP: log in, calls with the cookie, cross-site requests, log out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.gateway.settings import GatewaySettings

RUN = "/api/v1/runs/r1"
OURS = {"sec-fetch-site": "same-origin"}


async def log_in(installation: Any, client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    sent = {"origin": f"http://127.0.0.1:{installation.port}", **OURS, **headers}
    return await client.post("/session", json={"token": "good"}, headers=sent)


def reason_of(response: httpx.Response) -> str:
    return str(response.json()["error"]["details"][0]["reason"])


async def test_session_makes_calls_until_it_is_ended(installation: Any) -> None:
    async with installation.client(None) as client:
        assert (await client.get("/session", headers=OURS)).status_code == 204
        assert (await client.get(RUN, headers=OURS)).status_code == 401
        session = await log_in(installation, client)
        assert session.status_code == 200, session.text
        csrf = {**OURS, "x-csrf-token": session.json()["csrfToken"]}
        assert (await client.get("/session", headers=OURS)).json() == session.json()
        assert (await client.get(RUN, headers=OURS)).status_code == 200
        assert (await client.post(f"{RUN}:stop", json={}, headers=csrf)).status_code == 204
        cookies = dict(client.cookies)
        assert (await client.delete("/session", headers=csrf)).status_code == 204
        assert dict(client.cookies) == {}
        # Somebody kept the cookie.
        client.cookies.update(cookies)
        assert (await client.get(RUN, headers=OURS)).status_code == 401


async def test_logout_ends_the_session_at_all_gateways(installation: Any) -> None:
    key = bytes(32)
    await installation.start_gateway(GatewaySettings(), key)
    async with installation.client(None) as client:
        session = await log_in(installation, client)
        csrf = {**OURS, "x-csrf-token": session.json()["csrfToken"]}
        kept = next(iter(client.cookies.values()))
        first = installation.port
        await installation.start_gateway(GatewaySettings(), key)
        async with installation.client(None) as other:
            other.cookies.set(f"sluice-session-{installation.port}", kept)
            assert (await other.get(RUN, headers=OURS)).status_code == 200
            assert (await client.delete("/session", headers=csrf)).status_code == 204
            assert (await other.get(RUN, headers=OURS)).status_code == 401
        assert installation.port != first
    # The token that the user logged in with is not the session's.
    async with installation.client() as client:
        assert (await client.get(RUN)).status_code == 200


async def test_logout_that_fails_can_be_repeated(installation: Any) -> None:
    async with installation.client(None) as client:
        session = await log_in(installation, client)
        csrf = {**OURS, "x-csrf-token": session.json()["csrfToken"]}
        installation.logins.fault = Unavailable("etcd is away")
        refused = await client.delete("/session", headers=csrf)
        assert (refused.status_code, len(client.cookies)) == (503, 1)
        installation.logins.fault = None
        assert (await client.delete("/session", headers=csrf)).status_code == 204
        assert len(client.cookies) == 0


async def test_session_lasts_no_longer_than_its_token(installation: Any) -> None:
    installation.users.lifetime = timedelta(hours=1)
    async with installation.client(None) as client:
        cookie = (await log_in(installation, client)).headers["set-cookie"]
    age = int(cookie.split("Max-Age=")[1].split(";")[0])
    assert 0 < age <= 3600


async def test_cookie_on_loopback_is_httponly_and_strict(installation: Any) -> None:
    async with installation.client(None) as client:
        cookie = (await log_in(installation, client)).headers["set-cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"sluice-session-{installation.port}=")
    assert "good" not in name
    assert set(attributes) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict"}


async def test_cookie_over_https_has_the_host_prefix(installation: Any) -> None:
    headers = {"host": "ci.example.org", "origin": "https://ci.example.org"}
    async with installation.client(None) as client:
        first = await log_in(installation, client, **headers)
        name, *attributes = first.headers["set-cookie"].split("; ")
        assert name.startswith("__Host-sluice-session=")
        assert "Secure" in attributes
        used = await client.get(RUN, headers={**OURS, "host": "ci.example.org", "cookie": name})
    assert used.status_code == 200


@pytest.mark.parametrize("origin", ["http://ci.example.org", "http://10.0.0.1:8080", "null", "ftp://127.0.0.1"])
async def test_login_over_plain_http_of_another_machine_is_refused(installation: Any, origin: str) -> None:
    async with installation.client(None) as client:
        refused = await log_in(installation, client, origin=origin)
    assert (refused.status_code, reason_of(refused)) == (403, "SESSION_NEEDS_HTTPS")
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"sec-fetch-site": "cross-site"}, id="another site"),
        pytest.param({"sec-fetch-site": "same-site"}, id="another port"),
        pytest.param({"sec-fetch-site": "none"}, id="not a page"),
        pytest.param({"sec-fetch-site": "", "origin": "http://127.0.0.1:1"}, id="another origin"),
        pytest.param({"sec-fetch-site": "", "origin": "null"}, id="origin null"),
        pytest.param({"sec-fetch-site": "", "origin": ""}, id="no origin"),
    ],
)
async def test_request_of_another_site_is_refused(installation: Any, headers: dict[str, str]) -> None:
    async with installation.client(None) as client:
        session = await log_in(installation, client)
        sent = {"x-csrf-token": session.json()["csrfToken"], **headers}
        refused = [
            await client.post(f"{RUN}:stop", json={}, headers=sent),
            await client.delete("/session", headers=sent),
            await log_in(installation, client, **headers),
        ]
    assert [(each.status_code, reason_of(each)) for each in refused] == [(403, "CROSS_SITE_REQUEST")] * 3
    assert installation.runs.requests == []


async def test_older_browser_without_fetch_metadata_is_served(installation: Any) -> None:
    origin = f"http://127.0.0.1:{installation.port}"
    async with installation.client(None) as client:
        session = await client.post("/session", json={"token": "good"}, headers={"origin": origin})
        headers = {"origin": origin, "x-csrf-token": session.json()["csrfToken"]}
        assert (await client.get(RUN)).status_code == 200
        assert (await client.post(f"{RUN}:stop", json={}, headers=headers)).status_code == 204


@pytest.mark.parametrize("token", ["", "wrong", "é"])
async def test_change_without_the_csrf_token_is_refused(installation: Any, token: str) -> None:
    async with installation.client(None) as client:
        await log_in(installation, client)
        headers = [("sec-fetch-site", "same-origin"), ("x-csrf-token", token.encode())]
        refused = await client.post(f"{RUN}:stop", json={}, headers=headers)
        logout = await client.delete("/session", headers=headers)
    assert (refused.status_code, reason_of(refused)) == (403, "CSRF_TOKEN_INVALID")
    assert (logout.status_code, reason_of(logout)) == (403, "CSRF_TOKEN_INVALID")
    assert installation.runs.requests == []


async def test_csrf_token_of_another_session_is_refused(installation: Any) -> None:
    async with installation.client(None) as client, installation.client(None) as other:
        await log_in(installation, client)
        foreign = (await log_in(installation, other)).json()["csrfToken"]
        refused = await client.post(f"{RUN}:stop", json={}, headers={**OURS, "x-csrf-token": foreign})
    assert reason_of(refused) == "CSRF_TOKEN_INVALID"


async def test_bearer_token_needs_no_session_and_no_csrf_token(installation: Any) -> None:
    async with installation.client() as client:
        client.cookies.set(f"sluice-session-{installation.port}", "broken")
        stopped = await client.post(f"{RUN}:stop", json={}, headers={"sec-fetch-site": "cross-site"})
    assert stopped.status_code == 204


async def test_revoked_token_ends_its_session(installation: Any) -> None:
    async with installation.client(None) as client:
        await log_in(installation, client)
        installation.tokens.good.clear()
        assert (await client.get(RUN, headers=OURS)).status_code == 401


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"token": "unknown"}', 401),
        (b'{"token": ""}', 401),
        (b'{"token": "a b"}', 401),
        (b'{"token": "x\\r\\nevil: 1"}', 401),
        ('{"token": "é"}'.encode(), 401),
        (b'{"token": "' + b"x" * 2000 + b'"}', 401),
        (b'{"token": 1}', 400),
        (b'{"token": "good", "password": "x"}', 400),
        (b'{"userName": "ada"}', 400),
        (b'{"userName": "ada", "password": null}', 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"", 400),
        (b"\xff", 400),
        (b"[" * 20000, 400),
    ],
)
async def test_login_without_a_valid_token_is_refused(installation: Any, body: bytes, code: int) -> None:
    headers = {"origin": f"http://127.0.0.1:{installation.port}", "content-type": "application/json", **OURS}
    async with installation.client(None) as client:
        refused = await client.post("/session", content=body, headers=headers)
    assert refused.status_code == code, refused.text
    assert "set-cookie" not in refused.headers


async def test_login_by_a_form_is_refused(installation: Any) -> None:
    headers = {"origin": f"http://127.0.0.1:{installation.port}", **OURS}
    async with installation.client(None) as client:
        refused = await client.post("/session", data={"token": "good"}, headers=headers)
    assert refused.status_code == 400


async def test_session_has_other_methods_for_nobody(installation: Any) -> None:
    async with installation.client(None) as client:
        refused = await client.put("/session", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, POST")
