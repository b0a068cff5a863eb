"""Id tokens over real gRPC: who gets one, and who does not."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import definition_pb2
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.identity_keys import IdentityKeys
from sluiceway_server.projects.records import ORGANIZATION, PROJECT
from sluiceway_server.runrecords.types import RUN
from tests.support.executor_cluster import Cluster, ScriptedExecutor, Server
from tests.support.run_engine import definition, request

SOURCE = definition_pb2.Source(
    repository="https://git.example.org/api.git",
    ref_type="branch",
    ref="refs/heads/main",
    branch="main",
    commit_sha="c" * 40,
)
TOKENS = {"AWS_TOKEN": definition_pb2.IdToken(audiences=["sts.amazonaws.com"])}


async def store_project(cluster: Cluster, **settings: Any) -> None:
    await cluster.db.commit(
        [
            Put(ORGANIZATION, "o1", project_pb.Organization(name="acme")),
            Put(PROJECT, "p1", project_pb.Project(name="api", parent_id="o1", **settings)),
        ]
    )


async def given(
    server: Server, executor: ScriptedExecutor, *, group: str = "/project/p1/branch/main", event: str = "push"
) -> pb.Assign:
    wanted = request(definition(id_tokens=TOKENS), group=group, source=SOURCE)
    run = (await server.engine.create_run(wanted, created_by="admin", event=event)).value.run
    message = await executor.until("assign", lambda assign: assign.specification.run_id == run.id)
    await executor.confirm(message.assign.number)
    await executor.reported(message.assign, "ACCEPTED")
    await executor.reported(message.assign, "RUNNING")
    return message.assign


async def issued(
    server: Server, executor: ScriptedExecutor, assign: pb.Assign, token: str = "blue", **changes: Any
) -> pb.IssueIdTokenResponse:
    fields: dict[str, Any] = {
        "executor_id": executor.id,
        "session_id": executor.session_id,
        "session_secret": executor.session_secret,
        "assignment_id": assign.assignment_id,
        "epoch": assign.epoch,
        "name": "AWS_TOKEN",
    }
    async with open_channel(f"127.0.0.1:{server.port}", token=token) as channel:
        wanted = pb.IssueIdTokenRequest(**(fields | changes))
        return await pb_grpc.ExecutorServiceStub(channel).IssueIdToken(wanted)


async def refusal(server: Server, executor: ScriptedExecutor, assign: pb.Assign, **changes: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await issued(server, executor, assign, **changes)
    return error_of(caught.value).reason


async def test_token_is_issued_for_a_running_attempt(cluster: Cluster, executor: ScriptedExecutor) -> None:
    await store_project(cluster)
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        assert list(assign.specification.id_tokens) == ["AWS_TOKEN"]
        response = await issued(server, executor, assign)
    keys = await IdentityKeys(cluster.db, cluster.envelope, cluster.clock).published()
    public = [RSAKey.import_key({"kty": "RSA", "kid": key.kid, "n": key.modulus, "e": key.exponent}) for key in keys]
    claims = jwt.decode(response.token, KeySet([*public]), algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"]) == ("https://ci.example.org", "sts.amazonaws.com")
    assert claims["sub"] == "project:p1:branch:main"
    assert (claims["project_path"], claims["owner_path"], claims["executor_group"]) == (
        "org/acme/api",
        "org/acme",
        "blue",
    )
    assert (claims["assignment_id"], claims["attempt"]) == (assign.assignment_id, 1)
    assert response.refresh_after.seconds * 2 == claims["exp"] - claims["iat"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_secret": "guess"}, "SESSION_FENCED"),
        ({"executor_id": "e2"}, "SESSION_FENCED"),
        ({"token": "green"}, "SESSION_FENCED"),
        ({"token": "admin"}, "WRONG_CALLER"),
        ({"epoch": pb.Epoch(database=1, attempt=2)}, "STALE_EPOCH"),
        ({"epoch": pb.Epoch(database=7, attempt=1)}, "STALE_EPOCH"),
        ({"assignment_id": "other"}, "NOT_FOUND"),
        ({"name": "GCP_TOKEN"}, "NOT_FOUND"),
    ],
    ids=[
        "another secret",
        "another executor",
        "a token of another group",
        "an operator",
        "another attempt",
        "another epoch of the database",
        "an unknown assignment",
        "a token that the task has not",
    ],
)
async def test_token_is_for_its_executor_and_attempt_only(
    cluster: Cluster, executor: ScriptedExecutor, changes: dict[str, Any], reason: str
) -> None:
    await store_project(cluster)
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        assert await refusal(server, executor, assign, **changes) == reason


async def test_sibling_gets_no_token_for_an_assignment(cluster: Cluster, executor: ScriptedExecutor) -> None:
    await store_project(cluster)
    sibling = ScriptedExecutor(id="e2", journal="journal-2")
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        await sibling.welcomed(server)
        assert await refusal(server, sibling, assign) == "NOT_FOUND"
        await sibling.leave()


@pytest.mark.parametrize("phase", ["SUCCESS", "FAILED", "STOPPED", "LOST"])
async def test_attempt_that_is_over_gets_no_token(cluster: Cluster, executor: ScriptedExecutor, phase: str) -> None:
    await store_project(cluster)
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        await issued(server, executor, assign)
        await executor.reported(assign, phase)
        assert await refusal(server, executor, assign) == "ASSIGNMENT_FINAL"


@pytest.mark.parametrize("allows", [False, True])
async def test_fork_gets_tokens_if_its_project_says_so(allows: bool) -> None:
    cluster, executor = Cluster(), ScriptedExecutor()
    await store_project(cluster, issue_id_tokens_to_forks=allows)
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        run = await cluster.db.get(RUN, assign.specification.run_id)
        run.from_fork = True
        await cluster.db.commit([Put(RUN, run.run.id, run)])
        if allows:
            assert (await issued(server, executor, assign)).token
        else:
            assert await refusal(server, executor, assign) == "ID_TOKENS_WITHHELD"
        built = await server.engine.specifications.build(assign.assignment_id)
        assert (list(built.id_tokens), "fork" in built.id_tokens_withheld) == (["AWS_TOKEN"] * allows, not allows)
    await executor.leave()


async def test_run_of_no_project_gets_no_tokens(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor, group="/user/admin/x", event="")
        assert "no project" in assign.specification.id_tokens_withheld
        assert await refusal(server, executor, assign) == "ID_TOKENS_WITHHELD"


async def test_server_without_a_public_url_issues_no_tokens(executor: ScriptedExecutor) -> None:
    cluster = Cluster(public_url="")
    await store_project(cluster)
    async with cluster.server() as server:
        await executor.welcomed(server)
        assign = await given(server, executor)
        assert await refusal(server, executor, assign) == "PUBLIC_URL_MISSING"
