"""Run a fake provider with a repository that a person can push to: `python -m tests.fakes.forge --help`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path

from tests.fakes.forge import Kind, fake_forge

CONFIG = b"""runs:
- name: hello
  tasks:
  - name: greet
    runtime: {containers: [{image: host}]}
    steps: [{clone: {}}, {run: 'echo "hello from $SLUICE_GIT_BRANCH"'}]
"""

# Tasks of the driver `host` reach the loopback of the machine, those of the sandbox do not.
TO_DO = """
To see a push become a run, in a folder of its own:

    sluice standalone --data-dir data --driver host --allow-private-addresses 127.0.0.0/8

and in another shell there:

    export SLUICE_SERVER=127.0.0.1:7070 SLUICE_TOKEN=$(cat data/admin.token)
    sluice remote-source create forge --type {kind} --api-url {api}
    echo {token} > token
    sluice linked-account create forge --access-token-file token
    sluice project create user/admin/app --remote-source forge --repository {repository}

Then push to the clone, and look at `sluice run list`, or at http://127.0.0.1:8080. Deliveries:
"""


async def serve(kind: Kind, port: int, folder: Path, webhook: str, secret: str, *, is_private: bool) -> None:
    """Serve until a signal."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with fake_forge(kind, folder, port=port) as forge:
        ann = forge.add_user("ann")
        repository = await forge.add_repository(ann, "acme/app", is_private=is_private)
        await forge.commit(repository, ann, {".sluice/config.yml": CONFIG, "README.md": b"# App\n"}, message="Begin")
        address = forge.url.partition("://")[2]
        print(f"fake {kind}: {forge.url}, API {forge.api_url}, token of ann: {ann.token}")
        print(f"git clone http://ann:{ann.token}@{address}/{repository.path}.git", flush=True)
        print(f"SSH host key of {forge.ssh_url(repository)}: {forge.ssh.host_key}", flush=True)
        print(
            TO_DO.format(kind=kind.product, api=forge.api_url, token=ann.token, repository=repository.path), flush=True
        )
        if webhook:
            forge.add_webhook(repository, webhook, secret)
            print(f"pushes are delivered to {webhook}", flush=True)
        seen = 0
        while not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), 0.2)
            except TimeoutError:
                for delivery in forge.deliveries.sent[seen:]:
                    print(f"delivered to {delivery.url}: {delivery.status} {delivery.response}", flush=True)
                seen = len(forge.deliveries.sent)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.forge", description=__doc__)
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.GITEA)
    parser.add_argument("--port", type=int, default=0, help="a port of 127.0.0.1; 0: any")
    parser.add_argument("--webhook", default="", help="a URL that gets the events of pushes")
    parser.add_argument("--secret", default="", help="the secret of that webhook")
    parser.add_argument("--private", action="store_true", help="runs clone the repository over SSH, with a deploy key")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fake-forge-") as folder:
        served = serve(
            arguments.kind,
            arguments.port,
            Path(folder),
            arguments.webhook,
            arguments.secret,
            is_private=arguments.private,
        )
        asyncio.run(served)


if __name__ == "__main__":
    main()
