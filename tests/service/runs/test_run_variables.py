"""Variables of a run of a project: stored as references to secrets, and clear only in a specification."""

from __future__ import annotations

import base64

import pytest

from sluiceway.api.project.v1 import variable_service_pb2 as variable_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import Delete, Put
from sluiceway_server.projects.envelope import Envelope, MasterKeys
from sluiceway_server.projects.project_values import SecretNotAvailable
from sluiceway_server.projects.records import ORGANIZATION, PROJECT
from sluiceway_server.projects.secret_records import SECRET, SECRET_VERSION, VARIABLE, version_id
from sluiceway_server.projects.secret_values import put_version, replace_version, seal_values
from sluiceway_server.runrecords.types import RUN_CONFIG
from tests.fakes.executor_directory import executor
from tests.support.run_engine import World, definition, request

CLEAR = b"correct horse battery"
GROUP = "/project/api/branch/main"


@pytest.fixture
async def world() -> World:
    made = World()
    value = variable_api.VariableValue(secret_name="npm", key="token")
    await made.db.commit(
        [
            Put(ORGANIZATION, "acme", project_pb.Organization(name="acme")),
            Put(PROJECT, "api", project_pb.Project(name="api", parent_id="acme")),
            Put(SECRET, "s1", pb.Secret(name="npm", parent_id="acme", keys=["token"], version=1)),
            put_version("s1", 1, seal_values(made.envelope, "s1", 1, {"token": CLEAR})),
            Put(VARIABLE, "v1", pb.Variable(name="NPM_TOKEN", parent_id="api", values=[value])),
        ]
    )
    return made


async def new_version(world: World, version: int, value: bytes) -> None:
    """Change the secret, as `UpdateSecret` does."""
    before = await world.db.read(lambda view: tuple(replace_version(view, "s1", version - 1, now=world.clock.now())))
    await world.db.commit(
        [
            *before,
            Put(SECRET, "s1", pb.Secret(name="npm", parent_id="acme", keys=["token"], version=version)),
            put_version("s1", version, seal_values(world.envelope, "s1", version, {"token": value})),
        ]
    )


def wanted(*, variable: str = "npm_token", group: str = GROUP, request_id: str = "") -> service_api.CreateRunRequest:
    task = definition("build", environment={"TOKEN": definition_api.EnvironmentValue(variable=variable)})
    made = request(task, group=group)
    made.request_id = request_id
    made.source.ref_type, made.source.ref, made.source.branch = "branch", "refs/heads/main", "main"
    return made


async def token_of(world: World, run_id: str) -> tuple[str, list[bytes]]:
    specification = await world.engine().specifications.build((await world.assignment_of(run_id)).id)
    return specification.environment["TOKEN"], list(specification.masks)


async def test_run_stores_a_reference_and_its_specification_the_value(world: World) -> None:
    engine = await world.placing_engine()
    run = (await engine.create_run(wanted(), created_by="u")).value.run
    assert list(run.warnings) == []
    config = (await world.db.get(RUN_CONFIG, run.id)).config
    reference = definition_api.SecretReference(id="s1", key="token", version=1)
    assert config.tasks[0].environment["TOKEN"].secret == reference
    assert await token_of(world, run.id) == (CLEAR.decode(), [CLEAR])
    everything = b"".join(
        action.message.SerializeToString() if isinstance(action, Put) else repr(action).encode()
        for applied, _, _ in world.db.history
        for action in applied.actions
    )
    assert b"NPM_TOKEN" in everything
    for form in (CLEAR, base64.b64encode(CLEAR)[:-4]):
        assert form not in everything


async def test_run_keeps_its_version_when_the_secret_changes(world: World) -> None:
    engine = await world.placing_engine()
    first = (await engine.create_run(wanted(), created_by="u")).value.run
    await new_version(world, 2, b"the second value")
    second = (await engine.create_run(wanted(group="/project/api/branch/next"), created_by="u")).value.run
    assert (await token_of(world, first.id))[0] == CLEAR.decode()
    assert (await token_of(world, second.id))[0] == "the second value"


async def test_repeated_creation_returns_the_first_run_after_a_change(world: World) -> None:
    engine = await world.placing_engine()
    first = (await engine.create_run(wanted(request_id="once"), created_by="u")).value.run
    await new_version(world, 2, b"the second value")
    assert (await engine.create_run(wanted(request_id="once"), created_by="u")).value.run.id == first.id


@pytest.mark.parametrize(
    ("variable", "group", "why"),
    [
        ("other", GROUP, "is not set"),
        ("npm_token", "/project/unknown/x", "is not set, because the run belongs to no project"),
        ("npm_token", "/user/u/x", "is not set, because the run belongs to no project"),
        ("npm_token", "/project/acme/x", "is not set, because the run belongs to no project"),
    ],
    ids=["no variable", "no project", "run of a user", "an organization is no project"],
)
async def test_variable_without_a_value_is_empty(world: World, variable: str, group: str, why: str) -> None:
    engine = await world.placing_engine()
    run = (await engine.create_run(wanted(variable=variable, group=group), created_by="u")).value.run
    assert list(run.warnings) == [f'variable "{variable}" {why}; task "build" gets an empty string']
    assert await token_of(world, run.id) == ("", [])


@pytest.mark.parametrize("passes", [False, True])
async def test_run_of_a_fork_gets_variables_if_its_project_says_so(world: World, passes: bool) -> None:
    project = project_pb.Project(name="api", parent_id="acme", pass_variables_to_forks=passes)
    await world.db.commit([Put(PROJECT, "api", project)])
    engine = await world.placing_engine(slots=0)
    await world.executors.connect(executor(takes_forks=True))
    run = (await engine.create_run(wanted(), created_by="u", from_fork=True)).value.run
    if passes:
        assert await token_of(world, run.id) == (CLEAR.decode(), [CLEAR])
        return
    assert list(run.warnings) == [
        'variable "npm_token" is not passed to runs of forks; task "build" gets an empty string'
    ]
    assert await token_of(world, run.id) == ("", [])


async def test_deleted_secret_has_no_specification(world: World) -> None:
    engine = await world.placing_engine()
    run = (await engine.create_run(wanted(), created_by="u")).value.run
    await world.db.commit([Delete(SECRET, "s1"), Delete(SECRET_VERSION, version_id("s1", 1))])
    with pytest.raises(SecretNotAvailable, match="TOKEN: version 1 of the secret s1 was deleted"):
        await token_of(world, run.id)


@pytest.mark.parametrize(
    ("keys", "reason"), [(None, "MASTER_KEY_MISSING"), (MasterKeys([b"x" * 32]), "MASTER_KEY_UNKNOWN")]
)
async def test_server_without_the_master_key_has_no_specification(
    world: World, keys: MasterKeys | None, reason: str
) -> None:
    engine = await world.placing_engine()
    run = (await engine.create_run(wanted(), created_by="u")).value.run
    world.envelope = Envelope(keys)
    with pytest.raises(FailedPrecondition) as raised:
        await token_of(world, run.id)
    assert raised.value.reason == reason


async def test_old_versions_are_kept_for_thirty_days(world: World) -> None:
    for version in range(2, 6):
        await new_version(world, version, b"value %d" % version)
        world.later(days=11)
    assert await versions_of(world) == [2, 3, 4, 5]


async def test_a_hundred_old_versions_are_kept(world: World) -> None:
    for version in range(2, 120):
        await new_version(world, version, b"value %d" % version)
    assert await versions_of(world) == list(range(19, 120))


async def versions_of(world: World) -> list[int]:
    ids = await world.db.read(lambda view: [id_ for id_, _ in view.scan(SECRET_VERSION, "s1/")])
    return [int(id_.partition("/")[2]) for id_ in ids]
