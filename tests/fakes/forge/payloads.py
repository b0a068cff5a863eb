"""Bodies of events, with the fields that the providers document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.forge import git
from tests.fakes.forge.model import Kind, PullRequest, Repo, User

if TYPE_CHECKING:
    from tests.fakes.forge.server import FakeForge

MAX_COMMITS = {Kind.GITEA: 15, Kind.FORGEJO: 15, Kind.GITHUB: 2048, Kind.GITLAB: 20}
"""How many commits the body of a push lists. Gitea's is not verified."""


@dataclass
class Event:
    """An event before it is sent. `name`: in the header; `kind`: what a webhook subscribes to."""

    name: str
    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    finer: str = ""


async def push(forge: FakeForge, repo: Repo, user: User, ref: str, before: str, after: str) -> Event:
    """Return the event of a ref that was created, moved or deleted."""
    commit = await git.commit_of(repo.folder, after) if after != git.ZERO else None
    ids: list[str] = []
    if commit is not None:
        start = before if before != git.ZERO else None
        ids = await git.commits_between(repo.folder, start, commit) if start else [commit]
    commits = []
    for one in ids[-MAX_COMMITS[forge.kind] :]:
        changed = await git.files_of_commit(repo.folder, one)
        commits.append(
            {
                "id": one,
                "message": await git.message_of(repo.folder, one),
                "url": f"{forge.url}/{repo.path}/commit/{one}",
                "author": {"name": "Ann", "email": "ann@example.org"},
                "added": [path for kind, path in changed if kind == "A"],
                "removed": [path for kind, path in changed if kind == "D"],
                "modified": [path for kind, path in changed if kind == "M"],
            }
        )
    head = None
    if commit is not None:
        head = {"id": commit, "message": await git.message_of(repo.folder, commit)}
    if forge.kind is Kind.GITLAB:
        return await _gitlab_push(repo, user, forge, ref, before, after, commit, commits, len(ids))
    body: dict[str, Any] = {
        "ref": ref,
        "before": before,
        "after": after,
        "commits": commits,
        "head_commit": head,
        "repository": forge.hub.repository_json(repo, None),
        "sender": forge.hub.user_json(user),
    }
    compare = f"{forge.url}/{repo.path}/compare/{before}...{after}"
    if forge.kind is Kind.GITHUB:
        zero = git.ZERO
        body |= {"compare": compare, "created": before == zero, "deleted": after == zero, "forced": False}
        body["pusher"] = {"name": user.name, "email": f"{user.name}@example.org"}
    else:
        body |= {"compare_url": compare, "total_commits": len(ids), "pusher": forge.hub.user_json(user)}
    return Event("push", "push", body, "push")


async def _gitlab_push(
    repo: Repo,
    user: User,
    forge: FakeForge,
    ref: str,
    before: str,
    after: str,
    commit: str | None,
    commits: list[dict[str, Any]],
    total: int,
) -> Event:
    is_tag = ref.startswith("refs/tags/")
    message = await git.tag_message(repo.folder, after) if is_tag and commit not in (None, after) else None
    body = {
        "object_kind": "tag_push" if is_tag else "push",
        "event_name": "tag_push" if is_tag else "push",
        "ref": ref,
        "before": before,
        "after": after,
        "checkout_sha": commit,
        "message": message,
        "user_id": user.id,
        "user_username": user.name,
        "user_name": "Somebody Else",
        "project_id": repo.id,
        "project": gitlab_project(forge, repo),
        "commits": commits,
        "total_commits_count": total,
    }
    return Event("Tag Push Hook" if is_tag else "Push Hook", "tag_push_events" if is_tag else "push_events", body)


def gitlab_project(forge: FakeForge, repo: Repo) -> dict[str, Any]:
    return {
        "id": repo.id,
        "name": repo.path.rpartition("/")[2],
        "namespace": "A Name",
        "path_with_namespace": repo.path,
        "default_branch": repo.default_branch,
        "web_url": f"{forge.url}/{repo.path}",
        "git_http_url": f"{forge.url}/{repo.path}.git",
        "git_ssh_url": forge.ssh_url(repo),
        "visibility_level": 0 if repo.is_private else 20,
    }


ACTIONS = {
    # action: at Gitea, GitHub, GitLab
    "opened": ("opened", "opened", "open"),
    "synchronized": ("synchronized", "synchronize", "update"),
    "edited": ("edited", "edited", "update"),
    "reopened": ("reopened", "reopened", "reopen"),
    "closed": ("closed", "closed", "close"),
}


def hub_pull_request(forge: FakeForge, repo: Repo, request: PullRequest, base: str) -> dict[str, Any]:
    """Return a pull request of GitHub or Gitea. `base`: the commit of the base branch."""
    head_repo = request.head_repository
    return {
        "id": request.id,
        "number": request.number,
        "state": "open" if request.is_open else "closed",
        "draft": False,
        "title": request.title,
        "html_url": f"{forge.url}/{repo.path}/pulls/{request.number}",
        "user": forge.hub.user_json(request.author),
        "head": {
            "ref": request.head_branch,
            "sha": request.head,
            "repo": forge.hub.repository_json(head_repo, None) if head_repo else None,
        },
        "base": {"ref": request.base_branch, "sha": base, "repo": forge.hub.repository_json(repo, None)},
    }


def pull_request(
    forge: FakeForge, repo: Repo, request: PullRequest, user: User, action: str, *, old_head: str, base: str
) -> Event:
    """Return the event of a pull request.

    Args:
        forge: the fake.
        repo: the base repository.
        request: the pull request.
        user: who did it.
        action: a key of `ACTIONS`.
        old_head: the head commit before.
        base: the commit of the base branch.
    """
    gitea, github, gitlab = ACTIONS[action]
    page = f"{forge.url}/{repo.path}/pulls/{request.number}"
    head_repo = request.head_repository
    if forge.kind is Kind.GITLAB:
        attributes = {
            "id": request.id,
            "iid": request.number,
            "action": gitlab,
            "state": "opened" if request.is_open else "closed",
            "source_branch": request.head_branch,
            "target_branch": request.base_branch,
            "source_project_id": head_repo.id if head_repo else None,
            "target_project_id": repo.id,
            "last_commit": {"id": request.head, "message": "the last commit"},
            "author_id": request.author.id,
            "title": request.title,
            "url": page,
            "draft": False,
        }
        if action == "synchronized":
            attributes["oldrev"] = old_head
        return Event(
            "Merge Request Hook",
            "merge_requests_events",
            {
                "object_kind": "merge_request",
                "user": {"id": user.id, "username": user.name, "name": "Somebody Else"},
                "project": gitlab_project(forge, repo),
                "object_attributes": attributes,
                "labels": [],
            },
        )
    body = {
        "action": github if forge.kind is Kind.GITHUB else gitea,
        "number": request.number,
        "pull_request": hub_pull_request(forge, repo, request, base),
        "repository": forge.hub.repository_json(repo, None),
        "sender": forge.hub.user_json(user),
    }
    if forge.kind is Kind.GITHUB and action == "synchronized":
        body |= {"before": old_head, "after": request.head}
    finer = "pull_request_sync" if action == "synchronized" else "pull_request"
    return Event("pull_request", "pull_request", body, finer)
