"""How a run is found: by a reference (`ResolveRun`), by filters (`ListRuns`), and by what is below a group."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import Code, InvalidInput
from sluiceway_server.runs import listing
from tests.service.runs.test_run_service import Served, refusal, serving
from tests.support.run_engine import request


async def _made(at: Served, group: str = "/user/admin/app/main", name: str = "ci") -> api.Run:
    return (await at.stub.CreateRun(request(group=group, name=name))).run


async def _resolved(at: Served, reference: str) -> str:
    return (await at.stub.ResolveRun(pb.ResolveRunRequest(reference=reference))).run.id


async def _listed(at: Served, **filters: object) -> list[str]:
    """All pages of a list."""
    found: list[str] = []
    token = ""
    while True:
        page = await at.stub.ListRuns(pb.ListRunsRequest(page_token=token, **filters))  # type: ignore[arg-type]
        found += [run.id for run in page.runs]
        token = page.next_page_token
        if not token:
            return found


def _stamp(at: Served, **ago: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.world.clock.now() - timedelta(**ago))
    return stamp


# --- references ---------------------------------------------------------------------------------------------------


async def test_run_is_found_by_id_beginning_number_and_as_the_last_one() -> None:
    async with serving() as at:
        first = await _made(at)
        at.world.later(hours=1)
        second = await _made(at)
        assert (first.number, second.number) == (1, 2)
        for reference in ("1", "#1", "/user/admin#1", "/user/me#1", "/user/admin/app/main#1", first.id, first.id[:10]):
            assert await _resolved(at, reference) == first.id, reference
        for reference in ("2", "@last", second.id.upper()):
            assert await _resolved(at, reference) == second.id, reference
        shown = (await at.stub.ResolveRun(pb.ResolveRunRequest(reference="1"))).run
        assert shown == (await at.stub.GetRun(pb.GetRunRequest(run_id=first.id))).run


async def test_number_means_own_runs_first_then_the_only_group() -> None:
    async with serving() as at:
        theirs = [await _made(at, "/project/site/main") for _ in range(2)]
        assert await _resolved(at, "1") == theirs[0].id
        own = await _made(at)
        assert await _resolved(at, "1") == own.id
        assert await _resolved(at, "2") == theirs[1].id
        assert await _resolved(at, "/project/site#1") == theirs[0].id


async def test_number_of_several_groups_is_ambiguous() -> None:
    async with serving() as at:
        for name in "abcdefg":
            await _made(at, f"/project/{name}/main")
        error = await refusal(at.stub.ResolveRun(pb.ResolveRunRequest(reference="1")))
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "RUN_REFERENCE_AMBIGUOUS")
        assert "/project/a#1, /project/b#1, /project/c#1, /project/d#1, /project/e#1 and more" in error.message


async def test_beginning_of_several_ids_is_ambiguous() -> None:
    async with serving() as at:
        one, two = await _made(at, name="build"), await _made(at, name="deploy")
        shared = one.id[:8]
        assert two.id.startswith(shared)  # the clock stands still
        error = await refusal(at.stub.ResolveRun(pb.ResolveRunRequest(reference=shared)))
        assert error.reason == "RUN_REFERENCE_AMBIGUOUS"
        assert f"{one.id} (build)" in error.message
        assert f"{two.id} (deploy)" in error.message


@pytest.mark.parametrize(
    "reference",
    ["3", "/project/none#1", "0000", "ffffffff", "01234567-0123-7123-8123-0123456789ab"],
)
async def test_reference_to_no_run_is_not_found(reference: str) -> None:
    async with serving() as at:
        await _made(at)
        error = await refusal(at.stub.ResolveRun(pb.ResolveRunRequest(reference=reference)))
        assert error.code is Code.NOT_FOUND
        assert "there is no run" in error.message


async def test_last_run_of_an_installation_without_runs_is_not_found() -> None:
    async with serving() as at:
        error = await refusal(at.stub.ResolveRun(pb.ResolveRunRequest(reference="@last")))
        assert (error.code, error.message) == (Code.NOT_FOUND, "there is no run yet")


@pytest.mark.parametrize(
    "reference",
    ["", "@first", "build", "019", "-1", "0", "1.5", "user/me#1", "/user//x#1", "#", "1" * 40, "0123%", "4\n", "٣"],
)
async def test_what_is_no_reference_is_refused_and_the_forms_are_named(reference: str) -> None:
    async with serving() as at:
        await _made(at)
        error = await refusal(at.stub.ResolveRun(pb.ResolveRunRequest(reference=reference)))
        assert isinstance(error, InvalidInput)
        assert [violation.path for violation in error.violations] == ["reference"]


# --- lists --------------------------------------------------------------------------------------------------------

BELOW = {
    "a scope": ("/user/admin", {"a", "b", "deep"}),
    "the caller's": ("/user/me", {"a", "b", "deep"}),
    "a group and what is below it": ("/user/admin/app", {"a", "deep"}),
    "a group with nothing below it": ("/user/admin/app/main", {"deep"}),
    "one segment": ("/user", {"a", "b", "deep", "other"}),
    "another spelling": ("/%75ser/admin/ap%70", {"a", "deep"}),
    "no whole segment": ("/user/admin/ap", set[str]()),
}


@pytest.mark.parametrize("page_size", [0, 1, 3])
@pytest.mark.parametrize(("prefix", "names"), BELOW.values(), ids=BELOW)
async def test_runs_below_a_group_are_listed(
    prefix: str, names: set[str], page_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_SCANNED", 2)
    groups = {"a": "/user/admin/app", "b": "/user/admin/lib/main", "deep": "/user/admin/app/main"}
    groups |= {"other": "/user/administrator/app", "project": "/project/user/admin"}
    async with serving() as at:
        made = {}
        for name, group in groups.items():
            made[name] = (await _made(at, group)).id
            at.world.later(seconds=1)
        wanted = [made[name] for name in reversed(groups) if name in names]
        assert await _listed(at, group_prefix=prefix, page_size=page_size) == wanted
        running = await _listed(at, group_prefix=prefix, page_size=page_size, phase=api.RUN_PHASE_RUNNING)
        assert set(running) <= set(wanted)
        assert not await _listed(at, group_prefix=prefix, result=api.RUN_RESULT_FAILED)


async def test_own_group_means_the_same_in_creations_lists_and_watches() -> None:
    async with serving() as at:
        watch = at.stub.WatchRuns(pb.WatchRunsRequest(group="/user/me/x"))
        await watch.read()
        run = await _made(at, "/user/me/x")
        assert run.group == "/user/admin/x"
        assert await _listed(at, group="/user/me/x") == await _listed(at, group="/user/admin/x") == [run.id]
        async with asyncio.timeout(30):
            told = await watch.read()
        assert isinstance(told, pb.WatchRunsResponse)
        assert {event.group for event in told.events} == {"/user/admin/x"}
        watch.cancel()
        whole = await _made(at, "/user/me")
        assert whole.group == "/user/admin"
        assert await _listed(at, group="/user/me") == [whole.id]


async def test_watch_reports_the_runs_below_a_group() -> None:
    async with serving() as at:
        watch = at.stub.WatchRuns(pb.WatchRunsRequest(group_prefix="/user/me"))
        await watch.read()
        await _made(at, "/user/administrator/app")
        mine = await _made(at, "/user/admin/app/main")
        async with asyncio.timeout(30):
            told = await watch.read()
        assert isinstance(told, pb.WatchRunsResponse)
        assert {event.run_id for event in told.events} == {mine.id}
        watch.cancel()


@pytest.mark.parametrize("group", [{}, {"group": "/user/admin/x"}, {"group_prefix": "/user/me"}], ids=str)
async def test_runs_are_listed_by_the_time_of_their_creation(group: dict[str, str]) -> None:
    async with serving() as at:
        made = []
        for _ in range(4):
            made.append((await _made(at, "/user/admin/x")).id)
            at.world.later(minutes=1)  # so they are 4, 3, 2 and 1 minutes old at the end
        newest_first = made[::-1]
        for page_size in (0, 1):
            more = {**group, "page_size": page_size}
            assert await _listed(at, created_since=_stamp(at, minutes=2), **more) == newest_first[:2]
            assert await _listed(at, created_until=_stamp(at, minutes=2), **more) == newest_first[2:]
            both = {"created_since": _stamp(at, minutes=3.5), "created_until": _stamp(at, minutes=1)}
            assert await _listed(at, **both, **more) == newest_first[1:3]
            assert not await _listed(at, created_since=_stamp(at, minutes=0), **more)


BAD_LISTS = {
    "both filters of groups": ({"group": "/a/b", "group_prefix": "/a"}, "group_prefix"),
    "a prefix that is no path": ({"group_prefix": "user"}, "group_prefix"),
    "a group with an empty segment": ({"group": "/user//x"}, "group"),
    "a time out of range": ({"created_since": Timestamp(seconds=10**15)}, "created_since"),
    "an empty span": (
        {"created_since": Timestamp(seconds=10), "created_until": Timestamp(seconds=10)},
        "created_until",
    ),
    "an unknown phase": ({"phase": 99}, "phase"),
}


@pytest.mark.parametrize(("filters", "path"), BAD_LISTS.values(), ids=BAD_LISTS)
async def test_filters_that_cannot_be_are_refused(filters: dict[str, object], path: str) -> None:
    async with serving() as at:
        error = await refusal(at.stub.ListRuns(pb.ListRunsRequest(**filters)))  # type: ignore[arg-type]
        assert isinstance(error, InvalidInput)
        assert [violation.path for violation in error.violations] == [path]


async def test_page_token_of_another_list_is_refused() -> None:
    async with serving() as at:
        for _ in range(3):
            await _made(at)
        page = await at.stub.ListRuns(pb.ListRunsRequest(group_prefix="/user/me", page_size=1))
        other = pb.ListRunsRequest(group_prefix="/user/eve", page_size=1, page_token=page.next_page_token)
        assert (await refusal(at.stub.ListRuns(other))).reason == "PAGE_TOKEN_INVALID"
