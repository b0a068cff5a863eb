"""What the kubelet of the fake asks of the Docker daemon for a pod, and the status of its containers, as values."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "MARKER",
    "config",
    "is_no_image",
    "marker",
    "name_of",
    "quantity",
    "registry_of",
    "sandbox",
    "set_state",
    "statuses",
    "volume",
    "volume_name",
]

MARKER = ".fake-kubelet"
LABEL = "fake.kubernetes.pod"
POD_PIDS_LIMIT = 4096
"""As a kubelet's `podPidsLimit`."""
_QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")
_UNITS = {"": 1, "m": 0.001, "k": 1000, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_IMAGE = re.compile(r"[a-z0-9]+([._:/@-]+[A-Za-z0-9_]+)*")


def quantity(text: str | float) -> float:
    """Return the value of `500m`, `1Gi`, ..."""
    found = _QUANTITY.fullmatch(str(text))
    assert found is not None, text
    return float(found[1]) * _UNITS[found[2]]


def name_of(pod: Mapping[str, Any], container: str) -> str:
    """Return the name of a container at the daemon."""
    return f"fake-k8s-{pod['metadata']['uid']}-{container}"


def volume_name(pod: Mapping[str, Any], name: str) -> str:
    """Return the name of a volume at the daemon."""
    return f"fake-k8s-{pod['metadata']['uid']}-{name}"


def marker() -> io.BytesIO:
    """Return an archive with a file by which the root of a container is known."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(MARKER))
    return io.BytesIO(sink.getvalue())


def is_no_image(image: str) -> bool:
    """Return whether a name is invalid."""
    return _IMAGE.fullmatch(image) is None


def registry_of(image: str) -> str:
    """Return the registry of an image."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first) else "index.docker.io"


def sandbox(pod: Mapping[str, Any], image: str) -> dict[str, Any]:
    """Return the container whose network the others share."""
    mode = "host" if pod["spec"].get("hostNetwork") else "none"
    return {
        "Image": image,
        "Entrypoint": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"],
        "Labels": {LABEL: pod["metadata"]["uid"]},
        "HostConfig": {"NetworkMode": mode},
    }


def volume(pod: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `emptyDir`."""
    options = {}
    empty = found["emptyDir"]
    if empty.get("medium") == "Memory":
        size = int(quantity(empty.get("sizeLimit", "64Mi")))
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size},mode=0777"}
    labels = {LABEL: pod["metadata"]["uid"]}
    return {"Name": volume_name(pod, found["name"]), "Driver": "local", "DriverOpts": options, "Labels": labels}


def config(pod: Mapping[str, Any], container: Mapping[str, Any], message: Path) -> dict[str, Any]:
    """Return a container of a pod; `message` is the file of its termination message."""
    security = {**pod["spec"].get("securityContext", {}), **container.get("securityContext", {})}
    environment = {each["name"]: each.get("value", "") for each in container.get("env", ())}
    injected = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    limits = container.get("resources", {}).get("limits", {})
    memory = int(quantity(limits.get("memory", 0)))
    capabilities = security.get("capabilities", {})
    mounts = [
        {
            "Type": "volume",
            "Source": volume_name(pod, each["name"]),
            "Target": each["mountPath"],
            "ReadOnly": each.get("readOnly", False),
        }
        for each in container.get("volumeMounts", ())
    ]
    mounts.append({"Type": "bind", "Source": str(message), "Target": "/dev/termination-log"})
    found: dict[str, Any] = {
        "Image": container["image"],
        "Env": [f"{name}={_expanded(value)}" for name, value in {**injected, **environment}.items()],
        "Labels": {LABEL: pod["metadata"]["uid"]},
        "OpenStdin": container.get("stdin", False),
        "HostConfig": {
            "NetworkMode": f"container:{name_of(pod, 'sandbox')}",
            "Privileged": security.get("privileged", False),
            "CapAdd": list(capabilities.get("add", ())),
            "CapDrop": list(capabilities.get("drop", ())),
            "PidsLimit": POD_PIDS_LIMIT,
            "Mounts": mounts,
            "OomScoreAdj": 900,
        },
    }
    if memory:
        found["HostConfig"] |= {"Memory": memory, "MemorySwap": memory}
    if "cpu" in limits:
        found["HostConfig"]["NanoCpus"] = int(quantity(limits["cpu"]) * 1e9)
    if "command" in container:
        found["Entrypoint"] = [_expanded(each) for each in container["command"]]
        found["Cmd"] = []
    if "args" in container:
        found["Cmd"] = [_expanded(each) for each in container["args"]]
    if container.get("workingDir"):
        found["WorkingDir"] = container["workingDir"]
    if "runAsUser" in security:
        group = security.get("runAsGroup", 0)
        found["User"] = f"{security['runAsUser']}:{group}"
    return found


def _expanded(text: str) -> str:
    # Of `$(NAME)`, what is escaped only: the driver names no variables.
    return text.replace("$$", "$")


def statuses(pod: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Return the statuses of all containers."""
    status = pod.get("status", {})
    return (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))


def set_state(pod: dict[str, Any], name: str, state: Mapping[str, Any]) -> None:
    """Set the state of a container."""
    spec = pod["spec"]
    initial = any(each["name"] == name for each in spec.get("initContainers", ()))
    listed = pod["status"].setdefault("initContainerStatuses" if initial else "containerStatuses", [])
    image = next(e["image"] for e in (*spec.get("initContainers", ()), *spec["containers"]) if e["name"] == name)
    found = {
        "name": name,
        "image": image,
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": dict(state),
    }
    for index, each in enumerate(listed):
        if each["name"] == name:
            listed[index] = found
            return
    listed.append(found)
