"""The manifests in `deploy/kubernetes`: valid by the oldest and the newest schema, and with what keeps them safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from sluiceway_executor.drivers.kubernetes_template import parse_template

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
SCHEMAS = ("1.25", "1.37")


def objects() -> list[dict[str, Any]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [found for name in names for found in yaml.safe_load_all((FOLDER / name).read_text())]


def test_kustomization_names_every_file() -> None:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted([*names, "kustomization.yaml"]) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("version", SCHEMAS)
def test_manifests_are_valid(version: str) -> None:
    for found in objects():
        kubernetes_validate.validate(found, version, strict=True)


def test_pods_have_the_standard_restricted() -> None:
    """Of every pod of the installation (Pod Security Standards, `restricted`)."""
    for found in objects():
        if found["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        spec = found["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_executor_can_read_no_secret() -> None:
    (role,) = (found for found in objects() if found["kind"] == "Role")
    verbs = {name: rule["verbs"] for rule in role["rules"] for name in rule["resources"]}
    assert not {"get", "list", "watch"} & set(verbs["secrets"])
    assert not any("*" in values for values in verbs.values())


def test_pod_template_is_taken_by_the_driver() -> None:
    (config,) = (found for found in objects() if found["kind"] == "ConfigMap")
    assert parse_template(config["data"]["pod.yaml"]).task["resources"]["limits"] == {"memory": "4Gi"}
