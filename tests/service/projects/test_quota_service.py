"""`QuotaService` through a real port, and what it limits."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from sluiceway.api.project.v1.variable_service_pb2 import VariableValue
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, PermissionDenied
from sluiceway_server.datamanager.model import Delete, Put
from sluiceway_server.projects.quotas import projects_below
from sluiceway_server.projects.records import AUDIT_RECORD, PROJECT, PROJECT_GROUP, QUOTA
from tests.support.project_services import IDS, ServedProjects, served_projects


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def test_quota_is_set_by_operators_and_seen_by_members(served: ServedProjects) -> None:
    operator = served.clients["operator"]
    await operator.quotas.set("org/acme", projects=9, secrets=2)
    for caller in ("member", "owner", "operator"):
        found = await served.clients[caller].quotas.get("org/acme")
        assert (found.quota.projects, found.quota.secrets, found.quota.variables) == (9, 2, 0)
        assert (found.usage.projects, found.usage.secrets) == (5, 0)
        below = await served.clients[caller].quotas.get("org/acme/public-group/public-project")
        assert (below.quota.secrets, below.effective.secrets, below.effective.projects) == (0, 2, 0)
    for caller in ("reader", "stranger"):
        with pytest.raises(PermissionDenied):
            await served.clients[caller].quotas.get("org/acme")
    with pytest.raises(PermissionDenied):
        await served.clients["owner"].quotas.set("org/acme", projects=0)
    await operator.quotas.set("org/acme")
    assert await served.database.read(lambda view: view.get(QUOTA, IDS["acme"])) is None


async def test_number_of_projects_counts_below_each_ancestor(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await operator.quotas.set("org/acme", projects=6)
    await owner.projects.create("sixth", "org/acme/private-group")
    for create in (owner.projects.create, owner.project_groups.create):
        with pytest.raises(Exhausted) as refused:
            await create("seventh", "org/acme/public-group")
        assert (refused.value.reason, refused.value.metadata) == (
            "QUOTA_EXCEEDED",
            {"quota": "projects", "limit": "6"},
        )
        assert "organization 'acme' may have 6 projects and project groups at most" in refused.value.message
    # What is there is moved inside, not into it from elsewhere.
    await owner.projects.update("org/acme/private-group/sixth", parent_id="org/acme")
    await owner.projects.create("mine", "user/owner")
    with pytest.raises(Exhausted):
        await owner.projects.update("user/owner/mine", parent_id="org/acme")
    await owner.projects.delete("org/acme/sixth")
    await owner.projects.update("user/owner/mine", parent_id="org/acme")


async def test_quota_of_the_installation_counts_where_a_root_sets_none(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await operator.quotas.set("installation", projects=6, secrets=1, tokens=2)
    found = await owner.quotas.get("installation")
    assert (found.quota.projects, found.effective.tokens, found.HasField("usage")) == (6, 2, False)
    shown = await owner.quotas.get("org/acme")
    assert (shown.quota.projects, shown.effective.projects, shown.effective.secrets) == (0, 6, 1)
    assert shown.effective.tokens == 0
    assert (await owner.quotas.get("user/owner")).effective.tokens == 2
    # It is that of each root, and not of each group.
    assert (await owner.quotas.get("org/acme/public-group")).effective.projects == 0
    await owner.projects.create("sixth", "org/acme/public-group")
    with pytest.raises(Exhausted) as refused:
        await owner.projects.create("seventh", "org/acme/public-group")
    assert refused.value.metadata == {"quota": "projects", "limit": "6"}
    await operator.quotas.set("org/acme", projects=7)
    await owner.projects.create("seventh", "org/acme/public-group")
    await owner.users.create_token("owner", "second")
    with pytest.raises(Exhausted):
        await owner.users.create_token("owner", "third")
    with pytest.raises(PermissionDenied):
        await owner.quotas.set("installation")
    await operator.quotas.set("installation")
    assert await served.database.read(lambda view: view.get(QUOTA, "installation")) is None


async def test_moved_group_counts_with_all_below_it(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await owner.project_groups.create("big", "user/owner")
    await owner.projects.create("one", "user/owner/big")
    await owner.projects.create("two", "user/owner/big")
    await operator.quotas.set("org/acme", projects=7)
    with pytest.raises(Exhausted):
        await owner.project_groups.update("user/owner/big", parent_id="org/acme")
    await owner.projects.delete("user/owner/big/two")
    await owner.project_groups.update("user/owner/big", parent_id="org/acme")
    assert (await owner.quotas.get("org/acme")).usage.projects == 7


async def test_nearest_quota_counts_for_secrets_and_variables(served: ServedProjects) -> None:
    member, operator = served.clients["member"], served.clients["operator"]
    project = "org/acme/public-group/public-project"
    await operator.quotas.set("org/acme", secrets=1)
    await operator.quotas.set("org/acme/public-group", secrets=2, variables=1)
    for number in range(2):
        await member.secrets.create(f"secret{number}", project, {"key": b"value"})
    with pytest.raises(Exhausted) as refused:
        await member.secrets.create("more", project, {"key": b"value"})
    assert "project 'public-project' may have 2 secrets at most, by the quota of project group" in refused.value.message
    await member.secrets.create("here", "org/acme", {"key": b"value"})
    with pytest.raises(Exhausted):
        await member.secrets.create("too", "org/acme", {"key": b"value"})
    value = VariableValue(secret_name="secret0", key="key")
    await member.variables.create("first", project, [value])
    with pytest.raises(Exhausted):
        await member.variables.create("second", project, [value])
    # A lower quota takes nothing away, and a change of what is there is no addition.
    await operator.quotas.set("org/acme/public-group", secrets=1)
    await member.secrets.update(f"{project}/secret0", set_values={"key": b"other"})
    assert (await member.quotas.get(project)).usage.secrets == 2


async def test_tokens_of_a_user_are_limited_and_sessions_are_not(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await operator.quotas.set("user/owner", tokens=2)
    await owner.users.create_token("owner", "second")
    with pytest.raises(Exhausted):
        await owner.users.create_token("owner", "third")
    await owner.users.begin_session()
    assert (await owner.quotas.get("user/owner")).usage.tokens == 2
    await owner.users.revoke_token("owner", "second")
    await owner.users.create_token("owner", "third")
    with pytest.raises(InvalidInput, match=r"quota\.tokens"):
        await operator.quotas.set("org/acme", tokens=2)


@pytest.mark.parametrize("limits", [{"projects": -1}, {"projects": 1001}, {"queued_runs": 1 << 30}])
async def test_limit_of_a_quota_is_checked(served: ServedProjects, limits: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        await served.clients["operator"].quotas.set("org/acme", **limits)


async def test_quota_goes_with_its_node_and_changes_are_audited(served: ServedProjects) -> None:
    operator = served.clients["operator"]
    await operator.quotas.set("org/acme", projects=9)
    await operator.quotas.set("org/acme", projects=9)
    records_ = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(each.method, each.root_id, each.details[0]) for each in records_] == [
        ("SetQuota", IDS["acme"], "projects: 9")
    ]
    await operator.organizations.delete("acme")
    assert await served.database.read(lambda view: view.get(QUOTA, IDS["acme"])) is None


@pytest.mark.parametrize("seed", range(5))
async def test_count_of_projects_is_that_of_a_walk(served: ServedProjects, seed: int) -> None:
    """Compare it with a plain set, while a random tree grows, moves and shrinks."""
    chance, database = random.Random(seed), served.database
    parents = {"root": ""}

    def below(node: str) -> set[str]:
        found = {child for child, parent in parents.items() if parent == node}
        return found.union(*(below(child) for child in found))

    async def put(id_: str) -> None:
        is_group = id_.startswith("g")
        type_, message = (PROJECT_GROUP, records.ProjectGroup) if is_group else (PROJECT, records.Project)
        await database.commit([Put(type_, id_, message(name=id_, parent_id=parents[id_]))])

    for number in range(60):
        groups = [id_ for id_ in parents if id_ == "root" or id_.startswith("g")]
        inner = [id_ for id_ in parents if id_ != "root"]
        what = chance.choice(("add", "add", "add", "move", "delete"))
        if what == "add" or not inner:
            id_ = f"{chance.choice('gp')}{number}"
            parents[id_] = chance.choice(groups)
            await put(id_)
        elif what == "move":
            id_ = chance.choice(inner)
            parents[id_] = chance.choice([each for each in groups if each != id_ and each not in below(id_)])
            await put(id_)
        else:
            id_ = chance.choice(inner)
            for gone in {id_, *below(id_)}:
                await database.commit([Delete(PROJECT_GROUP if gone.startswith("g") else PROJECT, gone)])
                del parents[gone]
        for node in groups:
            if node in parents:
                expected = len(below(node))
                for limit in (1, 3, 1000):
                    counted = await database.read(
                        lambda view, node=node, limit=limit: projects_below(view, node, limit=limit)  # type: ignore[misc]
                    )
                    assert counted == min(expected, limit)
