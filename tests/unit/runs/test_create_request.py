"""What is said when a run is created, of tasks that no configuration came with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.runs import create_request
from tests.support.run_engine import definition, request

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CI = "`CI` is set by the system; this value is not used, but a step's own `environment` can set it"
POD = "`SLUICE_POD` is set by the executor; this value is not used"
CR = (
    "its lines end in CR LF, which a shell takes for a part of the command; "
    "save the file with LF line ends, or take the carriage returns out"
)


def checked(wanted: service_api.CreateRunRequest) -> create_request.ValidatedCreate:
    ids = [f"t{n}" for n in range(len(wanted.tasks))]
    return create_request.check(
        wanted, variables={}, run_id="r", task_ids=ids, created_by="me", from_fork=False, now=NOW
    )


def value(text: str) -> definition_api.EnvironmentValue:
    return definition_api.EnvironmentValue(value=text)


def doubtful() -> definition_api.TaskDefinition:
    task = definition("a", environment={"CI": value("no"), "SLUICE_RUN_ID": value("x"), "OTHER": value("x")})
    task.runtime.containers[0].environment["SLUICE_GIT_REF"].CopyFrom(value("x"))
    run = definition_api.RunStep(command="true\r\n", environment={"CI": value("no"), "SLUICE_POD": value("x")})
    task.steps.add(name="s", run=run)
    return task


def test_doubtful_parts_of_tasks_are_warnings_of_the_run() -> None:
    made = checked(request(definition("first"), doubtful(), static_environment={"CI": value("true")}))
    assert made.records.run.created_warnings == [
        f"tasks[1].environment.CI: {CI}",
        f"tasks[1].environment.SLUICE_RUN_ID: {CI.replace('CI', 'SLUICE_RUN_ID')}",
        f"tasks[1].runtime.containers[0].environment.SLUICE_GIT_REF: {CI.replace('CI', 'SLUICE_GIT_REF')}",
        f"tasks[1].steps[1].run.environment.SLUICE_POD: {POD}",
        f"tasks[1].steps[1].run.command: {CR}",
    ]


def test_ci_is_the_tasks_own_where_the_caller_sets_none() -> None:
    task = definition("a", environment={"CI": value("no")})
    assert checked(request(task)).records.run.created_warnings == []


def test_error_that_the_caller_has_reported_is_not_repeated() -> None:
    said = [
        f".sluice/config.yml:3:1: runs[2].tasks[0].environment.CI: {CI}",
        f".sluice/config.yml:4:1: runs[2].tasks[0].environment.SLUICE_RUN_ID: {CI.replace('CI', 'SLUICE_RUN_ID')}",
        ".sluice/config.yml:4:9: runs[2].tasks[0].runtime.containers[0].environment.SLUICE_GIT_REF: "
        + CI.replace("CI", "SLUICE_GIT_REF"),
        f".sluice/config.yml:5:1: runs[2].tasks[0].steps[1].environment.SLUICE_POD: {POD}",
        f".sluice/config.yml:6:1: runs[2].tasks[0].steps[1].command: {CR}",
    ]
    wanted = request(doubtful(), warnings=said, static_environment={"CI": value("true")})
    assert checked(wanted).records.run.created_warnings == said


@pytest.mark.parametrize("count", [1, 2_000])
def test_warnings_of_many_tasks_are_bounded(count: int) -> None:
    tasks = [definition(f"t{n}", environment={"SLUICE_RUN_ID": value("x")}) for n in range(count)]
    assert len(checked(request(*tasks)).records.run.created_warnings) == min(count, create_request.MAX_OWN_WARNINGS)


def test_part_that_no_driver_can_do_is_refused_with_its_path() -> None:
    task = definition("a", user="root")
    task.runtime.containers[0].image = "./x"
    with pytest.raises(InvalidInput) as caught:
        checked(request(definition("first"), task))
    by = "by any driver of this version"
    assert [(v.path, v.message) for v in caught.value.violations] == [
        (
            "tasks[1].runtime.containers[0].image",
            f'the image "./x" is not supported {by}: '
            'an image is "host" or the path of a folder below the executor\'s --image-dir',
        ),
    ]


def test_task_that_only_one_driver_can_run_needs_that_driver() -> None:
    task = definition("a")
    task.runtime.containers[0].volumes.add(path="/t")
    created = checked(request(task, definition("b"))).created
    needs = {each.name: each.needs.drivers for each in created.tasks}
    assert needs == {"a": {"sandbox"}, "b": {"sandbox", "host"}}


def test_limit_of_processors_is_a_warning() -> None:
    task = definition("a")
    task.resources.cpu_millis = 500
    task.runtime.containers[0].resources.cpu_millis = 500
    assert checked(request(task)).records.run.created_warnings == [
        f"tasks[0].{each}resources.cpu: this has no effect: the drivers sandbox and host do not limit processors"
        for each in ("", "runtime.containers[0].")
    ]


def test_shell_that_is_no_command_is_refused() -> None:
    task = definition("a", shell='bash -c "')
    task.steps[0].run.shell = "  "
    with pytest.raises(InvalidInput) as caught:
        checked(request(task))
    assert {(v.path, v.message) for v in caught.value.violations} == {
        ("tasks[0].shell", "is not a command: no closing quotation"),
        ("tasks[0].steps[0].run.shell", "is not a command: it is blank"),
    }


def version(**fields: Any) -> definition_api.Input:
    return definition_api.Input(**{"name": "version", "type": definition_api.INPUT_TYPE_STRING, **fields})


def test_inputs_are_kept_with_their_values() -> None:
    wanted = request(definition("a"))
    wanted.inputs.extend([version(value="v7"), version(name="dry", type=definition_api.INPUT_TYPE_BOOLEAN)])
    wanted.inputs_make_tasks = True
    run = checked(wanted).records.run.run
    assert [(each.name, each.value) for each in run.inputs] == [("version", "v7"), ("dry", "false")]
    assert run.inputs_make_tasks


BAD_INPUTS = {
    "value": (version(pattern="v.*", value="7"), "inputs[0].value"),
    "missing value": (version(required=True), "inputs[0].value"),
    "empty value": (version(required=True, value=""), "inputs[0].value"),
    "name": (version(name="V"), "inputs[0].name"),
    "no type": (version(type=0), "inputs[0].type"),
    "unknown type": (version(type=99), "inputs[0].type"),
    "pattern": (version(pattern="("), "inputs[0].pattern"),
    "default": (version(type=definition_api.INPUT_TYPE_NUMBER, default_value="x"), "inputs[0].default_value"),
    "no options": (version(type=definition_api.INPUT_TYPE_CHOICE), "inputs[0]"),
    "control character": (version(value="\x1b"), "inputs[0].value"),
    "large": (version(pattern="x" * 70_000), "inputs"),
}


@pytest.mark.parametrize(("wrong", "path"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_wrong_input_is_refused(wrong: definition_api.Input, path: str) -> None:
    wanted = request(definition("a"))
    wanted.inputs.append(wrong)
    with pytest.raises(InvalidInput) as caught:
        checked(wanted)
    assert path in [violation.path for violation in caught.value.violations]


def test_two_inputs_of_one_name_are_refused() -> None:
    wanted = request(definition("a"))
    wanted.inputs.extend([version(), version()])
    with pytest.raises(InvalidInput, match="another input has this name"):
        checked(wanted)


def test_variable_of_an_input_in_a_task_is_a_warning() -> None:
    task = definition("a", environment={"SLUICE_INPUT_VERSION": value("x")})
    wanted = request(task)
    wanted.inputs.append(version())
    (warning,) = checked(wanted).records.run.created_warnings
    assert warning.startswith("tasks[0].environment.SLUICE_INPUT_VERSION: ")
