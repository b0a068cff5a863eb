"""How many objects the logs of a task are, with real processes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.support.installation import Installation, copy_example, installation, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def objects_of(here: Installation, run_id: str) -> Counter[str]:
    """Return how many objects in the object storage each task of a run has, by its name."""
    names = {task["id"]: name for name, task in here.tasks(run_id).items()}
    found = Counter(dict.fromkeys(names.values(), 0))
    for path in (here.data / "objects").rglob("*"):
        # Names of folders have a sign at their end.
        task = next((names[part[:36]] for part in path.parts if part[:36] in names), None)
        if path.is_file() and task is not None:
            found[task] += 1
    return found


def test_example_pipeline_leaves_at_most_two_objects_a_task(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        repository = here.repositories / "pipeline"
        copy_example("pipeline", repository)
        run_id = here.create(repository)
        until(lambda: here.tasks(run_id)["release"].get("approval", {}).get("waitingSince"), "it waits", seconds=120)
        here.sluice("run", "approve", run_id, "release")
        here.wait_for(run_id)
        found = objects_of(here, run_id)
        assert max(found.values()) <= 2, found
        assert sum(found.values()) >= 12, found
        for name, task in here.tasks(run_id).items():
            for number, step in enumerate(task.get("steps", [])):
                if step.get("logSha256"):
                    assert hashlib.sha256(here.log(run_id, name, number)).hexdigest() == step["logSha256"], name
        assert here.log(run_id, "release", None).startswith(b"[sluice] driver sandbox")
        verified = json.loads(here.sluice("db", "verify", "-o", "json").stdout)
        assert [verified["faults"], verified["notes"]] == [[], []]
