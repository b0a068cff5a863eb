"""Errors as a caller of the HTTP API sees them: a real gateway and a real server, each a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.installation import SLUICE, Installation, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
RESOURCE_INFO = "type.googleapis.com/google.rpc.ResourceInfo"
CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "UNAVAILABLE": 503,
}
TASK = {"name": "a", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": {"command": "sleep 60"}}]}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("errors")) as running:
        yield running


def run_body(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"run": {"name": name, "group": f"/user/someone/{name}"}, "tasks": [TASK], **fields}


def error_of(answer: httpx.Response, status: str, *, code: int | None = None) -> dict[str, Any]:
    """Check the form of an error response, and return the error."""
    assert answer.status_code == (code or CODES[status]), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["status"] == status
    assert error["message"]
    assert detail(error, ERROR_INFO)["domain"] == "sluiceway"
    for leaked in ("Traceback", "Error(", "grpc", "asyncio", "None"):
        assert leaked not in answer.text
    return error


def detail(error: dict[str, Any], type_url: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [d for d in error["details"] if d["@type"] == type_url]
    assert len(found) == 1, error
    return found[0]


def reason_of(error: dict[str, Any]) -> str:
    return str(detail(error, ERROR_INFO)["reason"])


def violations_of(error: dict[str, Any]) -> dict[str, str]:
    return {v["field"]: v["description"] for v in detail(error, BAD_REQUEST)["fieldViolations"]}


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        pytest.param(None, "CREDENTIALS_MISSING", id="no token"),
        pytest.param("Bearer nobody-knows-this-one", "CREDENTIALS_INVALID", id="unknown token"),
        pytest.param("Basic dXNlcjpwYXNz", "CREDENTIALS_MISSING", id="another scheme"),
        pytest.param("Bearer", "CREDENTIALS_MISSING", id="scheme only"),
        pytest.param("Bearer a b", "CREDENTIALS_INVALID", id="two words"),
    ],
)
def test_call_without_a_good_token_is_401(here: Installation, authorization: str | None, reason: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    with httpx.Client(
        base_url=f"http://{here.state['http']}", headers=headers, trust_env=False, verify=False
    ) as client:
        answers = [client.get("/api/v1/runs"), client.post("/api/v1/runs", json=run_body())]
    for answer in answers:
        assert reason_of(error_of(answer, "UNAUTHENTICATED")) == reason
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/runs:watch", "/api/v1/executors"])
def test_executor_token_is_denied_on_user_routes(here: Installation, path: str) -> None:
    with here.http(Authorization=f"Bearer {here.executor_token}") as client:
        assert reason_of(error_of(client.get(path), "PERMISSION_DENIED")) == "WRONG_CALLER"


UNKNOWN_ID = "01980000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "reason", "resource"),
    [
        pytest.param("GET", "/nothing", "ROUTE_UNKNOWN", "route", id="route"),
        pytest.param("GET", "/api/v2/runs", "ROUTE_UNKNOWN", "route", id="version"),
        pytest.param("POST", f"/api/v1/runs/{UNKNOWN_ID}:explode", "ROUTE_UNKNOWN", "route", id="verb"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}", "NOT_FOUND", "run", id="run"),
        pytest.param("GET", "/api/v1/runs/not-an-id", "NOT_FOUND", "run", id="no id at all"),
        pytest.param("GET", "/api/v1/runs/%2e%2e%2f%00", "NOT_FOUND", "run", id="an id of dots and nulls"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}/tasks", "NOT_FOUND", "run", id="tasks of no run"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}/tasks/x", "NOT_FOUND", "run", id="a task of no run"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}:explain", "NOT_FOUND", "run", id="explanation of no run"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}:watch", "NOT_FOUND", "run", id="watch of no run"),
        pytest.param("GET", f"/api/v1/runs/{UNKNOWN_ID}/tasks/x/log", "NOT_FOUND", None, id="log of no task"),
        pytest.param("POST", f"/api/v1/runs/{UNKNOWN_ID}:stop", "NOT_FOUND", "run", id="stop of no run"),
        pytest.param("POST", f"/api/v1/runs/{UNKNOWN_ID}:cancel", "NOT_FOUND", "run", id="cancel of no run"),
        pytest.param("POST", f"/api/v1/runs/{UNKNOWN_ID}/tasks/x:approve", "NOT_FOUND", None, id="approval of no task"),
        pytest.param("GET", "/api/v1/executors/nobody", "NOT_FOUND", "executor", id="executor"),
        pytest.param("POST", "/api/v1/executors/nobody:drain", "NOT_FOUND", "executor", id="drain of nobody"),
    ],
)
def test_unknown_resource_is_404(here: Installation, method: str, path: str, reason: str, resource: str | None) -> None:
    with here.http() as client:
        answer = client.request(method, path, json={} if method == "POST" else None)
    error = error_of(answer, "NOT_FOUND")
    assert reason_of(error) == reason
    if resource is not None:
        assert detail(error, RESOURCE_INFO)["resourceType"] == resource


def test_task_of_another_run_is_404(here: Installation) -> None:
    with here.http() as client:
        one, two = (client.post("/api/v1/runs", json=run_body(f"other-{n}", tasks=[TASK])).json() for n in range(2))
        (task,) = client.get(f"/api/v1/runs/{two['id']}/tasks").json()["tasks"]
        for suffix in ("", ":explain", "/log"):
            answer = client.get(f"/api/v1/runs/{one['id']}/tasks/{task['id']}{suffix}")
            assert detail(error_of(answer, "NOT_FOUND"), RESOURCE_INFO)["resourceName"] == task["id"]
        approved = client.post(f"/api/v1/runs/{one['id']}/tasks/{task['id']}:approve", json={})
        error_of(approved, "NOT_FOUND")
        for run in (one, two):
            client.post(f"/api/v1/runs/{run['id']}:stop", json={"force": True})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        pytest.param("PATCH", "/api/v1/runs", {"GET", "HEAD", "POST"}, id="a collection"),
        pytest.param("DELETE", "/api/v1/runs/r", {"GET", "HEAD"}, id="a resource"),
        pytest.param("GET", "/api/v1/runs/r:stop", {"POST"}, id="a verb"),
        pytest.param("POST", "/healthz", {"GET", "HEAD"}, id="a page of the gateway"),
        pytest.param("BREW", "/api/v1/version", {"GET", "HEAD"}, id="a method that nobody knows"),
    ],
)
def test_unsupported_method_is_405_with_allow(here: Installation, method: str, path: str, allow: set[str]) -> None:
    with here.http() as client:
        answer = client.request(method, path)
    assert reason_of(error_of(answer, "UNIMPLEMENTED", code=405)) == "METHOD_NOT_ALLOWED"
    assert set(answer.headers["allow"].split(", ")) == allow


def test_every_fault_of_a_run_is_reported_at_once(here: Installation) -> None:
    steps = [{}, {"run": {"command": ""}}]
    body = {
        "run": {"name": "", "group": "relative", "timeout": "-3s", "priority": 1_000_000},
        "tasks": [{"name": "a"}, {**TASK, "name": "a", "steps": steps}, {**TASK, "name": ""}],
        "changeGroups": {"x": "yesterday"},
        "environment": {"A=B": {"value": "1"}},
        "requestId": "i" * 1000,
    }
    with here.http() as client:
        error = error_of(client.post("/api/v1/runs", json=body), "INVALID_ARGUMENT")
        assert client.get("/api/v1/runs", params={"group": "/relative"}).json().get("runs", []) == []
    violations = violations_of(error)
    assert set(violations) >= {
        "run.name",
        "run.group",
        "run.timeout",
        "run.priority",
        "tasks[0].runtime.containers",
        "tasks[1].name",
        "tasks[1].steps[0]",
        "tasks[1].steps[1].run.command",
        "tasks[2].name",
        'changeGroups["x"]',
        'environment["A=B"]',
        "requestId",
    }


def test_fields_that_only_the_server_sets_are_ignored(here: Installation) -> None:
    run = {"id": "mine", "number": 7, "phase": "RUN_PHASE_FINISHED", "createdBy": "somebody", "source": {"ref": "x"}}
    body = {"run": {**run, "name": "mine", "group": "/user/me/ignored"}, "setupErrors": ["not to be run"]}
    with here.http() as client:
        made = client.post("/api/v1/runs", json=body).json()
    assert (made["id"] != "mine", made["phase"], made["createdBy"]) == (True, "RUN_PHASE_SETUP_ERROR", "admin")
    assert not made.get("source", {}).get("ref")


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param(
            {"runn": {}, "task": []},
            {"runn": "there are: run, tasks", "task": "there are: run, tasks"},
            id="unknown fields",
        ),
        pytest.param({"run": {"nam": "x"}}, {"run.nam": "name"}, id="an unknown field further in"),
        pytest.param({"tasks": {}}, {"tasks": "list"}, id="an object for a list"),
        pytest.param(
            {"run": {"priority": "x", "timeout": "soon", "name": 5}},
            {"run.priority": "number", "run.timeout": "", "run.name": ""},
            id="wrong types, all of them",
        ),
        pytest.param({"run": {"priority": 1.5}}, {"run.priority": ""}, id="half a number"),
        pytest.param({"run": {"priority": 2**40}}, {"run.priority": ""}, id="too large a number"),
        pytest.param({"source": {"refType": True}}, {"source.refType": ""}, id="a boolean for text"),
    ],
)
def test_each_unparseable_field_is_named(here: Installation, body: dict[str, Any], faults: dict[str, str]) -> None:
    with here.http() as client:
        error = error_of(client.post("/api/v1/runs", json=body), "INVALID_ARGUMENT")
    violations = violations_of(error)
    assert set(violations) == set(faults)
    for field, words in faults.items():
        assert words in violations[field]
        assert "literal" not in violations[field], "Python's words are not for people"


@pytest.mark.parametrize(
    ("body", "headers", "code", "status", "reason"),
    [
        pytest.param(b"{", {}, 400, "INVALID_ARGUMENT", "BODY_NOT_JSON", id="half of a body"),
        pytest.param(b"[]", {}, 400, "INVALID_ARGUMENT", "BODY_NOT_AN_OBJECT", id="a list"),
        pytest.param(b"\xff\xfe\x00", {}, 400, "INVALID_ARGUMENT", "BODY_NOT_JSON", id="bytes"),
        pytest.param(b"[" * 100_000, {}, 400, "INVALID_ARGUMENT", "BODY_NOT_JSON", id="a deep body"),
        pytest.param(b"{}", {"content-type": "text/xml"}, 415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", id="XML"),
        pytest.param(
            b"x", {"content-encoding": "gzip"}, 415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", id="compressed"
        ),
        pytest.param(b" " * (9 << 20), {}, 413, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE", id="9 MiB"),
        pytest.param(b"{}", {"x-long": "a" * 40_000}, 431, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE", id="headers"),
    ],
)
def test_unacceptable_body_has_its_own_status(
    here: Installation, body: bytes, headers: dict[str, str], code: int, status: str, reason: str
) -> None:
    with here.http(**{"content-type": "application/json", **headers}) as client:
        answer = client.post("/api/v1/runs", content=body)
        assert reason_of(error_of(answer, status, code=code)) == reason
    with here.http() as client:
        assert client.get("/readyz").status_code == 200, "nobody else is hurt"


def test_call_in_the_wrong_phase_names_the_phase(here: Installation) -> None:
    with here.http() as client:
        run = client.post("/api/v1/runs", json=run_body("phases")).json()
        here.wait_for(run["id"], "RUN_PHASE_RUNNING")
        error = error_of(client.post(f"/api/v1/runs/{run['id']}:cancel", json={}), "FAILED_PRECONDITION")
        assert "running" in error["message"]
        (task,) = client.get(f"/api/v1/runs/{run['id']}/tasks").json()["tasks"]
        path = f"/api/v1/runs/{run['id']}"
        error_of(client.post(f"{path}/tasks/{task['id']}:approve", json={}), "FAILED_PRECONDITION")
        assert client.post(f"{path}:stop", json={"force": True}).status_code == 204
        here.wait_for(run["id"])
        error = error_of(client.post(f"{path}:stop", json={}), "FAILED_PRECONDITION")
        assert "finished" in error["message"]


def test_change_group_that_moved_is_409(here: Installation) -> None:
    body = run_body("grouped", tasks=[{**TASK, "steps": [{"run": {"command": "true"}}]}], changeGroups={"mine": ""})
    with here.http() as client:
        assert client.post("/api/v1/runs", json=body).status_code == 201
        error = error_of(client.post("/api/v1/runs", json=body), "ABORTED")
    assert "mine" in error["message"]


def test_request_id_creates_one_run_for_one_body(here: Installation) -> None:
    body = run_body("once", tasks=[{**TASK, "steps": [{"run": {"command": "true"}}]}], requestId="once-and-again")
    with here.http() as client:
        first, second = (client.post("/api/v1/runs", json=body) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.json()["id"] == second.json()["id"]
        assert first.headers["location"] == second.headers["location"] == f"/api/v1/runs/{first.json()['id']}"
        other = {**body, "run": {**body["run"], "priority": 3}}
        error = error_of(client.post("/api/v1/runs", json=other), "INVALID_ARGUMENT")
        assert reason_of(error) == "REQUEST_ID_REUSED"
        assert first.json()["id"] in error["message"]
        runs = client.get("/api/v1/runs", params={"group": "/user/someone/once"}).json()["runs"]
    assert [run["id"] for run in runs] == [first.json()["id"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("pageSize=-1", "pageSize", id="a negative page"),
        pytest.param("pageSize=many", "pageSize", id="no number"),
        pytest.param("pageToken=bogus", "pageToken", id="a token of nobody"),
        pytest.param("phase=ASLEEP", "phase", id="an unknown phase"),
        pytest.param("color=red", "color", id="an unknown parameter"),
        pytest.param("group=relative", "group", id="a relative group"),
    ],
)
def test_each_bad_query_parameter_is_named(here: Installation, query: str, field: str) -> None:
    with here.http() as client:
        error = error_of(client.get(f"/api/v1/runs?{query}"), "INVALID_ARGUMENT")
    assert field in violations_of(error)
    assert "literal" not in error["message"]


@contextmanager
def gateway_before(server: str, folder: Path) -> Iterator[httpx.Client]:
    """Run a second gateway for the block; yield a client of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        http = f"127.0.0.1:{probe.getsockname()[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen([*SLUICE, "gateway", "--http", http, "--server", server], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{http}", timeout=60, trust_env=False, verify=False) as client:

            def up() -> bool:
                try:
                    return client.get("/healthz").status_code == 200
                except httpx.TransportError:
                    return False

            until(up, "the gateway listens")
            yield client
    finally:
        process.terminate()
        process.wait(30)


def test_gateway_without_its_server_sends_retry_after(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening: whoever calls is refused
        server = f"127.0.0.1:{nobody.getsockname()[1]}"
        with gateway_before(server, tmp_path) as client:
            answers = {
                path: client.get(path, headers={"Authorization": "Bearer x"})
                for path in ("/api/v1/runs", "/api/v1/runs:watch", "/readyz", "/openapi.json")
            }
            posted = client.post("/api/v1/runs", json=run_body(), headers={"Authorization": "Bearer x"})
    for answer in (*answers.values(), posted):
        error = error_of(answer, "UNAVAILABLE")
        assert server in error["message"]
        assert int(answer.headers["retry-after"]) >= 1


def test_calls_are_503_while_the_server_is_down(here: Installation) -> None:
    pid = here.state["processes"]["server"]
    # The parent must not start another one while we look.
    os.kill(here.process.pid, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        with here.http() as client:
            answer = client.get("/api/v1/runs")
            ready = client.get("/readyz")
            assert client.get("/healthz").status_code == 200, "the gateway itself lives"
    finally:
        os.kill(here.process.pid, signal.SIGCONT)
    for each in (answer, ready):
        error_of(each, "UNAVAILABLE")
        assert int(each.headers["retry-after"]) >= 1
    with here.http() as client:
        until(lambda: client.get("/readyz").status_code == 200, "the server is back")
        assert client.get("/api/v1/runs").status_code == 200


def test_setup_error_creates_a_failed_run(here: Installation) -> None:
    cyclic = [{**TASK, "name": n, "depends": [{"task": m}]} for n, m in (("a", "b"), ("b", "a"))]
    with here.http() as client:
        for name, body in {
            "cyclic": run_body("cyclic", tasks=cyclic),
            "orphan": run_body("orphan", tasks=[{**TASK, "depends": [{"task": "nobody"}]}]),
            "told": run_body("told", tasks=[], setupErrors=["line 3 is wrong"]),
        }.items():
            answer = client.post("/api/v1/runs", json=body)
            assert answer.status_code == 201, (name, answer.text)
            assert answer.json()["phase"] == "RUN_PHASE_SETUP_ERROR"
            assert answer.json()["setupErrors"]
        empty = error_of(client.post("/api/v1/runs", json=run_body("empty", tasks=[])), "INVALID_ARGUMENT")
    assert any(field.startswith("tasks") for field in violations_of(empty))


def test_repository_outside_the_allowed_folder_fails_in_setup(here: Installation, tmp_path: Path) -> None:
    config = '{"runs": [{"name": "r", "tasks": [{"name": "t", "runtime": {"containers": [{"image": "host"}]},'
    config += ' "steps": [{"clone": {}}]}]}]}'
    make_repository(tmp_path / "outside", {".sluice/config.json": config})
    run_id = here.create(tmp_path / "outside")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    task = here.tasks(run_id)["t"]
    told = task.get("reason", {}).get("message", "")
    with here.http(Accept="text/plain") as client:
        told += client.get(f"/api/v1/runs/{run_id}/tasks/{task['id']}/log", params={"setup": "true"}).text
    assert "--local-repositories" in told
    assert "URL" in told
