"""The subjects and claims of id tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluiceway.api.run.v1 import definition_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.runs.identity_claims import CLAIMS, Identity, claims_of, subject_of, subjects_of

BRANCH = {"ref_type": "branch", "ref": "refs/heads/main", "branch": "main", "commit_sha": "c0ffee"}
TAG = {"ref_type": "tag", "ref": "refs/tags/v1", "tag": "v1"}
PULL_REQUEST = {"ref_type": "pull_request", "ref": "refs/pull/7/head", "pull_request_id": "7"}
IDENTITY = Identity("p1", "org/acme/api", "o1", "organization", "org/acme", issues_to_forks=False)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def config(source: dict[str, str], *variables: str) -> pb.RunConfig:
    made = pb.RunConfig(source=definition_pb2.Source(**source))
    for name in variables:
        made.environment[name].value = "chosen"
    return made


def claims(run: pb.RunRecord, source: dict[str, str], *audiences: str, approved_by: str = "") -> dict[str, object]:
    task = pb.TaskRecord()
    task.task.id, task.task.name = "t1", "deploy"
    if approved_by:
        task.task.approval.approved_by = approved_by
        task.task.approval.approve_time.FromDatetime(NOW)
    assignment = pb.AssignmentRecord(id="a1", executor_id="e1")
    assignment.epoch.database, assignment.epoch.attempt = 3, 2
    return claims_of(
        IDENTITY,
        run,
        config(source),
        task,
        assignment,
        issuer="https://ci.example.org",
        audiences=audiences or ("a",),
        group="blue",
        token_id="j1",
        now=NOW,
    )


@pytest.mark.parametrize(
    ("event", "source", "variables", "fork", "last"),
    [
        ("push", BRANCH, (), False, "branch:main"),
        ("schedule", BRANCH, (), False, "branch:main"),
        ("manual", BRANCH, (), False, "branch:main"),
        ("manual", BRANCH, ("BASH_ENV",), False, "manual"),
        ("tag", TAG, (), False, "tag:v1"),
        ("pull_request", PULL_REQUEST, (), False, "pull_request"),
        ("pull_request", PULL_REQUEST, (), True, "fork"),
        ("manual", PULL_REQUEST, (), True, "fork"),
        ("", BRANCH, (), False, "api"),
        ("", {**BRANCH, "branch": "main:x"}, ("A",), False, "api"),
    ],
    ids=[
        "push",
        "schedule",
        "by hand",
        "by hand with variables",
        "tag",
        "pull request",
        "pull request of a fork",
        "pull request of a fork by hand",
        "a branch that a caller claims",
        "a branch that a caller claims, with variables",
    ],
)
def test_subject_is_of_what_the_server_has_read(
    event: str, source: dict[str, str], variables: tuple[str, ...], fork: bool, last: str
) -> None:
    run = pb.RunRecord(event=event, from_fork=fork)
    assert subject_of("p1", run, config(source, *variables)) == f"project:p1:{last}"


def test_subject_of_forks_is_listed_only_if_they_get_tokens() -> None:
    assert not any(subject.endswith(":fork") for subject in subjects_of(IDENTITY))
    allowing = Identity("p1", "org/acme/api", "o1", "organization", "org/acme", issues_to_forks=True)
    assert subjects_of(allowing)[-1] == "project:p1:fork"


def test_claims_name_the_attempt_and_the_commit() -> None:
    run = pb.RunRecord(event="push")
    run.run.id, run.run.number = "r1", 12
    found = claims(run, BRANCH, approved_by="u1")
    assert found == {
        "iss": "https://ci.example.org",
        "sub": "project:p1:branch:main",
        "aud": "a",
        "iat": 1767225600,
        "nbf": 1767225600,
        "exp": 1767225600 + 600,
        "jti": "j1",
        "project_id": "p1",
        "project_path": "org/acme/api",
        "owner_id": "o1",
        "owner_type": "organization",
        "owner_path": "org/acme",
        "event": "push",
        "fork": False,
        "run_id": "r1",
        "run_number": 12,
        "task_id": "t1",
        "task_name": "deploy",
        "attempt": 2,
        "epoch": 3,
        "assignment_id": "a1",
        "executor_id": "e1",
        "executor_group": "blue",
        "ref_type": "branch",
        "ref": "refs/heads/main",
        "commit_sha": "c0ffee",
        "approved_by": "u1",
        "approved_at": 1767225600,
    }
    assert set(found) | {"pull_request_id"} == set(CLAIMS)
    assert sorted(CLAIMS) == list(CLAIMS)


def test_what_a_caller_claims_of_its_source_is_no_claim() -> None:
    found = claims(pb.RunRecord(), BRANCH)
    assert found["event"] == "api"
    assert not found.keys() & {"ref", "ref_type", "commit_sha", "pull_request_id"}


def test_several_audiences_are_a_list() -> None:
    assert claims(pb.RunRecord(event="push"), BRANCH, "a", "b")["aud"] == ["a", "b"]
