"""The operator's template of the pods of the driver `kubernetes`: what a pod of a task has beside what its task needs.

A template is a manifest of a pod. Of its containers, `task` is merged into the container that runs the steps, `service`
into each service, and `install` into the init container of that name. Objects are merged, with what the task needs on
top; lists of the two are joined. Pure, except for `load_template`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sluiceway_common.foundation.errors import InvalidInput, Violation

__all__ = ["PodTemplate", "load_template", "parse_template"]

_OF_POD = frozenset({"apiVersion", "kind", "metadata", "spec"})
_OF_METADATA = frozenset({"labels", "annotations"})
# What the driver decides, or what would keep its pods from working.
_NOT_OF_SPEC = {
    "restartPolicy": "pods are started once",
    "automountServiceAccountToken": "tasks get no token of the cluster",
    "shareProcessNamespace": "the first process of a task is process 1",
    "hostPID": "the first process of a task is process 1",
    "hostNetwork": "a task asks for it, and --network host allows it",
    "activeDeadlineSeconds": "a task has a timeout of its own",
    "ephemeralContainers": "a new pod cannot have any",
    "nodeName": "use nodeSelector",
}
_CONTAINERS = ("task", "service")
_NOT_OF_CONTAINER = {
    "command": "the driver starts it",
    "args": "the driver starts it",
    "stdin": "the driver starts it",
    "tty": "the driver starts it",
    "livenessProbe": "the driver has one",
    "workingDir": "the driver starts it",
    "terminationMessagePath": "the driver reads it",
    "terminationMessagePolicy": "the driver reads it",
}


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """A template that was checked.

    Attributes:
        metadata: labels and annotations.
        spec: of the pod, without containers.
        task: of the container that runs the steps.
        service: of each service.
        install: of the init container that has the first process.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    install: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Return a pod with what the template adds."""
        spec = _merged(self.spec, pod["spec"])
        spec["containers"] = [
            _merged(self.task if each["name"] == "task" else self.service, each) for each in pod["spec"]["containers"]
        ]
        spec["initContainers"] = [_merged(self.install, each) for each in pod["spec"]["initContainers"]]
        return {**pod, "metadata": _merged(self.metadata, pod["metadata"]), "spec": spec}


def load_template(path: Path) -> PodTemplate:
    """Read a template, in YAML or JSON.

    Raises:
        InvalidInput: it cannot be read, or is no template; all faults are listed.
    """
    try:
        return parse_template(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise InvalidInput([Violation("pod_template", f"{path} cannot be read: {why}")]) from error


def parse_template(text: str) -> PodTemplate:
    """Parse a template. Raises as `load_template`."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput([Violation("pod_template", f"it is not YAML: {' '.join(str(error).split())}")]) from error
    faults: list[Violation] = []

    def fault(path: str, text: str) -> None:
        faults.append(Violation(f"pod_template.{path}" if path else "pod_template", text))

    if not isinstance(found, dict):
        fault("", "it is not the manifest of a pod")
        raise InvalidInput(faults)
    for name in found.keys() - _OF_POD:
        fault(str(name), "a pod has no such field; put it below spec")
    if found.get("kind", "Pod") != "Pod":
        fault("kind", f'it is "{found["kind"]}"; a template is a Pod')
    metadata, spec = found.get("metadata") or {}, found.get("spec") or {}
    for name, part in (("metadata", metadata), ("spec", spec)):
        if not isinstance(part, dict):
            fault(name, "it is not an object")
    if faults:
        raise InvalidInput(faults)
    for name in metadata.keys() - _OF_METADATA:
        fault(f"metadata.{name}", "a template has labels and annotations only")
    for name in sorted(spec.keys() & _NOT_OF_SPEC):
        fault(f"spec.{name}", f"a template cannot have it: {_NOT_OF_SPEC[name]}")
    containers = _named(spec.get("containers") or [], "spec.containers", _CONTAINERS, fault)
    inits = _named(spec.get("initContainers") or [], "spec.initContainers", ("install",), fault)
    if faults:
        raise InvalidInput(faults)
    return PodTemplate(
        metadata=metadata,
        spec={name: value for name, value in spec.items() if name not in {"containers", "initContainers"}},
        task=containers.get("task", {}),
        service=containers.get("service", {}),
        install=inits.get("install", {}),
    )


def _named(listed: Any, path: str, names: tuple[str, ...], fault: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(listed, list):
        fault(path, "it is not a list")
        return found
    for index, each in enumerate(listed):
        name = each.get("name") if isinstance(each, dict) else None
        if name not in names:
            fault(f"{path}[{index}].name", f"containers of a template are named {' or '.join(names)}")
            continue
        for key in sorted(each.keys() & _NOT_OF_CONTAINER):
            fault(f"{path}[{index}].{key}", f"a template cannot have it: {_NOT_OF_CONTAINER[key]}")
        if "image" in each:
            fault(
                f"{path}[{index}].image", "a template cannot have it: a run's configuration, or --pod-image, names it"
            )
        found[name] = {key: value for key, value in each.items() if key != "name"}
    return found


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two objects in one. A value of `above` is kept; objects are merged and lists are joined."""
    found = copy.deepcopy(dict(below))
    for name, value in above.items():
        present = found.get(name)
        if isinstance(present, dict) and isinstance(value, Mapping):
            found[name] = _merged(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            found[name] = [*present, *copy.deepcopy(value)]
        else:
            found[name] = copy.deepcopy(value)
    return found
