"""Logins with a git provider over HTTP: cookies, redirects, and what other sites and other browsers send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sluiceway.api.project.v1 import login_service_pb2 as pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import PermissionDenied, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.caller import current_caller

OURS = {"sec-fetch-site": "same-origin"}
STATE = "s" * 43
AUTHORIZE = "https://git.example.org/login/oauth/authorize?state=" + STATE


class Logins(pb_grpc.LoginServiceServicer):
    """Begins one authorization, and completes it with the token `good`."""

    def __init__(self) -> None:
        self.public_url = ""
        self.completed: list[pb.CompleteAuthorizationRequest] = []
        self.callers: list[str] = []
        self.fault: SluicewayError | None = None
        self.token = "good"

    def _authorization(self) -> pb.Authorization:
        self.callers.append(current_caller().id)
        return pb.Authorization(
            url=AUTHORIZE, flow="flow", state=STATE, redirect_uri=f"{self.public_url}/oauth2/callback"
        )

    async def BeginLogin(self, request: Any, context: Any) -> pb.BeginLoginResponse:  # noqa: N802 - named by the proto
        return pb.BeginLoginResponse(authorization=self._authorization())

    async def BeginLink(self, request: Any, context: Any) -> pb.BeginLinkResponse:  # noqa: N802 - as above
        return pb.BeginLinkResponse(authorization=self._authorization())

    async def CompleteAuthorization(  # noqa: N802 - as above
        self, request: pb.CompleteAuthorizationRequest, context: Any
    ) -> pb.CompleteAuthorizationResponse:
        self.completed.append(request)
        if self.fault is not None:
            raise self.fault
        return pb.CompleteAuthorizationResponse(token=self.token)


class Site:
    def __init__(self, installation: Any, logins: Logins, client: httpx.AsyncClient) -> None:
        self.installation = installation
        self.logins = logins
        self.client = client
        self.origin = f"http://127.0.0.1:{installation.port}"
        logins.public_url = self.origin

    async def begin(self, body: Any = None, **headers: str) -> httpx.Response:
        body = {"remoteSource": "forge"} if body is None else body
        return await self.client.post("/oauth2/begin", json=body, headers={"origin": self.origin, **OURS, **headers})

    async def come_back(self, query: str = f"code=c&state={STATE}") -> httpx.Response:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        return await self.client.get(f"/oauth2/callback?{query}", headers=headers)

    async def log_in(self) -> str:
        """Begin a session with a token; return its CSRF token."""
        answer = await self.client.post("/session", json={"token": "good"}, headers={"origin": self.origin, **OURS})
        return str(answer.json()["csrfToken"])


@pytest.fixture
def logins() -> Logins:
    return Logins()  # type: ignore[abstract]  # the rest is not offered


@pytest.fixture
async def site(start_installation: Any, logins: Logins) -> AsyncIterator[Site]:
    installation = await start_installation(more={pb_grpc.add_LoginServiceServicer_to_server: logins})
    async with installation.client(None) as client:
        yield Site(installation, logins, client)


def reason_of(response: httpx.Response) -> str:
    return str(response.json()["error"]["details"][0]["reason"])


def cookies_of(response: httpx.Response) -> dict[str, set[str]]:
    """Return the attributes of the cookies that a response sets, by name."""
    found = {}
    for header in response.headers.get_list("set-cookie"):
        pair, *attributes = header.split("; ")
        found[pair.partition("=")[0]] = set(attributes)
    return found


async def test_login_at_the_provider_begins_a_session(site: Site) -> None:
    begun = await site.begin({"remoteSource": "forge", "next": "/runs/1?x=2#step-1"})
    assert (begun.status_code, begun.json()) == (200, {"url": AUTHORIZE})
    flow = f"sluice-oauth2-{site.installation.port}-{STATE[:16]}"
    assert cookies_of(begun) == {flow: {"Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax"}}
    back = await site.come_back()
    assert (back.status_code, back.headers["location"], back.content) == (303, "/runs/1?x=2#step-1", b"")
    cookies = cookies_of(back)
    assert "Max-Age=0" in cookies.pop(flow)
    assert cookies.pop(f"sluice-session-{site.installation.port}") == {
        "Path=/",
        "Max-Age=604800",
        "HttpOnly",
        "SameSite=Strict",
    }
    (request,) = site.logins.completed
    assert (request.flow, request.state, request.code, request.error) == ("flow", STATE, "c", "")
    assert (await site.client.get("/session", headers=OURS)).status_code == 200
    assert (await site.client.get("/api/v1/runs/r1", headers=OURS)).status_code == 200


async def test_cookies_over_https_have_the_host_prefix(site: Site) -> None:
    site.logins.public_url = "https://ci.example.org"
    headers = {"host": "ci.example.org", "origin": "https://ci.example.org"}
    begun = await site.begin(**headers)
    ((name, attributes),) = cookies_of(begun).items()
    assert name == f"__Host-sluice-oauth2-{STATE[:16]}"
    assert {"Secure", "Path=/", "SameSite=Lax"} <= attributes
    cookie = begun.headers["set-cookie"].partition(";")[0]
    back = await site.client.get(
        f"/oauth2/callback?code=c&state={STATE}", headers={"host": "ci.example.org", "cookie": cookie}
    )
    session = cookies_of(back)["__Host-sluice-session"]
    assert {"Secure", "Path=/", "SameSite=Strict", "HttpOnly"} <= session


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/runs\r\nset-cookie: x=1",
        "/" + "x" * 2000,
        "/é",
        "",
    ],
)
async def test_login_never_leads_to_another_site(site: Site, next_: str) -> None:
    await site.begin({"remoteSource": "forge", "next": next_})
    assert (await site.come_back()).headers["location"] == "/runs"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="nothing"),
        pytest.param("code=c", id="no state"),
        pytest.param(f"code=c&state={'t' * 43}", id="forged state"),
        pytest.param(f"code=c&state={STATE}&state={STATE}", id="state twice"),
        pytest.param(f"code=c&code=d&state={STATE}", id="code twice"),
        pytest.param("code=c&state=%ff", id="not UTF-8"),
        pytest.param("code=c&state=../../x", id="state that is none"),
        pytest.param("code=c&state=" + "x" * 5000, id="long state"),
    ],
)
async def test_callback_without_its_state_completes_nothing(site: Site, query: str) -> None:
    await site.begin()
    back = await site.come_back(query)
    assert (back.status_code, back.headers["location"]) == (303, "/login?error=OAUTH2_STATE_INVALID")
    assert site.logins.completed == []
    # Whoever made the browser call it did not end what it had begun.
    assert (await site.come_back()).headers["location"] == "/runs"


async def test_callback_in_another_browser_completes_nothing(site: Site) -> None:
    await site.begin()
    async with site.installation.client(None) as victim:
        back = await victim.get(f"/oauth2/callback?code=c&state={STATE}")
    assert back.headers["location"] == "/login?error=OAUTH2_STATE_INVALID"
    assert "set-cookie" not in back.headers
    assert site.logins.completed == []


async def test_callback_is_for_one_use(site: Site) -> None:
    await site.begin()
    await site.come_back()
    assert (await site.come_back()).headers["location"] == "/login?error=OAUTH2_STATE_INVALID"
    assert len(site.logins.completed) == 1


@pytest.mark.parametrize("value", ["", "e30", "bm90IGpzb24", "W10", "é", "x" * 3000])
async def test_cookie_that_is_not_ours_completes_nothing(site: Site, value: str) -> None:
    name = f"sluice-oauth2-{site.installation.port}-{STATE[:16]}"
    headers = {b"cookie": f"{name}={value}".encode()}
    back = await site.client.get(f"/oauth2/callback?code=c&state={STATE}", headers=headers)
    assert back.headers["location"] == "/login?error=OAUTH2_STATE_INVALID"
    assert site.logins.completed == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (PermissionDenied("no", reason="OAUTH2_DENIED"), "OAUTH2_DENIED"),
        (Unavailable("later", reason="PROVIDER_UNAVAILABLE"), "PROVIDER_UNAVAILABLE"),
        (RuntimeError("a secret of ours"), "INTERNAL"),
    ],
)
async def test_failure_is_a_reason_on_the_login_page(site: Site, fault: Any, reason: str) -> None:
    await site.begin({"remoteSource": "forge", "next": "/projects"})
    site.logins.fault = fault
    back = await site.come_back(f"error=access_denied&error_description=x&state={STATE}")
    assert back.headers["location"] == f"/login?error={reason}&next=%2Fprojects"
    (request,) = site.logins.completed
    assert (request.error, request.error_description, request.code) == ("access_denied", "x", "")
    assert f"sluice-session-{site.installation.port}" not in cookies_of(back)


async def test_link_is_begun_by_the_session_with_its_csrf_token(site: Site) -> None:
    body = {"remoteSource": "forge", "link": True}
    assert (await site.begin(body)).status_code == 401
    csrf = await site.log_in()
    refused = await site.begin(body)
    assert (refused.status_code, reason_of(refused)) == (403, "CSRF_TOKEN_INVALID")
    assert site.logins.callers == []
    assert (await site.begin(body, **{"x-csrf-token": csrf})).status_code == 200
    assert site.logins.callers == ["admin"]
    site.logins.token = ""
    back = await site.come_back()
    assert back.headers["location"] == "/account"
    assert f"sluice-session-{site.installation.port}" not in cookies_of(back)
    await site.begin(body, **{"x-csrf-token": csrf})
    site.logins.fault = PermissionDenied("no", reason="OAUTH2_DENIED")
    assert (await site.come_back()).headers["location"] == "/account?error=OAUTH2_DENIED"


@pytest.mark.parametrize("said", ["cross-site", "same-site", "none"])
async def test_other_site_begins_nothing(site: Site, said: str) -> None:
    refused = await site.begin(**{"sec-fetch-site": said})
    assert (refused.status_code, reason_of(refused)) == (403, "CROSS_SITE_REQUEST")
    assert site.logins.callers == []


async def test_page_at_another_address_than_the_public_url_is_reported(site: Site) -> None:
    site.logins.public_url = "https://ci.example.org"
    refused = await site.begin()
    assert (refused.status_code, reason_of(refused)) == (400, "OAUTH2_OTHER_ADDRESS")
    assert "https://ci.example.org/login" in refused.json()["error"]["message"]
    assert "set-cookie" not in refused.headers


async def test_plain_http_of_another_machine_is_refused(site: Site) -> None:
    refused = await site.begin(host="ci.example.org", origin="http://ci.example.org")
    assert (refused.status_code, reason_of(refused)) == (403, "SESSION_NEEDS_HTTPS")


@pytest.mark.parametrize(
    "body", [[], {}, {"remoteSource": 1}, {"remoteSource": "f", "next": 1}, {"remoteSource": "f", "x": ""}, "x"]
)
async def test_body_that_is_none_is_refused(site: Site, body: Any) -> None:
    refused = await site.begin(body)
    assert (refused.status_code, reason_of(refused)) == (400, "LOGIN_MALFORMED")


async def test_form_of_another_site_is_refused(site: Site) -> None:
    headers = {"origin": site.origin, **OURS, "content-type": "text/plain"}
    refused = await site.client.post("/oauth2/begin", content=b'{"remoteSource": "f"}', headers=headers)
    assert reason_of(refused) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/oauth2/callback", "GET"),
        # A HEAD of a preview must not use the code.
        ("HEAD", "/oauth2/callback", "GET"),
        ("GET", "/oauth2/begin", "POST"),
    ],
)
async def test_other_methods_are_not_allowed(site: Site, method: str, path: str, allowed: str) -> None:
    answer = await site.client.request(method, f"{path}?code=c&state={STATE}")
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_two_tabs_do_not_disturb_each_other(site: Site) -> None:
    await site.begin({"remoteSource": "forge", "next": "/runs/1"})
    name = f"sluice-oauth2-{site.installation.port}-{'t' * 16}"
    site.client.cookies.set(name, "of another tab")
    assert (await site.come_back()).headers["location"] == "/runs/1"
    assert site.client.cookies.get(name) == "of another tab"
