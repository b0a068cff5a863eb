"""Fixtures for tests of every layer. Nothing starts before a test requests it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.support.docker_daemon import DockerDaemon
    from tests.support.kubernetes_cluster import Cluster
    from tests.support.s3_servers import S3Server

CHOICE = "SLUICE_TEST_ETCD"
OF_THE_SESSION = "session-"
"""What the names of folders begin with that more than one module uses."""

# Hypothesis fails an example that takes more than 200 ms, and data that are made slowly: on a busy machine, any do.
settings.register_profile("sluiceway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluiceway")


def pytest_configure() -> None:
    """Restore the default signal handlers, and choose the etcd of all: the system's (the default) or the wheel's.

    `find_etcd` takes the first one on the PATH, so the one of the wheel is put there.
    """
    # What a shell starts in the background ignores these, and so does all that we start then.
    for ignored, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, handler)
    choice = os.environ.get(CHOICE) or "system"
    if choice not in ("system", "wheel"):
        raise pytest.UsageError(f'{CHOICE} is "system" or "wheel", not "{choice}"')
    if choice == "wheel":
        from tests.support.etcd import wheel_etcd

        folder = str(wheel_etcd().path.parent)
        if not os.environ["PATH"].startswith(folder):
            os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def pytest_report_header() -> str:
    """Return which etcd the tests use."""
    from sluiceway_server.kv.embedded import find_etcd

    binary = find_etcd()
    return f"etcd: {binary.version} ({binary.path})"


_numbers = itertools.count(1)


_LOGGING = structlog.get_config()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Restore the logging configuration after each test."""
    yield
    structlog.configure(**_LOGGING)


@pytest.fixture(scope="module", autouse=True)
def _folders_of_modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Delete the folders of a module whose tests all passed; pytest deletes those of tests only."""
    top = tmp_path_factory.getbasetemp()
    before, failed = set(top.iterdir()), request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        for folder in set(top.iterdir()) - before:
            if not folder.name.startswith(OF_THE_SESSION):
                shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def etcd_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a real etcd that all tests of the session share; use keys below `etcd_prefix` only.

    Its history may be compacted by any test: watch from a revision of your own test.
    """
    from tests.support.etcd import etcd_process

    with etcd_process(tmp_path_factory.mktemp("session-etcd") / "data") as process:
        yield process.endpoint


@pytest.fixture
def etcd_prefix() -> str:
    """Return a prefix for the keys of this test, ending in a slash; prefixes of tests do not overlap."""
    return f"test-{next(_numbers)}/"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield a durable S3 server (SeaweedFS) that all tests of the session share: do not end or pause it."""
    from tests.support.s3_servers import Seaweed, started

    with started(Seaweed(tmp_path_factory.mktemp("session-s3"))) as server:
        yield server


@pytest.fixture(scope="session")
def s3_memory_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield a second implementation of S3 (moto), in memory, shared by all tests of the session."""
    from tests.support.s3_servers import Moto, started

    with started(Moto(tmp_path_factory.mktemp("session-s3-memory"))) as server:
        yield server


@pytest.fixture(scope="session")
def daemon() -> Iterator[DockerDaemon]:
    """Yield the Docker daemon that all test processes of this machine share, or skip the test."""
    from tests.support.docker_daemon import docker_daemon

    with docker_daemon() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A fake of Kubernetes whose kubelet runs containers on that daemon, for each process of the tests.

    Or a real cluster, if the environment names one.
    """
    from tests.support.kubernetes_cluster import fake_cluster, real_cluster

    found = real_cluster()
    if found is not None:
        yield found
        return
    with fake_cluster(request.getfixturevalue("daemon")) as running:
        yield running


@pytest.fixture
def s3_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the credentials of the owner of the buckets into the environment, also for child processes."""
    from tests.support.s3_servers import OWNER

    for name, value in OWNER.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3_url(s3_server: S3Server, s3_owner: None) -> str:
    """Return the address of an empty storage on the durable S3 server, for `open_storage` or `--object-storage`."""
    return s3_server.url()


@pytest.fixture
def s3_memory_url(s3_memory_server: S3Server, s3_owner: None) -> str:
    """Return the address of an empty storage on the S3 server in memory."""
    return s3_memory_server.url()
