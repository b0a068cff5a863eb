"""Path templates and routing."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.gateway.routes import rules_of
from sluiceway_server.gateway.templates import PathTemplate, RouteTable, unescape

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
TABLE: RouteTable[Any] = RouteTable((rule.http_method, rule.template, rule) for rule in rules_of())


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        pytest.param("/a", "/a", {}, id="a literal"),
        pytest.param("/a", "/%61", {}, id="a literal, escaped"),
        pytest.param("/a", "/b", None, id="another literal"),
        pytest.param("/a", "/%ff", None, id="no literal at all"),
        pytest.param("/a", "/a/", None, id="a slash at the end is another path"),
        pytest.param("/a", "//a", None, id="an empty segment"),
        pytest.param("/a/{x}", "/a/1", {"x": "1"}, id="a variable"),
        pytest.param("/a/{x}", "/a/", None, id="a variable is not empty"),
        pytest.param("/a/{x}", "/a/1/2", None, id="a variable is one segment"),
        pytest.param("/a/{x}", "/a/1%2F2", {"x": "1/2"}, id="an escaped slash stays inside its segment"),
        pytest.param("/a/{x}", "/a/%3Av", {"x": ":v"}, id="an escaped colon is no verb"),
        pytest.param("/a/{x}", "/a/1:v", None, id="a verb that the template does not have"),
        pytest.param("/a/{x}", "/a/..", {"x": ".."}, id="dots are data"),
        pytest.param("/a/{x}:v", "/a/1:v", {"x": "1"}, id="a verb"),
        pytest.param("/a/{x}:v", "/a/1", None, id="the verb is missing"),
        pytest.param("/a/{x}:v", "/a/1:w", None, id="another verb"),
        pytest.param("/a/{x}:v", "/a/1:v:w", None, id="a verb and more"),
        pytest.param("/a:v", "/a:v", {}, id="a verb of a literal"),
        pytest.param("/a/{x.y}/b", "/a/1/b", {"x.y": "1"}, id="a nested field"),
        pytest.param("/a/{x=*}", "/a/1", {"x": "1"}, id="one segment by pattern"),
        pytest.param("/a/{x=**}", "/a/1/2%2F3", {"x": "1/2/3"}, id="all that is left"),
        pytest.param("/a/**", "/a/1/2", {}, id="all that is left, unnamed"),
        pytest.param("/a/*/b", "/a/1/b", {}, id="one segment, unnamed"),
    ],
)
def test_path_template_matches_or_not(template: str, path: str, values: dict[str, str] | None) -> None:
    assert PathTemplate.parse(template).match(path) == values


@pytest.mark.parametrize(
    "text",
    ["a", "/a//b", "/a/{x}/{x}", "/{x=**}/a", "/{x=a/*}", "/a:", "/a:1", "/{x", "/a b", "/{x}y"],
)
def test_malformed_path_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"template|segment|verb|variable|pattern"):
        PathTemplate.parse(text)


def test_path_escape_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidInput):
        PathTemplate.parse("/a/{x}").match("/a/%ff")


@given(TEXT, TEXT)
def test_any_text_survives_a_path(first: str, second: str) -> None:
    template = PathTemplate.parse("/runs/{run_id}/tasks/{task_id}:approve")
    path = f"/runs/{quote(first, safe='')}/tasks/{quote(second, safe='')}:approve"
    assert template.match(path) == {"run_id": first, "task_id": second}


@given(st.text(st.sampled_from("/:%.azAZ09{}*~\\?ä"), max_size=30))
def test_any_path_is_routed_without_an_error(path: str) -> None:
    found = TABLE.find("GET", path)
    if not isinstance(found, frozenset):
        with contextlib.suppress(InvalidInput):
            unescape(found[1])


@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("GET", "/api/v1/runs:watch", "RunService/WatchRuns"),
        ("GET", "/api/v1/runs/r:watch", "RunService/WatchRun"),
        ("GET", "/api/v1/runs/r", "RunService/GetRun"),
        ("GET", "/api/v1/runs", "RunService/ListRuns"),
        ("POST", "/api/v1/runs", "RunService/CreateRun"),
        ("POST", "/api/v1/runs/r/tasks/t:approve", "RunService/ApproveTask"),
        ("GET", "/api/v1/runs/r/tasks/t:explain", "RunService/ExplainTask"),
        ("GET", "/api/v1/runs/r/tasks/t/log", "RunService/ReadLogs"),
        ("DELETE", "/api/v1/runs/r/tasks/t/log", "RunService/DeleteLogs"),
        ("PATCH", "/api/v1/projects/p", "ProjectService/UpdateProject"),
        ("GET", "/api/v1/database:status", "DatabaseService/GetDatabaseStatus"),
        ("POST", "/api/v1/executors/e:drain", "ExecutorAdminService/DrainExecutor"),
    ],
)
def test_fixed_routes_lead_to_their_methods(method: str, path: str, rpc: str) -> None:
    found = TABLE.find(method, path)
    assert not isinstance(found, frozenset)
    assert found[0].rpc.endswith(rpc)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/runs", {"GET", "POST"}),
        ("/api/v1/runs/r/tasks/t/log", {"GET", "DELETE"}),
        ("/api/v1/runs/r:stop", {"POST"}),
        ("/api/v1/nothing", set()),
    ],
)
def test_unsupported_method_lists_the_allowed_ones(path: str, methods: set[str]) -> None:
    assert TABLE.find("BREW", path) == frozenset(methods)


def test_literal_takes_precedence_over_a_variable() -> None:
    table = RouteTable([("GET", PathTemplate.parse(text), text) for text in ("/a/{x}", "/a/b", "/a/{x=**}")])
    found = [table.find("GET", path) for path in ("/a/b", "/a/c", "/a/c/d")]
    assert [item[0] for item in found if not isinstance(item, frozenset)] == ["/a/b", "/a/{x}", "/a/{x=**}"]


def test_two_routes_of_one_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([("GET", PathTemplate.parse(text), None) for text in ("/a/{x}", "/a/{y}")])
