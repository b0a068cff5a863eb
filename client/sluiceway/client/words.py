"""The enums of the API in words.

Messages hold the numbers of enums, as protobuf has them. A word equals its number, and prints as its name:

    RunPhase(run.phase)                 # prints as FINISHED
    run.phase == RunPhase.FINISHED
    RunPhase.parse("finished")          # also FINISHED, RUN_PHASE_FINISHED, and 5
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TypeVar

from sluiceway_common.foundation.errors import InvalidInput, Violation

__all__ = ["RunEventKind", "RunPhase", "RunResult", "StepPhase", "TaskStatus", "TokenKind"]

W = TypeVar("W", bound="_Word")


class _Word(IntEnum):
    """The base of the enums: printing, and reading of what people write."""

    # As for any integer. Type checkers would take a comparison with the number in a message for a mistake otherwise.
    def __eq__(self, other: object) -> bool:
        return int.__eq__(self, other)

    def __hash__(self) -> int:
        return int.__hash__(self)

    def __str__(self) -> str:
        return self.name

    def __format__(self, format_spec: str) -> str:
        return format(self.name, format_spec)

    @property
    def name_in_proto(self) -> str:
        """The full name, such as `RUN_PHASE_FINISHED`."""
        return _prefix(type(self)) + self.name

    @classmethod
    def parse(cls: type[W], value: W | int | str) -> W:
        """Return the member of a number, or of a name in upper or lower case, with or without the prefix of the proto.

        Raises:
            InvalidInput: the enum has no such member.
        """
        if isinstance(value, int) and value in cls._value2member_map_:
            return cls(value)
        if isinstance(value, str):
            name = value.strip().upper().replace("-", "_").removeprefix(_prefix(cls))
            if name in cls.__members__:
                return cls[name]
        known = ", ".join(name.lower() for name in cls.__members__ if name != "UNSPECIFIED")
        raise InvalidInput([Violation(_prefix(cls).lower().rstrip("_"), f"{value!r} is not one of: {known}")])

    @classmethod
    def _missing_(cls, value: object) -> _Word | None:
        # A newer server may send numbers that this version does not know.
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"UNKNOWN_{value}", value
        return unknown


class RunPhase(_Word):
    """The phase of a run (`Run.phase`)."""

    UNSPECIFIED = 0
    SETUP_ERROR = 1
    QUEUED = 2
    CANCELLED = 3
    RUNNING = 4
    FINISHED = 5


class RunResult(_Word):
    """The result of a run (`Run.result`)."""

    UNSPECIFIED = 0
    SUCCESS = 1
    FAILED = 2
    STOPPED = 3


class TaskStatus(_Word):
    """The status of a task or an attempt (`Task.status`)."""

    UNSPECIFIED = 0
    NOT_STARTED = 1
    SKIPPED = 2
    CANCELLED = 3
    RUNNING = 4
    STOPPED = 5
    SUCCESS = 6
    FAILED = 7
    LOST = 8


class StepPhase(_Word):
    """The phase of a step (`Step.phase`)."""

    UNSPECIFIED = 0
    NOT_STARTED = 1
    RUNNING = 2
    SUCCESS = 3
    FAILED = 4
    STOPPED = 5
    SKIPPED = 6


class RunEventKind(_Word):
    """The kind of a change (`RunEvent.kind`)."""

    UNSPECIFIED = 0
    PHASE = 1
    RESULT = 2
    TASK_STATUS = 3
    APPROVAL = 4
    EXECUTOR = 5


class TokenKind(_Word):
    """What the holder of a token is (`Token.kind`)."""

    UNSPECIFIED = 0
    USER = 1
    OPERATOR = 2
    EXECUTOR = 3


def _prefix(cls: type[_Word]) -> str:
    """Return the prefix of the names in the proto: `RUN_PHASE_`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).upper() + "_"
