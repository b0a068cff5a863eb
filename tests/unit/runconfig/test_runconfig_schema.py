"""The JSON Schema: it takes what the model takes, and sees plain faults."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sluiceway_common.runconfig.compile import check_document
from sluiceway_common.runconfig.descriptions import DESCRIPTIONS, ITSELF
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.schema import json_schema
from tests.support.drivers import ABLE
from tests.support.json_schema import holds

SCHEMA = json_schema()

RUNTIME = {"containers": [{"image": "host"}]}


def task(**fields: Any) -> dict[str, Any]:
    return {
        "runs": [
            {"name": "r", "tasks": [{"name": "first", "runtime": RUNTIME}, {"name": "a", "runtime": RUNTIME, **fields}]}
        ]
    }


def step(value: Any) -> dict[str, Any]:
    return task(steps=[value])


ACCEPTED = [
    ("smallest", task()),
    ("nulls", task(when=None, approval=None, steps=None, environment=None, priority=None)),
    ("nulls-in-maps", task(environment={"A": None, "B": "x"}, labels={"a": None},
                           docker_registries_auth={"r": None}, when={"branch": None, "tag": {"include": None}},
                           retry={"on": None}, approval={"timeout": None}, resources={"cpu": None})),
    ("nulls-in-steps", task(steps=[{"run": "x", "name": None, "clone": None}, {"type": "clone", "depth": None},
                                   {"run": {"command": "x", "environment": {"A": None}}}])),
    ("null-condition", task(depends=[{"task": "first", "conditions": None}])),
    ("short-run", step({"run": "make"})),
    ("short-run-map", step({"run": {"command": "make", "name": "n", "always": True}})),
    ("long-run", step({"type": "run", "command": "make", "environment": {"A": {"from_variable": "X"}}})),
    ("short-clone", step({"clone": {}})),
    ("null-clone", step({"clone": None})),
    ("long-clone", step({"type": "clone", "depth": 1})),
    ("caches",
     task(steps=[{"save_cache": {"key": "k", "contents": [{"paths": ["x"]}]}}, {"restore_cache": {"keys": ["k"]}}])),
    ("workspaces", task(steps=[{"save_to_workspace": {"contents": [{}]}}, {"restore_workspace": None}])),
    ("files", task(steps=[{"save_artifacts": {"name": "n", "paths": ["x"]}}, {"save_reports": {"paths": ["x"]}}])),
    ("depends-text", task(depends=["first"])),
    ("depends-short", task(depends=[{"first": ["on_failure", "on_skipped"]}])),
    ("depends-one-condition", task(depends=[{"first": "always"}])),
    ("depends-long", task(depends=[{"task": "first", "conditions": ["on_stopped"]}])),
    ("approval-true", task(approval=True)),
    ("id-token", task(id_tokens={"A": {"aud": "a"}, "B": {"aud": ["a", "b"]}, "C": None})),
    ("approval-timeout", task(approval={"timeout": "7d"})),
    ("nanoseconds", task(task_timeout_interval=10**12)),
    ("when-forms", task(when={"branch": "main", "tag": ["a", "/b/"], "ref": {"include": "x", "exclude": ["y"]}})),
    ("paths", task(when={"paths": {"exclude": "docs/**"}})),
    ("retry", task(retry={"max_attempts": 3, "on": ["lost"]})),
    ("resources", task(resources={"cpu": 0.5, "memory": "1Gi"})),
    ("registries", task(docker_registries_auth={"r": {"username": "u", "password": {"from_variable": "P"}}})),
    ("arch", task(runtime={"type": "pod", "arch": "386",
                           "containers": [{"image": "i", "ready": 80}, {"image": "j", "ready": "x"}]})),
    ("volumes", task(runtime={"containers": [{"image": "i", "volumes": [{"path": "/t", "tmpfs": {"size": "1Gi"}}]}]})),
]  # fmt: skip

REFUSED = [
    ("nothing", {}),
    ("no-runs", {"runs": []}),
    ("unknown-field", task(dependss=[])),
    ("unknown-field-null", task(dependss=None)),
    ("unknown-step", step({"rum": "x"})),
    ("two-keys", step({"run": "x", "clone": {}})),
    ("unknown-condition", task(depends=[{"first": ["on_succes"]}])),
    ("number-in-environment", task(environment={"A": 5})),
    ("unknown-arch", task(runtime={"arch": "amd65", **RUNTIME})),
    ("no-image", task(runtime={"containers": [{}]})),
    ("duration", task(task_timeout_interval="5 minutes")),
    ("priority", task(priority=11)),
    ("attempts", task(retry={"max_attempts": 11})),
    ("name-too-long", task(name="x" * 101)),
    ("name-number", task(name=5)),
]


@pytest.mark.parametrize("document", [pytest.param(d, id=i) for i, d in ACCEPTED])
def test_schema_takes_what_the_checks_take(document: Any) -> None:
    assert check_document(Document(document), drivers=ABLE).errors == ()
    assert holds(SCHEMA, document)


@pytest.mark.parametrize("document", [pytest.param(d, id=i) for i, d in REFUSED])
def test_schema_sees_a_plain_fault(document: Any) -> None:
    assert check_document(Document(document), drivers=ABLE).errors
    assert not holds(SCHEMA, document)


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    references = set(re.findall(r"#/\$defs/(\w+)", str(SCHEMA)))
    assert references == set(SCHEMA["$defs"])


def test_every_description_is_of_a_field_of_the_schema() -> None:
    definitions = {"Config": SCHEMA, **SCHEMA["$defs"]}
    unknown = [
        f"{name}.{field}"
        for name, texts in DESCRIPTIONS.items()
        for field in texts
        if field != ITSELF and field not in definitions[name]["properties"]
    ]
    assert unknown == []
