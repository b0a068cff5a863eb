"""What a driver cannot do is reported before a run is created, with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.api.run.v1 import definition_pb2
from sluiceway_common.runconfig.capabilities import (
    DOCKER,
    DRIVERS,
    HOST,
    SANDBOX,
    Capabilities,
    PodNeeds,
    drivers_for,
    unsupported,
    unsupported_parts,
)
from sluiceway_common.runconfig.compile import LoadResult, check_document, load_source
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.problems import quoted
from sluiceway_common.runconfig.when import Context
from tests.support.drivers import ABLE

CONTAINER = {"image": "host"}
BODIES: dict[str, Any] = {
    "save_to_workspace": {"contents": [{}]},
    "restore_workspace": {},
    "save_cache": {"key": "k", "contents": [{}]},
    "restore_cache": {"keys": ["k"]},
    "save_artifacts": {"name": "n", "paths": ["x"]},
    "save_reports": {"paths": ["x"]},
}


def load(task: dict[str, Any], *drivers: Capabilities) -> LoadResult:
    document = {"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": {"containers": [CONTAINER]}, **task}]}]}
    text = json.dumps(document).encode()
    return load_source("c.json", text, MappingFiles({}), Context(), drivers=drivers or DRIVERS)


def errors_of(task: dict[str, Any], *drivers: Capabilities) -> list[tuple[str, str]]:
    found = load(task, *drivers).errors
    assert all(error.line for error in found)
    return [(e.path.removeprefix("runs[0].tasks[0]."), e.message) for e in found]


def in_container(**fields: Any) -> dict[str, Any]:
    return {"runtime": {"containers": [{**CONTAINER, **fields}]}}


SERVICES = {"runtime": {"containers": [CONTAINER, {"image": "host", "privileged": True}]}}
VOLUMES = in_container(volumes=[{"path": "/t", "tmpfs": {}}])
FOLDER = "the path of a folder below the executor's --image-dir"

REFUSED = [
    ("registry-image", in_container(image="python:3.11"), SANDBOX, "runtime.containers[0].image",
     f'the image "python:3.11" is not supported by the sandbox driver: an image is "host" or {FOLDER}'),
    ("registry-image-host", in_container(image="python:3.11"), HOST, "runtime.containers[0].image",
     'the image "python:3.11" is not supported by the host driver: an image is "host"'),
    ("folder-image", in_container(image="/srv/x"), HOST, "runtime.containers[0].image",
     'the image "/srv/x" is not supported by the host driver: an image is "host"'),
    ("relative-image", in_container(image="./x"), SANDBOX, "runtime.containers[0].image",
     f'the image "./x" is not supported by the sandbox driver: an image is "host" or {FOLDER}'),
    ("services", {"runtime": {"containers": [CONTAINER, CONTAINER, CONTAINER]}}, SANDBOX, "runtime.containers[1]",
     "services are not supported by the sandbox driver: a task has one container"),
    ("privileged", in_container(privileged=True), SANDBOX, "runtime.containers[0].privileged",
     "privileged containers are not supported by the sandbox driver"),
    ("entrypoint", in_container(entrypoint="x"), HOST, "runtime.containers[0].entrypoint",
     "an entrypoint of the first container is not supported by the host driver"),
    ("volumes", VOLUMES, HOST, "runtime.containers[0].volumes", "volumes are not supported by the host driver"),
    ("user-of-the-task", {"user": "root"}, SANDBOX, "user",
     'the user "root" is not supported by the sandbox driver: steps run as "sluice" or "1000"'),
    ("user-of-the-container", in_container(user="root"), SANDBOX, "runtime.containers[0].user",
     'the user "root" is not supported by the sandbox driver: steps run as "sluice" or "1000"'),
    ("host-image", {}, DOCKER, "runtime.containers[0].image",
     'the image "host" is not supported by the docker driver: an image is the name of an image in a registry'),
    ("entrypoint-of-the-steps", in_container(image="python", entrypoint="x"), DOCKER,
     "runtime.containers[0].entrypoint",
     "an entrypoint of the first container is not supported by the docker driver"),
    ("network", {"runtime": {"network": "none", "containers": [CONTAINER]}}, HOST, "runtime.network",
     'the network "none" is not supported by the host driver: a task has the network "host"'),
]  # fmt: skip


@pytest.mark.parametrize(("task", "driver", "path", "message"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_part_that_a_driver_lacks_is_an_error_where_it_stands(
    task: dict[str, Any], driver: Capabilities, path: str, message: str
) -> None:
    assert errors_of(task, driver) == [(path, message)]


@pytest.mark.parametrize(
    ("task", "driver"),
    [
        ({}, SANDBOX),
        ({}, HOST),
        (VOLUMES, SANDBOX),
        (in_container(image="/srv/x"), SANDBOX),
        (in_container(user="sluice"), SANDBOX),
        ({"user": "1000"}, SANDBOX),
        ({"user": "whoever-the-executor-is"}, HOST),
        ({"user": "sluice", **in_container(user="root")}, SANDBOX),
        ({"runtime": {"network": "none", "containers": [CONTAINER]}}, SANDBOX),
        ({"runtime": {"network": "host", "containers": [CONTAINER]}}, HOST),
        ({"steps": [{"run": "x"}, {"clone": {"depth": 1}}]}, SANDBOX),
        (SERVICES, ABLE[0]),
        (in_container(image="python", privileged=True, user="whoever", volumes=[{"path": "/t", "tmpfs": {}}]), DOCKER),
        ({"runtime": {"containers": [{"image": "python"}, {"image": "redis", "entrypoint": "x"}]}}, DOCKER),
    ],
)
def test_part_that_a_driver_has_is_no_error(task: dict[str, Any], driver: Capabilities) -> None:
    assert errors_of(task, driver) == []


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("form", ["short", "long"])
@pytest.mark.parametrize("drivers", [(), (SANDBOX,), (HOST,)], ids=["any", "sandbox", "host"])
def test_every_type_of_step_is_built(kind: str, form: str, drivers: tuple[Capabilities, ...]) -> None:
    step = {kind: BODIES[kind]} if form == "short" else {"type": kind, **BODIES[kind]}
    if kind == "save_artifacts":
        step = {"type": kind, **BODIES[kind]}
    assert errors_of({"steps": [{"run": "x"}, step]}, *drivers) == []


def test_without_a_driver_only_what_no_driver_can_do_is_an_error() -> None:
    assert errors_of(VOLUMES) == errors_of({"user": "root"}) == errors_of(in_container(image="/srv/x")) == []
    assert errors_of(in_container(image="python")) == []
    assert errors_of(in_container(image="./x")) == [
        (
            "runtime.containers[0].image",
            f'the image "./x" is not supported by any driver of this version: an image is "host" or {FOLDER}',
        )
    ]


def test_task_that_no_single_driver_can_run_is_an_error() -> None:
    # Volumes need the sandbox, and this user the host.
    assert errors_of({"user": "root", **VOLUMES}) == [
        ("user", 'the user "root" is not supported by the sandbox driver: steps run as "sluice" or "1000"')
    ]


def test_unsupported_parts_are_reported_beside_other_errors() -> None:
    task = {
        "nope": 1,
        "steps": [{"save_cache": {}}, {"save_reports": {}}],
        **in_container(image="./x", privileged="yes"),
    }
    assert {path for path, _ in errors_of(task)} == {
        "nope",
        "steps[0].save_cache.key",
        "steps[0].save_cache.contents",
        "steps[1].save_reports.paths",
        "runtime.containers[0].image",
        "runtime.containers[0].privileged",
    }


def test_limit_of_processors_that_has_no_effect_is_a_warning() -> None:
    task = {"resources": {"cpu": 2, "memory": "1Gi"}, **in_container(resources={"cpu": "500m"})}
    loaded = load(task, SANDBOX)
    assert loaded.errors == ()
    assert {w.path for w in loaded.warnings} == {
        "runs[0].tasks[0].resources.cpu",
        "runs[0].tasks[0].runtime.containers[0].resources.cpu",
    }
    assert {w.message for w in loaded.warnings} == {"this has no effect: the sandbox driver does not limit processors"}
    assert [w.message for w in load(task).warnings] == [
        "this has no effect: the drivers sandbox and host do not limit processors"
    ] * 2
    assert load(task, *ABLE).warnings == ()
    of_registry = {"resources": {"cpu": 2}, **in_container(image="python")}
    assert load(of_registry).warnings == load(of_registry, DOCKER).warnings == ()


def test_ready_of_the_container_of_the_steps_is_a_warning() -> None:
    (warning,) = load(in_container(ready=80)).warnings
    assert warning.path == "runs[0].tasks[0].runtime.containers[0].ready"
    assert warning.message == "this has no effect: only services are waited for, the containers after the first"


ANYTHING: list[Any] = [
    None, 5, "x", [], {}, {"containers": 5}, {"containers": [5, None, {"image": 5, "user": [], "volumes": {}}]},
    {"containers": [{"privileged": "yes", "resources": 5, "environment": [], "ready": {}}], "network": 5},
]  # fmt: skip


@pytest.mark.parametrize("value", ANYTHING, ids=str)
def test_unreadable_runtime_is_the_only_error(value: Any) -> None:
    document = {
        "runs": [{"name": "r", "tasks": [{"name": "a", "runtime": value, "user": 5, "resources": [], "steps": [5]}]}]
    }
    assert check_document(Document(document)).errors


# -- tasks of the API --------------------------------------------------------------------------------------------------


def definition(**fields: Any) -> definition_pb2.TaskDefinition:
    task = definition_pb2.TaskDefinition(**fields)
    if not task.runtime.containers:
        task.runtime.containers.add(image="host")
    return task


def test_definition_of_the_api_is_judged_like_a_configuration() -> None:
    task = definition(user="root")
    task.runtime.containers[0].image = "python"
    task.runtime.containers[0].volumes.add(path="/t")
    task.runtime.containers.add(image="redis", privileged=True)
    assert unsupported_parts(task.runtime, task.user, ["run", "fly"], (SANDBOX,)) == [
        (("runtime", "containers", 0, "image"), REFUSED[0][4].replace("python:3.11", "python")),
        (("runtime", "containers", 1), "services are not supported by the sandbox driver: a task has one container"),
        (("runtime", "containers", 1, "privileged"), "privileged containers are not supported by the sandbox driver"),
        (("user",), 'the user "root" is not supported by the sandbox driver: steps run as "sluice" or "1000"'),
        (
            ("steps", 1),
            "steps of the type fly are not supported by this version",
        ),
    ]


def test_drivers_that_can_run_a_task_are_named_when_not_all_can() -> None:
    plain, folder, root = definition(), definition(), definition(user="root")
    folder.runtime.containers[0].image = "/srv/x"
    registry, nobody = definition(user="root"), definition()
    registry.runtime.containers[0].image = "python"
    registry.runtime.containers.add(image="redis:7", privileged=True)
    nobody.runtime.containers[0].image = "./x"
    found = [drivers_for(task.runtime, task.user) for task in (plain, folder, root, registry, nobody)]
    assert found == [{"sandbox", "host"}, {"sandbox"}, {"host"}, {"docker", "kubernetes"}, frozenset()]


@pytest.mark.parametrize(
    ("image", "is_taken"),
    [
        ("python", True),
        ("python:3.11-slim", True),
        ("library/python", True),
        ("localhost:5000/a/b_c/d:V1.0", True),
        ("registry.example.org/team/tool@sha256:" + "0" * 64, True),
        ("REGISTRY.example.org/team/tool", True),
        ("host", False),
        ("/srv/x", False),
        ("./x", False),
        ("Python", False),
        ("python:", False),
        ("python:a b", False),
        ("-python", False),
        ("https://registry.example.org/python", False),
        ("a" * 600, False),
        ("a/" * 300, False),
    ],
)
def test_image_of_a_registry_is_known_by_its_grammar(image: str, *, is_taken: bool) -> None:
    lacks = unsupported(PodNeeds(image), DOCKER)
    assert [lack.what for lack in lacks] == ([] if is_taken else [f"the image {quoted(image)} is"])


def test_driver_with_every_capability_lacks_nothing() -> None:
    needs = PodNeeds("python", "root", services=3, privileged=True, entrypoint=True, volumes=True, network="none")
    assert unsupported(needs, ABLE[0]) == []
    assert len(unsupported(needs, replace(SANDBOX, networks=frozenset()))) == 6
