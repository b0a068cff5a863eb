"""Which file is read, and what is said of those that are not."""

from __future__ import annotations

import json

import pytest

from sluiceway_common.runconfig.compile import load, load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.locate import CANDIDATES
from sluiceway_common.runconfig.when import Context

GOOD = json.dumps({"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": {"containers": [{"image": "host"}]}}]}]})
LOOKED = f"there is no run configuration; looked for {', '.join(CANDIDATES)}"


@pytest.mark.parametrize(
    ("paths", "hints"),
    [
        ([".sluice/config.yaml"], [".sluice/config.yaml is not read; rename it to config.yml"]),
        ([".agola/config.yaml"], [".agola/config.yaml is not read; rename it to config.yml"]),
        ([".sluice/config.jsonnet.txt"], [".sluice/config.jsonnet.txt is not read; rename it to config.jsonnet"]),
        ([".sluice/config.libsonnet"], [".sluice/config.libsonnet is not read; rename it to config.jsonnet"]),
        ([".sluice/Config.YML"], [".sluice/Config.YML is not read; rename it to config.yml"]),
        ([".sluice/pipeline.json"], [".sluice/pipeline.json is not read; rename it to config.json"]),
        ([".Sluice/config.yml"], [".Sluice/config.yml is not read; move it to .sluice/config.yml"]),
        (["sluice/config.jsonnet"], ["sluice/config.jsonnet is not read; move it to .sluice/config.jsonnet"]),
        (["agola/config.json"], ["agola/config.json is not read; move it to .agola/config.json"]),
        ([".sluice.yml"], [".sluice.yml is not read; move it to .sluice/config.yml"]),
        (["sluice.yaml"], ["sluice.yaml is not read; move it to .sluice/config.yml"]),
        ([".sluiceway.jsonnet"], [".sluiceway.jsonnet is not read; move it to .sluice/config.jsonnet"]),
        ([".agola.json"], [".agola.json is not read; move it to .agola/config.json"]),
        ([".sluice"], [".sluice is a file; the configuration is a file in a folder of that name"]),
        (
            [".sluice.yml", ".sluice/config.yaml"],
            [
                ".sluice/config.yaml is not read; rename it to config.yml",
                ".sluice.yml is not read; move it to .sluice/config.yml",
            ],
        ),
        ([".sluice/a\u202eb.yml"], [".sluice/a\\u202eb.yml is not read; rename it to config.yml"]),
        (
            [f".sluice/{n}.yml" for n in range(9)],
            [f".sluice/{n}.yml is not read; rename it to config.yml" for n in range(5)],
        ),
        (["README.md", "config.yml", ".github/config.yml", ".sluice/lib.libsonnet", ".sluice/config/x.yml"], []),
    ],
    ids=lambda value: ",".join(value)[:40] if value and "not" not in value[0] else "",
)  # fmt: skip
def test_file_that_was_probably_meant_is_named(paths: list[str], hints: list[str]) -> None:
    (error,) = load(MappingFiles(dict.fromkeys(paths, GOOD)), Context()).errors
    assert error.message == "; ".join((LOOKED, *hints))


@pytest.mark.parametrize(
    ("others", "unread"),
    [
        ([".sluice/config.json", ".sluice/config.yml"], [".sluice/config.json", ".sluice/config.yml"]),
        ([".sluice/config.yaml"], [".sluice/config.yaml"]),
        ([".sluice/Config.jsonnet"], [".sluice/Config.jsonnet"]),
        ([".sluice/data.json", ".sluice/lib.libsonnet", ".sluice/config.txt", ".agola/config.yml", "config.yml"], []),
    ],
    ids=["next-candidates", "near-miss", "case", "others"],
)
def test_second_configuration_in_the_folder_is_a_warning(others: list[str], unread: list[str]) -> None:
    loaded = load(MappingFiles({".sluice/config.jsonnet": GOOD, **dict.fromkeys(others, GOOD)}), Context())
    assert (loaded.errors, loaded.source_path) == ((), ".sluice/config.jsonnet")
    assert [w.message for w in loaded.warnings] == [
        f"{path} is not read, since .sluice/config.jsonnet is" for path in unread
    ]


def test_second_configuration_is_reported_beside_errors() -> None:
    loaded = load(MappingFiles({".sluice/config.json": "{", ".sluice/config.yml": GOOD}), Context())
    assert loaded.errors
    assert [w.message for w in loaded.warnings] == [".sluice/config.yml is not read, since .sluice/config.json is"]


def test_file_that_the_configuration_imports_is_no_second_one() -> None:
    files = {".sluice/config.jsonnet": "import 'config.json'", ".sluice/config.json": GOOD}
    loaded = load(MappingFiles(files), Context())
    assert (loaded.errors, loaded.warnings) == ((), ())


@pytest.mark.parametrize(
    ("path", "there", "message"),
    [
        (".sluice/config.yml", [".sluice/config.yml"], None),
        (".sluice/config.yml", [".sluice/config.yml", ".sluice/config.json"],
         "runs do not read this file, but .sluice/config.json"),
        (".sluice/config.yaml", [".sluice/config.yaml"],
         f"runs do not read this file, but one of {', '.join(CANDIDATES)}"),
        (".agola/config.yml", [".sluice/config.yml", ".agola/config.yml"],
         "runs do not read this file, but .sluice/config.yml"),
        ("examples/other.yml", ["examples/other.yml", ".sluice/config.yml"], None),
    ],
    ids=["read", "another-is-first", "near-miss", "agola", "elsewhere"],
)  # fmt: skip
def test_check_of_one_file_says_whether_runs_read_it(path: str, there: list[str], message: str | None) -> None:
    loaded = load_source(path, GOOD.encode(), MappingFiles(dict.fromkeys(there, GOOD)), Context())
    assert loaded.errors == ()
    assert [w.message for w in loaded.warnings if "task_timeout_interval" not in w.message] == (
        [] if message is None else [message]
    )
