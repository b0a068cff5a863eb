"""The layout of the source tree."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "proto": ("sluiceway",),
    "common": ("sluiceway_common",),
    "server": ("sluiceway_server",),
    "executor": ("sluiceway_executor",),
    "client": ("sluiceway",),
}


@pytest.mark.parametrize("root", PACKAGES)
def test_source_root_has_the_one_package_of_its_name(root: str) -> None:
    found = {path.name for path in (ROOT / root).iterdir() if any(path.rglob("*.py"))}
    assert found == set(PACKAGES[root])
    assert not (ROOT / root / "__init__.py").exists()


def test_sluiceway_is_a_namespace_package() -> None:
    assert [root for root in PACKAGES if (ROOT / root / "sluiceway" / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    "package",
    [
        "sluiceway.api",
        "sluiceway.records",
        "sluiceway.client",
        "sluiceway.cli",
        "sluiceway_common",
        "sluiceway_server",
        "sluiceway_executor",
    ],
)
def test_package_has_a_py_typed_marker(package: str) -> None:
    folders = [ROOT / root / package.replace(".", "/") for root in PACKAGES]
    assert [folder.joinpath("py.typed").exists() for folder in folders if folder.exists()] == [True]


def test_every_generated_module_can_be_imported() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / "proto").with_suffix("").parts)
        for path in sorted((ROOT / "proto").rglob("*_pb2*.py"))
    ]
    assert modules
    for module in modules:
        importlib.import_module(module)


def test_ci_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_committed_files_name_no_home_path_or_other_registry() -> None:
    lock = (ROOT / "uv.lock").read_text()
    sources = {line.split('registry = "')[1].split('"')[0] for line in lock.splitlines() if 'registry = "' in line}
    assert sources == {"https://pypi.org/simple"}
