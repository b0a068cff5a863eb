"""The annotations of request fields."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from sluiceway.api.config.v1 import config_service_pb2 as config
from sluiceway.api.project.v1 import project_service_pb2 as project
from sluiceway.api.run.v1 import definition_pb2 as definition
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.rpc.fields import behaviors_of, clear_output_only, field_faults, limits_of

PROTO = Path(__file__).parents[3] / "proto"
RUN = {"name": "build", "group": "/user/me/x"}
TASKS = [definition.TaskDefinition()]


@pytest.mark.parametrize(
    ("request_", "faults"),
    [
        pytest.param(pb.GetRunRequest(run_id="r"), {}, id="all that is required"),
        pytest.param(pb.GetRunRequest(), {"run_id": "it is required"}, id="an empty string"),
        pytest.param(
            pb.GetTaskRequest(),
            {"run_id": "it is required", "task_id": "it is required"},
            id="every field that is missing",
        ),
        pytest.param(pb.CreateRunRequest(), {"run": "it is required"}, id="a message"),
        pytest.param(
            pb.CreateRunRequest(run={"name": "build"}), {"run.group": "it is required"}, id="a field of a message"
        ),
        pytest.param(pb.CreateRunRequest(run=RUN, tasks=TASKS), {}, id="elements of lists are not looked at"),
        pytest.param(
            config.CheckRunConfigRequest(config={}), {"config.files": "it is required"}, id="a map without an element"
        ),
        pytest.param(
            project.UpdateProjectRequest(project={"id": "p"}), {}, id="an update may have a part of its resource"
        ),
        pytest.param(project.UpdateProjectRequest(), {"project": "it is required"}, id="an update has a resource"),
        pytest.param(pb.ListRunsRequest(page_size=0), {}, id="a limit is for what is set"),
        pytest.param(pb.ListRunsRequest(page_size=1000), {}, id="the largest number"),
        pytest.param(
            pb.ListRunsRequest(page_size=1001),
            {"page_size": "it must be from 0 to 1000, not 1001"},
            id="a number that is too large",
        ),
        pytest.param(
            pb.ReadLogsRequest(run_id="r", task_id="t", offset=-1),
            {"offset": "it must be at least 0, not -1"},
            id="a number that is too small",
        ),
        pytest.param(
            pb.CreateRunRequest(run={**RUN, "priority": -11}),
            {"run.priority": "it must be from -10 to 10, not -11"},
            id="a limit in a message",
        ),
        pytest.param(
            pb.StopRunRequest(run_id="r", request_id="x" * 101),
            {"request_id": "it has 101 characters; at most 100 are allowed"},
            id="a string that is too long",
        ),
        pytest.param(
            pb.StopRunRequest(run_id="r", request_id="ä" * 100), {}, id="characters are counted, and not bytes"
        ),
        pytest.param(
            pb.CreateRunRequest(run=RUN, tasks=TASKS * 2001),
            {"tasks": "it has 2001 elements; at most 2000 are allowed"},
            id="a list that is too long",
        ),
        pytest.param(
            pb.CreateRunRequest(run={**RUN, "annotations": {str(number): "" for number in range(101)}}),
            {"run.annotations": "it has 101 elements; at most 100 are allowed"},
            id="a map that is too large",
        ),
    ],
)
def test_request_faults_are_found(request_: Message, faults: dict[str, str]) -> None:
    assert {violation.path: violation.message for violation in field_faults(request_)} == faults


def test_output_only_fields_of_a_request_are_cleared() -> None:
    request = pb.CreateRunRequest(
        run={**RUN, "id": "mine", "phase": "RUN_PHASE_FINISHED", "source": {"ref": "x"}, "annotations": {"a": "b"}},
        source={"ref": "y"},
    )
    clear_output_only(request)
    assert request == pb.CreateRunRequest(run={**RUN, "annotations": {"a": "b"}}, source={"ref": "y"})


def test_message_without_annotations_is_unchanged() -> None:
    run = api.Step(name="s")
    clear_output_only(run)
    assert (field_faults(run), run) == ([], api.Step(name="s"))


@pytest.fixture(scope="module")
def requested() -> dict[str, Descriptor]:
    """Return the messages of which user requests consist, by full name."""
    found: dict[str, Descriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.full_name in found or not message.full_name.startswith("sluiceway."):
            return
        if not message.GetOptions().map_entry:
            found[message.full_name] = message
        for field in message.fields:
            # What a resource holds for its readers is not part of a request.
            if field.message_type is not None and "OUTPUT_ONLY" not in behaviors_of(field):
                visit(field.message_type)

    for path in sorted((PROTO / "sluiceway" / "api").rglob("*_service_pb2.py")):
        file = importlib.import_module(".".join(path.relative_to(PROTO).with_suffix("").parts)).DESCRIPTOR
        for service in file.services_by_name.values():
            # The protocol of executors has checks of its own.
            if service.name != "ExecutorService":
                for method in service.methods:
                    visit(method.input_type)
    return found


def test_every_request_field_has_a_field_behavior(requested: dict[str, Descriptor]) -> None:
    assert "sluiceway.api.project.v1.Project" in requested
    silent = [
        field.full_name
        for message in requested.values()
        for field in message.fields
        if not behaviors_of(field) and field.containing_oneof is None
    ]
    assert silent == []


def test_field_limits_fit_the_type_of_the_field(requested: dict[str, Descriptor]) -> None:
    for message in requested.values():
        for field in message.fields:
            limits = limits_of(field)
            if limits is None:
                continue
            names = {name.name for name, _ in limits.ListFields()}
            if field.is_repeated:
                assert names == {"max_items"}, field.full_name
            elif field.cpp_type == field.CPPTYPE_STRING:
                assert names == {"max_length"}, field.full_name
            else:
                assert names <= {"minimum", "maximum"}, field.full_name
                assert "minimum" not in names or limits.minimum <= 0, f"{field.full_name}: not set is 0"
