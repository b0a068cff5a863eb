"""The embedded etcd: how it is found, started and stopped."""

from __future__ import annotations

import os
import shutil
import sysconfig
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from sluiceway_common.foundation.errors import NotFound, Unavailable
from sluiceway_server.kv.embedded import (
    EtcdBinary,
    EtcdNotInstalled,
    etcd_arguments,
    etcd_environment,
    find_etcd,
    running_etcd,
    wait_until_healthy,
)
from sluiceway_server.kv.etcd import EtcdStore
from tests.support.etcd import wheel_etcd

T = timedelta(seconds=10)

pytestmark = pytest.mark.system


async def test_embedded_etcd_keeps_its_data_across_a_restart(tmp_path):
    async with running_etcd(tmp_path / "data") as endpoint:
        store = EtcdStore([endpoint])
        await store.put("a", b"1", timeout=T)
        first = await store.status(timeout=T)
        await store.close()

    async with running_etcd(tmp_path / "data") as endpoint:
        store = EtcdStore([endpoint])
        found, _ = await store.get("a", timeout=T)
        second = await store.status(timeout=T)
        await store.close()

    assert found is not None
    assert found.value == b"1"
    assert first.cluster_id == second.cluster_id


async def test_embedded_etcd_ends_with_its_context_manager(tmp_path):
    async with running_etcd(tmp_path / "data") as endpoint:
        pass

    with pytest.raises(Unavailable):
        await wait_until_healthy(endpoint, timeout=timedelta(seconds=0.2))


async def test_etcd_that_exits_at_start_is_reported_with_its_output(tmp_path):
    blocked = tmp_path / "data"
    blocked.write_text("a file where etcd wants its folder")

    with pytest.raises(Unavailable, match=r"ended with code [1-9]") as caught:
        async with running_etcd(blocked):
            pass

    assert str(blocked) in caught.value.message


async def test_etcd_of_the_wheel_is_the_fallback_with_a_warning(tmp_path):
    with structlog.testing.capture_logs() as logs:
        binary = find_etcd(str(tmp_path))

    assert (binary.version, binary.is_safe) == ("3.5.1", False)
    assert [(line["event"], line["log_level"]) for line in logs] == [("etcd_for_trying_out_only", "warning")]
    async with running_etcd(tmp_path / "data", binary=binary) as endpoint:
        store = EtcdStore([endpoint])
        assert (await store.status(timeout=T)).version == "3.5.1"
        await store.close()


def test_etcd_script_of_the_wheel_is_not_a_system_etcd(tmp_path):
    (system := tmp_path / "system").mkdir()
    (system / "etcd").symlink_to(wheel_etcd().path)
    environment = sysconfig.get_path("scripts")

    activated = find_etcd(os.pathsep.join((environment, str(system))))
    alone = find_etcd(environment)

    assert (Path(environment) / "etcd").exists()
    assert activated.path == system / "etcd"
    assert alone.path == wheel_etcd().path


def test_all_tests_use_the_chosen_etcd():
    wanted = os.environ.get("SLUICE_TEST_ETCD") or "system"

    if wanted == "wheel":
        assert find_etcd().version == "3.5.1"
    elif shutil.which("etcd", path=os.defpath):
        assert find_etcd().path.parent not in (wheel_etcd().path.parent, Path(sysconfig.get_path("scripts")))


def test_missing_etcd_program_says_what_to_install(tmp_path):
    with pytest.raises(EtcdNotInstalled, match="apt-get install etcd-server") as caught:
        find_etcd(str(tmp_path), wheel="no_such_package")

    assert isinstance(caught.value, NotFound)


def test_program_that_is_not_etcd_is_refused(tmp_path):
    program = tmp_path / "etcd"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)

    with pytest.raises(EtcdNotInstalled, match=str(program)):
        find_etcd(str(tmp_path))


def test_etcd_arguments_set_loopback_compaction_and_quota():
    arguments = etcd_arguments(
        EtcdBinary(Path("/usr/bin/etcd"), "3.4.23", True), Path("/data dir"), client_port=1, peer_port=2
    )

    urls = [argument for argument in arguments if "-urls=" in argument]
    assert len(urls) == 4
    assert all("=http://127.0.0.1:" in url for url in urls)
    assert "--auto-compaction-retention=300s" in arguments
    assert f"--quota-backend-bytes={8 * 1024**3}" in arguments
    assert "--data-dir=/data dir" in arguments


def test_etcd_variables_in_the_environment_are_ignored():
    environment = etcd_environment({"ETCD_DATA_DIR": "/elsewhere", "PATH": os.defpath})

    assert "ETCD_DATA_DIR" not in environment
    assert environment["PATH"] == os.defpath
