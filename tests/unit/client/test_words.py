"""The enums of the SDK."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.project.v1 import token_service_pb2
from sluiceway.api.run.v1 import run_pb2
from sluiceway.client import InvalidInput, RunEventKind, RunPhase, RunResult, StepPhase, TaskStatus, TokenKind

ENUMS: list[Any] = [RunEventKind, RunPhase, RunResult, StepPhase, TaskStatus, TokenKind]


@pytest.mark.parametrize("words", ENUMS)
def test_enum_names_are_those_of_the_proto(words: Any) -> None:
    enum = getattr(token_service_pb2 if words is TokenKind else run_pb2, words.__name__)
    assert {word.name_in_proto: word.value for word in words} == dict(enum.items())


def test_enum_number_of_a_message_prints_as_its_name() -> None:
    run = run_pb2.Run(phase=run_pb2.RUN_PHASE_FINISHED)
    word = RunPhase(run.phase)
    assert (str(word), f"{word}", f"{word:>10}", repr(word)) == (
        "FINISHED",
        "FINISHED",
        "  FINISHED",
        "<RunPhase.FINISHED: 5>",
    )
    assert run.phase == RunPhase.FINISHED
    assert RunPhase.RUNNING < RunPhase.FINISHED


def test_enum_name_can_be_set_in_a_message() -> None:
    assert run_pb2.Run(phase=RunPhase.QUEUED) == run_pb2.Run(phase=run_pb2.RUN_PHASE_QUEUED)  # type: ignore[arg-type]  # a number is one


def test_unknown_enum_number_is_printed() -> None:
    unknown = RunPhase(99)
    assert (str(unknown), int(unknown), unknown == 99) == ("UNKNOWN_99", 99, True)
    assert unknown not in set(RunPhase)


@pytest.mark.parametrize("written", ["finished", "FINISHED", " Finished ", "RUN_PHASE_FINISHED", 5, RunPhase.FINISHED])
def test_enum_value_is_parsed_from_name_or_number(written: Any) -> None:
    assert RunPhase.parse(written) is RunPhase.FINISHED


@pytest.mark.parametrize("written", ["done", "", "TASK_STATUS_RUNNING", 6, -1, 5.0, None])
def test_unknown_enum_name_is_refused_with_the_known_names(written: Any) -> None:
    with pytest.raises(
        InvalidInput, match="is not one of: setup_error, queued, cancelled, running, finished"
    ) as caught:
        RunPhase.parse(written)
    assert [violation.path for violation in caught.value.violations] == ["run_phase"]


def test_not_started_may_be_written_with_a_hyphen() -> None:
    assert TaskStatus.parse("not-started") is TaskStatus.NOT_STARTED
