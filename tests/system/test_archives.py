"""Workspaces, caches and artifacts on real parts, as a user of the command line meets them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, config, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SUM = "module example\n"
KEY = f"deps-{hashlib.sha256(SUM.encode()).hexdigest()}"
BUILD = (
    "mkdir -p dist/sub; printf 'echo built' > dist/app; chmod +x dist/app; ln -s app dist/link; seq 100000 > dist/sub/n"
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("archives")) as running:
        yield running


def run_of(here: Installation, name: str, *tasks: dict[str, Any], **files: str) -> str:
    repository = here.repositories / name
    make_repository(repository, {".sluice/config.json": config(*tasks), **files})
    run_id = here.create(repository)
    here.wait_for(run_id)
    return run_id


def statuses(here: Installation, run_id: str) -> dict[str, str]:
    return {name: task["status"].removeprefix("TASK_STATUS_") for name, task in here.tasks(run_id).items()}


def test_descendants_restore_what_their_ancestors_saved(here: Installation) -> None:
    save = {"save_to_workspace": {"contents": [{"source_dir": ".", "dest_dir": "out", "paths": ["dist/**"]}]}}
    check = 'cd out/dist && [ "$(./link)" = built ] && [ "$(seq 100000 | cmp - sub/n && echo same)" = same ]'
    run_id = run_of(
        here,
        "workspace",
        {"name": "build", "steps": [{"run": BUILD}, save]},
        {"name": "between", "depends": ["build"], "steps": [{"run": "true"}]},
        {"name": "test", "depends": ["between"], "steps": [{"restore_workspace": {"dest_dir": "."}}, {"run": check}]},
        {"name": "apart", "steps": [{"restore_workspace": {}}, {"run": '[ -z "$(ls)" ]'}]},
    )
    assert set(statuses(here, run_id).values()) == {"SUCCESS"}
    assert here.log(run_id, "test", 0) == b"[sluice] restored 3 files of build\n"
    assert here.log(run_id, "apart", 0) == b"[sluice] no task above this one has saved files\n"
    # A restart that keeps the task that saved shares its archives.
    test = here.tasks(run_id)["test"]["id"]
    again = here.sluice("run", "restart", run_id, "--task", test, "-o", "name").stdout.split()[0]
    here.wait_for(again)
    assert statuses(here, again)["test"] == "SUCCESS"


def test_unrelated_tasks_that_saved_the_same_file_differently(here: Installation) -> None:
    def saver(name: str, content: str) -> dict[str, Any]:
        contents = [{"paths": ["file"]}]
        return {
            "name": name,
            "steps": [{"run": f"printf {content} > file"}, {"save_to_workspace": {"contents": contents}}],
        }

    run_id = run_of(
        here,
        "conflict",
        saver("one", "1"),
        saver("two", "2"),
        {"name": "both", "depends": ["one", "two"], "steps": [{"restore_workspace": {}}]},
    )
    assert statuses(here, run_id) == {"one": "SUCCESS", "two": "SUCCESS", "both": "FAILED"}
    step = here.tasks(run_id)["both"]["steps"][0]
    assert step["reason"]["code"] == "WORKSPACE_CONFLICT"
    assert '"one" and "two" both saved "file"' in step["reason"]["message"]


def test_cache_is_restored_by_a_later_run(here: Installation) -> None:
    task = {
        "name": "build",
        "steps": [
            {"clone": {}},
            {"restore_cache": {"keys": ['deps-{{ checksum "go.sum" }}', "deps-"], "dest_dir": "deps"}},
            {"run": "ls deps 2>/dev/null || true; mkdir -p deps; [ -e deps/lib ] || echo downloaded > deps/lib"},
            {"save_cache": {"key": 'deps-{{ checksum "go.sum" }}', "contents": [{"source_dir": "deps"}]}},
        ],
    }
    first = run_of(here, "cached", task, **{"go.sum": SUM})
    assert statuses(here, first) == {"build": "SUCCESS"}
    assert here.log(first, "build", 1).decode() == (
        f'[sluice] no cache for "{KEY}", "deps-": none is stored for this project\n'
    )
    assert f'saved the cache "{KEY}"' in here.log(first, "build", 3).decode()
    second = here.create(here.repositories / "cached")
    here.wait_for(second)
    assert here.log(second, "build", 1).decode() == f'[sluice] restored 1 file of the cache "{KEY}"\n'
    assert here.log(second, "build", 2) == b"lib\n"
    assert "what is stored under a key never changes" in here.log(second, "build", 3).decode()

    # Another checksum: the newest cache that begins with the second key.
    repository = here.repositories / "cached"
    (repository / "go.sum").write_text("changed\n")
    subprocess.run(
        ["git", "-C", repository, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qam", "c"],
        check=True,
    )
    third = here.create(repository)
    here.wait_for(third)
    assert f'restored 1 file of the cache "{KEY}", which begins with "deps-"' in here.log(third, "build", 1).decode()

    # A miss says what differs.
    other = run_of(here, "missed", {"name": "t", "steps": [{"restore_cache": {"keys": ["deps-none"]}}]})
    assert f'the nearest is "{KEY[:5]}' in here.log(other, "t", 0).decode()


def test_artifacts_are_listed_and_downloaded(here: Installation, tmp_path: Path) -> None:
    run_id = run_of(
        here,
        "artifacts",
        {
            "name": "build",
            "steps": [{"run": BUILD}, {"type": "save_artifacts", "name": "binaries", "paths": ["dist/**"]}],
        },
        {"name": "none", "steps": [{"type": "save_artifacts", "name": "nothing", "paths": ["*.deb"]}]},
    )
    assert statuses(here, run_id) == {"build": "SUCCESS", "none": "FAILED"}
    assert "no file matches *.deb" in here.tasks(run_id)["none"]["steps"][0]["reason"]["message"]
    listed = here.sluice("run", "artifacts", run_id).stdout.splitlines()
    assert [line.split()[:3] for line in listed] == [["NAME", "TASK", "FILES"], ["binaries", "build", "2"]]

    target = tmp_path / "out.zip"
    here.sluice("run", "artifacts", run_id, "binaries", "--save", str(target))
    with zipfile.ZipFile(target) as found:
        assert sorted(n for n in found.namelist() if not n.endswith("/")) == ["dist/app", "dist/sub/n"]
        assert found.read("dist/app") == b"echo built"
    refused = here.sluice("run", "artifacts", run_id, "binaries", "--save", str(target), check=False)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    wrong = here.sluice("run", "artifacts", run_id, "other", check=False)
    assert "there is binaries" in wrong.stderr

    with here.http() as client:
        (artifact,) = client.get(f"/api/v1/runs/{run_id}/artifacts").json()["artifacts"]
        path = f"/api/v1/runs/{run_id}/artifacts/{artifact['id']}/content"
        whole = client.get(path)
        assert whole.headers["content-type"] == "application/zip"
        assert whole.headers["content-disposition"] == "attachment"
        assert whole.content == target.read_bytes()
        assert hashlib.sha256(whole.content).hexdigest() == artifact["sha256"]
        part = client.get(path, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert zipfile.is_zipfile(io.BytesIO(whole.content))
        assert client.get(f"/api/v1/runs/{run_id}/artifacts/none/content").status_code == 404


def test_stopped_task_ends_while_it_packs(here: Installation) -> None:
    repository = here.repositories / "slow"
    make = {"run": "mkdir big; head -c 300000000 /dev/urandom > big/file; touch ready"}
    save = {"type": "save_artifacts", "name": "big", "paths": ["big/**"]}
    make_repository(repository, {".sluice/config.json": config({"name": "t", "steps": [make, save]})})
    run_id = here.create(repository)
    until(lambda: here.tasks(run_id)["t"]["steps"][0].get("phase") == "STEP_PHASE_SUCCESS", "the files are made")
    here.sluice("run", "stop", run_id)
    here.wait_for(run_id)
    assert statuses(here, run_id)["t"] in {"STOPPED", "SUCCESS"}


def test_reports_list_the_tests_that_failed_first(here: Installation) -> None:
    report = (
        '<testsuite name="unit"><testcase classname="m" name="good" time="0.5"/><testcase classname="m" name="bad">'
        '<failure message="1 is not 2">at line 7</failure></testcase><testcase name="later"><skipped/></testcase>'
        "</testsuite>"
    )
    write = f"printf %s '{report}' > report.xml; echo broken > other.xml; exit 1"
    save = {"type": "save_reports", "paths": ["*.xml"], "always": True}
    run_id = run_of(here, "reports", {"name": "test", "steps": [{"run": write}, save]})
    assert statuses(here, run_id) == {"test": "FAILED"}
    log = here.log(run_id, "test", 1).decode()
    assert "other.xml is not read: it is no XML" in log
    assert "saved 3 tests of 1 file: 1 failed, 1 skipped" in log
    with here.http() as client:
        answer = client.get(f"/api/v1/runs/{run_id}/tests").json()
        failed = client.get(f"/api/v1/runs/{run_id}/tests", params={"failed": "true"}).json()
        first = client.get(f"/api/v1/runs/{run_id}/tests", params={"pageSize": 2}).json()
        rest = client.get(f"/api/v1/runs/{run_id}/tests", params={"pageSize": 2, "pageToken": first["nextPageToken"]})
        refused = client.get(f"/api/v1/runs/{run_id}/tests", params={"pageToken": "nonsense"})
    assert [test["name"] for test in answer["tests"]] == ["bad", "later", "good"]
    assert answer["counts"] == {"total": 3, "failed": 1, "skipped": 1}
    assert [(test["name"], test["message"], test["output"]) for test in failed["tests"]] == [
        ("bad", "1 is not 2", "at line 7")
    ]
    assert [test["name"] for test in [*first["tests"], *rest.json()["tests"]]] == ["bad", "later", "good"]
    assert refused.status_code == 400
    assert '1 of 3 tests failed: "m.bad"' in here.sluice("run", "explain", run_id).stdout
    assert "3 tests: 1 failed, 1 skipped" in here.sluice("run", "tests", run_id).stdout
    shown = here.sluice("run", "tests", run_id, "--failed").stdout
    assert "failed: m.bad" in shown
    assert "| at line 7" in shown
    with here.http() as client:
        assert client.get(f"/api/v1/runs/{run_id}/artifacts").json()["artifacts"] == []
