"""The tests that the tasks of a run have reported."""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2, run_service_pb2
from sluiceway.api.run.v1 import test_report_pb2 as api
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.layout import run_object
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import Place, place_of, token_of
from sluiceway_server.runrecords.types import TASK

_DEFAULT_PAGE = 100
_MAX_READ_BYTES = 64 << 20
_BAD = frozenset({api.TEST_RESULT_FAILED, api.TEST_RESULT_ERROR})


class Tests:
    """The tests of runs. The caller's right on the run was checked."""

    def __init__(self, database: Database, store: ArchiveStore) -> None:
        self._database = database
        self._store = store

    async def list(self, request: run_service_pb2.ListTestsRequest) -> run_service_pb2.ListTestsResponse:
        """List tests; see `RunService.ListTests`.

        Raises:
            InvalidInput, Unavailable: see there.
        """
        reports = await self._database.read(lambda view: _reports_of(view, request.run_id, request.task_id))
        list_of = f"tests of {request.run_id} {request.task_id} {request.failed}"
        start = int(place_of(request.page_token, list_of, 0).id) if request.page_token else 0
        response = run_service_pb2.ListTestsResponse()
        for _, archive, _ in reports:
            response.counts.total += archive.tests.total
            response.counts.failed += archive.tests.failed
            response.counts.skipped += archive.tests.skipped
        bodies, left = [], _MAX_READ_BYTES
        for task, archive, run_id in reports:
            if request.failed and not archive.tests.failed:
                continue
            left -= archive.size_bytes
            if left < 0:
                break
            bodies.append((task, await self._read(run_object(ArchiveKind.REPORT, run_id, archive.sha256), archive)))
        size = request.page_size or _DEFAULT_PAGE
        cases, more = await asyncio.to_thread(_page, bodies, start, size, only_failed=request.failed)
        response.tests.extend(cases)
        if more:
            response.next_page_token = token_of(list_of, Place((), str(start + size)))
        return response

    async def _read(self, name: str, archive: executor_api.Archive) -> bytes:
        parts = []
        try:
            async for data in self._store.read(name, archive.size_bytes):
                parts.append(data)
        except NotFound:
            return b""
        return b"".join(parts)


def _reports_of(view: View, run_id: str, task_id: str) -> list[tuple[run_pb2.Task, executor_api.Archive, str]]:
    found = [
        (record.task, archive, record.kept_from or run_id)
        for _, record in view.scan(TASK, f"{run_id}/")
        for archive in record.archives
        if archive.kind == executor_api.ARCHIVE_KIND_REPORT and task_id in {"", record.task.id}
    ]
    return sorted(found, key=lambda each: (each[0].level, each[0].name, each[1].step))


def _page(
    bodies: list[tuple[run_pb2.Task, bytes]], start: int, size: int, *, only_failed: bool
) -> tuple[list[api.TestCase], bool]:
    """Return a page of the tests of reports, and whether there are more. Blocks."""
    cases: list[tuple[tuple[object, ...], run_pb2.Task, api.TestCase]] = []
    for number, (task, body) in enumerate(bodies):
        try:
            report = api.TestReport.FromString(body)
        except DecodeError:
            continue
        for case in report.cases:
            is_bad = case.result in _BAD
            if is_bad or not only_failed:
                cases.append(((not is_bad, number, case.suite, case.class_name, case.name), task, case))
    cases.sort(key=lambda each: each[0])
    page = []
    for _, task, case in cases[start : start + size]:
        case.task_id, case.task_name = task.id, task.name
        page.append(case)
    return page, len(cases) > start + size
