"""What a pod's status means: how far its start is, why it waits, and why it ended, in sentences for a person. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sluiceway_executor.drivers.kubernetes_manifest import TASK

__all__ = [
    "Failure",
    "PullTrouble",
    "end_of",
    "failure_of_start",
    "is_running",
    "pull_trouble",
    "terminated",
    "waits_for",
]

_PULL = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed"}
)
_NEVER_PULLED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CANNOT_START = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreStartHookError"}
)
_FINAL_TEXTS = (
    "not found",
    "manifest unknown",
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "access denied",
    "access to the resource is denied",
    "denied:",
    "forbidden",
    "invalid reference format",
    "does not match the specified platform",
    "no match for platform",
)
_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pod cannot start: the reason of our error, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PullTrouble:
    """An image that could not be pulled so far; `is_final`: it does not help to try again."""

    image: str
    message: str
    is_final: bool


def _statuses(pod: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))


def _state(pod: Mapping[str, Any], container: str, what: str) -> Mapping[str, Any] | None:
    for each in _statuses(pod):
        if each["name"] == container:
            found: Mapping[str, Any] | None = (each.get("state") or {}).get(what)
            return found
    return None


def is_running(pod: Mapping[str, Any], container: str) -> bool:
    """Return whether a container runs."""
    return _state(pod, container, "running") is not None


def terminated(pod: Mapping[str, Any], container: str) -> Mapping[str, Any] | None:
    """Return how a container ended; None: it has not."""
    return _state(pod, container, "terminated")


def waits_for(pod: Mapping[str, Any]) -> str:
    """Return what a pod that has not started waits for, as a sentence; empty: nothing worth mentioning."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node for the pod yet: {_line(condition.get('message') or condition.get('reason') or '')}"
    trouble = pull_trouble(pod)
    if trouble is not None:
        return f'the image "{trouble.image}" is not pulled yet: {trouble.message}'
    node = (pod.get("spec") or {}).get("nodeName")
    return f"the pod starts on the node {node}" if node else ""


def pull_trouble(pod: Mapping[str, Any]) -> PullTrouble | None:
    """Return the first image that could not be pulled."""
    images = _images(pod)
    for each in _statuses(pod):
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), _line(waiting.get("message") or "")
        if reason in _PULL or reason in _NEVER_PULLED:
            image = images.get(each["name"], each.get("image", ""))
            final = reason in _NEVER_PULLED or any(text in message.lower() for text in _FINAL_TEXTS)
            return PullTrouble(image, message or reason, final)
    return None


def failure_of_start(pod: Mapping[str, Any] | None) -> Failure | None:
    """Return why a pod will not start; None: it may."""
    if pod is None:
        return Failure("POD_START", "the pod was deleted before it had started")
    for each in _statuses(pod):
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _CANNOT_START:
            text = _line(waiting.get("message") or waiting["reason"])
            return Failure("POD_START", f"the container {each['name']} cannot be started: {text}")
    message = _message(pod)
    if message.get("event") == "failed":
        reason = "USER_UNSUPPORTED" if message.get("user") else "POD_START"
        return Failure(reason, f"the pod did not start: {message.get('text', '')}")
    ended = end_of(pod)
    return Failure("POD_START", f"the pod did not start: {ended}") if ended else None


def end_of(pod: Mapping[str, Any] | None) -> str:
    """Return why the first container of a pod has ended, or why it is going to, as a sentence; empty: it has not."""
    if pod is None:
        return "the pod was deleted"
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True" and _is_over(pod):
            text = condition.get("message") or condition.get("reason") or ""
            return f"Kubernetes ended the pod ({condition.get('reason', 'disruption')}): {_line(text)}"
    if status.get("reason") == "Evicted":
        return f"the node evicted the pod: {_line(status.get('message') or '')}"
    task = _state(pod, TASK, "terminated")
    if task is not None:
        if task.get("reason") == "OOMKilled":
            return "the pod used more memory than it may, and its first process was ended"
        if _message(pod).get("event") == "starved":
            return "fenced"
        return f"the first process of the pod ended with {task.get('exitCode')}"
    for each in status.get("initContainerStatuses") or ():
        over = (each.get("state") or {}).get("terminated")
        if over is not None and over.get("exitCode"):
            text = _line(over.get("message") or over.get("reason") or "")
            return f"the init container {each['name']} ended with {over['exitCode']}: {text}"
    if status.get("phase") in {"Failed", "Succeeded"}:
        return f"the pod has ended: {_line(status.get('message') or status.get('reason') or status['phase'])}"
    return ""


def _is_over(pod: Mapping[str, Any]) -> bool:
    return _state(pod, TASK, "terminated") is not None or (pod.get("status") or {}).get("phase") in {
        "Failed",
        "Succeeded",
    }


def _message(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the first process wrote as its last message."""
    task = _state(pod, TASK, "terminated") or {}
    try:
        found = json.loads(task.get("message") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _images(pod: Mapping[str, Any]) -> dict[str, str]:
    spec = pod.get("spec") or {}
    both = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return {each["name"]: each["image"] for each in both}


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_TEXT]
