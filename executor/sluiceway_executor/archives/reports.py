"""Turns the test reports of a step into one message with all their tests, those that failed first. Blocks."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import test_report_pb2 as api
from sluiceway_executor.archives.junit import ReportRefused, Reports, TestCase
from sluiceway_executor.masking import Masker

__all__ = ["ReadReports", "read_reports"]

_RESULTS = {
    "passed": api.TEST_RESULT_PASSED,
    "failed": api.TEST_RESULT_FAILED,
    "error": api.TEST_RESULT_ERROR,
    "skipped": api.TEST_RESULT_SKIPPED,
}
_BAD = frozenset({"failed", "error"})
_MAX_FILES = 2_000
_MAX_NAMED = 10
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class ReadReports:
    """The tests of reports.

    Attributes:
        archive: that describes the file with the message; its `step` is not set.
        files: how many files are reports.
        lines: about files that are none, for the log.
    """

    archive: pb.Archive
    files: int
    lines: Sequence[str]


def read_reports(packed: Path, target: Path, masks: Sequence[bytes]) -> ReadReports:
    """Read the reports in a ZIP file of this executor, and write a `TestReport` to `target`.

    A file that is no report makes a line, and the others are read.
    """
    masker = Masker(masks)

    def mask(text: str) -> str:
        return masker.once(text.encode()).decode(errors="replace") if masks else text

    reports, lines, files = Reports(), [], 0
    with zipfile.ZipFile(packed) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        for member in members[:_MAX_FILES]:
            try:
                with archive.open(member) as stream:
                    reports.read(stream, mask)
                files += 1
            except ReportRefused as error:
                lines.append(f"{member.filename} is not read: {error}")
    if len(members) > _MAX_FILES:
        lines.append(f"{len(members) - _MAX_FILES} more files are not read: at most {_MAX_FILES} are")
    if reports.left_out:
        lines.append(f"{reports.left_out:,} more tests are left out")
    cases = sorted(reports.cases, key=lambda case: case.result not in _BAD)
    body = api.TestReport(cases=map(_case, cases)).SerializeToString()
    target.write_bytes(body)
    failed = [case for case in cases if case.result in _BAD]
    described = pb.Archive(
        kind=pb.ARCHIVE_KIND_REPORT,
        sha256=hashlib.sha256(body).hexdigest(),
        size_bytes=len(body),
        file_count=files,
        tests=api.TestCounts(
            total=len(cases) + reports.left_out,
            failed=len(failed),
            skipped=sum(case.result == "skipped" for case in cases),
        ),
        failed_tests=[_name(case)[:_MAX_NAME] for case in failed[:_MAX_NAMED]],
    )
    return ReadReports(described, files, lines)


def _case(case: TestCase) -> api.TestCase:
    message = api.TestCase(
        suite=case.suite,
        class_name=case.class_name,
        name=case.name,
        result=_RESULTS[case.result],
        message=case.message,
        output=case.output,
    )
    message.duration.FromTimedelta(timedelta(seconds=case.seconds))
    return message


def _name(case: TestCase) -> str:
    return f"{case.class_name}.{case.name}" if case.class_name else case.name
