"""What is sent to Kubernetes for a pod, as values. Pure.

A pod has an init container, which copies the first process into a volume (`pod_bundle`); the container `task`, which
runs the steps; and `service-1`, `service-2`, ... Labels name whom it belongs to; values that are no labels are hashed,
and annotations have them in full.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.kubernetes_template import PodTemplate
from sluiceway_executor.drivers.pod_bundle import BUNDLE_ROOT, program
from sluiceway_executor.drivers.pod_container import CONTAINER_PROTOCOL
from sluiceway_executor.drivers.port import Limits, Network, PodRequest, RegistryLogin, ServiceRequest, TmpfsMount

__all__ = [
    "LABEL_ASSIGNMENT",
    "LABEL_JOURNAL",
    "LABEL_PROTOCOL",
    "LABEL_SESSION",
    "TASK",
    "PodSettings",
    "label_value",
    "pod_labels",
    "pod_manifest",
    "pod_name",
    "pull_secret",
    "service_name",
    "socket_name",
]

PREFIX = "sluiceway/"
LABEL_ASSIGNMENT = PREFIX + "assignment"
LABEL_SESSION = PREFIX + "session"
LABEL_JOURNAL = PREFIX + "journal"
"""The executor, by the id of its journal: the same after a restart."""
LABEL_PROTOCOL = PREFIX + "protocol"
"""The version of the messages to the first process."""
TASK = "task"
"""The name of the container that runs the steps."""
_FILES = "sluice"
_BUNDLE_MOUNT = {"name": _FILES, "mountPath": BUNDLE_ROOT, "readOnly": True}
_DEFAULT_TMPFS_BYTES = 256 << 20
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What all pods of a driver have in common.

    Attributes:
        image: of Sluiceway, from which the first process is copied.
        pull: `Always`, `IfNotPresent` or `Never`.
        archs: the architectures of nodes that a task without one may run on.
        disk_bytes: the limit of the files that a task writes; 0: none.
        template: the operator's additions.
    """

    image: str
    pull: str = "IfNotPresent"
    archs: Sequence[str] = ()
    disk_bytes: int = 0
    template: PodTemplate = field(default_factory=PodTemplate)


def pod_name(assignment_id: str, owner: Owner) -> str:
    """Return the name of a pod and of its secret."""
    digest = hashlib.sha256(f"{owner.journal_id} {assignment_id}".encode()).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9-]", "-", assignment_id.lower())[:40].strip("-")
    return f"sluice-{readable}-{digest}" if readable else f"sluice-{digest}"


def socket_name(name: str) -> str:
    """Return the name of the socket of a pod's first process: no other one on its node has it."""
    return f"sluiceway/{name}"


def service_name(number: int) -> str:
    """Return the name of the container of a service, counted from 1."""
    return f"service-{number}"


def label_value(text: str) -> str:
    """Return a text as the value of a label: itself, or a hash of it if it is none."""
    if _LABEL.fullmatch(text):
        return text
    return f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _facts(request: PodRequest, owner: Owner) -> dict[str, str]:
    found = {
        LABEL_ASSIGNMENT: request.assignment_id,
        LABEL_SESSION: request.session_id,
        LABEL_JOURNAL: owner.journal_id,
        PREFIX + "executor": owner.executor_id,
        PREFIX + "group": owner.group,
        PREFIX + "installation": owner.server,
        **{PREFIX + name: value for name, value in request.labels.items()},
    }
    return {name: value for name, value in found.items() if value}


def pod_labels(request: PodRequest, owner: Owner) -> dict[str, str]:
    """Return the labels of a pod and of its secret."""
    labels = {name: label_value(value) for name, value in _facts(request, owner).items()}
    return {"app.kubernetes.io/managed-by": "sluiceway", "app.kubernetes.io/component": "task", **labels}


def pod_manifest(
    request: PodRequest, settings: PodSettings, owner: Owner, *, network: Network, nonce: str, has_secret: bool
) -> dict[str, Any]:
    """Return the pod.

    Args:
        request: of the pod.
        settings: of the driver.
        owner: whose pod it is.
        network: that it gets.
        nonce: a random text, by which this call finds out that a pod of this name is its own.
        has_secret: there is a pull secret of its name.
    """
    name, socket = pod_name(request.assignment_id, owner), socket_name(pod_name(request.assignment_id, owner))
    volumes: list[dict[str, Any]] = [{"name": _FILES, "emptyDir": {}}]
    services = [
        _service(number, each, settings, socket, volumes) for number, each in enumerate(request.services, start=1)
    ]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "initContainers": [_install(settings)],
        "containers": [_task(request, settings, socket, volumes), *services],
        "volumes": volumes,
    }
    archs = [request.arch] if request.arch else list(settings.archs)
    if len(archs) == 1:
        spec["nodeSelector"]["kubernetes.io/arch"] = archs[0]
    elif archs:
        term = {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": archs}]}
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        }
    if network is Network.HOST:
        spec["hostNetwork"] = True
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    if has_secret:
        spec["imagePullSecrets"] = [{"name": name}]
    metadata = {
        "name": name,
        "labels": {**pod_labels(request, owner), LABEL_PROTOCOL: str(CONTAINER_PROTOCOL)},
        # A cluster autoscaler must not move a pod that cannot be started again.
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            PREFIX + "nonce": nonce,
            **{key: value for key, value in _facts(request, owner).items() if label_value(value) != value},
        },
    }
    return settings.template.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def pull_secret(
    name: str, labels: Mapping[str, str], logins: Mapping[str, RegistryLogin], *, pod_uid: str = ""
) -> dict[str, Any]:
    """Return the secret with the credentials of registries; with `pod_uid` it goes when the pod does."""
    auths = {}
    for registry, login in logins.items():
        key = _DOCKER_HUB if registry in {"docker.io", "index.docker.io", "registry-1.docker.io"} else registry
        both = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        auths[key] = {"username": login.username, "password": login.password, "auth": both}
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if pod_uid:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod_uid}]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()},
    }


def _install(settings: PodSettings) -> dict[str, Any]:
    return {
        "name": "install",
        "image": settings.image,
        "imagePullPolicy": settings.pull,
        "command": [*program("pod_install.py"), "/install"],
        "volumeMounts": [{"name": _FILES, "mountPath": "/install"}],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _task(request: PodRequest, settings: PodSettings, socket: str, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    resources = _resources(request.limits)
    if settings.disk_bytes:
        resources.setdefault("limits", {})["ephemeral-storage"] = str(settings.disk_bytes)
    security: dict[str, Any] = {"capabilities": {"drop": ["NET_RAW"]}}
    if request.privileged:
        security = {"privileged": True}
    if request.user:
        # The first process starts commands as that user.
        security["runAsUser"] = 0
    return {
        "name": TASK,
        "image": request.image,
        "imagePullPolicy": settings.pull,
        "command": [*program("pod_listener.py"), socket, request.user],
        "workingDir": "/",
        # The image's would otherwise be loaded into the first process.
        "env": [{"name": "LD_PRELOAD", "value": ""}, {"name": "LD_LIBRARY_PATH", "value": ""}],
        "resources": resources,
        "securityContext": security,
        "volumeMounts": [dict(_BUNDLE_MOUNT), *_tmpfs(TASK, request.tmpfs, volumes)],
    }


def _service(
    number: int, service: ServiceRequest, settings: PodSettings, socket: str, volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    name = service_name(number)
    security: dict[str, Any] = {"capabilities": {"drop": ["NET_RAW"]}}
    if service.privileged:
        security = {"privileged": True}
    found: dict[str, Any] = {
        "name": name,
        "image": service.image,
        "imagePullPolicy": settings.pull,
        # Kubernetes would expand $(NAME).
        "env": [{"name": key, "value": value.replace("$(", "$$(")} for key, value in service.environment.items()],
        "resources": _resources(service.limits),
        "securityContext": security,
        "volumeMounts": [dict(_BUNDLE_MOUNT), *_tmpfs(name, service.tmpfs, volumes)],
        # It ends with the first process of the pod, also when the executor cannot end it.
        "livenessProbe": {
            "exec": {"command": [*program("pod_alive.py"), socket]},
            "initialDelaySeconds": 30,
            "periodSeconds": 15,
            "timeoutSeconds": 10,
            "failureThreshold": 2,
        },
    }
    if service.entrypoint:
        found["command"] = [each.replace("$(", "$$(") for each in service.entrypoint]
    if service.user:
        uid, _, gid = service.user.partition(":")
        security["runAsUser"] = int(uid)
        if gid:
            security["runAsGroup"] = int(gid)
    return found


def _resources(limits: Limits) -> dict[str, Any]:
    found: dict[str, str] = {}
    if limits.memory_bytes:
        found["memory"] = str(limits.memory_bytes)
    if limits.cpu_millis:
        found["cpu"] = f"{limits.cpu_millis}m"
    # What it may use is what is reserved for it: a task is not ended because others use more.
    return {"limits": dict(found), "requests": dict(found)} if found else {}


def _tmpfs(container: str, mounts: Sequence[TmpfsMount], volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for number, mount in enumerate(mounts, start=1):
        name = f"{container}-tmpfs-{number}"
        size = str(mount.size_bytes or _DEFAULT_TMPFS_BYTES)
        volumes.append({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}})
        found.append({"name": name, "mountPath": mount.path})
    return found
