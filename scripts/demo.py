"""The main job, from nothing to a finished run: what `make run` and `make serve` do.

Makes a git repository of `examples/pipeline`, starts `sluice standalone` on free ports below `var/demo`, makes a run of
that repository with the `sluice` command, gives the approval that it waits for, and prints the graph, the log of each
task and the run as the gateway tells it. Exits with the run's own exit code; with `--serve` it stays up until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SLUICE = [sys.executable, "-m", "sluiceway.cli.entry"]
READY_SECONDS = 90
RUN_SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the example pipeline on an embedded installation.")
    parser.add_argument("--serve", action="store_true", help="stay up until Ctrl-C")
    parser.add_argument("--example", default="pipeline", help="a folder of examples/")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var" / "demo", help="where everything is kept")
    options = parser.parse_args()
    folder: Path = options.data_dir.resolve()
    repository = make_repository(ROOT / "examples" / options.example, folder / "repositories" / options.example)
    with standalone(folder / "data", folder / "repositories", serve=options.serve) as state:
        code = run_pipeline(state, folder / "data", repository)
        if options.serve:
            print(f"\nserving http://{state['http']} and gRPC at {state['grpc']}")
            print(f"the admin token is in {folder / 'data' / 'admin.token'}; Ctrl-C ends it", flush=True)
            wait_for_interrupt()
    return code


def make_repository(source: Path, target: Path) -> Path:
    """Make a git repository with one commit of the files of `source`."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.org"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message", "Show what a pipeline can do"],
    ):
        subprocess.run(["git", "-C", str(target), *command], check=True)
    return target


@contextmanager
def standalone(data: Path, repositories: Path, *, serve: bool) -> Iterator[dict[str, Any]]:
    """Run `sluice standalone`; gives its state when it is ready, and ends it after."""
    http = "127.0.0.1:0"
    command = [*SLUICE, "standalone", "--data-dir", str(data), "--http", http, "--grpc", "127.0.0.1:0"]
    began = time.monotonic()
    print("starting etcd, server, gateway and executor ...", flush=True)
    data.mkdir(parents=True, exist_ok=True)
    state_path = data / "standalone.json"
    state_path.unlink(missing_ok=True)
    with (data / "standalone.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--local-repositories", str(repositories)], stdout=log, stderr=log, start_new_session=serve
        )
    try:
        while not state_path.exists():
            if process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                words = (data / "standalone.log").read_text(errors="replace").strip().splitlines()[-5:]
                raise SystemExit("the installation did not start:\n  " + "\n  ".join(words))
            time.sleep(0.05)
        state: dict[str, Any] = json.loads(state_path.read_text())
        print(
            f"ready after {time.monotonic() - began:.1f} s: http://{state['http']}, gRPC at {state['grpc']}\n",
            flush=True,
        )
        yield state
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_pipeline(state: dict[str, Any], data: Path, repository: Path) -> int:
    """Make a run, give the approvals that it waits for, and print all there is to see."""
    token = (data / "admin.token").read_text().strip()
    environment = {**os.environ, "SLUICE_SERVER": state["grpc"], "SLUICE_TOKEN": token}

    def sluice(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SLUICE, *arguments], env=environment, check=check, text=True, stdout=subprocess.PIPE, timeout=RUN_SECONDS
        )

    run_id = sluice("run", "create", "--repo", str(repository), "-o", "name").stdout.split()[0]
    print(f"$ sluice run watch {run_id}", flush=True)
    watch = subprocess.Popen([*SLUICE, "run", "watch", run_id], env=environment, text=True, stdout=subprocess.PIPE)
    assert watch.stdout is not None
    for line in watch.stdout:
        print(line, end="", flush=True)
        if "sluice run approve" in line:
            approve = shlex.split(line.split("sluice run approve", 1)[1])
            print(f"$ sluice run approve {shlex.join(approve)}", flush=True)
            sluice("run", "approve", *approve)
    code = watch.wait(RUN_SECONDS)

    print(f"\n$ sluice run get {run_id}", flush=True)
    subprocess.run([*SLUICE, "run", "get", run_id], env=environment, check=True)
    print(f"\n$ sluice run logs {run_id}", flush=True)
    subprocess.run([*SLUICE, "run", "logs", run_id], env=environment, check=True, stderr=subprocess.STDOUT)
    url = f"http://{state['http']}/api/v1/runs/{run_id}"
    print(f"\n$ curl {url}", flush=True)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        run = json.load(answer)
    print(json.dumps(run, indent=2))
    print(f"\nrun {run['number']} ended: {run.get('result', run['phase'])}", flush=True)
    return code


def wait_for_interrupt() -> None:
    """Return at SIGINT or SIGTERM."""
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


if __name__ == "__main__":
    # At any time, they end what was started. SIGINT is ignored in what a shell starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
