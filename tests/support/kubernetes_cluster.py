"""Start the fake of Kubernetes (`tests/fakes/kubernetes`) on a Docker daemon, or use a real cluster.

`SLUICE_TEST_KUBECONFIG` names the kubeconfig of a real cluster, `SLUICE_TEST_NAMESPACE` a namespace of it,
`SLUICE_TEST_POD_IMAGE` the image of Sluiceway and `SLUICE_TEST_IMAGE` one for tasks: `deploy/conformance.sh` sets them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluiceway_executor.drivers.pod_bundle import make_bundle
from tests.support.docker_daemon import BUSYBOX, DEBIAN, DockerDaemon

__all__ = ["Cluster", "fake_cluster", "real_cluster"]

_READY_SECONDS = 30.0
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster; `url` is empty if it is a real one. Its nodes have or pull the images, for pods and for tasks."""

    kubeconfig: Path
    namespace: str
    url: str
    pod_image: str
    task_image: str

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of its namespace."""
        token = json.loads(self.kubeconfig.read_text())["users"][0]["user"]["token"]
        url = f"{self.url}/api/v1/namespaces/{self.namespace}/pods"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return list(json.loads(response.read())["items"])

    def fault(self, name: str, **given: Any) -> Any:
        """Break something: see `tests.fakes.kubernetes.faults`."""
        body = json.dumps(given).encode()
        request = urllib.request.Request(f"{self.url}/fake/{name}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


def real_cluster() -> Cluster | None:
    """Return the cluster that the environment names; None: it names none."""
    kubeconfig = os.environ.get("SLUICE_TEST_KUBECONFIG")
    if not kubeconfig:
        return None
    names = ("SLUICE_TEST_NAMESPACE", "SLUICE_TEST_POD_IMAGE", "SLUICE_TEST_IMAGE")
    namespace, pod_image, task_image = (os.environ[name] for name in names)
    return Cluster(Path(kubeconfig), namespace, "", pod_image, task_image)


@contextlib.contextmanager
def fake_cluster(daemon: DockerDaemon) -> Iterator[Cluster]:
    """Run the fake, with the image of the first process."""
    pod_image = _import_pod_image(daemon)
    with tempfile.TemporaryDirectory(prefix="session-kubernetes-") as name:
        kubeconfig = Path(name, "kubeconfig")
        command = [sys.executable, "-m", "tests.fakes.kubernetes", "--docker", daemon.url]
        command += ["--kubeconfig", str(kubeconfig), "--sandbox-image", BUSYBOX]
        log = Path(name, "log")
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sink, stderr=sink)
        try:
            until = time.monotonic() + _READY_SECONDS
            while not kubeconfig.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, "the fake of Kubernetes did not start in time"
                time.sleep(0.05)
            url = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
            yield Cluster(kubeconfig, "builds", url, pod_image, DEBIAN)
        finally:
            # The end of its input ends it.
            process.communicate(timeout=_END_SECONDS)
            if text := log.read_text():
                sys.stderr.write(text[-4000:])


def _import_pod_image(daemon: DockerDaemon) -> str:
    """Make an image with the files of the first process, as `deploy/Dockerfile` has them, and nothing else."""
    sink = io.BytesIO(make_bundle())
    with tarfile.open(fileobj=sink, mode="a") as archive:
        for folder in ("dev", "proc", "sys", "etc", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
    # Others that use this daemon may have another version of these files.
    name = f"sluice-test/pod:{hashlib.sha256(sink.getvalue()).hexdigest()[:12]}"
    daemon.import_image(name, sink.getvalue())
    return name
