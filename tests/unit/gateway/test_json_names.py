"""Field names of errors as in JSON."""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.errors import InvalidInput, NotFound, Violation
from sluiceway_common.foundation.rpc.status import error_of_status, status_of
from sluiceway_server.gateway.json_names import in_json_names, json_path
from sluiceway_server.gateway.routes import rules_of

RULES = {rule.rpc.rpartition("/")[2]: rule for rule in rules_of()}


@pytest.mark.parametrize(
    ("rpc", "path", "expected"),
    [
        ("ListRuns", "page_size", "pageSize"),
        ("ListRuns", "pageSize", "pageSize"),
        ("ListRuns", "no_such_field", "no_such_field"),
        ("ListRuns", "", ""),
        ("CreateRun", "tasks[2].skip_reasons", "tasks[2].skip_reasons"),
        ("CreateRun", "run.create_time", "run.createTime"),
        ("CreateRun", "setup_errors[3]", "setupErrors[3]"),
        ("CreateRun", "static_environment[MY_VAR].secret_name", "staticEnvironment[MY_VAR].secret_name"),
        ("CreateRun", "static_environment[a.b].value", "staticEnvironment[a.b].value"),
        ("CreateRun", "static_environment[a]b].value", "staticEnvironment[a]b].value"),
        ("CreateRun", "source.ref_type.more", "source.refType.more"),
        ("UpdateProject", "project.display_name", "display_name"),
        ("UpdateProject", "project.name", "name"),
        ("UpdateProject", "project.id", "project.id"),
        ("UpdateProject", "project", ""),
        ("UpdateProject", "update_mask", "updateMask"),
        ("UpdateProject", "name", "name"),
    ],
)
def test_field_path_is_spelled_as_in_json(rpc: str, path: str, expected: str) -> None:
    assert json_path(path, RULES[rpc]) == expected


def test_error_changes_only_its_field_names() -> None:
    error = InvalidInput(
        [Violation("page_size", "give `page_size` or `page_token`"), Violation("x_y", "`a_b`")],
        reason="X",
        metadata={"page_size": "1"},
    )
    told = error_of_status(in_json_names(status_of(error), RULES["ListRuns"]))
    assert isinstance(told, InvalidInput)
    assert told.violations == (Violation("pageSize", "give `pageSize` or `pageToken`"), Violation("x_y", "`a_b`"))
    assert told.message == "pageSize: give `pageSize` or `pageToken`; x_y: `a_b`"
    assert (told.reason, told.metadata) == ("X", {"page_size": "1"})


def test_error_without_field_names_is_unchanged() -> None:
    status = status_of(NotFound("there is no run page_size", resource_type="run", resource_name="r"))
    assert in_json_names(status, RULES["ListRuns"]) == status
