"""The tree of projects: references, ancestors, visibility, and what a move must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from sluiceway.api.project.v1.visibility_pb2 import (
    VISIBILITY_PRIVATE,
    VISIBILITY_PUBLIC,
    VISIBILITY_UNSPECIFIED,
    Visibility,
)
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, NotFound, SluicewayError
from sluiceway_server.datamanager.model import Action, Put, View
from sluiceway_server.projects import tree
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, PROJECT_GROUP, RECORD_TYPES, USER
from sluiceway_server.projects.tree import MAX_DEPTH, NodeType
from tests.fakes.database import FakeDatabase

T = TypeVar("T")


def _uuid(number: int) -> str:
    return f"01a22c3c-2f37-7681-b7d7-{number:012x}"


ALICE, ACME, BACKEND, API, DEEP, LONE, WEB, OTHER = map(_uuid, range(1, 9))


def _group(id_: str, name: str, parent: str, visibility: Visibility = VISIBILITY_PUBLIC) -> Put:
    return Put(PROJECT_GROUP, id_, pb.ProjectGroup(name=name, parent_id=parent, visibility=visibility))


def _project(id_: str, name: str, parent: str, visibility: Visibility = VISIBILITY_PUBLIC) -> Put:
    return Put(PROJECT, id_, pb.Project(name=name, parent_id=parent, visibility=visibility))


def _tree() -> list[Action]:
    return [
        Put(USER, ALICE, pb.User(name="alice")),
        Put(ORGANIZATION, ACME, pb.Organization(name="Acme", visibility=VISIBILITY_PUBLIC)),
        Put(ORGANIZATION, OTHER, pb.Organization(name="other", visibility=VISIBILITY_PRIVATE)),
        _group(BACKEND, "backend", ACME),
        _group(DEEP, "deep", BACKEND, VISIBILITY_PRIVATE),
        _project(API, "api", BACKEND),
        _project(LONE, "lone", DEEP),
        _project(WEB, "web", ALICE),
    ]


async def _read(function: Callable[[View], T], actions: list[Action] | None = None) -> T:
    database = FakeDatabase(RECORD_TYPES)
    await database.commit(_tree() if actions is None else actions)
    return await database.read(function)


@pytest.mark.parametrize(
    ("reference", "id_"),
    [
        pytest.param(API, API, id="the id of a project"),
        pytest.param(BACKEND, BACKEND, id="the id of a group"),
        pytest.param(ACME, ACME, id="the id of an organization"),
        pytest.param(ALICE, ALICE, id="the id of a user"),
        pytest.param("org/acme", ACME, id="an organization"),
        pytest.param("org/ACME/Backend/API", API, id="a project, in another case"),
        pytest.param("org/acme/backend/deep/lone", LONE, id="a project below two groups"),
        pytest.param("user/alice", ALICE, id="a user"),
        pytest.param("user/alice/web", WEB, id="a project of a user"),
        pytest.param("", None, id="nothing"),
        pytest.param("/", None, id="a slash"),
        pytest.param("org", None, id="no name"),
        pytest.param("org/", None, id="an empty name"),
        pytest.param("org/acme/", None, id="a slash at the end"),
        pytest.param("/org/acme", None, id="a slash at the beginning"),
        pytest.param("org//backend", None, id="an empty segment"),
        pytest.param("org/acme/../acme", None, id="dots"),
        pytest.param("org/alice", None, id="a user as an organization"),
        pytest.param("user/acme", None, id="an organization as a user"),
        pytest.param("ORG/acme", None, id="another word for a root"),
        pytest.param("acme/backend", None, id="no root"),
        pytest.param("org/acme/backend/api/x", None, id="below a project"),
        pytest.param(f"org/{ACME}", None, id="an id in a path"),
        pytest.param("org/\u0430cme", None, id="a letter that looks alike"),
        pytest.param(_uuid(99), None, id="an unknown id"),
        pytest.param("acme", None, id="a name alone"),
    ],
)
async def test_reference_names_a_node_or_nothing(reference: str, id_: str | None) -> None:
    found = await _read(lambda view: tree.resolve(view, reference))
    assert (found.id if found else None) == id_


@pytest.mark.parametrize(
    ("reference", "types", "id_"),
    [
        ("acme", {NodeType.ORGANIZATION}, ACME),
        ("ALICE", {NodeType.USER}, ALICE),
        ("alice", {NodeType.ORGANIZATION}, None),
        (API, {NodeType.PROJECT_GROUP}, None),
        ("org/acme/backend/api", {NodeType.PROJECT_GROUP}, None),
        ("org/acme/backend/api", tree.PARENTS, None),
        ("org/acme/backend", tree.PARENTS, BACKEND),
    ],
)
async def test_types_limit_what_a_reference_names(reference: str, types: Any, id_: str | None) -> None:
    found = await _read(lambda view: tree.resolve(view, reference, types))
    assert (found.id if found else None) == id_
    if id_ is None:
        with pytest.raises(NotFound, match="there is no"):
            await _read(lambda view: tree.require(view, reference, types))


async def test_ancestors_are_nearest_first_and_make_the_path() -> None:
    def read(view: View) -> tuple[list[str], str, str]:
        node = tree.require(view, LONE)
        return (
            [each.id for each in tree.ancestors(view, node)],
            tree.path_of(view, node),
            tree.path_of(view, tree.require(view, ALICE)),
        )

    assert await _read(read) == ([DEEP, BACKEND, ACME], "org/Acme/backend/deep/lone", "user/alice")


@pytest.mark.parametrize(
    ("visibilities", "private"),
    [
        pytest.param((VISIBILITY_PUBLIC, VISIBILITY_PUBLIC, VISIBILITY_PUBLIC), False, id="all public"),
        pytest.param((VISIBILITY_PRIVATE, VISIBILITY_PUBLIC, VISIBILITY_PUBLIC), True, id="a private organization"),
        pytest.param((VISIBILITY_PUBLIC, VISIBILITY_PRIVATE, VISIBILITY_PUBLIC), True, id="a private group"),
        pytest.param((VISIBILITY_PUBLIC, VISIBILITY_PUBLIC, VISIBILITY_PRIVATE), True, id="a private project"),
        pytest.param((VISIBILITY_PUBLIC, VISIBILITY_UNSPECIFIED, VISIBILITY_PUBLIC), True, id="not set"),
    ],
)
async def test_node_is_private_when_any_ancestor_is(visibilities: tuple[Visibility, ...], private: bool) -> None:
    organization, group, project = visibilities
    actions: list[Action] = [
        Put(ORGANIZATION, ACME, pb.Organization(name="acme", visibility=organization)),
        _group(BACKEND, "backend", ACME, group),
        _project(API, "api", BACKEND, project),
    ]
    assert await _read(lambda view: tree.is_private(view, tree.require(view, API)), actions) is private


async def test_public_project_of_a_user_is_public() -> None:
    assert await _read(lambda view: tree.is_private(view, tree.require(view, WEB))) is False


@pytest.mark.parametrize(
    ("parent", "name", "is_free"),
    [
        (ACME, "backend", False),
        (ACME, "BACKEND", False),
        (BACKEND, "api", False),
        (BACKEND, "Deep", False),
        (BACKEND, "backend", True),
        (ALICE, "api", True),
    ],
)
async def test_name_is_taken_by_a_group_or_project_in_any_case(parent: str, name: str, is_free: bool) -> None:
    if is_free:
        await _read(lambda view: tree.check_name_is_free(view, parent, name))
    else:
        with pytest.raises(AlreadyExists, match="choose another name"):
            await _read(lambda view: tree.check_name_is_free(view, parent, name))


@pytest.mark.parametrize(
    ("node", "parent", "error", "reason"),
    [
        pytest.param(BACKEND, BACKEND, FailedPrecondition, "MOVE_INTO_ITSELF", id="into itself"),
        pytest.param(BACKEND, DEEP, FailedPrecondition, "MOVE_INTO_ITSELF", id="below itself"),
        pytest.param(DEEP, ACME, None, "", id="up"),
        pytest.param(BACKEND, ALICE, None, "", id="to another root"),
        pytest.param(DEEP, BACKEND, None, "", id="where it is"),
        pytest.param(_uuid(50), BACKEND, AlreadyExists, "ALREADY_EXISTS", id="onto a name"),
    ],
)
async def test_move_is_checked(node: str, parent: str, error: type[SluicewayError] | None, reason: str) -> None:
    actions = [*_tree(), _project(_uuid(50), "API", ALICE)]

    def check(view: View) -> None:
        tree.check_move(view, tree.require(view, node), tree.require(view, parent))

    if error is None:
        await _read(check, actions)
    else:
        with pytest.raises(error) as raised:
            await _read(check, actions)
        assert raised.value.reason == reason


def _chain(first: int, root: str, levels: int) -> list[Action]:
    ids = [root, *(_uuid(first + level) for level in range(levels))]
    return [_group(id_, f"g{level}", ids[level]) for level, id_ in enumerate(ids[1:])]


@pytest.mark.parametrize(
    ("above", "below", "with_project", "fits"),
    [(MAX_DEPTH - 1, 1, False, True), (MAX_DEPTH, 1, False, False), (10, 10, False, True), (10, 10, True, False)],
)
async def test_tree_has_a_greatest_depth(above: int, below: int, with_project: bool, fits: bool) -> None:
    actions = [*_tree(), *_chain(1000, ACME, above), *_chain(2000, ALICE, below)]
    if with_project:
        actions.append(_project(_uuid(3000), "leaf", _uuid(2000 + below - 1)))

    def check(view: View) -> None:
        tree.check_move(view, tree.require(view, _uuid(2000)), tree.require(view, _uuid(1000 + above - 1)))

    if fits:
        await _read(check, actions)
    else:
        with pytest.raises(FailedPrecondition, match="at most 20 levels"):
            await _read(check, actions)
