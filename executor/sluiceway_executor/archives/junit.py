"""Reads test reports in JUnit's XML, which nobody has to trust: streamed, within limits, without entities.

There is no one schema. Every tool writes `testcase` elements, in `testsuite` elements that may be nested, with
`failure`, `error` or `skipped` below them; everything else is ignored. A document type declaration is refused, because
entities are what makes small files large (as `defusedxml` does). Blocks: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

__all__ = ["MAX_FILE_BYTES", "MAX_TESTS", "ReportRefused", "Reports", "TestCase"]

MAX_FILE_BYTES = 32 << 20
MAX_TESTS = 50_000
_MAX_FAILED_WITH_OUTPUT = 200
_MAX_NAME = 500
_MAX_MESSAGE = 2_000
_MAX_OUTPUT = 8_000
_MAX_DEPTH = 100
_CHUNK_BYTES = 64 * 1024
_RESULTS = {"failure": "failed", "error": "error", "skipped": "skipped"}
_OUTPUTS = frozenset({"system-out", "system-err"})


class ReportRefused(Exception):
    """A file cannot be read as a report; the message says why, for the log of the step."""


@dataclass(slots=True)
class TestCase:
    """One test. `result` is passed, failed, error or skipped; the texts are cut to their limits."""

    __test__ = False

    suite: str
    class_name: str
    name: str
    seconds: float
    result: str = "passed"
    message: str = ""
    output: str = ""


@dataclass(slots=True)
class Reports:
    """The tests of all reports of a step.

    Attributes:
        cases: at most `MAX_TESTS`, in the order of the files.
        left_out: how many more there were.
    """

    cases: list[TestCase] = field(default_factory=list)
    left_out: int = 0

    def read(self, stream: IO[bytes], mask: Callable[[str], str]) -> int:
        """Add the tests of one file, and return how many there are. `mask` hides secrets in its texts.

        Raises:
            ReportRefused: it is no XML, has a document type, is too large, or has no test; nothing of it is added.
        """
        reader = _Reader(mask)
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = reader.start
        parser.EndElementHandler = reader.end
        parser.CharacterDataHandler = reader.text
        read = 0
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                read += len(chunk)
                if read > MAX_FILE_BYTES:
                    raise ReportRefused(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise ReportRefused(f"it is no XML: {error}") from error
        if not reader.suites and not reader.found:
            raise ReportRefused("it has no element `testsuite`: is it a JUnit report?")
        room = max(0, MAX_TESTS - len(self.cases))
        self.cases += reader.found[:room]
        self.left_out += max(0, len(reader.found) - room) + reader.left_out
        return len(reader.found) + reader.left_out


def _refuse_doctype(*_: object) -> None:
    raise ReportRefused("it has a document type declaration, which reports do not need and which is not read")


class _Reader:
    def __init__(self, mask: Callable[[str], str]) -> None:
        self.found: list[TestCase] = []
        self.suites = 0
        self.left_out = 0
        self._mask = mask
        self._names: list[str] = []
        self._depth = 0
        self._case: TestCase | None = None
        self._texts: list[str] | None = None
        self._length = 0
        self._with_output = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ReportRefused(f"its elements are nested more than {_MAX_DEPTH} deep")
        if name == "testsuite":
            self.suites += 1
            self._names.append(self._cut(attributes.get("name", ""), _MAX_NAME))
        elif name == "testcase":
            self._case = TestCase(
                self._names[-1] if self._names else "",
                self._cut(attributes.get("classname", ""), _MAX_NAME),
                self._cut(attributes.get("name", ""), _MAX_NAME),
                _seconds(attributes.get("time", "")),
            )
        elif self._case is not None and name in _RESULTS:
            # The first failure is the one that is shown.
            if self._case.result in {"passed", "skipped"}:
                self._case.result = _RESULTS[name]
                message = attributes.get("message", "") or attributes.get("type", "")
                self._case.message = self._cut(message, _MAX_MESSAGE)
            self._texts, self._length = [], 0
        elif self._case is not None and name in _OUTPUTS:
            self._texts, self._length = [], 0

    def text(self, data: str) -> None:
        if self._texts is not None and self._length <= _MAX_OUTPUT:
            self._texts.append(data)
            self._length += len(data)

    def end(self, name: str) -> None:
        self._depth -= 1
        case = self._case
        if name == "testsuite" and self._names:
            self._names.pop()
        elif name == "testcase" and case is not None:
            self._add(case)
            self._case = None
        elif self._texts is not None and case is not None and (name in _RESULTS or name in _OUTPUTS):
            text = "".join(self._texts).strip("\n")
            self._texts = None
            if text and len(case.output) < _MAX_OUTPUT:
                joined = f"{case.output}\n{text}" if case.output else text
                case.output = joined[:_MAX_OUTPUT]

    def _add(self, case: TestCase) -> None:
        if len(self.found) >= MAX_TESTS:
            self.left_out += 1
            return
        is_bad = case.result in {"failed", "error"}
        self._with_output += is_bad
        keeps = is_bad and self._with_output <= _MAX_FAILED_WITH_OUTPUT
        case.output = self._mask(case.output) if keeps else ""
        self.found.append(case)

    def _cut(self, text: str, most: int) -> str:
        return self._mask(text[:most]) if text else ""


def _seconds(text: str) -> float:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return value if 0.0 <= value < 1e9 else 0.0
