"""Test reports in JUnit's XML: what tools write, and what nobody should have to trust."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from sluiceway.api.run.v1 import test_report_pb2 as api
from sluiceway_executor.archives import junit
from sluiceway_executor.archives.junit import MAX_FILE_BYTES, ReportRefused, Reports
from sluiceway_executor.archives.reports import read_reports

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="1.5">
<testcase classname="tests.test_a" name="test_good" time="0.25" />
<testcase classname="tests.test_a" name="test_bad" time="1,000.5"><failure message="assert 1 == 2">def test_bad():
&gt; assert 1 == 2</failure><system-out>printed t0psecret</system-out></testcase>
<testcase classname="tests.test_a" name="test_error" time="x"><error message="boom">trace</error></testcase>
<testcase classname="tests.test_a" name="test_later"><skipped type="pytest.skip" message="later" /></testcase>
</testsuite></testsuites>"""


def read(data: bytes) -> Reports:
    reports = Reports()
    reports.read(io.BytesIO(data), str)
    return reports


def test_report_of_pytest_is_read() -> None:
    cases = read(PYTEST).cases
    assert [(case.name, case.result, case.seconds) for case in cases] == [
        ("test_good", "passed", 0.25),
        ("test_bad", "failed", 1000.5),
        ("test_error", "error", 0.0),
        ("test_later", "skipped", 0.0),
    ]
    assert cases[1].message == "assert 1 == 2"
    assert cases[1].output == "def test_bad():\n> assert 1 == 2\nprinted t0psecret"
    assert (cases[3].message, cases[0].suite) == ("later", "pytest")


BOMB = b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'
EXTERNAL = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite/>'
DEEP = b"<testsuite>" + b"<a>" * 200


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(BOMB, "document type declaration", id="entities"),
        pytest.param(EXTERNAL, "document type declaration", id="an external document type"),
        pytest.param(PYTEST[:300], "it is no XML", id="cut off"),
        pytest.param(b"", "it is no XML", id="empty"),
        pytest.param(b"\xff\xfe\x00", "it is no XML", id="bytes"),
        pytest.param(b"<html/>", "is it a JUnit report", id="another document"),
        pytest.param(DEEP, "nested more than 100 deep", id="nested"),
    ],
)
def test_file_that_is_no_report_is_refused(data: bytes, why: str) -> None:
    reports = Reports()
    with pytest.raises(ReportRefused, match=why):
        reports.read(io.BytesIO(data), str)
    assert not reports.cases


def test_file_that_is_too_large_is_refused_early() -> None:
    class Endless(io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            self.given = 0

        def read(self, size: int | None = -1) -> bytes:
            size = size or 0
            start = b"<testsuite>" if not self.given else b""
            self.given += size
            return start + b" " * (size - len(start))

    stream = Endless()
    with pytest.raises(ReportRefused, match="more than 32 MiB"):
        Reports().read(stream, str)
    assert stream.given <= MAX_FILE_BYTES + (1 << 20)


def test_tests_and_texts_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "MAX_TESTS", 3)
    one = b'<testcase name="%s"><failure message="%s">%s</failure></testcase>' % (b"n" * 999, b"m" * 9999, b"o" * 99999)
    reports = read(b"<testsuite>" + one * 5 + b"</testsuite>")
    assert (len(reports.cases), reports.left_out) == (3, 2)
    case = reports.cases[0]
    assert (len(case.name), len(case.message), len(case.output)) == (500, 2_000, 8_000)


def test_reports_of_a_step_become_one_with_failures_first(tmp_path: Path) -> None:
    packed, target = tmp_path / "packed", tmp_path / "report"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.xml", PYTEST)
        archive.writestr("b.xml", BOMB)
    found = read_reports(packed, target, [b"t0psecret"])
    assert (found.files, len(found.lines)) == (1, 1)
    assert found.lines[0].startswith("b.xml is not read: it has a document type declaration")
    tests = found.archive.tests
    assert (tests.total, tests.failed, tests.skipped) == (4, 2, 1)
    assert list(found.archive.failed_tests) == ["tests.test_a.test_bad", "tests.test_a.test_error"]
    report = api.TestReport.FromString(target.read_bytes())
    assert [case.name for case in report.cases][:2] == ["test_bad", "test_error"]
    assert "t0psecret" not in report.cases[0].output
    assert "printed ***" in report.cases[0].output
