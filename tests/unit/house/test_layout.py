"""What the house promises of its own shape."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE_ROOTS = ("proto", "common", "server", "executor", "client")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_sluiceway_is_a_namespace_package_in_every_source_root(root: str) -> None:
    assert (ROOT / root / "sluiceway").is_dir()
    assert not (ROOT / root / "sluiceway" / "__init__.py").exists()
    assert not (ROOT / root / "__init__.py").exists()


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


def test_nothing_that_is_committed_names_a_path_of_a_home_or_another_registry() -> None:
    lock = (ROOT / "uv.lock").read_text()
    sources = {line.split('registry = "')[1].split('"')[0] for line in lock.splitlines() if 'registry = "' in line}
    assert sources == {"https://pypi.org/simple"}
