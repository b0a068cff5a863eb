"""Who may create, see and control runs, by the project or user that they belong to: every method, every caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pool

from sluiceway.api.options.v1 import options_pb2
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import Code
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.projects.guard import TREE_RESOURCES, Guard
from sluiceway_server.projects.records import AUDIT_RECORD, ORGANIZATION
from sluiceway_server.runs.access import RUN_RESOURCE, right_on_scope
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.service import RunServicer
from tests.service.runs.test_run_service import TwoChunks
from tests.support.project_services import IDS, tree_actions
from tests.support.run_engine import World, definition, request

ALL = frozenset({"*"})
CALLERS = {
    **{name: Caller(CallerKind.USER, IDS[name], ALL) for name in ("stranger", "reader", "member", "owner")},
    "operator": Caller(CallerKind.OPERATOR, "admin", ALL),
    # Tokens that reach one organization only.
    "owner of acme only": Caller(CallerKind.USER, IDS["owner"], ALL, organization=IDS["acme"]),
    "owner elsewhere only": Caller(CallerKind.USER, IDS["owner"], ALL, organization=IDS["hidden"]),
}

_PROJECT = "/project/" + IDS["public-project"]
GROUPS = {
    "public": f"{_PROJECT}/branch/main",
    "private": f"/project/{IDS['private-project']}/branch/main",
    "below private": f"/project/{IDS['below-private']}/branch/main",
    "hidden": f"/project/{IDS['hidden-project']}/branch/main",
    "own": f"/user/{IDS['owner']}/app/main",
    "no scope": "/main",
}

# N: not found, R: may read, C: may control.
RIGHTS = {
    #                       public private below hidden own none
    "stranger":             "R N N N N N",
    "reader":               "R R R N N N",
    "member":               "C C C N N N",
    "owner":                "C C C N C N",
    "operator":             "C C C C C C",
    "owner of acme only":   "C C C N N N",
    "owner elsewhere only": "N N N N N N",
}  # fmt: skip
MATRIX = [
    (caller, group, right) for caller, row in RIGHTS.items() for group, right in zip(GROUPS, row.split(), strict=True)
]


class Names:
    """An authenticator whose tokens are the names of the callers."""

    async def authenticate(self, token: str) -> Caller | None:
        return CALLERS.get(token.replace("_", " "))


@dataclass
class Served:
    world: World
    runs: Mapping[str, str]
    stubs: Mapping[str, pb_grpc.RunServiceAsyncStub]

    async def code(self, caller: str, method: str, message: Any) -> tuple[str, str]:
        """Return the code and the message of a call; `OK` and nothing if it succeeds."""
        call = getattr(self.stubs[caller], method)(message, timeout=30)
        try:
            if isinstance(call, grpc.aio.UnaryStreamCall):
                async for _ in call:
                    call.cancel()
                    break
            else:
                await call
        except grpc.aio.AioRpcError as raised:
            error = error_of(raised)
            return error.code.value, error.message
        return "OK", ""


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    world = World(types=RECORD_TYPES)
    await world.db.commit(tree_actions())
    engine = await world.placing_engine(slots=0)
    resources = {**TREE_RESOURCES, "run": RUN_RESOURCE}
    offer = ServiceSet(Names(), Guard(world.db, resources))
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())
    offer.add(
        pb_grpc.add_RunServiceServicer_to_server,
        RunServicer(
            world.db,
            engine,
            explainer=explainer,
            logs=TwoChunks(),
            deletion=world.deletion,
            artifacts=world.artifacts,
            tests=world.tests,
            right_on_scope=right_on_scope,
            ids=world.ids,
        ),
    )
    server = RpcServer(ids=world.ids)
    await server.serve(offer)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.drain)
        stubs = {}
        for name in CALLERS:
            channel = open_channel(address, token=name.replace(" ", "_"))
            stack.push_async_callback(channel.close)
            stubs[name] = pb_grpc.RunServiceStub(channel)
        runs = {}
        for name, group in GROUPS.items():
            made = await stubs["operator"].CreateRun(request(group=group))
            runs[name] = made.run.id
            world.later(seconds=1)
        yield Served(world, runs, stubs)


def _methods() -> list[tuple[str, bool]]:
    """Return the methods that name a run, and whether each controls it."""
    service = descriptor_pool.Default().FindServiceByName("sluiceway.api.run.v1.RunService")
    access: Any = options_pb2.access
    found = []
    for method in service.methods:
        declared = method.GetOptions().Extensions[access]
        if declared.resource_field == "run_id":
            assert declared.right in {options_pb2.RIGHT_READ, options_pb2.RIGHT_CONTROL}, method.name
            found.append((method.name, declared.right == options_pb2.RIGHT_CONTROL))
    return found


async def test_rights_on_a_run_hold_for_every_method() -> None:
    methods = _methods()
    assert len(methods) >= 15
    wrong = []
    async with serving() as at:
        for caller, group, right in MATRIX:
            for name, controls in methods:
                message = getattr(pb, f"{name}Request")(run_id=at.runs[group])
                for field in {"task_id", "artifact_id"} & set(message.DESCRIPTOR.fields_by_name):
                    setattr(message, field, "none")
                if name == "SearchLogs":
                    message.pattern = "x"
                code, text = await at.code(caller, name, message)
                if right == "N":
                    as_expected = code == "NOT_FOUND" and text == f"there is no run {at.runs[group]!r}"
                elif controls and right == "R":
                    as_expected = code == "PERMISSION_DENIED"
                else:
                    as_expected = code != "PERMISSION_DENIED" and "no run" not in text
                if not as_expected:
                    wrong.append((caller, group, name, code, text))
    assert not wrong


async def test_approval_for_owners_is_refused_to_members() -> None:
    gate = definition("gate", approval=definition_api.Approval(owners_only=True))
    why = 'task "gate" can be approved by owners of its project only, as its configuration says'
    async with serving() as at:
        for number, caller in enumerate(("owner", "operator", "owner of acme only")):
            made = await at.stubs["member"].CreateRun(request(gate, group=f"{GROUPS['private']}-{number}"))
            asked = {"run_id": made.run.id, "task_id": await at.world.task_id(made.run.id, "gate")}
            code = await at.code("member", "ApproveTask", pb.ApproveTaskRequest(**asked))
            assert code == ("PERMISSION_DENIED", why)
            code = await at.code("member", "RejectTask", pb.RejectTaskRequest(**asked))
            assert code == ("PERMISSION_DENIED", why.replace("approved", "rejected"))
            assert (await at.stubs["member"].GetTask(pb.GetTaskRequest(**asked))).task.approval.owners_only
            assert await at.code(caller, "ApproveTask", pb.ApproveTaskRequest(**asked)) == ("OK", "")


async def test_runs_are_created_by_who_controls_the_project() -> None:
    expected = {"N": "NOT_FOUND", "R": "PERMISSION_DENIED", "C": "OK"}
    async with serving() as at:
        found = {
            (caller, group): (await at.code(caller, "CreateRun", request(group=GROUPS[group])))[0]
            for caller, group, _ in MATRIX
        }
        assert found == {(caller, group): expected[right] for caller, group, right in MATRIX}
        for group in (f"/project/{IDS['acme']}", "/project/none/x", "/project", "/user", f"{_PROJECT}0/x"):
            assert (await at.code("owner", "CreateRun", request(group=group)))[0] == "NOT_FOUND", group
        # Both escape to the same path.
        assert (await at.code("owner", "CreateRun", request(group=f"/%70roject/{IDS['hidden-project']}")))[
            0
        ] == "NOT_FOUND"


async def test_lists_and_references_have_visible_runs_only() -> None:
    async with serving() as at:
        for caller in CALLERS:
            stub = at.stubs[caller]
            visible = [group for who, group, right in MATRIX if who == caller and right != "N"]
            newest_first = [at.runs[group] for group in reversed(visible)]
            listed: list[str] = []
            token = ""
            while True:
                page = await stub.ListRuns(pb.ListRunsRequest(page_size=1, page_token=token))
                listed += [run.id for run in page.runs]
                token = page.next_page_token
                if not token:
                    break
            assert listed == newest_first, caller
            for group, path in GROUPS.items():
                found = await stub.ListRuns(pb.ListRunsRequest(group=path))
                assert [run.id for run in found.runs] == [at.runs[group]] * (group in visible), (caller, group)
                scope = "/".join(path.split("/")[:3])
                for reference in (at.runs[group], f"{scope}#1"):
                    code, _ = await at.code(caller, "ResolveRun", pb.ResolveRunRequest(reference=reference))
                    assert code == ("OK" if group in visible else "NOT_FOUND"), (caller, reference)
            last = pb.ResolveRunRequest(reference="@last")
            if visible:
                assert (await stub.ResolveRun(last)).run.id == newest_first[0]
            else:
                assert (await at.code(caller, "ResolveRun", last))[0] == "NOT_FOUND"


async def test_page_token_of_another_caller_is_refused() -> None:
    async with serving() as at:
        page = await at.stubs["owner"].ListRuns(pb.ListRunsRequest(page_size=1))
        stolen = pb.ListRunsRequest(page_size=1, page_token=page.next_page_token)
        assert (await at.code("member", "ListRuns", stolen))[0] == Code.INVALID_ARGUMENT


async def test_watch_of_all_runs_has_events_of_visible_ones() -> None:
    async with serving() as at:
        watch = at.stubs["reader"].WatchRuns(pb.WatchRunsRequest(), timeout=60)
        await watch.read()
        for group in ("hidden", "own", "private"):
            await at.stubs["operator"].StopRun(pb.StopRunRequest(run_id=at.runs[group]))
        message: Any = await watch.read()
        assert {event.run_id for event in message.events} == {at.runs["private"]}
        watch.cancel()


async def test_runs_of_a_deleted_project_are_seen_by_operators_only() -> None:
    async with serving() as at:
        await at.world.db.commit(delete_subtree(ORGANIZATION, IDS["acme"], now=at.world.clock.now()))
        get = pb.GetRunRequest(run_id=at.runs["public"])
        assert (await at.code("owner", "GetRun", get))[0] == "NOT_FOUND"
        assert (await at.code("operator", "GetRun", get))[0] == "OK"
        assert (await at.code("owner", "CreateRun", request(group=GROUPS["public"])))[0] == "NOT_FOUND"


async def test_what_people_do_with_runs_is_recorded() -> None:
    async with serving() as served:
        stub = served.stubs["member"]
        run_id = served.runs["public"]
        await stub.StopRun(pb.StopRunRequest(run_id=run_id, request_id="once"))
        await stub.StopRun(pb.StopRunRequest(run_id=run_id, request_id="once"))
        assert (await served.code("reader", "StopRun", pb.StopRunRequest(run_id=run_id)))[0] != "OK"
        restarted = (await stub.RestartRun(pb.RestartRunRequest(run_id=run_id, from_start=True))).run
        wanted = request(group=GROUPS["public"], request_id="create once")
        created = (await stub.CreateRun(wanted)).run
        assert (await stub.CreateRun(wanted)).run.id == created.id
        every = await served.world.db.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
        # The runs that are there already were created by an operator.
        found = [each for each in every if each.caller_id != "admin"]
        assert [(each.caller_id, each.method, each.resource_type, each.resource_id) for each in found] == [
            (CALLERS["member"].id, "StopRun", "run", run_id),
            (CALLERS["member"].id, "RestartRun", "run", run_id),
            (CALLERS["member"].id, "CreateRun", "run", created.id),
        ]
        assert found[2].resource_path == f"{created.group}#{created.number}"
        assert {each.root_id for each in found} == {IDS["acme"]}
        assert list(found[1].details) == [f"restarted as {restarted.id}"]
