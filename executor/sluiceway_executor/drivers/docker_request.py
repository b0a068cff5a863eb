"""What is sent to a container engine for a pod, as values. Pure.

The labels name whom a container or network belongs to, so that the executor's next process, its siblings and an
operator find it without any other record.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluiceway_executor.drivers.pod_container import CONTAINER_PROTOCOL
from sluiceway_executor.drivers.pod_link import SECRET_BYTES
from sluiceway_executor.drivers.port import Limits, PodRequest, ServiceRequest, TmpfsMount

__all__ = [
    "LABEL_ASSIGNMENT",
    "LABEL_JOURNAL",
    "LABEL_PROCESS",
    "LABEL_PROTOCOL",
    "LABEL_SESSION",
    "Owner",
    "first_container",
    "link_secret",
    "network",
    "pod_labels",
    "pod_name",
    "registry_of",
    "routes_container",
    "service_container",
]

_PREFIX = "sluiceway."
LABEL_ASSIGNMENT = _PREFIX + "assignment"
LABEL_SESSION = _PREFIX + "session"
LABEL_JOURNAL = _PREFIX + "journal"
"""The executor, by the id of its journal: the same after a restart."""
LABEL_PROCESS = _PREFIX + "process"
"""The process of the executor."""
LABEL_PROTOCOL = _PREFIX + "protocol"
"""Of a first container: the version of the messages to its first process."""
_DEFAULT_TMPFS_BYTES = 256 << 20
_SERVICE_LOG = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}}


@dataclass(frozen=True, slots=True)
class Owner:
    """The executor to which pods belong.

    Attributes:
        journal_id: the id of its journal.
        process_id: a random id of this process.
        executor_id: its id in its group.
        group: its group; empty: not known.
        server: the address of the installation.
        secret: of the executor, from which those of its pods are derived; kept in its journal.
    """

    journal_id: str
    process_id: str
    executor_id: str = ""
    group: str = ""
    server: str = ""
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


def pod_labels(request: PodRequest, owner: Owner) -> dict[str, str]:
    """Return the labels of all that belongs to a pod."""
    found = {
        LABEL_ASSIGNMENT: request.assignment_id,
        LABEL_SESSION: request.session_id,
        LABEL_JOURNAL: owner.journal_id,
        LABEL_PROCESS: owner.process_id,
        _PREFIX + "executor": owner.executor_id,
        _PREFIX + "group": owner.group,
        _PREFIX + "installation": owner.server,
        **{_PREFIX + name: value for name, value in request.labels.items()},
    }
    return {name: value for name, value in found.items() if value}


def pod_name(assignment_id: str, owner: Owner) -> str:
    """Return the name of the first container and of the network of a pod."""
    digest = hashlib.sha256(f"{owner.journal_id} {assignment_id}".encode()).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", assignment_id)[:40]
    return f"sluice-{readable}-{digest}"


def link_secret(name: str, owner: Owner) -> bytes:
    """Return the secret of the pod of a name, which each process of the executor finds again."""
    return hmac.digest(owner.secret, name.encode(), "sha256")[:SECRET_BYTES]


def network(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the network of a pod. Its bridge has a name that a firewall knows all of them by (`sl-+`)."""
    bridge = f"sl-{name.rpartition('-')[2]}"
    options = {"com.docker.network.bridge.name": bridge}
    return {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": dict(labels), "Options": options}


def first_container(
    request: PodRequest,
    labels: Mapping[str, str],
    *,
    argv: Sequence[str],
    network_mode: str,
    mounts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the container that runs the steps.

    Args:
        request: of the pod.
        labels: of the pod.
        argv: its first process and its arguments.
        network_mode: `none`, `host`, or a network.
        mounts: of folders of this machine.
    """
    return {
        "Image": request.image,
        "Hostname": "sluice" if network_mode != "host" else "",
        # Commands run as the user of the task.
        "User": "0:0",
        "Entrypoint": list(argv),
        "Cmd": [],
        # The image's would otherwise be loaded into the first process.
        "Env": ["LD_PRELOAD=", "LD_LIBRARY_PATH="],
        "WorkingDir": "/",
        "Labels": {**labels, LABEL_PROTOCOL: str(CONTAINER_PROTOCOL)},
        "Healthcheck": {"Test": ["NONE"]},
        "Tty": False,
        # Why the first process could not start.
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            **_limits(request.limits),
            "NetworkMode": network_mode,
            "Privileged": request.privileged,
            "AutoRemove": True,
            "Init": False,
            # Commands have an output of their own.
            "LogConfig": {"Type": "none"},
            # It cannot change the routes of its pod, and with raw sockets it could do without them.
            "CapDrop": [] if request.privileged else ["NET_RAW"],
            "Tmpfs": _tmpfs(request.tmpfs),
            "Mounts": list(mounts),
        },
    }


def routes_container(
    request: PodRequest, labels: Mapping[str, str], *, argv: Sequence[str], first: str
) -> dict[str, Any]:
    """Return the container that sets the routes of a pod and ends; `first` is the id of the first container."""
    return {
        "Image": request.image,
        "User": "0:0",
        "Entrypoint": list(argv),
        "Cmd": [],
        "Env": ["LD_PRELOAD=", "LD_LIBRARY_PATH="],
        "WorkingDir": "/",
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "NetworkMode": f"container:{first}",
            "AutoRemove": True,
            "LogConfig": {"Type": "none"},
            "CapAdd": ["NET_ADMIN"],
        },
    }


def service_container(service: ServiceRequest, labels: Mapping[str, str], *, first: str) -> dict[str, Any]:
    """Return a service; `first` is the id of the first container, whose network it shares."""
    config: dict[str, Any] = {
        "Image": service.image,
        "Env": [f"{name}={value}" for name, value in service.environment.items()],
        "Labels": dict(labels),
        "HostConfig": {
            **_limits(service.limits),
            "NetworkMode": f"container:{first}",
            "Privileged": service.privileged,
            "LogConfig": _SERVICE_LOG,
            "CapDrop": [] if service.privileged else ["NET_RAW"],
            "Tmpfs": _tmpfs(service.tmpfs),
        },
    }
    if service.user:
        config["User"] = service.user
    if service.entrypoint:
        config["Entrypoint"] = list(service.entrypoint)
        config["Cmd"] = []
    return config


def registry_of(image: str) -> str:
    """Return the registry of an image, as the configuration names it: `docker.io` if the name has none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _limits(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if limits.memory_bytes:
        # Without swap beyond it.
        found["Memory"] = found["MemorySwap"] = limits.memory_bytes
    if limits.processes:
        found["PidsLimit"] = limits.processes
    if limits.cpu_millis:
        found["NanoCpus"] = limits.cpu_millis * 1_000_000
    # Not `open_files`: the engine may be unable to raise its own limit. The first process lowers it for commands.
    return found


def _tmpfs(mounts: Sequence[TmpfsMount]) -> dict[str, str]:
    # Programs may be built in it, by any user.
    return {each.path: f"exec,mode=1777,size={each.size_bytes or _DEFAULT_TMPFS_BYTES}" for each in mounts}
