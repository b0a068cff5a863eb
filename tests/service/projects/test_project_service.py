"""`ProjectService` through a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import project_service_pb2 as pb
from sluiceway.api.project.v1 import project_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1.visibility_pb2 import VISIBILITY_PRIVATE, VISIBILITY_PUBLIC
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SluicewayError,
)
from sluiceway_server.projects.records import AUDIT_RECORD, PROJECT
from sluiceway_server.projects.retention import Kept, kept_by, put_retention
from tests.support.project_services import IDS, ServedProjects, served_projects

STUB = pb_grpc.ProjectServiceStub
_DAY = 86_400


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def _create(served: ServedProjects, name: str, parent: str, *, caller: str = "owner", **more: Any) -> pb.Project:
    request = pb.CreateProjectRequest(project=pb.Project(name=name, parent_id=parent, **more))
    made: pb.CreateProjectResponse = await served.call(caller, STUB, "CreateProject", request)
    return made.project


async def _update(served: ServedProjects, project: pb.Project, *paths: str, caller: str = "owner") -> pb.Project:
    request = pb.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths))
    made: pb.UpdateProjectResponse = await served.call(caller, STUB, "UpdateProject", request)
    return made.project


async def _get(served: ServedProjects, reference: str, *, caller: str = "owner") -> pb.Project:
    request = pb.GetProjectRequest(project_id=reference)
    found: pb.GetProjectResponse = await served.call(caller, STUB, "GetProject", request)
    return found.project


async def test_project_is_created_read_changed_and_deleted(served: ServedProjects) -> None:
    made = await _create(served, "api", "org/acme/public-group", concurrency=2)
    assert (made.path, made.parent_id, made.visibility, made.concurrency) == (
        "org/acme/public-group/api", IDS["public-group"], VISIBILITY_PUBLIC, 2,
    )  # fmt: skip
    assert made.HasField("create_time")
    assert await _get(served, made.id) == made
    assert await _get(served, "org/ACME/public-group/API") == made

    renamed = await _update(served, pb.Project(id=made.path, name="api2", concurrency=0), "name", "concurrency")
    assert (renamed.id, renamed.path, renamed.concurrency) == (made.id, "org/acme/public-group/api2", 0)
    assert renamed.etag != made.etag

    with pytest.raises(Conflict, match="read it again"):
        await served.call("owner", STUB, "DeleteProject", pb.DeleteProjectRequest(project_id=made.id, etag=made.etag))
    delete = pb.DeleteProjectRequest(project_id=made.id, etag=renamed.etag)
    await served.call("owner", STUB, "DeleteProject", delete)
    for call in (_get(served, made.id), _get(served, renamed.path)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await served.call("owner", STUB, "DeleteProject", delete)
    # The name is free at once.
    assert (await _create(served, "api2", "org/acme/public-group")).id != made.id


@pytest.mark.parametrize(
    ("parent", "asked", "has"),
    [
        ("org/acme", None, VISIBILITY_PUBLIC),
        ("org/acme", VISIBILITY_PRIVATE, VISIBILITY_PRIVATE),
        ("org/acme/private-group", None, VISIBILITY_PRIVATE),
        ("org/acme/private-group", VISIBILITY_PUBLIC, VISIBILITY_PRIVATE),
        ("user/owner", None, VISIBILITY_PRIVATE),
        ("user/owner", VISIBILITY_PUBLIC, VISIBILITY_PUBLIC),
    ],
)
async def test_visibility_is_that_of_the_parent_unless_given(
    served: ServedProjects, parent: str, asked: Any, has: int
) -> None:
    assert (await _create(served, "new", parent, visibility=asked)).visibility == has


@pytest.mark.parametrize(
    ("project", "path"),
    [
        pytest.param(pb.Project(parent_id="org/acme"), "project.name", id="no name"),
        pytest.param(pb.Project(name="x"), "project.parent_id", id="no parent"),
        pytest.param(pb.Project(name="a/b", parent_id="org/acme"), "project.name", id="a slash"),
        pytest.param(pb.Project(name="..", parent_id="org/acme"), "project.name", id="dots"),
        pytest.param(pb.Project(name="\u0430pi", parent_id="org/acme"), "project.name", id="a Cyrillic letter"),
        pytest.param(pb.Project(name="a" * 41, parent_id="org/acme"), "project.name", id="41 characters"),
        pytest.param(pb.Project(name=IDS["acme"], parent_id="org/acme"), "project.name", id="an id"),
        pytest.param(
            pb.Project(name="x", parent_id="org/acme", visibility=7),  # type: ignore[arg-type]  # not one of the enum
            "project.visibility",
            id="an unknown visibility",
        ),
        pytest.param(pb.Project(name="x", parent_id="org/acme", concurrency=-1), "project.concurrency", id="-1"),
    ],
)
async def test_invalid_project_is_refused_by_field(served: ServedProjects, project: pb.Project, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await served.call("owner", STUB, "CreateProject", pb.CreateProjectRequest(project=project))
    assert path in [violation.path for violation in refused.value.violations]


@pytest.mark.parametrize(
    ("name", "parent", "error"),
    [
        ("public-project", "org/acme/public-group", AlreadyExists),
        ("PUBLIC-GROUP", "org/acme", AlreadyExists),
        ("new", "org/none", NotFound),
        ("new", "org/acme/public-group/public-project", NotFound),
        ("new", IDS["public-project"], NotFound),
        ("new", "org/hidden", NotFound),
        ("new", IDS["hidden"], NotFound),
        ("new", "user/stranger", PermissionDenied),
    ],
)
async def test_place_of_a_new_project_is_checked(
    served: ServedProjects, name: str, parent: str, error: type[SluicewayError]
) -> None:
    with pytest.raises(error):
        await _create(served, name, parent)


async def test_creation_with_a_request_id_happens_once(served: ServedProjects) -> None:
    request = pb.CreateProjectRequest(project={"name": "once", "parent_id": "org/acme"}, request_id="r1")
    first = await served.call("owner", STUB, "CreateProject", request)
    assert (await served.call("owner", STUB, "CreateProject", request)).project == first.project
    # It is of one caller: another one finds the name taken.
    with pytest.raises(AlreadyExists):
        await served.call("member", STUB, "CreateProject", request)
    request.project.name = "twice"
    with pytest.raises(InvalidInput) as refused:
        await served.call("owner", STUB, "CreateProject", request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_group_moves_with_all_below_it_and_not_in_circles(served: ServedProjects) -> None:
    async def create(name: str, parent: str) -> pb.ProjectGroup:
        request = pb.CreateProjectGroupRequest(project_group={"name": name, "parent_id": parent})
        made: pb.CreateProjectGroupResponse = await served.call("owner", STUB, "CreateProjectGroup", request)
        return made.project_group

    async def move(group: str, parent: str, caller: str = "owner") -> pb.ProjectGroup:
        request = pb.UpdateProjectGroupRequest(
            project_group={"id": group, "parent_id": parent}, update_mask=FieldMask(paths=["parent_id"])
        )
        made: pb.UpdateProjectGroupResponse = await served.call(caller, STUB, "UpdateProjectGroup", request)
        return made.project_group

    outer, inner = await create("outer", "org/acme"), await create("inner", "org/acme/public-group")
    project = await _create(served, "leaf", inner.id)
    assert (await move("org/acme/public-group", outer.path)).path == "org/acme/outer/public-group"
    assert (await _get(served, project.id)).path == "org/acme/outer/public-group/inner/leaf"
    for target in (outer.id, inner.id):
        with pytest.raises(FailedPrecondition, match="into itself"):
            await move(outer.id, target)
    with pytest.raises(PermissionDenied, match="owners"):
        await move(inner.id, "org/acme", caller="member")
    with pytest.raises(NotFound):
        await move(inner.id, "org/hidden")
    with pytest.raises(PermissionDenied, match="members"):
        await move(inner.id, "user/stranger")
    # To the root of another tree that is the caller's own, where only the owner sees it then.
    assert (await move(inner.id, "user/owner")).path == "user/owner/inner"
    assert (await _get(served, project.id, caller="stranger")).path == "user/owner/inner/leaf"


async def test_delete_of_a_group_takes_everything_below_it(served: ServedProjects) -> None:
    request = pb.DeleteProjectGroupRequest(project_group_id="org/acme/public-group")
    await served.call("owner", STUB, "DeleteProjectGroup", request)
    for name in ("public-project", "private-project"):
        with pytest.raises(NotFound):
            await _get(served, IDS[name])
    listed = await served.call("owner", STUB, "ListProjects", pb.ListProjectsRequest())
    assert [project.name for project in listed.projects] == ["below-private", "own-project"]
    with pytest.raises(NotFound):
        await _create(served, "new", IDS["public-group"])


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        ("stranger", ["public-project"]),
        ("reader", ["below-private", "private-project", "public-project"]),
        ("member", ["below-private", "private-project", "public-project"]),
        ("owner", ["below-private", "own-project", "private-project", "public-project"]),
        ("operator", ["below-private", "hidden-project", "own-project", "private-project", "public-project"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
async def test_list_has_what_the_caller_may_see_in_pages(
    served: ServedProjects, caller: str, names: list[str], size: int
) -> None:
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListProjectsRequest(page_size=size, page_token=token)
        page = await served.call(caller, STUB, "ListProjects", request)
        found += [project.name for project in page.projects]
        token = page.next_page_token
        if not token:
            break
        assert len(page.projects) == size
        for hidden in IDS.keys() - set(names):
            assert IDS[hidden] not in token
    assert found == names


async def test_page_token_is_of_one_caller_and_one_list(served: ServedProjects) -> None:
    first = await served.call("owner", STUB, "ListProjects", pb.ListProjectsRequest(page_size=1))
    token = first.next_page_token
    for caller, request in (
        ("reader", pb.ListProjectsRequest(page_token=token)),
        ("operator", pb.ListProjectsRequest(page_token=token)),
        ("owner", pb.ListProjectsRequest(page_token=token, parent_id="org/acme/public-group")),
        ("owner", pb.ListProjectsRequest(page_token=token + "x")),
        ("owner", pb.ListProjectsRequest(page_token="\u0430")),
    ):
        with pytest.raises(InvalidInput) as refused:
            await served.call(caller, STUB, "ListProjects", request)
        assert refused.value.reason == "PAGE_TOKEN_INVALID"


async def test_list_of_a_parent_has_its_children_only(served: ServedProjects) -> None:
    request = pb.ListProjectsRequest(parent_id="org/acme/public-group")
    listed = await served.call("reader", STUB, "ListProjects", request)
    assert [project.name for project in listed.projects] == ["private-project", "public-project"]
    for hidden in ("org/hidden", "org/acme/private-group", IDS["private-group"], "org/none"):
        with pytest.raises(NotFound):
            await served.call("stranger", STUB, "ListProjects", pb.ListProjectsRequest(parent_id=hidden))


@pytest.mark.parametrize(
    ("caller", "paths", "error"),
    [
        ("member", ["name", "concurrency", "pass_variables_to_forks"], None),
        ("member", ["visibility"], PermissionDenied),
        ("member", ["parent_id"], PermissionDenied),
        ("owner", ["visibility"], None),
        ("owner", ["parent_id"], None),
        ("owner", ["*"], None),
        ("owner", [], None),
        ("owner", ["id"], InvalidInput),
        ("owner", ["path"], InvalidInput),
        ("owner", ["create_time"], InvalidInput),
        ("owner", ["name.first"], InvalidInput),
        ("reader", ["name"], PermissionDenied),
        ("stranger", ["name"], PermissionDenied),
    ],
)
async def test_update_changes_what_mask_and_role_allow(
    served: ServedProjects, caller: str, paths: list[str], error: type[SluicewayError] | None
) -> None:
    wanted = pb.Project(
        id=IDS["public-project"],
        name="renamed",
        parent_id="org/acme/private-group",
        visibility=VISIBILITY_PRIVATE,
        concurrency=3,
        pass_variables_to_forks=True,
    )
    before = await served.database.get(PROJECT, wanted.id)
    if error is not None:
        with pytest.raises(error):
            await _update(served, wanted, *paths, caller=caller)
        assert await served.database.get(PROJECT, wanted.id) == before
        return
    await _update(served, wanted, *paths, caller=caller)
    after = await served.database.get(PROJECT, wanted.id)
    changed = {
        field.name for field in after.DESCRIPTOR.fields if getattr(before, field.name) != getattr(after, field.name)
    }
    everything = {"name", "parent_id", "visibility", "concurrency", "pass_variables_to_forks"}
    assert changed == (set(paths) if paths and paths != ["*"] else everything)


async def test_every_change_has_an_audit_record(served: ServedProjects) -> None:
    made = await _create(served, "audited", "org/acme")
    await _update(served, pb.Project(id=made.id, name="renamed", visibility=VISIBILITY_PRIVATE), "name", "visibility")
    await _update(served, pb.Project(id=made.id, name="renamed"), "name")  # changes nothing
    await served.call("operator", STUB, "DeleteProject", pb.DeleteProjectRequest(project_id=made.id))
    with pytest.raises(PermissionDenied):
        await _create(served, "refused", "org/acme", caller="reader")
    found = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [
        (each.caller_kind, each.caller_id, each.method, each.resource_path, list(each.details)) for each in found
    ] == [
        ("user", IDS["owner"], "CreateProject", "org/acme/audited", []),
        (
            "user",
            IDS["owner"],
            "UpdateProject",
            "org/acme/audited",
            ["name: renamed", "visibility: private"],
        ),
        ("operator", "admin", "DeleteProject", "org/acme/renamed", []),
    ]
    assert all(each.resource_id == made.id and each.HasField("time") for each in found)
    assert all(each.peer.startswith("ipv4:127.0.0.1:") for each in found)


def _kept(**seconds: int) -> pb.Retention:
    return pb.Retention(**{name: Duration(seconds=value) for name, value in seconds.items()})


async def test_members_shorten_the_retention_and_operators_lengthen(served: ServedProjects) -> None:
    made = await _create(served, "kept", "org/acme", retention=_kept(logs=_DAY))
    assert (made.retention, made.effective_retention) == (
        _kept(logs=_DAY), _kept(logs=_DAY, artifacts=30 * _DAY, caches=7 * _DAY, runs=0),
    )  # fmt: skip
    for longer in (_kept(logs=31 * _DAY), _kept(caches=0)):
        with pytest.raises(PermissionDenied) as refused:
            await _update(served, pb.Project(id=made.id, retention=longer), "retention")
        assert refused.value.reason == "RETENTION_LONGER"
    for wrong in (Duration(nanos=1), Duration(seconds=-1)):
        with pytest.raises(InvalidInput):
            await _update(served, pb.Project(id=made.id, retention=pb.Retention(logs=wrong)), "retention")
    assert (await _get(served, made.id)).retention == _kept(logs=_DAY)
    longer = _kept(logs=60 * _DAY, caches=0)
    await _update(served, pb.Project(id=made.id, retention=longer), "retention", caller="operator")
    # Who may not lengthen may keep what an operator has set, and change the rest.
    longer.artifacts.seconds = _DAY
    changed = await _update(served, pb.Project(id=made.id, retention=longer), "retention")
    assert changed.effective_retention == _kept(logs=60 * _DAY, artifacts=_DAY, caches=0, runs=0)
    cleared = await _update(served, pb.Project(id=made.id), "retention")
    assert not cleared.HasField("retention")
    assert cleared.effective_retention.logs.seconds == 30 * _DAY


def test_shorter_default_leaves_what_operators_lengthened() -> None:
    project = records.Project()
    put_retention(project, _kept(logs=60 * _DAY, artifacts=20 * _DAY), Kept(), is_operator=True)
    now = Kept(logs=timedelta(days=5), artifacts=timedelta(days=5))
    assert kept_by(project, now) == Kept(logs=timedelta(days=60), artifacts=timedelta(days=5))
