"""Names for the ids of runs: paths of projects and names of users, shown and accepted, through a real port."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import Code
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.projects.records import USER
from sluiceway_server.runs.names import Names
from tests.service.runs.test_run_access import GROUPS, Served, serving
from tests.support.project_services import IDS
from tests.support.run_engine import request

PUBLIC = "org/acme/public-group/public-project"
HIDDEN = "org/hidden/hidden-project"


async def _listed(at: Served, caller: str, **filters: Any) -> list[tuple[str, str]]:
    page = await at.stubs[caller].ListRuns(pb.ListRunsRequest(**filters))
    return [(run.group_path, run.created_by_name) for run in page.runs]


async def _refused(at: Served, caller: str, **filters: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _listed(at, caller, **filters)
    error = error_of(raised.value)
    return error.code, error.message


async def test_runs_are_shown_and_listed_by_the_path_of_their_project() -> None:
    async with serving() as at:
        shown = (await at.stubs["reader"].GetRun(pb.GetRunRequest(run_id=at.runs["public"]))).run
        assert (shown.group, shown.group_path) == (GROUPS["public"], f"{PUBLIC}/branch/main")
        for filters in (
            {"group_prefix": PUBLIC},
            {"group_prefix": f"{PUBLIC}/"},
            {"group_prefix": f"{PUBLIC}/branch"},
            {"group": f"{PUBLIC}/branch/main"},
            {"group": GROUPS["public"]},
        ):
            assert await _listed(at, "stranger", **filters) == [(f"{PUBLIC}/branch/main", "admin")], filters
        assert await _listed(at, "stranger", group=PUBLIC) == []
        found = await at.stubs["stranger"].ResolveRun(pb.ResolveRunRequest(reference=f"{PUBLIC}#1"))
        assert found.run.id == at.runs["public"]


async def test_own_runs_are_shown_and_listed_by_name() -> None:
    async with serving() as at:
        made = (await at.stubs["owner"].CreateRun(request(group="/user/me/app/feat%2Fx"))).run
        assert (made.group_path, made.created_by_name) == ("/user/owner/app/feat%2Fx", "owner")
        assert await _listed(at, "owner", group="/user/owner/app/feat%2Fx") == [("/user/owner/app/feat%2Fx", "owner")]
        assert await _listed(at, "member", group_prefix="/user/owner") == []
        assert await _listed(at, "owner", group_prefix="/user/nobody") == []


async def test_project_that_is_not_seen_looks_like_none() -> None:
    async with serving() as at:
        for path in (HIDDEN, "org/hidden/none", "org/acme", "org/acme/public-group", "user/owner/none/x"):
            code, message = await _refused(at, "stranger", group_prefix=path)
            assert (code, path in message) == (Code.NOT_FOUND, True)
        assert await _listed(at, "operator", group_prefix=HIDDEN) == [(f"{HIDDEN}/branch/main", "admin")]


async def test_run_is_created_in_the_group_of_a_path() -> None:
    async with serving() as at:
        made = (await at.stubs["member"].CreateRun(request(group=f"{PUBLIC}/branch/other"))).run
        assert made.group == f"/project/{IDS['public-project']}/branch/other"


async def test_creation_of_a_run_reads_once_beside_its_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as at:
        read, reads = at.world.db.read, []

        async def counted(function: Any, **options: Any) -> Any:
            reads.append(function)
            return await read(function, **options)

        monkeypatch.setattr(at.world.db, "read", counted)
        made = (await at.stubs["member"].CreateRun(request(group=f"{PUBLIC}/branch/other"))).run
        assert (made.group_path, made.created_by_name) == (f"{PUBLIC}/branch/other", "member")
        assert len(reads) == 1


async def test_who_stopped_a_run_is_named_in_it_and_its_explanation() -> None:
    async with serving() as at:
        await at.stubs["owner"].StopRun(pb.StopRunRequest(run_id=at.runs["own"]))
        shown = (await at.stubs["owner"].GetRun(pb.GetRunRequest(run_id=at.runs["own"]))).run
        assert (shown.stop_request.by, shown.stop_request.by_name) == (IDS["owner"], "owner")
        tasks = (await at.stubs["owner"].ListTasks(pb.ListTasksRequest(run_id=at.runs["own"]))).tasks
        explained = (await at.stubs["owner"].ExplainRun(pb.ExplainRunRequest(run_id=at.runs["own"]))).explanation
        sentences = [task.reason.message for task in tasks]
        sentences += [reason.message for task in explained.tasks for reason in task.reasons]
        assert any("by owner" in sentence for sentence in sentences)
        assert not any(IDS["owner"] in sentence for sentence in sentences)


async def test_restart_has_the_number_of_the_run_that_it_restarts() -> None:
    async with serving() as at:
        await at.stubs["member"].StopRun(pb.StopRunRequest(run_id=at.runs["public"]))
        request_ = pb.RestartRunRequest(run_id=at.runs["public"], from_start=True)
        made = (await at.stubs["member"].RestartRun(request_)).run
        assert (made.restart_of.run_id, made.restart_of.run_number, made.number) == (at.runs["public"], 1, 2)


async def test_explanation_of_a_queued_run_names_the_project() -> None:
    async with serving() as at:
        made = (await at.stubs["member"].CreateRun(request(group=GROUPS["public"]))).run
        explained = (await at.stubs["member"].ExplainRun(pb.ExplainRunRequest(run_id=made.id))).explanation
        sentences = [reason.message for reason in explained.reasons]
        assert any(f"{PUBLIC}/branch/main" in sentence for sentence in sentences), sentences


async def test_sentence_keeps_ids_that_name_nothing() -> None:
    async with serving() as at:
        none = "01a22c3c-2f37-7681-b7d7-ffffffffffff"
        text = f"run 1 holds the group /project/{none}/x; stopped by {none}; task {IDS['owner']}"
        assert await at.world.db.read(lambda view: Names(view).sentence(text)) == text
        assert await at.world.db.read(lambda view: view.get(USER, none)) is None
