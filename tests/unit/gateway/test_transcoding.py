"""JSON and query parameters to messages and back."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from datetime import datetime
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.gateway.descriptions import json_name
from sluiceway_server.gateway.routes import Rule, rules_of
from sluiceway_server.gateway.transcoding import location_of, request_of, response_json, resume_from

# Of a method with several, the first one.
RULES = {rule.rpc.rpartition("/")[2]: rule for rule in reversed(rules_of())}


def call(rpc: str, body: Any = None, query: str = "", **path: str) -> Any:
    """Make a request; `a__b` is the path's variable `a.b`."""
    data = b"" if body is None else json.dumps(body).encode()
    return request_of(RULES[rpc], {name.replace("__", "."): value for name, value in path.items()}, query, data)


def faults(rpc: str, body: Any = None, query: str = "", **path: str) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        call(rpc, body, query, **path)
    return {violation.path: violation.message for violation in caught.value.violations}


def test_request_is_built_from_path_query_and_body() -> None:
    message = call("UpdateProject", {"name": "api"}, "updateMask=name,etag", project__id="p1")
    assert json_format.MessageToDict(message) == {
        "project": {"id": "p1", "name": "api"},
        "updateMask": "name,etag",
    }


def test_id_in_the_body_must_equal_the_id_in_the_path() -> None:
    assert call("UpdateProject", {"id": "p1", "name": "x"}, project__id="p1").project.id == "p1"
    assert faults("UpdateProject", {"id": "p2"}, project__id="p1") == {
        "id": "is 'p2' in the body, but 'p1' in the path"
    }


@pytest.mark.parametrize(
    ("body", "query", "names"),
    [
        ({"nam": 1}, "nope=1", ["nam", "nope"]),
        ({"concurrency": "x"}, "", ["concurrency"]),
        ({"concurrency": {}}, "", ["concurrency"]),
        ({}, "project.name=x", ["project.name"]),
        ([], "", [""]),
    ],
    ids=str,
)
def test_faults_outside_the_body_use_the_names_of_the_caller(body: Any, query: str, names: list[str]) -> None:
    assert sorted(faults("UpdateProject", body, query, project__id="p")) == names


def test_snake_case_name_is_accepted_but_not_both_names() -> None:
    assert call("CreateRun", {"request_id": "q"}).request_id == "q"
    assert faults("CreateRun", {"request_id": "q", "requestId": "r"}) == {
        "requestId": "is given twice, by two of its names"
    }


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"run": 1}, "run"),
        ({"tasks": {}}, "tasks"),
        ({"tasks": [1]}, "tasks[0]"),
        ({"tasks": [None]}, "tasks[0]"),
        ({"tasks": [{}, {"naem": ""}]}, "tasks[1].naem"),
        ({"environment": []}, "environment"),
        ({"environment": {"A": 1}}, "environment[A]"),
        ({"environment": {"A": {"valu": ""}}}, "environment[A].valu"),
        ({"environment": {"A": {"value": 1}}}, "environment[A].value"),
        ({"changeGroups": {"a": 1}}, "changeGroups[a]"),
        ({"setupErrors": ["", 1]}, "setupErrors[1]"),
        ({"run": {"timeout": "soon"}}, "run.timeout"),
        ({"run": {"createTime": "2026"}}, "run.createTime"),
        ({"run": {"phase": "DONE"}}, "run.phase"),
        ({"run": {"priority": 1.5}}, "run.priority"),
        ({"run": {"priority": 3_000_000_000}}, "run.priority"),
        ({"run": {"number": "x"}}, "run.number"),
    ],
    ids=str,
)
def test_fault_of_a_body_is_named_by_its_path(body: Any, path: str) -> None:
    assert list(faults("CreateRun", body)) == [path]


def test_every_wrong_value_of_a_body_is_named() -> None:
    body = {"run": {"priority": "x", "phase": "y"}, "setupErrors": [1]}
    assert set(faults("CreateRun", body)) == {"run.priority", "run.phase", "setupErrors[0]"}


def test_unknown_field_gets_a_suggestion() -> None:
    assert faults("CreateRun", {"RequestId": ""})["RequestId"] == "there is no such field; did you mean requestId?"


def test_faults_of_a_body_are_limited_in_number() -> None:
    assert 0 < len(faults("CreateRun", {"tasks": [{"x": 1}] * 10_000})) <= 100


MANY = 300_000


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param("{" + "".join(f'"n{n}":1,' for n in range(MANY)) + '"n0":1}', "twice", id="a name twice"),
        pytest.param('{"run": {"priority": " at ' + "." * MANY + '!"}}', "run.priority", id="dots in a number"),
        pytest.param('{"run": {"timeout": " at ' + "." * MANY + '!"}}', "imeout", id="dots in a duration"),
        pytest.param(json.dumps({"setupErrors": [1] * MANY}), "setupErrors[99]", id="wrong values"),
        pytest.param(json.dumps({"tasks": [1] * MANY}), "tasks[99]", id="wrong messages"),
        pytest.param(json.dumps({"environment": dict.fromkeys(map(str, range(MANY)), 1)}), "[99]", id="wrong entries"),
    ],
)
def test_time_of_a_bad_body_is_linear_in_its_length(body: str, told: str) -> None:
    begun = time.process_time()
    with pytest.raises(InvalidInput) as caught:
        request_of(RULES["CreateRun"], {}, "", body.encode())
    assert time.process_time() - begun < 20  # what grows with the square takes minutes
    assert told in caught.value.message
    assert len(caught.value.violations) <= 100
    assert len(caught.value.message) < 100_000, "a value is not repeated at its full length"


def test_bytes_must_be_base64() -> None:
    assert call("CheckRunConfig", {"config": {"files": {"a": "aGk="}}}).config.files["a"] == b"hi"
    assert list(faults("CheckRunConfig", {"config": {"files": {"a": "h i"}}})) == ["config.files[a]"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("group=%2Fa%20b", {"group": "/a b"}),
        ("group=a+b", {"group": "a b"}),
        ("phase=QUEUED", {"phase": "RUN_PHASE_QUEUED"}),
        ("phase=queued", {"phase": "RUN_PHASE_QUEUED"}),
        ("phase=RUN_PHASE_QUEUED", {"phase": "RUN_PHASE_QUEUED"}),
        ("phase=2", {"phase": "RUN_PHASE_QUEUED"}),
        ("page_size=5&pageToken=x", {"pageSize": 5, "pageToken": "x"}),
    ],
)
def test_query_parameters_of_a_list(query: str, expected: dict[str, Any]) -> None:
    assert json_format.MessageToDict(call("ListRuns", query=query)) == expected


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("phase=", "phase"),
        ("phase=99", "phase"),
        ("pageSize=1.0", "pageSize"),
        ("pageSize=", "pageSize"),
        ("pageSize=99999999999", "pageSize"),
        ("group=a&group=b", "group"),
        ("group.x=1", "group.x"),
        ("=1", ""),
    ],
)
def test_wrong_query_parameters_are_named(query: str, name: str) -> None:
    assert list(faults("ListRuns", query=query)) == [name]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False), ("yes", None), ("", None)]
)
def test_query_parameter_of_a_bool_is_parsed(text: str, value: bool | None) -> None:
    if value is None:
        assert list(faults("ReadLogs", query=f"follow={text}", run_id="r", task_id="t")) == ["follow"]
    else:
        assert call("ReadLogs", query=f"follow={text}", run_id="r", task_id="t").follow is value


def test_query_of_a_thousand_parameters_is_refused() -> None:
    assert "" in faults("ListRuns", query="&".join(["group=a"] * 1001))


def test_location_header_is_filled_in_and_escaped() -> None:
    assert location_of(RULES["CreateRun"], pb.CreateRunResponse(run={"id": "a/b?"})) == "/api/v1/runs/a%2Fb%3F"
    assert location_of(RULES["GetRun"], pb.GetRunResponse()) is None


def test_last_event_id_sets_the_field_that_resumes() -> None:
    message = call("ReadLogs", run_id="r", task_id="t")
    resume_from(RULES["ReadLogs"], message, "17")
    assert message.offset == 17
    with pytest.raises(InvalidInput):
        resume_from(RULES["ReadLogs"], message, "x")


def test_response_is_the_resource_with_its_set_fields() -> None:
    run = response_json(pb.GetRunResponse(run={"id": "r", "number": 2**53 + 1, "phase": "RUN_PHASE_QUEUED"}), "run")
    assert run["number"] == "9007199254740993"
    assert (run["id"], run["phase"], run["name"], run["priority"], run["timedOut"]) == (
        "r",
        "RUN_PHASE_QUEUED",
        "",
        0,
        False,
    )
    assert (run["annotations"], run["warnings"]) == ({}, [])
    assert not {"result", "createTime", "source"} & set(run), "enums and messages that are not set"
    assert response_json(pb.ListRunsResponse(), "runs") == []
    assert response_json(pb.ListRunsResponse()) == {"runs": [], "nextPageToken": ""}


# The content of any message, made from its descriptor.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXT,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
}
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Timestamp": st.datetimes(min_value=datetime(1, 1, 1)).map(lambda time: f"{time.isoformat()}Z"),  # noqa: DTZ001 - the Z is added
    "google.protobuf.Duration": st.integers(-(10**9), 10**9).map(lambda seconds: f"{seconds}s"),
    "google.protobuf.FieldMask": st.just(""),
}


def values_of(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        known = KNOWN.get(field.message_type.full_name)
        return contents_of(field.message_type, depth + 1) if known is None else known
    if field.enum_type is not None:
        return st.sampled_from([value.name for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8).map(lambda data: base64.b64encode(data).decode())
    return SCALARS[field.cpp_type]


def contents_of(descriptor: Any, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    if depth > 2:
        return st.just({})
    fields: dict[str, st.SearchStrategy[Any]] = {}
    oneofs: set[str] = set()
    for field in descriptor.fields:
        if field.containing_oneof is not None:
            if field.containing_oneof.name in oneofs:
                continue
            oneofs.add(field.containing_oneof.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            fields[field.json_name] = st.dictionaries(TEXT, values_of(of, depth), max_size=2)
        elif field.is_repeated:
            fields[field.json_name] = st.lists(values_of(field, depth), max_size=2)
        else:
            fields[field.json_name] = values_of(field, depth)
    return st.fixed_dictionaries({}, optional=fields)


@pytest.mark.parametrize("rule", [rule for rule in rules_of() if rule.body == "*"], ids=lambda rule: rule.rpc)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_message_survives_the_round_trip_through_json(rule: Rule, data: st.DataObject) -> None:
    path = dict.fromkeys(rule.template.variables, "p")
    content = data.draw(contents_of(rule.request_type))
    for name in path:
        # What is in the path is not in the body as well.
        *parents, last = name.split(".")
        inside: Any = content
        for parent in parents:
            inside = inside.get(parent, {})
        inside.pop(json_name(last), None)
    message = request_of(rule, path, "", json.dumps(content).encode())
    again = request_of(rule, path, "", json.dumps(response_json(message)).encode())
    assert again == message


def without_unset_enums(descriptor: Any, value: Any) -> Any:
    """Return the JSON that protobuf prints with all fields, without unset enums."""
    if not isinstance(value, dict) or descriptor.full_name.startswith("google.protobuf."):
        return value
    found = {}
    for field in descriptor.fields:
        if field.json_name not in value:
            continue
        part, of = value[field.json_name], field.message_type
        if field.enum_type is not None and not field.is_repeated and part == field.enum_type.values[0].name:
            continue
        if of is not None and of.GetOptions().map_entry:
            inner = of.fields_by_name["value"].message_type
            part = {key: without_unset_enums(inner, item) for key, item in part.items()} if inner else part
        elif of is not None:
            part = (
                [without_unset_enums(of, item) for item in part] if field.is_repeated else without_unset_enums(of, part)
            )
        found[field.json_name] = part
    return found


@pytest.mark.parametrize(
    "name", ["CreateRun", "ListTasks", "WatchRun", "ReadLogs", "GetDatabaseStatus", "CreateSecret"]
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_response_is_protobuf_json_without_unset_enums(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    message = json_format.ParseDict(data.draw(contents_of(rule.response_type)), rule.response())
    everything = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert response_json(message) == without_unset_enums(rule.response_type, everything)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.rpc)
def test_every_response_can_be_serialized(rule: Rule) -> None:
    def fill(message: Any, depth: int = 0) -> None:
        for field in message.DESCRIPTOR.fields:
            if field.message_type is None or field.message_type.GetOptions().map_entry or depth > 3:
                continue
            part = getattr(message, field.name)
            inner = part.add() if field.is_repeated else part
            inner.SetInParent()
            fill(inner, depth + 1)

    message = rule.response()
    fill(message)
    json.dumps(response_json(message))


NAMES = st.sampled_from([field.json_name for field in RULES["CreateRun"].request_type.fields]) | st.sampled_from(
    ["name", "id", "steps", "needs", "image", "value", "secret", "phase", "timeout", "createTime", "x", ""]
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, JSON_VALUES, max_size=5))
def test_any_json_is_accepted_or_refused_with_a_fault(body: dict[str, Any]) -> None:
    told: list[object] = []
    try:
        request_of(RULES["CreateRun"], {}, "", json.dumps(body).encode())
    except InvalidInput as error:
        told.append(error.violations)
    assert all(told)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="ascii"), max_size=40), st.binary(max_size=40))
def test_any_query_and_body_is_accepted_or_refused(query: str, body: bytes) -> None:
    for rpc in ("CreateRun", "ListRuns", "UpdateProject"):
        with contextlib.suppress(InvalidInput):
            request_of(RULES[rpc], {}, query, body)
