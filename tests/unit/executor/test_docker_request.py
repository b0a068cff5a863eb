"""What is sent to a container engine for a pod."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_executor.drivers.docker_request import (
    Owner,
    first_container,
    link_secret,
    network,
    pod_labels,
    pod_name,
    registry_of,
    service_container,
)
from sluiceway_executor.drivers.port import Limits, PodRequest, ServiceRequest, TmpfsMount

OWNER = Owner("journal", "process", executor_id="e1")
REQUEST = PodRequest("a1", "s1", image="tool:1", environment={"TOKEN": "secret"}, limits=Limits(100, 1 << 30))


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("python", "docker.io"),
        ("python:3.11", "docker.io"),
        ("team/tool", "docker.io"),
        ("localhost/tool", "localhost"),
        ("localhost:5000/tool", "localhost:5000"),
        ("registry.example.org/team/tool:1", "registry.example.org"),
        ("registry:5000/tool", "registry:5000"),
    ],
)
def test_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry


def test_secrets_of_steps_are_not_in_the_container() -> None:
    config = first_container(REQUEST, {}, argv=("/init",), network_mode="none")
    assert "secret" not in repr(config)
    assert config["Entrypoint"] == ["/init"]


def test_limits_are_those_of_the_container() -> None:
    limits = Limits(processes=60, memory_bytes=1 << 20, cpu_millis=1500)
    config = service_container(ServiceRequest("redis", limits=limits), {}, first="f")["HostConfig"]
    assert (config["PidsLimit"], config["Memory"], config["MemorySwap"]) == (60, 1 << 20, 1 << 20)
    assert config["NanoCpus"] == 1_500_000_000
    assert config["NetworkMode"] == "container:f"


@pytest.mark.parametrize("privileged", [False, True])
def test_capabilities_are_few(*, privileged: bool) -> None:
    request = PodRequest("a1", "s1", image="tool", privileged=privileged)
    host = first_container(request, {}, argv=("/init",), network_mode="n")["HostConfig"]
    assert host["Privileged"] is privileged
    assert host["CapDrop"] == ([] if privileged else ["NET_RAW"])
    assert "CapAdd" not in host


def test_service_keeps_the_entrypoint_unless_it_has_one() -> None:
    assert "Entrypoint" not in service_container(ServiceRequest("redis"), {}, first="f")
    config = service_container(ServiceRequest("redis", entrypoint=("sh", "-c", "x"), user="u"), {}, first="f")
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["sh", "-c", "x"], [], "u")


def test_memory_file_systems_have_a_size() -> None:
    request = PodRequest("a1", "s1", image="tool", tmpfs=(TmpfsMount("/a", 1024), TmpfsMount("/b")))
    tmpfs = first_container(request, {}, argv=(), network_mode="none")["HostConfig"]["Tmpfs"]
    assert tmpfs == {"/a": "exec,mode=1777,size=1024", "/b": "exec,mode=1777,size=268435456"}


def test_secret_of_a_pod_is_found_again_by_its_executor_only() -> None:
    assert link_secret("pod", OWNER) == link_secret("pod", replace(OWNER, process_id="another"))
    assert len({link_secret("pod", OWNER), link_secret("other", OWNER), link_secret("pod", Owner("journal", ""))}) == 3
    assert OWNER.secret.hex() not in repr(OWNER)
    assert repr(OWNER.secret) not in repr(OWNER)


def test_names_differ_by_executor_and_are_always_valid() -> None:
    other = Owner("another", "process")
    names = {pod_name("a1", OWNER), pod_name("a1", other), pod_name("../ü " + "x" * 200, OWNER)}
    assert len(names) == 3
    for name in names:
        assert name.isascii()
        assert len(name) < 64
        # Of an interface of Linux.
        assert len(network(name, {})["Options"]["com.docker.network.bridge.name"]) <= 15


def test_labels_without_a_value_are_left_out() -> None:
    labels = pod_labels(REQUEST, OWNER)
    assert "sluiceway.group" not in labels
    assert labels["sluiceway.assignment"] == "a1"
