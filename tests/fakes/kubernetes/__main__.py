"""Run the fake: `python -m tests.fakes.kubernetes --docker unix:///run/docker.sock --kubeconfig FILE`.

It writes the file, from which clients connect to it, when it is ready, and runs until SIGTERM or until its standard
input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import tempfile
from pathlib import Path
from typing import Any

import aiodocker
from aiohttp import web

from tests.fakes.kubernetes.kubelet import Kubelet
from tests.fakes.kubernetes.server import FakeApi
from tests.fakes.kubernetes.store import Store

NAMESPACES = ("default", "builds")
_ARCHS = {"x86_64": "amd64", "aarch64": "arm64"}


def node(name: str, arch: str) -> dict[str, Any]:
    """Return a node."""
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/arch": arch, "kubernetes.io/os": "linux", "kubernetes.io/hostname": name},
        },
        "spec": {},
        "status": {
            "allocatable": {"cpu": "64", "memory": "512Gi"},
            "nodeInfo": {"architecture": arch, "operatingSystem": "linux", "kubeletVersion": "v1.32.0-fake"},
        },
    }


def kubeconfig(url: str, token: str) -> dict[str, Any]:
    """Return a configuration of a client."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": token}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "builds"}}],
    }


async def run(docker_url: str, file: Path, sandbox_image: str) -> None:
    """Run it until it is asked to end."""
    store, token = Store(), secrets.token_hex(8)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    # The end of the tests.
    loop.add_reader(0, stop.set)
    folder = Path(tempfile.mkdtemp(prefix="fake-kubelet-"))
    async with aiodocker.Docker(docker_url) as docker:
        arch = _ARCHS.get((await docker.system.info())["Architecture"], "amd64")
        for name in NAMESPACES:
            await store.create("namespaces", "", {"metadata": {"name": name}, "status": {"phase": "Active"}})
        await store.create("nodes", "", node("node-1", arch))
        kubelet = Kubelet(store, docker, folder, sandbox_image=sandbox_image)
        api = FakeApi(store, kubelet, token=token)
        runner = web.AppRunner(api.application(), handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        work = asyncio.create_task(kubelet.run())
        # In one step: who waits for it reads all of it.
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{port}", token)))
        draft.rename(file)
        waits = [work, asyncio.create_task(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        for each in waits:
            with contextlib.suppress(asyncio.CancelledError):
                await each
        await runner.cleanup()


def main() -> None:
    """Read the arguments, and run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.kubernetes", description=__doc__)
    parser.add_argument("--docker", required=True, help="the address of a Docker daemon")
    parser.add_argument("--kubeconfig", required=True, type=Path, help="the file to write")
    parser.add_argument("--sandbox-image", required=True, help="an image with /bin/sh, which the daemon has")
    given = parser.parse_args()
    asyncio.run(run(given.docker, given.kubeconfig, given.sandbox_image))


if __name__ == "__main__":
    main()
