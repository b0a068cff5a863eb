"""Real S3 servers for tests, each a process on free ports of 127.0.0.1.

`Seaweed` is durable, checks credentials, and can be killed, paused and started again on the same data and ports.
`Moto` keeps all in memory and checks none. Both need no event loop, so one serves a whole session of tests.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.ports import free_ports
from tests.support.processes import GuardedProcess, Restartable

__all__ = ["BUCKET", "OWNER", "READER", "STRANGER", "Moto", "S3Server", "Seaweed", "started"]

BUCKET = "sluiceway-tests"
"""Made by `start` when it is not there."""

# Each client would read the description of S3 again: 50 ms of JSON, for hundreds of clients in a process of tests.
botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)

_START_SECONDS = 90.0
_numbers = itertools.count(1)


def _credentials(name: str) -> Mapping[str, str]:
    # `AWS_CONFIG_FILE` and its kind keep the tests away from the developer's own credentials.
    return MappingProxyType(
        {
            "AWS_ACCESS_KEY_ID": f"key-of-{name}",
            "AWS_SECRET_ACCESS_KEY": f"secret-of-{name}",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )


OWNER = _credentials("owner")
"""Environment of who may do everything."""

READER = _credentials("reader")
"""Environment of who may read and list only (`Seaweed`)."""

STRANGER = _credentials("stranger")
"""Environment of who is not known (`Seaweed`)."""


class S3Server(Restartable, ABC):
    """One server and its data. `start` and `kill` may be called any number of times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Return its URL."""

    def url(self, prefix: str | None = None, *, endpoint: str | None = None) -> str:
        """Address a storage on it, as `--object-storage` takes it.

        Args:
            prefix: None: one that nobody else has.
            endpoint: of a proxy in front of it; None: its own.
        """
        prefix = prefix or f"test-{os.getpid()}-{next(_numbers)}"
        return f"s3://{BUCKET}/{prefix}?endpoint={endpoint or self.endpoint}&region=us-east-1"

    def client(self) -> Any:
        """Return a plain botocore client of the owner, to look at what is stored."""
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=OWNER["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=OWNER["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=10,
            ),
        )

    def start(self) -> None:
        """Start it (again), and wait until it stores."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = GuardedProcess(self._command(), words=self.folder / "server.log", folder=self.folder)
        self._process.wait_until_ready(self._fault, seconds=_START_SECONDS)

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _fault(self) -> str | None:
        with contextlib.closing(self.client()) as client:
            try:
                with contextlib.suppress(
                    client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists
                ):
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="started", Body=b"")
            except (BotoCoreError, ClientError) as error:
                return str(error)
        return None


class Seaweed(S3Server):
    """SeaweedFS (`weed server`): master, volume server, filer and S3 in one process."""

    def __init__(self, folder: Path, *, extra: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self._extra = extra
        self._ports = free_ports(8)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports[6]}"

    def _end(self, how: signal.Signals) -> None:
        super()._end(how)
        # They are in /tmp whatever its options say, and stay when it is killed.
        for port in self._ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        identities = self.folder / "identities.json"
        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        identities.write_text(
            json.dumps(
                {
                    "identities": [
                        _identity(OWNER, everything),
                        _identity(READER, ["Read", "List"]),
                    ]
                }
            )
        )
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = self._ports
        return [
            str(Path(sys.executable).with_name("weed")),
            "-logtostderr=true",
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            # Each bucket takes seven volumes; none is allocated before it is written.
            "-master.volumeSizeLimitMB=512",
            "-volume.max=50",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-volume.preStopSeconds=0",
            "-volume.minFreeSpace=100MiB",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self.folder / 's3.sock'}",
            f"-s3.config={identities}",
            "-s3.autoCreateBucket=false",
            *self._extra,
        ]


class Moto(S3Server):
    """moto's S3 (`moto_server`), in memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self._port,) = free_ports(1)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self._port)]


def _identity(who: Mapping[str, str], actions: list[str]) -> dict[str, Any]:
    keys = {"accessKey": who["AWS_ACCESS_KEY_ID"], "secretKey": who["AWS_SECRET_ACCESS_KEY"]}
    return {"name": who["AWS_ACCESS_KEY_ID"], "credentials": [keys], "actions": actions}


@contextlib.contextmanager
def started(server: S3Server) -> Iterator[S3Server]:
    """Run a server for the block, which may kill and start it."""
    try:
        server.start()
        yield server
    finally:
        server.kill()
