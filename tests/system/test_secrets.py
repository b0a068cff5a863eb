"""A secret on real parts: it reaches the task, and is found nowhere else, also while the master key changes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway_executor.masking import forms_of
from tests.support.installation import SLUICE, Installation, config, installation, make_repository, until
from tests.support.places import command_lines, files_below, readable

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROJECT = "org/acme/api"
SECRET = "sk-live-" + os.urandom(20).hex()
# Stored in clear, so that a search that finds nothing differs from one that does not work.
CONTROL = "control-" + os.urandom(20).hex()
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
ENVIRONMENT = {"TOKEN": {"from_variable": "NPM_TOKEN"}, "CONTROL": CONTROL}
CHECKS = f'[ "$(printf %s "$TOKEN" | sha256sum | cut -c1-64)" = {DIGEST} ]'
PRINTS = """echo "plain $TOKEN"
echo "base64 $(printf %s "$TOKEN" | base64 -w0) and $(printf 'x%s' "$TOKEN" | base64 -w0)"
printf '%s\\n' '{"token": "'"$TOKEN"'"}' >&2
env
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("secrets")) as running:
        with running.http() as client:
            made = client.post("/api/v1/organizations", json={"organization": {"name": "acme"}})
            assert made.status_code == 201, made.text
            made = client.post("/api/v1/projects", json={"project": {"name": "api", "parentId": "org/acme"}})
            assert made.status_code == 201, made.text
        set_secret(running, "org/acme/npm", "token", SECRET)
        running.sluice("variable", "set", f"{PROJECT}/NPM_TOKEN", "npm", "token")
        yield running


def set_secret(here: Installation, path: str, key: str, value: str) -> None:
    done = subprocess.run(
        [*SLUICE, "secret", "set", path, key],
        env={**os.environ, "SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token},
        input=value + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert value not in done.stdout + done.stderr


def repository_of(here: Installation, name: str, *steps: str) -> Path:
    task = {
        "name": "use",
        "environment": ENVIRONMENT,
        "steps": [{"type": "run", "name": "step", "command": step} for step in steps],
    }
    path = here.repositories / name
    make_repository(path, {".sluice/config.json": config(task, name=name)})
    return path


def create(here: Installation, repository: Path) -> str:
    return here.create(repository, "--project", PROJECT)


def test_task_gets_the_value_and_its_log_is_masked(here: Installation) -> None:
    run_id = create(here, repository_of(here, "prints", CHECKS, PRINTS))
    run = here.wait_for(run_id)
    assert run["result"] == "RUN_RESULT_SUCCESS", here.tasks(run_id)
    assert run["warnings"] == []
    log = here.log(run_id, "use", 1)
    assert log.startswith(b"plain ***\nbase64 ***")
    assert b'{"token": "***"}' in log
    assert b"TOKEN=***\n" in log
    assert CONTROL.encode() in log
    assert not any(form in log for form in forms_of(SECRET.encode()))


def test_variable_that_is_not_set_is_a_warning(here: Installation) -> None:
    task = {"name": "use", "environment": {"A": {"from_variable": "OTHER"}}, "steps": [{"run": '[ -z "$A" ]'}]}
    make_repository(here.repositories / "unset", {".sluice/config.json": config(task, name="unset")})
    run = here.wait_for(create(here, here.repositories / "unset"))
    assert run["result"] == "RUN_RESULT_SUCCESS"
    assert run["warnings"] == ['variable "OTHER" is not set; task "use" gets an empty string']


def test_secret_is_nowhere_in_stores_files_and_processes(here: Installation, tmp_path: Path) -> None:
    run_id = create(here, repository_of(here, "holds", PRINTS, "echo holding; sleep 600"))
    until(lambda: here.tasks(run_id)["use"]["steps"][1]["phase"] == "STEP_PHASE_RUNNING", "the task holds its secret")
    # Its own processes have it in their environment; nobody has it as an argument, and no other process has it.
    processes = here.state["processes"]
    own = [here.state["pid"], *(processes[name] for name in ("etcd", "server", "gateway")), *processes["executors"]]
    of_processes = {f"{pid} environ": Path(f"/proc/{pid}/environ").read_bytes() for pid in own}
    of_processes |= command_lines()
    assert any(b"--master-key-file" in line for line in of_processes.values())
    assert_no_secret(of_processes)
    here.sluice("run", "stop", run_id, "--force", "--wait")

    export = tmp_path / "export"
    here.sluice("db", "checkpoint")
    here.sluice("db", "export", str(export))
    contents = {str(path): readable(content) for path, content in files_below(here.data.parent)}
    contents["export"] = readable(export.read_bytes())
    for place in ("/etcd/", "/objects/", "/server/"):
        assert any(place in path and CONTROL.encode() in text for path, text in contents.items()), place
    assert CONTROL.encode() in contents["export"]
    assert_no_secret(contents)
    assert not any(SECRET in path for path in contents)

    with here.http() as client:
        for path in ("/api/v1/secrets", "/api/v1/variables", "/api/v1/runs", f"/api/v1/runs/{run_id}/tasks"):
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            assert_no_secret({path: answer.content})


def test_runs_succeed_while_the_master_key_changes(here: Installation) -> None:
    repository = repository_of(here, "rotated", CHECKS, "sleep 1", CHECKS)
    before = [create(here, repository) for _ in range(3)]
    key = here.data / "master.key"
    old = key.read_text()
    replace(key, base64.b64encode(os.urandom(32)).decode() + "\n" + old)
    done = json.loads(here.sluice("db", "rotate-master-key", "-o", "json").stdout)
    assert (int(done["rewrapped"]) >= 1, done["failed"]) == (True, "0"), done
    after = [create(here, repository) for _ in range(3)]
    for run_id in (*before, *after):
        assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS", here.tasks(run_id)

    # The old key is not needed any more.
    replace(key, key.read_text().splitlines()[0] + "\n")
    again = json.loads(here.sluice("db", "rotate-master-key", "-o", "json").stdout)
    assert (again["masterKeyId"], again["rewrapped"], again["failed"]) == (done["masterKeyId"], "0", "0")
    assert here.wait_for(create(here, repository))["result"] == "RUN_RESULT_SUCCESS"


def test_task_that_needs_a_deleted_secret_fails_in_setup(here: Installation) -> None:
    set_secret(here, f"{PROJECT}/gone", "key", "a value that is deleted")
    here.sluice("variable", "set", f"{PROJECT}/GONE", "gone", "key")
    first = {"name": "first", "approval": True, "steps": [{"run": "true"}]}
    second = {"name": "use", "depends": ["first"], "environment": {"A": {"from_variable": "GONE"}}, "steps": []}
    make_repository(here.repositories / "gone", {".sluice/config.json": config(first, second, name="gone")})
    run_id = create(here, here.repositories / "gone")
    here.sluice("secret", "delete", f"{PROJECT}/gone")
    until(lambda: here.tasks(run_id)["first"]["approval"].get("waitingSince"), "the first task waits for its approval")
    here.sluice("run", "approve", run_id, "first")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    assert "was deleted" in here.tasks(run_id)["use"]["reason"]["message"]


def replace(path: Path, content: str) -> None:
    new = path.with_name("master.key.new")
    new.touch(mode=0o600)
    new.write_text(content)
    new.replace(path)


def assert_no_secret(contents: dict[str, bytes]) -> None:
    forms = forms_of(SECRET.encode())
    found = [place for place, text in contents.items() if any(form in text for form in forms)]
    assert found == []
