"""What an event of a git provider asks for. Pure.

In this order, the first rule that holds decides on the whole event; when none does, the configuration is read:

1. it is none that starts runs;
2. it is of another repository than that of the project (compared by the provider's id, never by name);
3. it deletes its ref;
4. the message of the commit asks for no run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.project.v1 import schedule_service_pb2 as schedule_api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.locations import link_fault
from sluiceway_common.runconfig.environment import skips_ci
from sluiceway_common.runconfig.when import Context
from sluiceway_common.runmodel import groups
from sluiceway_server.forges.port import Event, Ignored, Ping, PullRequest, PullRequestAction, Push, Repository

__all__ = [
    "PULL_REQUEST",
    "PUSH",
    "TAG",
    "Verdict",
    "caught_up_event",
    "caught_up_pull_request",
    "context_of",
    "describe",
    "event_record",
    "group_of",
    "judge",
    "judge_message",
    "manual_event",
    "origin_of",
    "request_id_of",
    "scheduled_event",
]

PUSH, TAG, PULL_REQUEST, PING = "push", "tag", "pull_request", "ping"

_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on an event as a whole."""

    reason: api.DecisionReason
    sentence: str


def judge(event: pb.EventRecord, *, repository_id: str) -> Verdict | None:
    """Decide on an event without its configuration; None: the configuration decides."""
    if event.kind not in {PUSH, TAG, PULL_REQUEST}:
        return Verdict(api.DECISION_REASON_EVENT_IGNORED, event.ignored or "it starts no runs")
    if event.repository_id != repository_id:
        return Verdict(
            api.DECISION_REASON_OTHER_REPOSITORY,
            f"it is of repository {event.repository_id or 'unknown'}, and the project's is {repository_id}",
        )
    if not event.after:
        return Verdict(api.DECISION_REASON_REF_DELETED, f"{event.ref} was deleted")
    return None if event.kind == PULL_REQUEST else judge_message(event)


def judge_message(event: pb.EventRecord) -> Verdict | None:
    """Decide by the message of the commit. Events of pull requests do not have it: it is asked for."""
    if not event.requested_by and skips_ci(event.message):
        return Verdict(api.DECISION_REASON_SKIP_WORD, "the commit's message has [ci skip] or [skip ci]")
    return None


def context_of(event: pb.EventRecord) -> Context:
    """Return the ref and the commit as configurations see them."""
    return Context(
        ref_type={PUSH: "branch", TAG: "tag", PULL_REQUEST: "pull_request"}[event.kind],
        ref=event.ref,
        branch=event.ref.removeprefix(_BRANCHES) if event.kind == PUSH else "",
        tag=event.ref.removeprefix(_TAGS) if event.kind == TAG else "",
        pull_request_id=event.pull_request if event.kind == PULL_REQUEST else "",
        commit_sha=event.commit,
        inputs=dict(event.inputs),
    )


def group_of(project_id: str, event: pb.EventRecord) -> str:
    """Return the group in which the runs of an event queue.

    Raises:
        InvalidInput: the name of the ref is too long for a group.
    """
    context = context_of(event)
    if event.kind == PULL_REQUEST:
        return groups.join("project", project_id, "pull_request", event.pull_request)
    return groups.join("project", project_id, context.ref_type, context.branch or context.tag)


def event_record(event: Event) -> pb.EventRecord:
    """Return what is stored of an event."""
    match event:
        case Push():
            is_tag = event.ref.startswith(_TAGS)
            return pb.EventRecord(
                kind=TAG if is_tag else PUSH,
                ref=event.ref,
                before=event.before or "",
                after=event.after or "",
                commit=event.commit or ("" if is_tag else event.after or ""),
                message=event.message,
                link=_link(event.compare_url),
                sender_id=event.sender_id,
                repository_id=event.repository.id,
                clone_url=event.repository.git_url,
            )
        case PullRequest():
            return pb.EventRecord(
                kind=PULL_REQUEST,
                action=event.action,
                ref=event.ref,
                before=event.base_commit or "",
                after=event.commit,
                commit=event.commit,
                message=event.title,
                pull_request=str(event.number),
                base_branch=event.base_branch,
                base_commit=event.base_commit or "",
                from_fork=event.is_from_fork,
                link=_link(event.url),
                sender_id=event.sender_id,
                repository_id=event.repository.id,
                clone_url=event.repository.git_url,
            )
        case Ping():
            return pb.EventRecord(kind=PING, ignored="the provider tests the webhook")
        case Ignored():
            return pb.EventRecord(ignored=event.reason)


def _link(url: str) -> str:
    """Return a link of an event, if people can be shown it."""
    return url if url and link_fault(url) is None else ""


def manual_event(repository: Repository, ref: str, commit: str) -> pb.EventRecord:
    """Return the event of a branch or tag (`ref`: its full name) whose runs are asked for by hand."""
    return pb.EventRecord(
        kind=TAG if ref.startswith(_TAGS) else PUSH,
        ref=ref,
        after=commit,
        commit=commit,
        repository_id=repository.id,
        clone_url=repository.git_url,
    )


def scheduled_event(schedule: schedule_api.Schedule, due: datetime) -> pb.EventRecord:
    """Return the event of a schedule that is due. Its commit is that of the ref when it is worked on."""
    return pb.EventRecord(
        kind=TAG if schedule.ref.startswith(_TAGS) else PUSH,
        ref=schedule.ref,
        run_name=schedule.run_name,
        schedule_id=schedule.id,
        request=f"{schedule.id} {due.isoformat()}",
        inputs=schedule.inputs,
    )


def caught_up_event(repository: Repository, ref: str, *, before: str, commit: str) -> pb.EventRecord:
    """Return the event of a branch or tag that was found at a commit without an event of the provider."""
    return pb.EventRecord(
        kind=TAG if ref.startswith(_TAGS) else PUSH,
        ref=ref,
        before=before,
        after=commit,
        commit=commit,
        repository_id=repository.id,
        clone_url=repository.git_url,
        caught_up=True,
    )


def caught_up_pull_request(found: PullRequest, *, is_new: bool) -> pb.EventRecord:
    """Return the event of a pull request that was found without an event of the provider; `is_new`: by now."""
    event = event_record(found)
    event.action = PullRequestAction.OPENED if is_new else PullRequestAction.SYNCHRONIZED
    event.caught_up = True
    return event


def origin_of(event: pb.EventRecord) -> str:
    """Return what `RunRecord.event` has for the runs of an event: one word, also for what was caught up."""
    if event.requested_by or event.schedule_id:
        return "manual" if event.requested_by else "schedule"
    return event.kind


def describe(event: pb.EventRecord) -> str:
    """Name an event for people: `push`, `pull_request opened`, `push caught_up`, `manual`, `schedule`."""
    if event.requested_by or event.schedule_id:
        return "manual" if event.requested_by else "schedule"
    origin = "caught_up" if event.caught_up else ""
    return " ".join(part for part in (event.kind or "other", event.action, origin) if part)


def request_id_of(event: pb.EventRecord, run_name: str) -> str:
    """Return the key under which an event makes a run once, however often and under which id it is delivered.

    Together with the project, which is the caller that creates the run.
    """
    # Of an annotated tag, some events name the tag object and others the commit only.
    target = (event.commit or event.after) if event.kind == TAG else event.after
    # A pull request that was found at a commit may have been opened there or before, so these are the same event.
    action = "" if event.kind == PULL_REQUEST and event.action != PullRequestAction.REOPENED else event.action
    parts = [event.kind, action, event.ref, target, run_name]
    if event.request:
        parts.append(event.request)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
