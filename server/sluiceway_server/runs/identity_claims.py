"""What the id token of a task says: its subject and its claims. Pure.

The subject is made of the project's id, which is never given to another project, and of what the project itself
decides on: its branches and tags. Names of users, organizations and projects are in claims of their own, for people and
for rules beside the subject (decision 0521).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.identity_keys import TOKEN_LIFETIME
from sluiceway_server.projects.tree import Node, NodeType, find, lineage, path_of

__all__ = ["CLAIMS", "Identity", "claims_of", "identity_of", "subject_of", "subjects_of", "withheld_reason"]

CLAIMS = (
    "approved_at",
    "approved_by",
    "assignment_id",
    "attempt",
    "aud",
    "commit_sha",
    "epoch",
    "event",
    "executor_group",
    "executor_id",
    "exp",
    "fork",
    "iat",
    "iss",
    "jti",
    "nbf",
    "owner_id",
    "owner_path",
    "owner_type",
    "project_id",
    "project_path",
    "pull_request_id",
    "ref",
    "ref_type",
    "run_id",
    "run_number",
    "sub",
    "task_id",
    "task_name",
)
"""All claims that a token may have, sorted."""

_BY_CALLER = "api"
_MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Identity:
    """A project as its tokens name it: `owner` is the user or organization at the root of its path."""

    project_id: str
    project_path: str
    owner_id: str
    owner_type: str
    owner_path: str
    issues_to_forks: bool


def identity_of(view: View, project: Node) -> Identity:
    """Return what tokens say of a project.

    Raises:
        NotFound: it is being deleted.
    """
    owner = lineage(view, project)[-1]
    forks = isinstance(project.record, project_pb.Project) and project.record.issue_id_tokens_to_forks
    return Identity(
        project.id, path_of(view, project), owner.id, owner.type.value, path_of(view, owner), issues_to_forks=forks
    )


def withheld_reason(view: View, run: pb.RunRecord) -> str:
    """Return why the tasks of a run get no id tokens, as a sentence; empty: they get them."""
    project = find(view, groups.project_of(run.run.group), {NodeType.PROJECT})
    if project is None or not isinstance(project.record, project_pb.Project):
        return "the run belongs to no project, so its tasks get no id tokens"
    if run.from_fork and not project.record.issue_id_tokens_to_forks:
        return "this is a run of a fork's pull request, and the project issues no id tokens to those"
    return ""


def subject_of(project_id: str, run: pb.RunRecord, config: pb.RunConfig) -> str:
    """Return the subject of the tokens of a run. What a caller only claims, such as a branch, is in none."""
    source = config.source
    if run.from_fork:
        last = "fork"
    elif not run.event:
        last = _BY_CALLER
    elif run.event == _MANUAL and config.environment:
        # Variables that a person chose can change what any command does.
        last = _MANUAL
    elif source.ref_type == "pull_request":
        last = "pull_request"
    else:
        last = f"{source.ref_type}:{source.branch or source.tag}"
    return f"project:{project_id}:{last}"


def subjects_of(identity: Identity) -> list[str]:
    """Return the subjects that the tasks of a project may have, with `BRANCH` and `TAG` for names."""
    kinds = ["branch:BRANCH", "tag:TAG", "pull_request", _MANUAL, _BY_CALLER]
    if identity.issues_to_forks:
        kinds.append("fork")
    return [f"project:{identity.project_id}:{kind}" for kind in kinds]


def claims_of(
    identity: Identity,
    run: pb.RunRecord,
    config: pb.RunConfig,
    task: pb.TaskRecord,
    assignment: pb.AssignmentRecord,
    *,
    issuer: str,
    audiences: Sequence[str],
    group: str,
    token_id: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the claims of a token.

    Args:
        identity: of the project.
        run: of the task.
        config: of the run.
        task: its record.
        assignment: its present attempt.
        issuer: the public URL of the installation.
        audiences: of the token; one alone is a string.
        group: of the executor.
        token_id: a new one.
        now: the time of issue.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject_of(identity.project_id, run, config),
        "aud": audiences[0] if len(audiences) == 1 else list(audiences),
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(TOKEN_LIFETIME.total_seconds()),
        "jti": token_id,
        "project_id": identity.project_id,
        "project_path": identity.project_path,
        "owner_id": identity.owner_id,
        "owner_type": identity.owner_type,
        "owner_path": identity.owner_path,
        "event": run.event or _BY_CALLER,
        "fork": run.from_fork,
        "run_id": run.run.id,
        "run_number": run.run.number,
        "task_id": task.task.id,
        "task_name": task.task.name,
        "attempt": assignment.epoch.attempt,
        "epoch": assignment.epoch.database,
        "assignment_id": assignment.id,
        "executor_id": assignment.executor_id,
        "executor_group": group,
    }
    if run.event:
        source = config.source
        claims["ref_type"], claims["ref"], claims["commit_sha"] = source.ref_type, source.ref, source.commit_sha
        if source.pull_request_id:
            claims["pull_request_id"] = source.pull_request_id
    if task.task.approval.approved_by:
        claims["approved_by"] = task.task.approval.approved_by
        claims["approved_at"] = task.task.approval.approve_time.seconds
    return claims
