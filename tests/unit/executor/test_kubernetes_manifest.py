"""The manifests of pods: every one is valid by the oldest and the newest schema of Kubernetes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_executor.drivers import kubernetes_manifest as manifests
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.kubernetes_template import parse_template
from sluiceway_executor.drivers.port import Limits, Network, PodRequest, RegistryLogin, ServiceRequest, TmpfsMount

SCHEMAS = ("1.25", "1.37")
OWNER = Owner("j1", "", executor_id="builder-1", group="default", server="https://ci.example.org:7070")
PLAIN = PodRequest("a1", "s1", image="python:3.11", limits=Limits())
FULL = PodRequest(
    "A1.x",
    "s1",
    image="python:3.11",
    arch="arm64",
    user="worker:extra",
    services=(
        ServiceRequest("postgres:16", environment={"PASSWORD": "$(HOME)"}, user="70:70", ready_port=5432),
        ServiceRequest("busybox", entrypoint=("/bin/sh", "-c", "echo $(date)"), privileged=True),
    ),
    tmpfs=(TmpfsMount("/scratch", 8 << 20), TmpfsMount("/other")),
    limits=Limits(memory_bytes=1 << 30, cpu_millis=1500),
    registries={"docker.io": RegistryLogin("u", "p"), "registry.example.org": RegistryLogin("v", "q")},
    labels={"run": "r1", "task": "t1", "attempt": "1.1"},
)
SETTINGS = manifests.PodSettings("registry.example.org/sluiceway:0.1.0", archs=("amd64", "arm64"), disk_bytes=1 << 30)
TEMPLATE = """
kind: Pod
metadata: {annotations: {a: b}, labels: {team: one, sluiceway/run: mine}}
spec:
  serviceAccountName: builds
  tolerations: [{key: ci, operator: Exists}]
  nodeSelector: {pool: ci, kubernetes.io/os: windows}
  imagePullSecrets: [{name: mirror}]
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: task
    resources: {requests: {cpu: 500m, memory: 512Mi}, limits: {memory: 4Gi}}
    volumeMounts: [{name: cache, mountPath: /cache}]
  - name: service
    resources: {limits: {memory: 2Gi}}
  initContainers:
  - name: install
    resources: {requests: {cpu: 5m}}
  volumes: [{name: cache, emptyDir: {}}]
"""


def manifest(request: PodRequest = PLAIN, *, network: Network = Network.ISOLATED, template: str = "") -> dict[str, Any]:
    settings = replace(SETTINGS, template=parse_template(template)) if template else SETTINGS
    return manifests.pod_manifest(
        request, settings, OWNER, network=network, nonce="n1", has_secret=bool(request.registries)
    )


def check(found: Mapping[str, Any]) -> None:
    for version in SCHEMAS:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["plain", "template"])
@pytest.mark.parametrize("network", [Network.ISOLATED, Network.HOST])
@pytest.mark.parametrize("request_", [PLAIN, FULL, replace(FULL, privileged=True)], ids=["plain", "full", "privileged"])
def test_pods_are_valid(request_: PodRequest, network: Network, template: str) -> None:
    check(manifest(request_, network=network, template=template))


def test_pull_secret_is_valid_and_has_each_registry() -> None:
    secret = manifests.pull_secret("a", {"sluiceway/run": "r1"}, FULL.registries, pod_uid="u1")
    check(secret)
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    assert base64.b64decode(auths["https://index.docker.io/v1/"]["auth"]) == b"u:p"
    assert auths["registry.example.org"]["password"] == "q"


def test_tasks_get_no_token_and_no_links() -> None:
    spec = manifest()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"


def test_arch_selects_the_node() -> None:
    assert manifest(FULL)["spec"]["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    terms = manifest()["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["amd64", "arm64"]


def test_value_that_is_no_label_is_hashed_and_annotated() -> None:
    metadata = manifest()["metadata"]
    assert metadata["annotations"]["sluiceway/installation"] == "https://ci.example.org:7070"
    assert metadata["labels"]["sluiceway/installation"].startswith("sha256-")
    assert metadata["labels"]["sluiceway/executor"] == "builder-1"


def test_text_of_services_is_not_expanded_by_kubernetes() -> None:
    service = manifest(FULL)["spec"]["containers"][1]
    assert service["env"] == [{"name": "PASSWORD", "value": "$$(HOME)"}]
    assert manifest(FULL)["spec"]["containers"][2]["command"][-1] == "echo $$(date)"


def test_template_adds_and_the_task_wins() -> None:
    found = manifest(FULL, template=TEMPLATE)
    spec = found["spec"]
    assert spec["tolerations"] == [{"key": "ci", "operator": "Exists"}]
    assert spec["nodeSelector"] == {"pool": "ci", "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    assert [each["name"] for each in spec["imagePullSecrets"]] == ["mirror", found["metadata"]["name"]]
    assert found["metadata"]["labels"]["team"] == "one"
    assert found["metadata"]["labels"]["sluiceway/run"] == "r1"
    task = spec["containers"][0]
    assert task["resources"]["limits"]["memory"] == str(1 << 30)
    assert task["resources"]["requests"]["cpu"] == "1500m"
    assert {"name": "cache", "mountPath": "/cache"} in task["volumeMounts"]
    plain = manifest(template=TEMPLATE)["spec"]["containers"][0]
    assert plain["resources"]["limits"]["memory"] == "4Gi"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("- a", ["pod_template: it is not the manifest of a pod"], id="a list"),
        pytest.param("kind: Job", ['pod_template.kind: it is "Job"; a template is a Pod'], id="another kind"),
        pytest.param("tolerations: []", ["pod_template.tolerations: a pod has no such field"], id="above spec"),
        pytest.param(
            "spec: {hostNetwork: true, nodeName: x, containers: [{name: task, image: a, command: [b]}, {name: other}]}",
            ["spec.hostNetwork", "spec.nodeName", "containers[0].command", "containers[0].image", "containers[1].name"],
            id="what the driver decides",
        ),
        pytest.param("{", ["it is not YAML"], id="no YAML"),
    ],
)
def test_faults_of_a_template_are_all_named(text: str, faults: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_template(text)
    for fault in faults:
        assert fault in str(caught.value)
