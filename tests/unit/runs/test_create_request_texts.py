"""Texts of a new run that people see or that are run: what the server refuses, and configurations too."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.tasks import tasks_of_run
from sluiceway_common.runconfig.when import Context
from sluiceway_server.runs import create_request
from tests.support.run_engine import definition, request

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ESCAPE, BIDI, NUL, NARROW = "\x1b[8m", "\u202e", "\0", "\u200b"
Change = Callable[[service_api.CreateRunRequest], object]


def checked(wanted: service_api.CreateRunRequest) -> create_request.ValidatedCreate:
    ids = [f"t{n}" for n in range(len(wanted.tasks))]
    return create_request.check(
        wanted, variables={}, run_id="r", task_ids=ids, created_by="me", from_fork=False, now=NOW
    )


def faults_of(wanted: service_api.CreateRunRequest) -> dict[str, str]:
    """What is said of each path."""
    found: dict[str, str] = {}
    try:
        checked(wanted)
    except InvalidInput as error:
        for violation in error.violations:
            found[violation.path] = f"{found.get(violation.path, '')}{violation.message}\n"
    return found


def put(path: str, value: Any) -> Change:
    """Set a field of the request, or of its only task (`task.`), step (`step.`) or container (`container.`)."""

    def change(wanted: service_api.CreateRunRequest) -> None:
        holder: Any = wanted
        where, _, rest = path.partition(".")
        if where in ("task", "step", "container"):
            task = wanted.tasks[0]
            holder = {"task": task, "step": task.steps[0], "container": task.runtime.containers[0]}[where]
        else:
            rest = path
        *parts, last = rest.split(".")
        for part in parts:
            holder = getattr(holder, part)
        field = getattr(holder, last)
        if isinstance(value, dict):
            for key, each in value.items():
                if isinstance(each, str) and field.__class__.__name__.startswith("Scalar"):
                    field[key] = each
                elif isinstance(each, str):
                    field[key].value = each
                else:
                    field[key].CopyFrom(each)
        elif isinstance(value, list):
            field.extend(value)
        elif isinstance(value, Duration):
            field.CopyFrom(value)
        else:
            setattr(holder, last, value)

    return change


def step_of(**kind: Any) -> Change:
    def change(wanted: service_api.CreateRunRequest) -> None:
        wanted.tasks[0].steps[0].CopyFrom(definition_api.StepDefinition(name="s", **kind))

    return change


T, S, C = "tasks[0]", "tasks[0].steps[0]", "tasks[0].runtime.containers[0]"
SECRET = definition_api.EnvironmentValue(secret=definition_api.SecretReference(id="a", key="b"))


def variable(name: str) -> definition_api.EnvironmentValue:
    return definition_api.EnvironmentValue(variable=name)


REFUSED: list[tuple[Change, str, str]] = [
    (put("run.name", f"a{BIDI}b"), "run.name", "U+202E"),
    (put("run.name", f"a{ESCAPE}"), "run.name", "U+001B"),
    (put("run.name", f"a{NARROW}b"), "run.name", "U+200B"),
    (put("run.name", " a"), "run.name", "begin or end with a space"),
    (put("run.name", ".."), "run.name", "is not a name"),
    (put("run.group", "/user/a/%1B"), "run.group", "U+001B"),
    (put("run.group", "/user/a/%E2%80%AE"), "run.group", "U+202E"),
    (put("run.annotations", {f"k{BIDI}": "v"}), 'run.annotations["k\ufffd"]', "U+202E"),
    (put("run.annotations", {"k": f"v{ESCAPE}"}), 'run.annotations["k"]', "U+001B"),
    (put("run.timeout", Duration(seconds=1 << 50)), "run.timeout", "ten years"),
    (put("run.timeout", Duration(nanos=1_000_000_000)), "run.timeout", "ten years"),
    (put("run.timeout", Duration(seconds=-1)), "run.timeout", "longer than nothing"),
    (put("request_id", f"r{ESCAPE}"), "request_id", "U+001B"),
    (put("cache_group", "no/slash"), "cache_group", "absolute"),
    (put("change_groups", {f"g{ESCAPE}": ""}), 'change_groups["g\ufffd[8m"]', "U+001B"),
    (put("change_groups", {"g": ESCAPE}), 'change_groups["g"]', "is not a revision"),
    (put("change_groups", {f"g{n}": "" for n in range(101)}), "change_groups", "at most 100"),
    (put("warnings", ["w"] * 1_001), "warnings", "at most 1000"),
    (put("source.repository", "https://me:pw@example.org/x"), "source.repository", "password or token"),
    (put("source.repository", "https://token@example.org/x"), "source.repository", "password or token"),
    (put("source.repository", "ssh://git:pw@example.org/x"), "source.repository", "password or token"),
    (put("source.repository", "javascript:alert(1)"), "source.repository", "is not taken"),
    (put("source.repository", "file:///etc"), "source.repository", "is not taken"),
    (put("source.repository", "ext::sh -c x"), "source.repository", "is not taken"),
    (put("source.repository", "--upload-pack=x"), "source.repository", "is not taken"),
    (put("source.repository", "../x"), "source.repository", "is not taken"),
    (put("source.repository", f"/srv/{ESCAPE}"), "source.repository", "U+001B"),
    (put("source.repository", f"/srv/{BIDI}"), "source.repository", "U+202E"),
    (put("source.link", "javascript:alert(1)"), "source.link", "is not a URL of http or https"),
    (put("source.link", " https://example.org"), "source.link", "is not a URL of http or https"),
    (put("source.link", "https://"), "source.link", "is not a URL of http or https"),
    (put("source.link", "//example.org/x"), "source.link", "is not a URL of http or https"),
    (put("source.link", "https://[x"), "source.link", "is not a URL"),
    (put("source.link", "data:text/html,x"), "source.link", "is not a URL of http or https"),
    (put("source.link", "https://me:pw@example.org/"), "source.link", "user or a password"),
    (put("source.link", f"https://example.org/{BIDI}"), "source.link", "is not a URL of http or https"),
    (put("source.link", "https://example.org/" + "x" * 2_048), "source.link", "at most 2048"),
    (put("source.ref", f"refs/heads/a{ESCAPE}"), "source.ref", "is not a ref"),
    (put("source.ref", "--force"), "source.ref", "is not a ref"),
    (put("source.branch", f"a{BIDI}"), "source.branch", "U+202E"),
    (put("source.branch", "a..b"), "source.branch", "is not a ref"),
    (put("source.tag", "v 1"), "source.tag", "is not a ref"),
    (put("source.ref_type", "kind"), "source.ref_type", "is not one of"),
    (put("source.commit_sha", "HEAD"), "source.commit_sha", "is not the id of a commit"),
    (put("source.commit_sha", "-" * 40), "source.commit_sha", "is not the id of a commit"),
    (put("source.pull_request_id", f"7{ESCAPE}"), "source.pull_request_id", "U+001B"),
    (put("task.name", f"a{BIDI}b"), f"{T}.name", "U+202E"),
    (put("task.name", f"a{NARROW}"), f"{T}.name", "U+200B"),
    (put("task.lock", f"l{ESCAPE}"), f"{T}.lock", "U+001B"),
    (put("task.working_dir", f"w{NUL}"), f"{T}.working_dir", "NUL"),
    (put("task.working_dir", f"w{ESCAPE}"), f"{T}.working_dir", "U+001B"),
    (put("task.shell", f"sh {ESCAPE}"), f"{T}.shell", "U+001B"),
    (put("task.labels", {f"k{BIDI}": "v"}), f'{T}.labels["k\ufffd"]', "U+202E"),
    (put("task.labels", {"k": f"v{NUL}"}), f'{T}.labels["k"]', "NUL"),
    (put("task.labels", {" ": "v"}), f'{T}.labels[" "]', "must not be empty"),
    (put("task.depends", [definition_api.Depend(task=f"x{ESCAPE}")]), f"{T}.depends[0].task", "U+001B"),
    (put("task.environment", {"A" * 256: "v"}), f'{T}.environment["{"A" * 99}…"]', "at most 255 characters"),
    (put("task.environment", {"": "v"}), f'{T}.environment[""]', "name of an environment variable"),
    (put("task.environment", {"A=B": "v"}), f'{T}.environment["A=B"]', "name of an environment variable"),
    (put("task.environment", {f"A{ESCAPE}": "v"}), f'{T}.environment["A\ufffd[8m"]', "U+001B"),
    (put("task.environment", {"A": f"v{NUL}"}), f'{T}.environment["A"]', "NUL"),
    (put("task.environment", {"A": SECRET}), f'{T}.environment["A"]', "only variables refer to secrets"),
    (put("task.environment", {"A": variable(f"v{NUL}")}), f'{T}.environment["A"].variable', "U+0000"),
    (put("task.environment", {"A": variable("")}), f'{T}.environment["A"].variable', "empty"),
    (put("static_environment", {"A": f"v{NUL}"}), 'static_environment["A"]', "NUL"),
    (put("environment", {f"A{BIDI}": "v"}), 'environment["A\ufffd"]', "U+202E"),
    (put("task.task_timeout_interval", Duration(seconds=-(1 << 60))), f"{T}.task_timeout_interval", "ten years"),
    (put("task.approval.timeout", Duration(seconds=1 << 60)), f"{T}.approval.timeout", "ten years"),
    (put("task.resources.memory_bytes", -1), f"{T}.resources.memory_bytes", "negative"),
    (
        put("task.docker_registries_auth", {f"r{ESCAPE}": definition_api.RegistryAuth(type="basic")}),
        f'{T}.docker_registries_auth["r\ufffd[8m"]',
        "U+001B",
    ),
    (put("container.image", f"host{ESCAPE}"), f"{C}.image", "U+001B"),
    (put("container.image", f"host{NUL}"), f"{C}.image", "NUL"),
    (put("container.user", f"u{NUL}"), f"{C}.user", "NUL"),
    (put("container.entrypoint", f"e{ESCAPE}"), f"{C}.entrypoint", "U+001B"),
    (put("container.volumes", [definition_api.Volume(path="/a/../b")]), f"{C}.volumes[0].path", "without `..`"),
    (put("container.volumes", [definition_api.Volume(path=f"/a{NUL}")]), f"{C}.volumes[0].path", "NUL"),
    (put("container.ready.command", f"c{ESCAPE}"), f"{C}.ready.command", "U+001B"),
    (put("container.ready.port", 65_536), f"{C}.ready.port", "1 to 65535"),
    (put("step.name", f"s{BIDI}"), f"{S}.name", "U+202E"),
    (put("step.name", "s" * 101), f"{S}.name", "at most 100"),
    (put("step.run.command", f"echo {ESCAPE}"), f"{S}.run.command", "U+001B"),
    (put("step.run.command", f"echo {NUL}"), f"{S}.run.command", "NUL"),
    (put("step.run.command", f"rm {BIDI}x"), f"{S}.run.command", "U+202E"),
    (put("step.run.command", " \n"), f"{S}.run.command", "must not be empty"),
    (put("step.run.shell", f"sh {NUL}"), f"{S}.run.shell", "NUL"),
    (put("step.run.working_dir", f"w{ESCAPE}"), f"{S}.run.working_dir", "U+001B"),
    (put("step.run.environment", {"A": f"v{NUL}"}), f'{S}.run.environment["A"]', "NUL"),
    (step_of(clone=definition_api.CloneStep(depth=-1)), f"{S}.clone.depth", "negative"),
    (step_of(save_cache=definition_api.SaveCacheStep(key=f"k{ESCAPE}")), f"{S}.save_cache.key", "U+001B"),
    (step_of(save_cache=definition_api.SaveCacheStep(key="k" * 201)), f"{S}.save_cache.key", "at most 200"),
    (step_of(restore_cache=definition_api.RestoreCacheStep(keys=["k", " "])), f"{S}.restore_cache.keys[1]", "empty"),
    (
        step_of(save_artifacts=definition_api.SaveArtifactsStep(artifact_name="a", paths=["../x"])),
        f"{S}.save_artifacts.paths[0]",
        "leaves its folder",
    ),
    (
        step_of(save_artifacts=definition_api.SaveArtifactsStep(artifact_name=f"a{BIDI}")),
        f"{S}.save_artifacts.artifact_name",
        "U+202E",
    ),
    (step_of(save_reports=definition_api.SaveReportsStep(paths=["/etc/x"])), f"{S}.save_reports.paths[0]", "inside"),
    (
        step_of(
            save_to_workspace=definition_api.SaveToWorkspaceStep(
                contents=[definition_api.ArchiveContents(dest_dir="a/../b", paths=[f"p{NUL}"])]
            )
        ),
        f"{S}.save_to_workspace.contents[0].dest_dir",
        "leaves its folder",
    ),
]


@pytest.mark.parametrize(("change", "path", "words"), REFUSED, ids=[f"{row[1]}: {row[2]}" for row in REFUSED])
def test_a_field_out_of_its_rules_is_refused_by_its_path(change: Change, path: str, words: str) -> None:
    wanted = request(definition())
    assert faults_of(wanted) == {}
    change(wanted)

    found = faults_of(wanted)

    assert words in found.get(path, ""), found
    assert not any(character in text for text in (*found, *found.values()) for character in (ESCAPE, BIDI, NUL))


TAKEN: list[Change] = [
    put("run.name", "🚀 Größe & Maß: 測試"),
    put("run.group", "/user/a/🧑\u200d💻"),
    put("run.annotations", {"ticket": "a\nb\tc"}),
    put("source.repository", "https://example.org/a/b.git"),
    put("source.repository", "ssh://git@example.org:2222/a"),
    put("source.repository", "git@example.org:a/b"),
    put("source.repository", "/srv/repositories/Ünicode name"),
    put("source.link", "https://example.org/a?b=c#d"),
    put("source.branch", "feature/-x/🧑\u200d💻"),
    put("source.commit_sha", "a" * 64),
    put("task.environment", {"A.b-C_1": f"{ESCAPE}{BIDI}\n"}),
    put("task.working_dir", "~/project/Ünicode"),
    put("step.run.command", "set -e\n\techo 'Größe' \r\nprintf '\\033[1m'\n"),
    put("step.run.shell", "/bin/bash -c"),
    put("step.name", ""),
]


@pytest.mark.parametrize("change", TAKEN)
def test_what_honest_people_write_is_taken(change: Change) -> None:
    wanted = request(definition())
    change(wanted)

    assert faults_of(wanted) == {}


def test_sentences_of_others_are_made_fit_to_be_shown() -> None:
    wanted = request(definition(), warnings=[f"w{ESCAPE}"])
    wanted.source.message = f"fix{ESCAPE}{BIDI}\n\n\u200fשלום" + "x" * 100_000

    made = checked(wanted)

    assert made.records.run.created_warnings == ["w\ufffd[8m"]
    message = pb.RunConfig.FromString(made.config).source.message
    assert message.startswith("fix\ufffd[8m\ufffd\n\n\u200fשלוםxxx")
    assert len(message) == create_request.MAX_MESSAGE


def config_of(task: dict[str, Any], **run: Any) -> dict[str, Any]:
    whole = {"name": "a", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "x"}], **task}
    return {"runs": [{"name": "r", "tasks": [whole], **run}]}


def steps(**step: Any) -> dict[str, Any]:
    return config_of({"steps": [{"type": "run", "command": "x", **step}]})


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(config_of({}, name=f"r{BIDI}"), id="run.name"),
        pytest.param(config_of({"name": f"a{NARROW}"}), id="task.name"),
        pytest.param(config_of({"lock": f"l{ESCAPE}"}), id="lock"),
        pytest.param(config_of({"working_dir": f"w{ESCAPE}"}), id="working_dir"),
        pytest.param(config_of({"shell": f"sh {NUL}"}), id="shell"),
        pytest.param(config_of({"labels": {f"k{BIDI}": "v"}}), id="label"),
        pytest.param(config_of({"labels": {"k": f"v{ESCAPE}"}}), id="value of a label"),
        pytest.param(config_of({"environment": {"A=B": "x"}}), id="environment"),
        pytest.param(config_of({"environment": {"A": NUL}}), id="value of a variable"),
        pytest.param(config_of({"runtime": {"containers": [{"image": f"host{ESCAPE}"}]}}), id="image"),
        pytest.param(steps(name=f"s{BIDI}"), id="step.name"),
        pytest.param(steps(command=f"echo {ESCAPE}"), id="command with an escape"),
        pytest.param(steps(command=f"rm {BIDI}x"), id="command that turns the direction"),
        pytest.param(steps(command=f"echo {NUL}"), id="command with NUL"),
    ],
)
def test_a_configuration_is_refused_for_the_same(document: dict[str, Any]) -> None:
    assert loaded(document).errors


@pytest.mark.parametrize(
    "document",
    [
        config_of({"working_dir": "w\n", "labels": {"a": "b"}, "lock": "l", "shell": "sh -e"}),
        steps(command="set -e\n\techo 'Größe' \r\nprintf '\\033[1m'\n", name="n"),
        steps(command="  printf '\u200b' x  "),
        steps(command="y" * 300, environment={"A": f"{ESCAPE}"}),
    ],
)
def test_what_a_configuration_may_hold_the_server_takes(document: dict[str, Any]) -> None:
    found = loaded(document)
    assert found.errors == ()
    assert found.config is not None

    assert faults_of(request(*tasks_of_run(found.config, "r", Context()).tasks)) == {}


def loaded(document: dict[str, Any]) -> Any:
    return load_source("config.json", json.dumps(document).encode(), MappingFiles({}), Context())
