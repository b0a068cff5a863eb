"""A null is an absent field, everywhere."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.run_configurations import load_json, step, task

# Every optional field of run-config.md, and every map of names, with a value.
FULL = {
    "task_timeout_interval": "1h",
    "docker_registries_auth": {"r.io": {"type": "basic", "username": "u", "password": {"from_variable": "P"}}},
    "runs": [
        {
            "name": "r",
            "when": {"branch": {"include": ["main"], "exclude": ["x"]}, "tag": "v1", "ref": ["a"], "paths": "docs"},
            "docker_registries_auth": {"s.io": {"type": "encodedauth", "auth": "x"}},
            "task_timeout_interval": "2h",
            "timeout": "3h",
            "priority": 1,
            "tasks": [
                task("first"),
                {
                    "name": "a",
                    "runtime": {
                        "type": "pod",
                        "arch": "amd64",
                        "containers": [
                            {
                                "image": "host",
                                "environment": {"A": "x"},
                                "user": "u",
                                "privileged": True,
                                "entrypoint": "e",
                                "volumes": [{"path": "/t", "tmpfs": {"size": "1Gi"}}],
                                "resources": {"cpu": 1, "memory": "1Gi"},
                                "ready": {"port": 80},
                            },
                            {"image": "host", "ready": {"command": "x"}},
                        ],
                    },
                    "environment": {"A": "x", "B": {"from_variable": "B"}},
                    "working_dir": "w",
                    "shell": "s",
                    "user": "u",
                    "depends": [{"task": "first", "conditions": ["always"]}],
                    "ignore_failure": True,
                    "approval": {"timeout": "1d"},
                    "lock": "l",
                    "when": {"branch": "main"},
                    "docker_registries_auth": {"t.io": {"username": "u", "password": "p"}},
                    "task_timeout_interval": "4h",
                    "retry": {"max_attempts": 2, "on": ["lost"]},
                    "labels": {"a": "b"},
                    "priority": 2,
                    "resources": {"cpu": 1, "memory": "1Gi"},
                    "steps": [
                        {
                            "type": "run",
                            "command": "x",
                            "name": "n",
                            "when": {"branch": "main"},
                            "always": True,
                            "environment": {"A": "x"},
                            "working_dir": "w",
                            "shell": "s",
                            "tty": True,
                        },
                        {"run": {"command": "x", "name": "n", "environment": {"A": "x"}}},
                        {"type": "clone", "depth": 1, "recurse_submodules": True},
                    ],
                },
            ],
        }
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the way to each entry of each map."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if isinstance(value, dict):
            yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("path", [p for p in places(FULL) if p[-1] != "run"], ids=lambda p: ".".join(map(str, p)))
def test_null_is_the_same_as_an_absent_field(path: tuple[Any, ...]) -> None:
    with_null, without = copy.deepcopy(FULL), copy.deepcopy(FULL)
    for document in (with_null, without):
        holder: Any = document
        for part in path[:-1]:
            holder = holder[part]
        if document is with_null:
            holder[path[-1]] = None
        else:
            del holder[path[-1]]
    found, expected = load_json(with_null), load_json(without)
    assert [(e.path, e.message) for e in found.errors] == [(e.path, e.message) for e in expected.errors]
    assert found.config == expected.config


@pytest.mark.parametrize(
    ("with_null", "without"),
    [
        ({"run": "x", "name": None, "clone": None}, {"run": "x"}),
        ({"clone": None}, {"clone": {}}),
        ({"clone": {}, "always": None}, {"clone": {}}),
        ({"run": {"command": "x", "type": None}}, {"run": "x"}),
    ],
)
def test_null_beside_a_short_step_is_absent(with_null: dict[str, Any], without: dict[str, Any]) -> None:
    found = load_json(step(with_null))
    assert found.errors == ()
    assert found.config == load_json(step(without)).config


def test_full_configuration_is_without_faults() -> None:
    assert load_json(FULL).errors == ()
