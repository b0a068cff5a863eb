"""Variables of a new run become references to secrets; a specification has the clear values, and masks them."""

from __future__ import annotations

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.projects.variables import SecretValue, Unset
from sluiceway_server.runs.environment_values import bind_variables, references_of, variables_of
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.specification import specify
from tests.support.run_engine import definition, request

A, B = SecretValue("s1", "a", 1), SecretValue("s2", "b", 7)


def variable(name: str) -> definition_api.EnvironmentValue:
    return definition_api.EnvironmentValue(variable=name)


def task_with_variables_everywhere() -> definition_api.TaskDefinition:
    task = definition("t", environment={"A": variable("a"), "CLEAR": definition_api.EnvironmentValue(value="clear")})
    task.runtime.containers[0].environment["C"].CopyFrom(variable("c"))
    task.steps.add(name="s", run=definition_api.RunStep(command="true", environment={"S": variable("s")}))
    auth = definition_api.RegistryAuth(type="basic", username=variable("u"), password=variable("p"))
    task.docker_registries_auth["r.io"].CopyFrom(auth)
    return task


def test_variables_are_found_in_every_place() -> None:
    wanted = request(
        task_with_variables_everywhere(), static_environment={"X": variable("x")}, environment={"Y": variable("y")}
    )
    assert variables_of(wanted) == {"a", "c", "s", "u", "p", "x", "y"}


def test_bound_variables_are_references_and_the_rest_is_empty() -> None:
    wanted = request(task_with_variables_everywhere(), environment={"Y": variable("y")})
    unset = Unset("is not set")
    found = dict.fromkeys(variables_of(wanted), unset) | {"a": A, "p": B}
    assert bind_variables(wanted, found) == (
        'variable "y" is not set; the run gets an empty string',
        'variable "c" is not set; task "t" gets an empty string',
        'variable "s" is not set; task "t" gets an empty string',
        'variable "u" is not set; task "t" gets an empty string',
    )
    task = wanted.tasks[0]
    assert task.environment["A"].secret == definition_api.SecretReference(id="s1", key="a", version=1)
    assert task.docker_registries_auth["r.io"].password.secret.version == 7
    assert task.environment["CLEAR"].value == "clear"
    assert task.steps[-1].run.environment["S"].WhichOneof("kind") == "value"
    assert variables_of(wanted) == frozenset()
    assert references_of(task) == {A: "A", B: "r.io.password"}


def test_specification_has_clear_values_and_masks_them() -> None:
    wanted = request(task_with_variables_everywhere(), environment={"Y": variable("y")})
    bind_variables(wanted, dict.fromkeys(variables_of(wanted), A) | {"s": B})
    config = pb.RunConfig(tasks=wanted.tasks, environment=wanted.environment)
    run, record = pb.RunRecord(run=api.Run(id="run", number=7)), pb.TaskRecord(task=api.Task(id="task", name="t"))
    before = config.SerializeToString(deterministic=True)
    made = specify(run, config, record, EngineSettings(server_id="s"), {A: "value of a", B: "value of b"})
    assert (made.environment["A"], made.environment["Y"], made.environment["CLEAR"]) == (
        "value of a",
        "value of a",
        "clear",
    )
    assert made.runtime.containers[0].environment["C"].value == "value of a"
    # A value of one step is in no other.
    assert "S" not in made.environment
    assert made.steps[-1].definition.run.environment["S"].value == "value of b"
    assert list(made.masks) == [b"value of a", b"value of b"]
    # What is stored, and shared by all tasks of the run, did not change.
    assert config.SerializeToString(deterministic=True) == before
