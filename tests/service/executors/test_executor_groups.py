"""Groups of executors through the API: whom a group serves, its tokens, and its deletion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.project.v1.records_pb2 import User
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import TOKEN, USER
from sluiceway_server.projects.tokens import TokenSpec, make_token, token_id
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.project_settings import ProjectSettings
from sluiceway_server.runs.transaction import tasks_of
from tests.support.conditions import eventually
from tests.support.executor_cluster import Cluster, ScriptedExecutor, Server, leaving
from tests.support.project_services import IDS, tree_actions
from tests.support.run_engine import request

PROJECT = f"/project/{IDS['public-project']}/branch/main"


@pytest.fixture
async def cluster() -> Cluster:
    made = Cluster()
    await made.db.commit([*tree_actions(), Put(USER, "admin", User(name="admin", operator=True))])
    return made


@asynccontextmanager
async def _admin(server: Server, token: str = "admin") -> AsyncIterator[pb_grpc.ExecutorAdminServiceAsyncStub]:
    async with open_channel(f"127.0.0.1:{server.port}", token=token) as channel:
        yield pb_grpc.ExecutorAdminServiceStub(channel)


async def _created(admin: pb_grpc.ExecutorAdminServiceAsyncStub, name: str, **settings: object) -> pb.ExecutorGroup:
    group = pb.ExecutorGroup(name=name, **settings)  # type: ignore[arg-type]  # of a test
    return (await admin.CreateExecutorGroup(pb.CreateExecutorGroupRequest(executor_group=group))).executor_group


async def _updated(admin: pb_grpc.ExecutorAdminServiceAsyncStub, name: str, **settings: object) -> pb.ExecutorGroup:
    group = pb.ExecutorGroup(name=name, **settings)  # type: ignore[arg-type]  # of a test
    return (await admin.UpdateExecutorGroup(pb.UpdateExecutorGroupRequest(executor_group=group))).executor_group


async def _refusal(call: object) -> SluicewayError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]  # a call of a stub
    return error_of(raised.value)


async def _explained(cluster: Cluster, server: Server, run_id: str) -> str:
    explainer = Explainer(server.directory, cluster.clock, times=cluster.times, scopes=ProjectSettings())
    explained = await cluster.db.read(lambda view: explainer.explain_run(view, run_id))
    assert explained is not None
    return "; ".join(reason.message for task in explained.tasks for reason in task.reasons)


async def _task(cluster: Cluster, run_id: str) -> run_pb2.Task:
    return (await cluster.db.read(lambda view: tasks_of(view, run_id)))[0]


async def test_group_serves_what_its_creator_owns_by_default(cluster: Cluster) -> None:
    async with cluster.server() as server, _admin(server) as admin:
        made = await _created(admin, "gpu")
        assert (list(made.serves), made.serves_all, made.takes_forks) == (["user/admin"], False, False)
        assert made.HasField("create_time")
        listed = (await admin.ListExecutorGroups(pb.ListExecutorGroupsRequest())).executor_groups
        assert [each.name for each in listed] == ["gpu"]


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"name": "a/b"}, "INVALID_ARGUMENT", "must be letters"),
        ({"name": ""}, "INVALID_ARGUMENT", "name"),
        ({"name": "x", "serves": ["org/none"]}, "NOT_FOUND", "org/none"),
        ({"name": "x", "serves": ["user/admin"], "serves_all": True}, "INVALID_ARGUMENT", "excludes"),
        ({"name": "gpu"}, "ALREADY_EXISTS", "executor group update gpu"),
    ],
    ids=["name", "no-name", "serves-nothing", "serves-both", "taken"],
)
async def test_group_with_a_fault_is_refused(
    cluster: Cluster, settings: dict[str, object], code: str, words: str
) -> None:
    async with cluster.server() as server, _admin(server) as admin:
        await _created(admin, "gpu")
        error = await _refusal(_created(admin, **settings))  # type: ignore[arg-type]  # of a table
        faults = " ".join(f"{each.path} {each.message}" for each in getattr(error, "violations", ()))
        assert error.code.value == code
        assert words in f"{error} {faults}"


async def test_run_waits_until_a_group_serves_its_project(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await _created(admin, "blue", serves=["org/hidden"])
        await executor.welcomed(server)
        run_id = (await server.engine.create_run(request(group=PROJECT), created_by="admin")).value.run.id

        async def is_explained() -> bool:
            words = await _explained(cluster, server, run_id)
            return "group blue does not serve project org/acme/public-group/public-project" in words

        await eventually(is_explained)
        assert executor.of("assign") == []
        changed = await _updated(admin, "blue", serves=["org/acme"])
        assert list(changed.serves) == ["org/acme"]
        await executor.until("assign")


async def test_group_takes_runs_of_forks_when_told_to(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run = await server.engine.create_run(request(group=PROJECT), created_by="admin", from_fork=True)

        async def waits() -> bool:
            return "takes no runs of forks" in await _explained(cluster, server, run.value.run.id)

        await eventually(waits)
        changed = await _updated(admin, "blue", takes_forks=True)
        assert (changed.takes_forks, changed.serves_all) == (True, True)
        await executor.until("assign")


async def test_executor_of_the_driver_host_never_takes_forks(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await _created(admin, "blue", serves_all=True, takes_forks=True)
        await executor.welcomed(server, drivers=["sandbox", "host"])
        run = await server.engine.create_run(request(group=PROJECT), created_by="admin", from_fork=True)

        async def waits() -> bool:
            return "takes no runs of forks" in await _explained(cluster, server, run.value.run.id)

        await eventually(waits)


async def test_deleting_a_busy_group_needs_force(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    text = await make_token(cluster.db, TokenSpec(CallerKind.EXECUTOR, "b", group="blue"), clock=cluster.clock)
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
        await executor.until("assign")
        error = await _refusal(admin.DeleteExecutorGroup(pb.DeleteExecutorGroupRequest(name="blue")))
        assert (error.reason, "e1" in str(error)) == ("EXECUTORS_BUSY", True)
        await admin.DeleteExecutorGroup(pb.DeleteExecutorGroupRequest(name="blue", force=True))
        assert (await executor.end()).reason == "SESSION_FENCED"
        task = await _task(cluster, run_id)
        assert (task.status, task.reason.code) == (run_pb2.TASK_STATUS_LOST, "OPERATOR")
        token = await cluster.db.get(TOKEN, token_id(text))
        assert token.HasField("revoke_time")
        for method, body in (
            ("GetExecutorGroup", pb.GetExecutorGroupRequest(name="blue")),
            ("DeleteExecutorGroup", pb.DeleteExecutorGroupRequest(name="blue")),
            ("UpdateExecutorGroup", pb.UpdateExecutorGroupRequest(executor_group=pb.ExecutorGroup(name="blue"))),
        ):
            assert (await _refusal(getattr(admin, method)(body))).code.value == "NOT_FOUND"


async def test_group_exists_while_it_has_a_valid_token(cluster: Cluster) -> None:
    await make_token(cluster.db, TokenSpec(CallerKind.EXECUTOR, "t", group="by token"), clock=cluster.clock)
    async with cluster.server() as server, _admin(server) as admin:
        (shown,) = (await admin.ListExecutorGroups(pb.ListExecutorGroupsRequest())).executor_groups
        assert (shown.name, shown.serves_all, shown.tokens, shown.executors) == ("by token", True, 1, 0)
        await admin.DeleteExecutorGroup(pb.DeleteExecutorGroupRequest(name="by token"))
        assert not (await admin.ListExecutorGroups(pb.ListExecutorGroupsRequest())).executor_groups


async def test_executors_may_not_change_groups(cluster: Cluster) -> None:
    async with cluster.server() as server, _admin(server, "blue") as stub:
        assert (await _refusal(_created(stub, "gpu"))).reason == "WRONG_CALLER"
