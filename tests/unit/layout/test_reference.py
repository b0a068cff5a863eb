"""The generator of docs/reference and of the index of decisions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.reference import reasons
from scripts.reference.decisions import read_decision
from scripts.reference.markdown import Fault, table

DECISION = """# 0001: Use a log

- Status: Accepted
- Area: Database

## Context

Why.

## Decision

What.

## Consequences

Then.
"""


@pytest.fixture
def decision(tmp_path: Path) -> Path:
    file = tmp_path / "0001-use-a-log.md"
    file.write_text(DECISION)
    return file


def test_decision_is_parsed_by_the_template(decision: Path) -> None:
    assert read_decision(decision) == ("Database", "Use a log", "Accepted")


@pytest.mark.parametrize(
    ("wrong", "right", "complaint"),
    [
        pytest.param("# 0002: Use", "# 0001: Use", "does not begin as the template", id="number of another file"),
        pytest.param("- Status: Accepted\n", "", "does not begin as the template", id="no status"),
        pytest.param("Status: Done", "Status: Accepted", "begins with Accepted or Superseded", id="unknown status"),
        pytest.param("## Outcome", "## Consequences", "expected: Context, Decision, Consequences", id="other section"),
    ],
)
def test_decision_without_the_template_is_a_fault(decision: Path, wrong: str, right: str, complaint: str) -> None:
    text = decision.read_text()
    decision.write_text(text.replace(right, wrong, 1) if right else text.replace(wrong, "", 1))
    with pytest.raises(Fault, match=complaint):
        read_decision(decision)


def test_alternatives_come_before_the_consequences(decision: Path) -> None:
    decision.write_text(DECISION.replace("## Consequences", "## Alternatives\n\nOther.\n\n## Consequences"))
    assert read_decision(decision)[1] == "Use a log"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param('raise NotFound("no", reason="GONE")', id="argument"),
        pytest.param('GONE = "GONE"\nraise errors.NotFound("no", reason=GONE)', id="constant"),
        pytest.param('class Gone(NotFound):\n    reason = "GONE"', id="attribute of a class"),
    ],
)
def test_reason_is_found_in_code(source: str) -> None:
    family = {"NotFound": "NOT_FOUND", "Gone": "NOT_FOUND"}
    assert [family[name] for reason, name in reasons._raised(ast.parse(source), family) if reason == "GONE"] == [
        "NOT_FOUND"
    ]


def test_reason_without_a_description_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reasons.codes_of_reasons()
    monkeypatch.setattr(reasons, "codes_of_reasons", lambda: {**found, "NOT_DESCRIBED": {"NOT_FOUND"}})
    with pytest.raises(Fault, match="lacks a description of: NOT_DESCRIBED"):
        reasons.reasons_page()


def test_description_without_a_reason_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reasons.codes_of_reasons()
    found.pop("LOG_GAP")
    monkeypatch.setattr(reasons, "codes_of_reasons", lambda: found)
    with pytest.raises(Fault, match="does not have: LOG_GAP"):
        reasons.reasons_page()


def test_reason_of_a_task_without_a_description_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reasons.codes_of_outcomes()
    monkeypatch.setattr(reasons, "codes_of_outcomes", lambda: found | {"NOT_DESCRIBED"})
    with pytest.raises(Fault, match="lacks a description of: NOT_DESCRIBED"):
        reasons.reasons_page()


def test_bar_in_a_cell_is_escaped() -> None:
    assert table(("a",), [("x|y\nz",)])[-2] == "| x\\|y z |"
