"""The scheduler of the fake: chooses a node for a pod, or says why there is none. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.kubernetes.containers import quantity

__all__ = ["choose_node"]


def choose_node(
    pod: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Return the name of a node; or nothing, and the message of the scheduler."""
    reasons: Counter[str] = Counter()
    for node in nodes:
        why = _unsuitable(pod, node, pods)
        if not why:
            return str(node["metadata"]["name"]), ""
        reasons.update(why)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return "", f"0/{len(nodes)} nodes are available: {told or 'there are none'}."


def _unsuitable(pod: Mapping[str, Any], node: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> list[str]:
    spec, labels = pod["spec"], node["metadata"].get("labels", {})
    if node.get("spec", {}).get("unschedulable"):
        return ["node(s) were unschedulable"]
    if any(labels.get(name) != value for name, value in spec.get("nodeSelector", {}).items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    wanted = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = wanted.get("nodeSelectorTerms", ())
    if terms and not any(
        all(labels.get(each["key"]) in each["values"] for each in term["matchExpressions"]) for term in terms
    ):
        return ["node(s) didn't match Pod's node affinity/selector"]
    for taint in node.get("spec", {}).get("taints", ()):
        if not any(_tolerates(each, taint) for each in spec.get("tolerations", ())):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    here = [
        each
        for each in pods
        if each["spec"].get("nodeName") == node["metadata"]["name"]
        and each.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
    ]
    lacks = []
    for resource in ("cpu", "memory"):
        used = sum(_requested(each, resource) for each in here)
        if used + _requested(pod, resource) > quantity(node["status"]["allocatable"][resource]):
            lacks.append(f"Insufficient {resource}")
    return lacks


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("key") not in {None, "", taint["key"]}:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _requested(pod: Mapping[str, Any], resource: str) -> float:
    """Return what a pod requests: the sum of its containers, or the largest of its init containers."""

    def of(container: Mapping[str, Any]) -> float:
        resources = container.get("resources", {})
        found = resources.get("requests", {}).get(resource, resources.get("limits", {}).get(resource, 0))
        return quantity(found)

    spec = pod["spec"]
    first = max((of(each) for each in spec.get("initContainers", ())), default=0.0)
    return max(first, sum(of(each) for each in spec["containers"]))
