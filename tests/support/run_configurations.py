"""Small run configurations, and their checks on a branch."""

from __future__ import annotations

import json
from typing import Any

from sluiceway_common.runconfig.compile import LoadResult, load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context
from tests.support.drivers import ABLE

RUNTIME = {"containers": [{"image": "host"}]}
BRANCH = Context(ref_type="branch", ref="refs/heads/main", branch="main")


def load_json(document: Any) -> LoadResult:
    return load_source("config.json", json.dumps(document, indent=1).encode(), MappingFiles({}), BRANCH, drivers=ABLE)


def task(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "runtime": RUNTIME, **fields}


def config(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"runs": [{"name": "r", "tasks": list(tasks) or [task()], **fields}]}


def step(value: Any) -> dict[str, Any]:
    return config(task(steps=[value]))
