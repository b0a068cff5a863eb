"""Errors have one form on every path and for every failure (api.md, "Errors")."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sluiceway_common.foundation import errors as e
from sluiceway_server.gateway.errors import HTTP_CODES

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

TABLE = [
    (e.InvalidInput([e.Violation("a.b", "is bad")]), 400),
    (e.FailedPrecondition("not now", subject="run/1"), 400),
    (e.OutOfRange("too far"), 400),
    (e.Unauthenticated("who?"), 401),
    (e.PermissionDenied("no"), 403),
    (e.NotFound("none", resource_type="run", resource_name="r"), 404),
    (e.Conflict("moved"), 409),
    (e.AlreadyExists("there", resource_type="run", resource_name="r"), 409),
    (e.Exhausted("full", subject="runs", retry_after=timedelta(seconds=2.5)), 429),
    (e.Cancelled("gone"), 499),
    (e.SluicewayError("?"), 500),
    (ValueError("a secret"), 500),
    (e.DataLoss("damaged"), 500),
    (e.Unimplemented("not here"), 501),
    (e.Unavailable("away", retry_after=timedelta(seconds=7)), 503),
    (e.DeadlineExceeded("late"), 504),
]


def check_shape(answer: httpx.Response) -> dict[str, Any]:
    """Check the form of an error response."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "status", "message", "details"}
    assert error["code"] == answer.status_code
    assert error["status"] in HTTP_CODES
    assert error["message"]
    info = next(detail for detail in error["details"] if detail["@type"] == ERROR_INFO)
    assert info["domain"] == "sluiceway"
    assert info["reason"]
    assert "secret" not in answer.text
    return error


def reason_of(error: dict[str, Any]) -> str:
    return str(next(detail["reason"] for detail in error["details"] if detail["@type"] == ERROR_INFO))


@pytest.mark.parametrize(("fault", "code"), [pytest.param(f, c, id=type(f).__name__) for f, c in TABLE])
async def test_grpc_code_maps_to_status_with_message_and_details(
    start_installation: Callable[..., Awaitable[Any]], fault: Exception, code: int
) -> None:
    # The report of an unexpected error can take seconds on a busy machine.
    installation = await start_installation(first_message_timeout=timedelta(seconds=60))
    installation.runs.fault = fault
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r")
        streamed = await client.get("/api/v1/runs/r:watch")
    assert answer.status_code == streamed.status_code == code
    error = check_shape(answer)
    assert check_shape(streamed)["status"] == error["status"]
    if isinstance(fault, e.SluicewayError):
        assert error["status"] == fault.code.value
        assert error["message"] == fault.message
        assert reason_of(error) == fault.reason


def test_status_table_has_every_grpc_code() -> None:
    assert {getattr(fault, "code", e.Code.INTERNAL).value for fault, _ in TABLE} == set(HTTP_CODES) - {"OK"}


async def test_error_details_are_protobuf_json(installation: Any) -> None:
    installation.runs.fault = e.InvalidInput([e.Violation("tasks[2]", "is bad")], reason="X", metadata={"k": "v"})
    async with installation.client() as client:
        error = check_shape(await client.get("/api/v1/runs/r"))
    assert error["details"] == [
        {"@type": ERROR_INFO, "reason": "X", "domain": "sluiceway", "metadata": {"k": "v"}},
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "tasks[2]", "description": "is bad"}],
        },
    ]


async def test_error_names_request_fields_as_in_json(installation: Any) -> None:
    faults = [e.Violation("page_size", "must be less than `page_token`"), e.Violation("tasks[0].always_run", "x")]
    installation.runs.fault = e.InvalidInput(faults)
    async with installation.client() as client:
        error = check_shape(await client.get("/api/v1/runs"))
    assert error["message"] == "pageSize: must be less than `pageToken`; tasks[0].always_run: x"
    violations = error["details"][1]["fieldViolations"]
    assert violations[0] == {"field": "pageSize", "description": "must be less than `pageToken`"}


async def test_stream_error_names_request_fields_as_in_json(installation: Any) -> None:
    installation.runs.announces = True
    async with installation.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        installation.runs.feed.put_nowait(e.InvalidInput([e.Violation("run_id", "is odd")]))
        assert b'"message":"runId: is odd"' in await answer.aread()


@pytest.mark.parametrize(
    ("method", "code", "allow"),
    [("DELETE", 405, "GET, HEAD"), ("PUT", 405, "GET, HEAD"), ("OPTIONS", 204, "GET, HEAD")],
)
async def test_method_that_the_server_lacks_is_405(
    start_installation: Any, without_delete_logs: Any, method: str, code: int, allow: str
) -> None:
    installation = await start_installation(runs=without_delete_logs)
    async with installation.client() as client:
        answer = await client.request(method, "/api/v1/runs/r/tasks/t/log")
    assert (answer.status_code, answer.headers["allow"]) == (code, allow)
    if code == 405:
        assert reason_of(check_shape(answer)) == "METHOD_NOT_ALLOWED"


async def test_method_that_the_server_has_is_served(installation: Any) -> None:
    async with installation.client() as client:
        allowed = await client.options("/api/v1/runs/r/tasks/t/log")
        assert (await client.delete("/api/v1/runs/r/tasks/t/log")).status_code == 204
    assert allowed.headers["allow"] == "DELETE, GET, HEAD"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://ci.example.org/api/v1/runs/r", 200),
        ("HTTP://ci.example.org:8080/api/v1/runs/r", 200),
        ("https://[::1]:1/api/v1/runs?pageSize=3", 200),
        ("http://ci.example.org", 200),
        ("http://ci.example.org?x=1", 200),
        ("http://ci.example.org/nothing", 404),
        ("http:///healthz", 400),
        ("http://u@ci.example.org/healthz", 400),
        ("ftp://ci.example.org/healthz", 400),
        ("api/v1/runs", 400),
    ],
)
async def test_request_target_may_be_a_url(installation: Any, target: str, code: int) -> None:
    lines = [f"GET {target} HTTP/1.1", "host: other", "authorization: Bearer good", "connection: close", "", ""]
    answer = await installation.raw("\r\n".join(lines).encode())
    assert answer.startswith(b"HTTP/1.1 %d " % code)
    if "pageSize" in target:
        assert installation.runs.requests[0].page_size == 3


async def test_options_of_the_whole_server_is_204(installation: Any) -> None:
    answer = await installation.raw(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        pytest.param(e.Unavailable("away", retry_after=timedelta(seconds=7)), "7", id="unavailable"),
        pytest.param(e.Exhausted("full", retry_after=timedelta(seconds=2.5)), "3", id="exhausted"),
        pytest.param(e.Exhausted("full"), None, id="exhausted for good"),
        pytest.param(e.NotFound("none"), None, id="not found"),
    ],
)
async def test_retry_after_says_when_to_try_again(installation: Any, fault: Exception, seconds: str | None) -> None:
    installation.runs.fault = fault
    async with installation.client() as client:
        assert (await client.get("/api/v1/runs/r")).headers.get("retry-after") == seconds


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(None, "CREDENTIALS_MISSING", id="none"),
        pytest.param("bad", "CREDENTIALS_INVALID", id="unknown"),
    ],
)
async def test_call_without_a_good_token_is_401(installation: Any, token: str | None, reason: str) -> None:
    async with installation.client(token) as client:
        answer = await client.get("/api/v1/runs/r")
        version = await client.get("/api/v1/version")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert reason_of(check_shape(answer)) == reason
    assert version.json()["version"] == "1.2.3", "what is public needs no token, and a bad one does no harm"
    assert installation.runs.requests == []


JSON_HEADER = {"content-type": "application/json"}

BAD_REQUESTS = [
    ("GET", "/nothing", None, {}, 404, "ROUTE_UNKNOWN", ""),
    ("GET", "/api/v1/runs/r/", None, {}, 404, "ROUTE_UNKNOWN", ""),
    ("GET", "/api/v1//runs", None, {}, 404, "ROUTE_UNKNOWN", ""),
    ("GET", "/api/v1%2Fruns", None, {}, 404, "ROUTE_UNKNOWN", ""),
    ("GET", "/api/v1/runs/../../healthz", None, {}, 404, "ROUTE_UNKNOWN", ""),
    ("POST", "/api/v1/runs/r:explode", b"{}", JSON_HEADER, 404, "ROUTE_UNKNOWN", ""),
    ("PUT", "/api/v1/runs/r", None, {}, 405, "METHOD_NOT_ALLOWED", ""),
    ("POST", "/healthz", None, {}, 405, "METHOD_NOT_ALLOWED", ""),
    ("BREW", "/api/v1/runs", None, {}, 405, "METHOD_NOT_ALLOWED", ""),
    ("POST", "/api/v1/runs", b"{", JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b"\xff\xfe", JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b'{"a": NaN}', JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b'{"run": {}, "run": {}}', JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b"[" * 100_000, JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b'{"a":' + b"9" * 10_000 + b"}", JSON_HEADER, 400, "BODY_NOT_JSON", ""),
    ("POST", "/api/v1/runs", b"[]", JSON_HEADER, 400, "BODY_NOT_AN_OBJECT", ""),
    ("POST", "/api/v1/runs", b"{}", {"content-type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""),
    ("POST", "/api/v1/runs", b"{}", {}, 415, "UNSUPPORTED_MEDIA_TYPE", ""),
    ("POST", "/api/v1/runs", b"{}", {**JSON_HEADER, "content-encoding": "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""),
    ("POST", "/api/v1/runs", b'{"runn": 1}', JSON_HEADER, 400, "INVALID_INPUT", "runn"),
    ("POST", "/api/v1/runs", b'{"run": {"nam": 1}}', JSON_HEADER, 400, "INVALID_INPUT", "run.nam"),
    ("POST", "/api/v1/runs", b'{"run": []}', JSON_HEADER, 400, "INVALID_INPUT", "run"),
    ("POST", "/api/v1/runs", b'{"tasks": [{"name": 1}]}', JSON_HEADER, 400, "INVALID_INPUT", "tasks[0].name"),
    ("POST", "/api/v1/runs", b'{"run": {"priority": "x"}}', JSON_HEADER, 400, "INVALID_INPUT", "run.priority"),
    ("POST", "/api/v1/runs/r:stop?force=true", b"{}", JSON_HEADER, 400, "INVALID_INPUT", "force"),
    ("POST", "/api/v1/runs/r:stop", b'{"runId": "s"}', JSON_HEADER, 400, "INVALID_INPUT", "runId"),
    ("GET", "/api/v1/runs/r", b"{}", JSON_HEADER, 400, "BODY_NOT_EXPECTED", ""),
    ("GET", "/api/v1/runs?nope=1", None, {}, 400, "INVALID_INPUT", "nope"),
    ("GET", "/api/v1/runs?phase=DONE", None, {}, 400, "INVALID_INPUT", "phase"),
    ("GET", "/api/v1/runs?pageSize=many", None, {}, 400, "INVALID_INPUT", "pageSize"),
    ("GET", "/api/v1/runs?pageSize=1&pageSize=2", None, {}, 400, "INVALID_INPUT", "pageSize"),
    ("GET", "/api/v1/runs?pageSize=1&page_size=2", None, {}, 400, "INVALID_INPUT", "pageSize"),
    ("GET", "/api/v1/runs/r?runId=s", None, {}, 400, "INVALID_INPUT", "runId"),
    ("GET", "/api/v1/runs?group=%ff", None, {}, 400, "INVALID_INPUT", ""),
    ("GET", "/api/v1/runs/%ff", None, {}, 400, "INVALID_INPUT", "runId"),
    ("GET", "/api/v1/runs/r:watch", None, {"accept": "image/png"}, 406, "NOT_ACCEPTABLE", ""),
    ("GET", "/api/v1/runs/r:watch", None, {"accept": "text/plain"}, 406, "NOT_ACCEPTABLE", ""),
    ("GET", "/api/v1/runs/r/tasks/t/log", None, {"last-event-id": "x"}, 400, "INVALID_INPUT", "Last-Event-ID"),
    ("POST", "/api/v1/runs/r:restart", b"{}", JSON_HEADER, 501, "METHOD_NOT_OFFERED", ""),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "reason", "field"),
    [pytest.param(*row, id=f"{row[0]} {row[1]} {(row[2] or b'')[:30]!r} {row[4]}") for row in BAD_REQUESTS],
)
async def test_invalid_request_says_why(
    installation: Any,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    code: int,
    reason: str | None,
    field: str,
) -> None:
    # Sent as raw bytes, since a client would normalize the path.
    head = {"host": "x", "authorization": "Bearer good", "connection": "close", **headers}
    if body is not None:
        head["content-length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in head.items())]
    answer = await installation.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
    top, _, text = answer.partition(b"\r\n\r\n")
    assert int(top.split()[1]) == code
    if code == 405:
        assert b"\r\nallow: " in top
    if reason is None:
        return
    parsed = httpx.Response(code, headers={"content-type": "application/json"}, content=text)
    assert b"content-type: application/json" in top
    error = check_shape(parsed)
    assert reason_of(error) == reason
    if field:
        violations = [v for detail in error["details"] for v in detail.get("fieldViolations", [])]
        assert [violation["field"] for violation in violations] == [field]
    assert installation.runs.requests == []


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded"])
async def test_body_without_a_content_type_says_what_to_add(installation: Any, content_type: str | None) -> None:
    async with installation.client() as client:
        headers = {} if content_type is None else {"content-type": content_type}
        error = check_shape(await client.post("/api/v1/runs", content=b"{}", headers=headers))
    assert error["code"] == 415
    assert f"content type is {content_type or 'none'}" in error["message"]
    assert "-H 'Content-Type: application/json'" in error["message"]


async def test_all_faults_of_a_body_are_reported_at_once(installation: Any) -> None:
    body = {"runn": 1, "tasks": [{"nam": 1}, {"x": 2}], "setupErrors": "no list"}
    async with installation.client() as client:
        error = check_shape(await client.post("/api/v1/runs", json=body))
    fields = {v["field"] for detail in error["details"] for v in detail.get("fieldViolations", [])}
    assert fields == {"runn", "tasks[0].nam", "tasks[1].x", "setupErrors"}


async def test_body_over_the_limit_is_413(start_installation: Any) -> None:
    installation = await start_installation(max_body_bytes=1000)

    async def chunks() -> Any:
        for _ in range(30):
            yield b" " * 100

    async with installation.client() as client:
        for content in (b" " * 1001, chunks()):
            answer = await client.post("/api/v1/runs", content=content, headers=JSON_HEADER)
            assert answer.status_code == 413
            assert check_shape(answer)["status"] == "RESOURCE_EXHAUSTED"
        assert (await client.post("/api/v1/runs", content=b" " * 998 + b"{}", headers=JSON_HEADER)).status_code == 201


@pytest.mark.parametrize("size", [pytest.param(33_000, id="just too large"), pytest.param(1_000_000, id="huge")])
async def test_huge_header_is_431(installation: Any, size: int) -> None:
    request = b"GET /api/v1/runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-big: " + b"a" * size + b"\r\n\r\n"
    answer = await installation.raw(request)
    assert answer.startswith(b"HTTP/1.1 431 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["status"]) == (431, "RESOURCE_EXHAUSTED")


async def test_request_that_is_not_http_gets_a_json_error(installation: Any) -> None:
    answer = await installation.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["status"] == "INVALID_ARGUMENT"


async def test_endless_headers_end_the_connection(start_installation: Any) -> None:
    installation = await start_installation(read_timeout=timedelta(milliseconds=200))
    async with asyncio.timeout(20):
        assert await installation.raw(b"GET / HTTP/1.1\r\nx-slow: ") == b""


async def test_body_that_never_comes_is_504(start_installation: Any) -> None:
    installation = await start_installation(read_timeout=timedelta(milliseconds=200))
    request = (
        b"POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer good\r\n"
        b"content-length: 10\r\n\r\n{"
    )
    async with asyncio.timeout(20):
        assert (await installation.raw(request)).startswith(b"HTTP/1.1 504 ")


async def test_two_tokens_in_one_request_are_refused(installation: Any) -> None:
    request = (
        b"GET /api/v1/runs/r HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"authorization: Bearer good\r\nauthorization: Bearer bad\r\n\r\n"
    )
    assert (await installation.raw(request)).startswith(b"HTTP/1.1 400 ")


async def test_origin_is_allowed_only_when_listed_exactly(start_installation: Any) -> None:
    installation = await start_installation(cors_origins=frozenset({"https://ci.example.org", "null"}))
    allowed = {}
    async with installation.client() as client:
        for origin in ("https://ci.example.org", "https://ci.example.org.evil.net", "http://ci.example.org", "null"):
            asked = {"origin": origin, "access-control-request-method": "POST"}
            preflight = await client.options("/api/v1/runs", headers=asked)
            plain = await client.get("/api/v1/runs/r", headers={"origin": origin})
            allowed[origin] = {answer.headers.get("access-control-allow-origin") for answer in (preflight, plain)}
            assert "origin" in plain.headers["vary"]
    assert allowed.pop("https://ci.example.org") == {"https://ci.example.org"}
    assert set(map(str, allowed.values())) == {"{None}"}


async def test_every_response_has_the_security_headers(installation: Any) -> None:
    async with installation.client() as client:
        for path in ("/", "/api/v1/runs/r", "/nothing", "/metrics"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "server" not in headers
            assert headers["x-request-id"]
