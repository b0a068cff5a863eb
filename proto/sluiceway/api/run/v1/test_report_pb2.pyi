import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TestResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The result of a test."""
    __slots__ = ()
    TEST_RESULT_UNSPECIFIED: _ClassVar[TestResult]
    """Not set."""
    TEST_RESULT_PASSED: _ClassVar[TestResult]
    """The test passed."""
    TEST_RESULT_FAILED: _ClassVar[TestResult]
    """An assertion of the test failed."""
    TEST_RESULT_ERROR: _ClassVar[TestResult]
    """The test ended with an error."""
    TEST_RESULT_SKIPPED: _ClassVar[TestResult]
    """The test was skipped."""
TEST_RESULT_UNSPECIFIED: TestResult
TEST_RESULT_PASSED: TestResult
TEST_RESULT_FAILED: TestResult
TEST_RESULT_ERROR: TestResult
TEST_RESULT_SKIPPED: TestResult

class TestCounts(_message.Message):
    """How many tests there are."""
    __slots__ = ("total", "failed", "skipped")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    total: int
    """All tests."""
    failed: int
    """Those that failed, or ended with an error."""
    skipped: int
    """Those that were skipped."""
    def __init__(self, total: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...

class TestCase(_message.Message):
    """A test."""
    __slots__ = ("suite", "class_name", "name", "result", "duration", "message", "output", "task_id", "task_name")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    suite: str
    """The name of its suite."""
    class_name: str
    """The name of its class."""
    name: str
    """The name of the test."""
    result: TestResult
    """The result."""
    duration: _duration_pb2.Duration
    """How long the test took, as reported."""
    message: str
    """Why it failed or was skipped: at most 2,000 characters."""
    output: str
    """What a failed test printed, with its stack trace: at most 8,000 characters, of the first 200 tests of a file."""
    task_id: str
    """The id of the task that reported it."""
    task_name: str
    """The name of that task."""
    def __init__(self, suite: _Optional[str] = ..., class_name: _Optional[str] = ..., name: _Optional[str] = ..., result: _Optional[_Union[TestResult, str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., message: _Optional[str] = ..., output: _Optional[str] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ...) -> None: ...

class TestReport(_message.Message):
    """What a `save_reports` step has stored."""
    __slots__ = ("cases",)
    CASES_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[TestCase]
    """At most 50,000 tests, those that failed first."""
    def __init__(self, cases: _Optional[_Iterable[_Union[TestCase, _Mapping]]] = ...) -> None: ...
