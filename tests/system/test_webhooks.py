"""A push becomes a run and a commit status: a real installation, real git, and a fake git provider."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.forge import Kind
from tests.fakes.forge.model import Repo
from tests.support.hook_receiver import documented_example, threaded_receiver
from tests.support.installation import SLUICE, Installation, installation, until
from tests.support.running_forge import RunningForge, running_forge

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CONFIG = {
    "runs": [
        {
            "name": "build",
            "tasks": [
                {
                    "name": "test",
                    "runtime": {"containers": [{"image": "host"}]},
                    "steps": [{"clone": {}}, {"run": "test ! -e broken && echo branch $SLUICE_GIT_BRANCH"}],
                }
            ],
        },
        {
            "name": "release",
            "when": {"tag": "/^v/"},
            "tasks": [
                {"name": "pack", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "true"}]},
            ],
        },
    ]
}
FILES = {".sluice/config.json": json.dumps(CONFIG).encode(), "README.md": b"# App\n"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that may call loopback addresses, with an executor whose tasks may do so too."""
    folder = tmp_path_factory.mktemp("webhooks")
    options = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8")
    with installation(folder, *options) as running, host_executor(running, folder / "executor"):
        yield running


@contextmanager
def host_executor(here: Installation, folder: Path) -> Iterator[None]:
    """Run an executor with the driver `host`: pods of the sandbox do not reach the loopback of their machine."""
    options = ["--server", here.state["grpc"], "--token-file", str(here.data / "executor.token")]
    options += ["--id", "host-1", "--driver", "host", "--work-dir", str(folder)]
    with (here.data.parent / "executor.log").open("ab") as log:
        process = subprocess.Popen([*SLUICE, "executor", "run", *options], stdout=log, stderr=log)
        try:
            until(lambda: "host-1" in here.sluice("executor", "list", "-o", "name").stdout, "the executor is there")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@dataclass
class Linked:
    """A project with a repository of a fake provider."""

    here: Installation
    forge: RunningForge
    repo: Repo
    project_id: str
    folder: Path

    def deliveries(self) -> list[dict[str, Any]]:
        with self.here.http() as client:
            answer = client.get(f"/api/v1/projects/{self.project_id}/deliveries")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found

    def delivery_of(self, commit: str, phase: str = "DELIVERY_PHASE_DONE") -> dict[str, Any]:
        """Wait until a delivery of a commit is in a phase; return it."""

        def reached() -> dict[str, Any] | None:
            try:
                found = self.deliveries()
            except (httpx.TransportError, AssertionError):
                return None  # the server is being restarted
            return next((each for each in found if (each["commitSha"], each["phase"]) == (commit, phase)), None)

        delivery: dict[str, Any] = until(reached, f"a delivery of {commit} is in {phase}")
        return delivery

    def run_ids(self, commit: str) -> dict[str, str]:
        """Return the ids of the runs of a commit, by name."""
        with self.here.http() as client:
            runs = client.get("/api/v1/runs", params={"groupPrefix": f"/project/{self.project_id}"}).json()["runs"]
        return {run["name"]: run["id"] for run in runs if run["source"]["commitSha"] == commit}

    def wait_for_status(self, commit: str, context: str, state: str) -> Any:
        def reached() -> Any:
            last = self.repo.last_status(commit, context)
            return last if last is not None and last.state == state else None

        return until(reached, f"the status {context} of {commit} is {state}")


def link(here: Installation, forge: RunningForge, folder: Path, name: str) -> Linked:
    """Make a remote source, a linked account and a project, as people do."""
    repo = forge.repository(f"acme/{name}", FILES)
    here.sluice("remote-source", "create", name, "--type", forge.fake.kind.product, "--api-url", forge.fake.api_url)
    token = folder / "token"
    token.write_text(f"{forge.user.token}\n")
    done = here.sluice("linked-account", "create", name, "--access-token-file", str(token))
    assert done.stdout == f"linked the account ann at {name}\n"
    path = f"user/admin/{name}"
    options = ("--remote-source", name, "--repository", repo.path)
    project_id = here.sluice("project", "create", path, *options, "-o", "name").stdout.strip()
    return Linked(here, forge, repo, project_id, folder)


@pytest.fixture(scope="module", params=[Kind.GITEA, Kind.GITHUB, Kind.GITLAB], ids=str)
def linked(
    here: Installation, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Linked]:
    folder = tmp_path_factory.mktemp(str(request.param))
    with running_forge(request.param, folder / "forge") as forge:
        yield link(here, forge, folder, f"app-{request.param}")


def test_push_becomes_a_run_and_a_status(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    commit = checkout.push({"a.txt": b"a"}, "Add a")
    delivery = linked.delivery_of(commit)
    assert {each["runName"]: each["reason"] for each in delivery["decisions"]} == {
        "build": "DECISION_REASON_RUN_CREATED",
        "release": "DECISION_REASON_WHEN",
    }
    run_id = delivery["decisions"][0]["runId"]
    run = linked.here.wait_for(run_id)
    assert (run["result"], run["group"]) == ("RUN_RESULT_SUCCESS", f"/project/{linked.project_id}/branch/main")
    assert linked.here.log(run_id, "test", 1) == b"branch main\n"
    status = linked.wait_for_status(commit, "sluiceway/build", "success")
    assert status.target_url == f"http://{linked.here.state['http']}/runs/{run_id}"


def test_failed_run_is_a_failed_status(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    checkout.git("checkout", "--quiet", "-b", "broken")
    commit = checkout.push({"broken": b""}, "Break it", ref="HEAD:refs/heads/broken")
    linked.delivery_of(commit)
    linked.here.wait_for(linked.run_ids(commit)["build"])
    failed = "failed" if linked.forge.fake.kind is Kind.GITLAB else "failure"
    linked.wait_for_status(commit, "sluiceway/build", failed)


def test_tag_makes_its_run_and_why_explains_the_rest(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    commit = checkout.git("rev-parse", "HEAD").strip()
    checkout.git("tag", "--annotate", "--message", "one", "v1")
    checkout.git("push", "--quiet", "origin", "v1")
    until(lambda: "release" in linked.run_ids(commit), "the tag has its run")
    until(lambda: linked.deliveries()[0]["phase"] == "DELIVERY_PHASE_DONE", "the delivery is worked on")
    said = linked.here.sluice("project", "why", linked.project_id, "v1").stdout
    assert "push" not in said.splitlines()[0]
    assert "release" in said
    listed = linked.here.sluice("project", "deliveries", linked.project_id, "-o", "jsonl").stdout
    assert len(listed.splitlines()) >= 1


def test_skip_word_makes_no_run(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    commit = checkout.push({"b.txt": b"b"}, "Add b [skip ci]")
    delivery = linked.delivery_of(commit)
    assert delivery["reason"] == "DECISION_REASON_SKIP_WORD"
    assert linked.run_ids(commit) == {}


def test_delivery_that_is_sent_twice_makes_one_run(linked: Linked, tmp_path: Path) -> None:
    linked.forge.fake.deliveries.twice = True
    try:
        checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
        commit = checkout.push({"c.txt": b"c"}, "Add c")
        linked.forge.do(linked.forge.fake.deliveries.settled)
    finally:
        linked.forge.fake.deliveries.twice = False
    until(lambda: not [d for d in linked.deliveries() if d["phase"] == "DELIVERY_PHASE_PENDING"], "all is worked on")
    with linked.here.http() as client:
        runs = client.get("/api/v1/runs", params={"groupPrefix": f"/project/{linked.project_id}"}).json()["runs"]
    assert len([run for run in runs if run["source"]["commitSha"] == commit]) == 1


def test_forged_delivery_is_refused(linked: Linked) -> None:
    before = len(linked.deliveries())
    sent = next(each for each in linked.forge.fake.deliveries.sent if each.status == 200)
    url = f"http://{linked.here.state['http']}/webhooks/{linked.project_id}"
    with httpx.Client(trust_env=False) as client:
        changed = client.post(url, content=sent.body + b" ", headers=sent.headers)
        unsigned = client.post(url, content=sent.body, headers={"content-type": "application/json"})
        unknown = client.post(f"{url}0", content=sent.body, headers=sent.headers)
        large = client.post(url, content=b"x" * (4 * 1024 * 1024 + 1), headers=sent.headers)
        got = client.get(url)
    # GitLab's secret token is no signature of the body.
    codes = {changed.status_code, unsigned.status_code, unknown.status_code}
    assert codes == {401} or (linked.forge.fake.kind is Kind.GITLAB and unsigned.status_code == 401)
    assert (large.status_code, got.status_code) == (413, 405)
    assert len(linked.deliveries()) == before


def test_server_killed_after_its_response_makes_one_run(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    commit = checkout.push({"d.txt": b"d"}, "Add d")
    sent = linked.forge.fake.deliveries.sent
    until(lambda: any(each.status == 200 and commit.encode() in each.body for each in sent), "it is answered")
    os.kill(linked.here.state["processes"]["server"], signal.SIGKILL)
    delivery = linked.delivery_of(commit)
    run_id = delivery["decisions"][0]["runId"]
    assert linked.here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert linked.run_ids(commit) == {"build": run_id}
    linked.wait_for_status(commit, "sluiceway/build", "success")


def test_pull_request_has_its_own_group(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    checkout.git("checkout", "--quiet", "-b", "change")
    commit = checkout.push({"e.txt": b"e"}, "Add e", ref="HEAD:refs/heads/change")
    linked.delivery_of(commit)
    fake, user = linked.forge.fake, linked.forge.user

    async def open_it() -> int:
        return (await fake.open_pull_request(linked.repo, user, head_branch="change")).number

    number = linked.forge.do(open_it)
    group = f"/project/{linked.project_id}/pull_request/{number}"

    def runs() -> list[dict[str, Any]]:
        with linked.here.http() as client:
            found: list[dict[str, Any]] = client.get("/api/v1/runs", params={"group": group}).json()["runs"]
        return found

    (run,) = until(runs, "the pull request has a run")
    assert (run["source"]["commitSha"], run["source"]["pullRequestId"]) == (commit, str(number))


def test_branch_and_tag_are_run_by_hand(linked: Linked) -> None:
    project = linked.project_id
    done = linked.here.sluice("project", "run", project, "--name", "build", "--watch")
    assert "it was asked for by its name" in done.stdout
    assert "success" in done.stdout
    shown = json.loads(linked.here.sluice("project", "run", project, "--ref", "refs/tags/v1", "-o", "json").stdout)
    decisions = {each["runName"]: each["reason"] for each in shown["decisions"]}
    assert decisions == {"build": "DECISION_REASON_RUN_CREATED", "release": "DECISION_REASON_RUN_CREATED"}
    with linked.here.http() as client:
        made = client.post(f"/api/v1/projects/{project}:run", json={"runName": "build"})
    assert (made.status_code, made.json()["event"]) == (201, "manual")
    refused = linked.here.sluice("project", "run", project, "--ref", "no-such", check=False)
    assert refused.returncode == 1
    assert "has no refs/heads/no-such" in refused.stderr


def test_restart_with_inputs_that_make_tasks_runs_again(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    text = """function(ctx) {runs: [{
      name: 'parts', inputs: {count: {type: 'number', default: 1}, who: {required: true}},
      tasks: [{
        name: 'part %d' % n, runtime: {containers: [{image: 'host'}]},
        steps: [{run: 'echo "$SLUICE_INPUT_WHO takes %d of $SLUICE_INPUT_COUNT"' % n}],
      } for n in std.range(1, ctx.inputs.count)],
    }]}"""
    checkout.push({".sluice/config.jsonnet": text.encode()}, "Parts", ref="HEAD:refs/heads/parts")
    here, project = linked.here, linked.project_id
    refused = here.sluice("project", "run", project, "--ref", "parts", "--name", "parts", check=False)
    assert 'inputs["who"]: a value is required' in refused.stderr
    done = here.sluice("project", "run", project, "--ref", "parts", "--input", "who=eve", "-o", "json")
    (decision,) = json.loads(done.stdout)["decisions"]
    here.wait_for(decision["runId"])
    again = here.sluice("run", "restart", decision["runId"], "--input", "count=2", "-o", "name").stdout.strip()
    here.wait_for(again)
    assert here.log(again, "part 2", 0) == b"eve takes 2 of 2\n"
    wrong = here.sluice("run", "restart", decision["runId"], "--input", "count=two", check=False)
    assert 'inputs["count"]: must be a number' in wrong.stderr


def test_pull_request_is_run_by_hand_with_variables(linked: Linked, tmp_path: Path) -> None:
    checkout = linked.forge.checkout(linked.repo, tmp_path / "clone")
    task = {
        "name": "pack",
        "runtime": {"containers": [{"image": "host"}]},
        "steps": [{"run": "echo to $TARGET as $SLUICE_PULL_REQUEST_ID"}],
    }
    config = {"runs": [{"name": "deploy", "tasks": [task]}]}
    files = {".sluice/config.json": json.dumps(config).encode()}
    commit = checkout.push(files, "Deploy", ref="HEAD:refs/heads/deploy")
    fake, user = linked.forge.fake, linked.forge.user

    async def open_it() -> int:
        return (await fake.open_pull_request(linked.repo, user, head_branch="deploy")).number

    number = linked.forge.do(open_it)
    linked.delivery_of(commit)
    options = ("--pull-request", str(number), "--var", "TARGET=the moon", "--watch")
    done = linked.here.sluice("project", "run", linked.project_id, *options)
    assert "variables: TARGET=the moon" in done.stdout
    with linked.here.http() as client:
        group = f"/project/{linked.project_id}/pull_request/{number}"
        found = client.get("/api/v1/runs", params={"group": group}).json()["runs"]
    run = next(each for each in found if each["variables"])
    assert (run["variables"], run["source"]["commitSha"]) == ({"TARGET": "the moon"}, commit)
    assert linked.here.log(run["id"], "pack", 0) == f"to the moon as {number}\n".encode()
    assert "variables: TARGET=the moon" in " ".join(linked.here.sluice("run", "get", run["id"]).stdout.split())
    again = linked.here.sluice("run", "restart", run["id"], "-o", "name").stdout.strip()
    linked.here.wait_for(again)
    assert linked.here.log(again, "pack", 0) == f"to the moon as {number}\n".encode()


def test_outgoing_webhook_reports_a_run(linked: Linked, tmp_path: Path) -> None:
    example, here = documented_example(tmp_path), linked.here
    events: list[dict[str, Any]] = []
    with threaded_receiver() as receiver:
        secret = tmp_path / "secret"
        secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=\n")
        options = ("--secret-file", str(secret), "-o", "name")
        webhook = here.sluice("webhook", "create", linked.project_id, receiver.url, *options).stdout.strip()
        here.sluice("project", "run", linked.project_id, "--name", "build", "--watch")
        os.kill(here.state["processes"]["server"], signal.SIGKILL)
        until(lambda: "run.finished" in receiver.types(), "the receiver knows the end of the run")
        for each in receiver.received:
            events.append(example.verify(secret.read_text().strip(), each.headers, each.body))
        said = until(lambda: listed(here, webhook, "delivered"), "the deliveries are listed")
        assert "run.finished" in said
        delivery = json.loads(here.sluice("webhook", "deliveries", webhook, "-o", "json").stdout)[0]
        count = len(receiver.received)
        here.sluice("webhook", "redeliver", webhook, delivery["id"])
        until(lambda: len(receiver.received) > count, "it is sent again")
    here.sluice("webhook", "disable", webhook)
    assert "disabled" in here.sluice("webhook", "list", linked.project_id).stdout
    here.sluice("webhook", "enable", webhook)
    assert "whsec_" in here.sluice("webhook", "rotate-secret", webhook).stdout
    assert "signs until" in here.sluice("webhook", "get", webhook).stdout
    here.sluice("webhook", "update", webhook, "--event", "run.finished")
    here.sluice("webhook", "delete", webhook)
    # A server that was killed after a response sends again: at least once, and in order.
    assert list(dict.fromkeys(event["type"] for event in events)) == ["run.created", "run.started", "run.finished"]
    assert events[-1]["data"]["run"]["result"] == "RUN_RESULT_SUCCESS"
    assert events[-1]["data"]["project"]["path"] == f"user/admin/{linked.repo.path.removeprefix('acme/')}"


def listed(here: Installation, webhook: str, state: str) -> str:
    """Return the table of deliveries when all of them are in a state."""
    said = here.sluice("webhook", "deliveries", webhook, check=False).stdout
    rows = [line for line in said.splitlines()[1:] if "run." in line]
    return said if rows and all(state in line for line in rows) else ""


def test_schedule_is_created_paused_and_deleted(linked: Linked) -> None:
    project = linked.project_id
    times = ("30 2 * * mon-fri", "--time-zone", "Europe/Berlin")
    made = linked.here.sluice("schedule", "create", project, *times, "--input", "level=2")
    assert "next at" in made.stdout
    (schedule,) = json.loads(linked.here.sluice("schedule", "list", project, "-o", "json").stdout)
    assert (schedule["ref"], schedule["timeZone"]) == ("refs/heads/main", "Europe/Berlin")
    assert schedule["inputs"] == {"level": "2"}
    shown = linked.here.sluice("schedule", "list", project, "-o", "wide").stdout
    assert "Europe/Berlin" in shown
    assert "all level=2" in shown
    linked.here.sluice("schedule", "pause", project, schedule["id"])
    assert "paused" in linked.here.sluice("schedule", "list", project).stdout
    linked.here.sluice("schedule", "resume", project, schedule["id"])
    with linked.here.http() as client:
        path = f"/api/v1/projects/{project}/schedules/{schedule['id']}"
        assert client.patch(path, json={"cron": "0 5 * * *"}).json()["cron"] == "0 5 * * *"
        assert client.get(path).json()["timeZone"] == "Europe/Berlin"
    linked.here.sluice("schedule", "delete", project, schedule["id"])
    assert json.loads(linked.here.sluice("schedule", "list", project, "-o", "json").stdout) == []


def test_deletion_of_the_project_takes_the_webhook_away(linked: Linked) -> None:
    assert linked.repo.hooks
    assert linked.repo.keys
    with linked.here.http() as client:
        assert client.delete(f"/api/v1/projects/{linked.project_id}").status_code == 204
    until(lambda: not linked.repo.hooks and not linked.repo.keys, "webhook and deploy key are gone")
