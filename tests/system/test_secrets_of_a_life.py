"""Everything that is secret in an installation, in a life of it with failures and a crash, is found nowhere in clear.

Searched are etcd with its history, the object storage with what is compressed in it, the read database, the files of an
executor, the logs of all processes, an export, the command lines and environments of all processes while they run, and
the responses of the API.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.forge import Kind
from tests.fakes.forge.model import Repo
from tests.support.encodings import encodings_of
from tests.support.installation import SLUICE, until
from tests.support.places import files_below, readable
from tests.support.ports import free_ports
from tests.support.running_forge import RunningForge, running_forge
from tests.support.several_servers import Process, Servers, several_servers

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

# Stored in clear, so that a search that finds nothing can be told from one that does not find.
CONTROL = "control-" + os.urandom(20).hex()
CRASH = "this process crashes here"
# A server that fails at a point at which it has the configuration of a run, and all that led to it.
CRASHING = f"""
import sys
from sluiceway.cli.entry import main
from sluiceway_common.foundation.crashpoints import crashing

def fail(name):
    raise RuntimeError({CRASH!r})

sys.argv[0] = "sluice"
with crashing(fail, "delivery.after-run"):
    main()
"""
PRINTS = """echo "plain $TOKEN"; echo "base64 $(printf %s "$TOKEN" | base64 -w0)"; env; echo "$TOKEN" >&2"""
TASK = {
    "runtime": {"containers": [{"image": "host"}]},
    "environment": {"TOKEN": {"from_variable": "NPM_TOKEN"}, "CONTROL": CONTROL},
}
CONFIG = {
    "runs": [
        {"name": "good", "tasks": [{**TASK, "name": "use", "steps": [{"run": PRINTS}]}]},
        {"name": "bad", "tasks": [{**TASK, "name": "use", "steps": [{"run": f"{PRINTS}; exit 3"}]}]},
    ]
}
# What is meant to have a secret in clear, for its owner alone.
FILES_OF_THE_OWNER = {"admin.token", "executor.token", "master.key", "session.key"}


@dataclass
class Life:
    """A running installation with a linked project.

    Attributes:
        secrets: everything that is secret, by what it is.
    """

    here: Servers
    forge: RunningForge
    repo: Repo
    executor: Process
    secrets: dict[str, str] = field(default_factory=dict)
    project_id: str = ""

    def post(self, path: str, body: dict[str, Any], code: int = 201) -> Any:
        with self.here.client() as client:
            answer = client.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == code, answer.text
        return answer.json() if answer.content else None

    def push(self, content: str) -> str:
        files: dict[str, bytes | None] = {"content": content.encode()}
        return self.forge.do(lambda: self.forge.fake.commit(self.repo, self.forge.user, files))

    def results_of(self, commit: str) -> dict[str, str]:
        """Return the results of the runs of a commit that are over, by name."""
        try:
            runs = self.here.get("/api/v1/runs", groupPrefix=f"/project/{self.project_id}")["runs"]
        except (httpx.TransportError, AssertionError):
            return {}  # the server is being restarted
        of_commit = [run for run in runs if run["source"]["commitSha"] == commit]
        return {run["name"]: run["result"] for run in of_commit if run["phase"] == "RUN_PHASE_FINISHED"}

    def phase_of(self, commit: str) -> str:
        """Return the phase of the delivery of a commit."""
        found = self.here.get(f"/api/v1/projects/{self.project_id}/deliveries")["deliveries"]
        return next((str(each["phase"]) for each in found if each["commitSha"] == commit), "")

    def processes(self) -> dict[str, int]:
        """Return the ids of the processes of the installation."""
        all_ = (self.here.etcd, *self.here.servers, *self.here.gateways, self.executor)
        return {process.name: process.pid for process in all_ if process.running is not None}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    (port,) = free_ports(1)
    key = folder / "here" / "master.key"
    key.parent.mkdir()
    key.touch(mode=0o600)
    secrets = {"master key": base64.b64encode(os.urandom(32)).decode()}
    key.write_text(secrets["master key"] + "\n")
    options = ["--public-url", f"http://127.0.0.1:{port}", "--master-key-file", str(key)]
    options += ["--allow-private-addresses", "127.0.0.0/8"]
    with (
        several_servers(folder / "here", count=1, executors=False, options=options) as here,
        running_forge(Kind.GITEA, folder / "forge") as forge,
    ):
        gateway = here.gateways[0]
        gateway.end()
        # On the port of the public URL.
        gateway.command[gateway.command.index("--http") + 1] = here.http[0] = f"127.0.0.1:{port}"
        gateway.start()
        until(here.is_ready, "the gateway is there")
        forge.user.token = secrets["access token"] = "gt-" + os.urandom(20).hex()
        repo = forge.repository("acme/app", {".sluice/config.json": json.dumps(CONFIG).encode()})
        options = ["--token-file", str(folder / "here" / "server-0" / "executor.token"), "--server", here.grpc[0]]
        options += ["--id", "host-1", "--driver", "host", "--work-dir", str(folder / "here" / "executor")]
        executor = Process("executor", [*SLUICE, "executor", "run", *options], folder / "here" / "executor.log")
        executor.start()
        made = Life(here, forge, repo, executor, secrets)
        try:
            yield made
        finally:
            executor.end()


def set_up(life: Life) -> None:
    """Make one of everything that is secret."""
    secrets = life.secrets
    secrets["OAuth2 client secret"] = "oauth-" + os.urandom(20).hex()
    secrets["password"] = "Correct-Horse/" + os.urandom(12).hex() + "+&"
    secrets["secret"] = "sk-live/" + os.urandom(20).hex() + "=&"
    secrets["outgoing webhook"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    source = {"name": "forge", "type": "gitea", "apiUrl": life.forge.fake.api_url, "oauth2ClientId": "sluiceway"}
    life.post("remoteSources", {"remoteSource": {**source, "oauth2ClientSecret": secrets["OAuth2 client secret"]}})
    account = {"remoteSourceId": "forge", "accessToken": secrets["access token"]}
    life.post("users/me/linkedAccounts", {"linkedAccount": account})
    project = {"name": "app", "parentId": "user/admin", "remoteSourceId": "forge", "repositoryPath": life.repo.path}
    life.project_id = life.post("projects", {"project": project})["id"]
    secrets["webhook secret"] = life.repo.hooks[0].secret
    hook = {"parentId": life.project_id, "url": f"{life.forge.fake.url}/hook", "secret": secrets["outgoing webhook"]}
    life.post("webhooks", {"webhook": hook})
    life.post("users", {"user": {"name": "bob"}})
    life.post("users/bob:setPassword", {"password": secrets["password"]}, 204)
    secrets["personal token"] = life.post("users/bob/tokens", {"tokenName": "laptop"})["token"]
    secrets["operator token"] = life.here.token
    secrets["executor token"] = (life.here.folder / "server-0" / "executor.token").read_text().strip()
    url = f"http://{life.here.http[0]}"
    page = {"sec-fetch-site": "same-origin", "origin": url}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        body = {"userName": "bob", "password": secrets["password"]}
        session = client.post("/session", json=body, headers=page)
        assert session.is_success, session.text
        secrets["session"] = next(iter(session.cookies.values()))
        wrong = client.post("/session", json={**body, "password": secrets["password"] + "x"}, headers=page)
        assert wrong.is_client_error, wrong.text
        secrets["token that is not valid"] = "slu_" + os.urandom(20).hex()
        refused = client.get("/api/v1/runs", headers={"authorization": f"Bearer {secrets['token that is not valid']}"})
        assert refused.status_code == 401
    sluice(life, "secret", "set", "user/admin/app/npm", "token", given=secrets["secret"] + "\n")
    sluice(life, "variable", "set", "user/admin/app/NPM_TOKEN", "npm", "token")


def sluice(life: Life, *arguments: str, given: str = "") -> str:
    environment = {**os.environ, "SLUICE_SERVER": life.here.grpc[0], "SLUICE_TOKEN": life.here.token}
    done = subprocess.run(
        [*SLUICE, *arguments], env=environment, input=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class Samples:
    """Command lines of all processes, and environments of those of the installation, as they were at some time."""

    def __init__(self, life: Life) -> None:
        self.found: set[tuple[str, bytes]] = set()
        self._life = life
        self._ended = threading.Event()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take samples while the block runs."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._take("command line", entry / "cmdline")
            for name, pid in self._life.processes().items():
                self._take(f"environment of {name}", Path(f"/proc/{pid}/environ"))

    def _take(self, what: str, path: Path) -> None:
        with suppress(OSError):
            self.found.add((what, path.read_bytes()))


def crash(life: Life) -> None:
    """Have the server fail in the middle of its work, and start it again."""
    server = life.here.servers[0]
    server.end()
    command = server.command
    server.command = [sys.executable, "-c", CRASHING, *command[len(SLUICE) :]]
    server.start()
    until(life.here.is_ready, "the server that will crash is ready")
    commit = life.push("crash")
    process = server.running
    assert process is not None
    until(lambda: process.poll() is not None, "the server has crashed")
    assert CRASH in server.log.read_text()
    server.command = command
    server.start()
    until(lambda: len(life.results_of(commit)) == 2, "the runs are made by the next server")


def places_of(contents: dict[str, bytes], secrets: dict[str, str]) -> list[str]:
    """Return what is found where."""
    forms = {what: encodings_of(secret) for what, secret in secrets.items()}
    return [
        f"{what} in {place}"
        for place, text in contents.items()
        for what, encodings in forms.items()
        if any(form in text for form in encodings)
    ]


def test_no_secret_is_in_clear_after_a_whole_life(life: Life, tmp_path: Path) -> None:
    samples = Samples(life)
    with samples.taken():
        set_up(life)
        commit = life.push("work")
        until(lambda: len(life.results_of(commit)) == 2, "the runs are over")
        assert life.results_of(commit) == {"good": "RUN_RESULT_SUCCESS", "bad": "RUN_RESULT_FAILED"}
        # One that fails at the provider, with its token, is logged.
        life.forge.user.is_revoked = True
        refused = life.push("refused")
        until(lambda: life.phase_of(refused) == "DELIVERY_PHASE_FAILED", "the provider refuses")
        life.forge.user.is_revoked = False
        crash(life)
        sluice(life, "db", "checkpoint")
        export = tmp_path / "export"
        sluice(life, "db", "export", str(export))

    contents = {
        str(path): readable(content)
        for path, content in files_below(life.here.folder)
        if path.name not in FILES_OF_THE_OWNER
    }
    contents["export"] = readable(export.read_bytes())
    for place in ("/etcd/", "/storage/", "/server-0/", "export"):
        assert any(place in path and CONTROL.encode() in text for path, text in contents.items()), place
    for name in ("server-0.log", "gateway-0.log", "executor.log"):
        assert any(path.endswith(name) and text for path, text in contents.items()), name
    lines = b"\n".join(content for _, content in samples.found)
    assert b"--master-key-file" in lines
    assert b"executor" in lines
    contents |= {f"{what} {number}": content for number, (what, content) in enumerate(samples.found)}
    with life.here.client() as client:
        project = f"projects/{life.project_id}"
        lists = ("runs", "secrets", "variables", "remoteSources", "users/me/linkedAccounts", "users", "tokens")
        for path in (*lists, project, f"{project}/deliveries", f"webhooks?parentId={life.project_id}"):
            answer = client.get(f"/api/v1/{path}")
            assert answer.status_code == 200, (path, answer.text)
            contents[path] = answer.content
    assert places_of(contents, life.secrets) == []


def test_search_finds_each_encoding() -> None:
    secret = "a secret/with+signs & spaces"
    for shift in range(3):
        text = base64.b64encode(b"-" * shift + secret.encode() + b"-" * 5)
        assert places_of({"here": b"x" + text}, {"it": secret}) == ["it in here"], shift
    for text in (secret.encode().hex().encode(), secret.replace(" ", "%20").replace("/", "%2F").encode()):
        found = places_of({"here": text.replace(b"+", b"%2B").replace(b"&", b"%26")}, {"it": secret})
        assert found == ["it in here"], text
