"""When a provider's comparison does not list all changed paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway_server.forges.http import Request
from sluiceway_server.forges.kinds import forge_at
from sluiceway_server.forges.port import Repository
from sluiceway_server.forges.responses import Response

BASE, HEAD = "a" * 40, "b" * 40
REPOSITORY = Repository(
    id="7",
    path="acme/app",
    default_branch="main",
    web_url="",
    http_url="https://git.example.org/acme/app.git",
    ssh_url="git@git.example.org:acme/app.git",
    is_private=True,
)


class Comparison:
    """Returns a comparison from base to head; the other way round, there is nothing."""

    def __init__(self, body: dict[str, Any], other_way: dict[str, Any] | None = None) -> None:
        self.body = body
        self.other_way = other_way or {"total_commits": 0, "commits": []}

    async def call(self, request: Request) -> Response:
        is_other_way = f"{HEAD}...{BASE}" in request.url
        body = json.dumps(self.other_way if is_other_way else self.body).encode()
        return Response(200, {"content-type": "application/json"}, body, request.url)


def gitlab(**diff: object) -> dict[str, Any]:
    return {"diffs": [{"old_path": "x", "new_path": "x", "diff": "@@", **diff}]}


def gitea(*files: list[str] | None, total: int | None = None) -> dict[str, Any]:
    commits = [{"files": None if names is None else [{"filename": name} for name in names]} for names in files]
    return {"total_commits": len(commits) if total is None else total, "commits": commits}


def github(files: int, status: str = "ahead") -> dict[str, Any]:
    return {"status": status, "total_commits": 1, "files": [{"filename": f"f{n}"} for n in range(files)]}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("gitlab", gitlab(collapsed=True, too_large=False), id="GitLab collapsed a file"),
        pytest.param("gitlab", gitlab(collapsed=False, too_large=True), id="a file is too large for GitLab"),
        pytest.param("gitlab", gitlab(diff=""), id="an older GitLab left out the content"),
        pytest.param("gitlab", {**gitlab(), "compare_timeout": True}, id="GitLab took too long"),
        pytest.param("gitlab", {"diffs": gitlab()["diffs"] * 1000}, id="GitLab lists as many as it may"),
        pytest.param("github", github(300), id="GitHub lists as many as it may"),
        pytest.param("github", github(1, "diverged"), id="commits were undone at GitHub"),
        pytest.param("github", github(0, "behind"), id="only undone at GitHub"),
        pytest.param("github", {"status": "ahead", "total_commits": 1}, id="GitHub lists no files"),
        pytest.param("gitea", gitea(["x"], total=2), id="Gitea lists fewer commits than there are"),
        pytest.param("gitea", gitea(["x"], None), id="Gitea lists no files of a commit"),
    ],
)
async def test_incomplete_comparison_is_unknown(kind: str, body: dict[str, Any]) -> None:
    client = forge_at(kind, "https://git.example.org/api", Comparison(body))
    assert await client.changed_paths("token", REPOSITORY, BASE, HEAD) is None


async def test_commits_that_gitea_lists_backwards_are_unknown() -> None:
    client = forge_at("gitea", "https://git.example.org/api", Comparison(gitea(["x"]), gitea(["y"])))
    assert await client.changed_paths("token", REPOSITORY, BASE, HEAD) is None


@pytest.mark.parametrize(
    ("kind", "body", "paths"),
    [
        pytest.param("gitlab", gitlab(old_path="old"), ("old", "x"), id="an older GitLab"),
        pytest.param("gitlab", gitlab(diff="", collapsed=False, too_large=False), ("x",), id="GitLab"),
        pytest.param("gitlab", {"diffs": []}, (), id="GitLab, nothing"),
        pytest.param("github", github(2), ("f0", "f1"), id="GitHub"),
        pytest.param("github", github(0, "identical"), (), id="GitHub, nothing"),
        pytest.param("gitea", gitea(["y", "x"], ["x"]), ("x", "y"), id="Gitea"),
    ],
)
async def test_complete_comparison_is_the_paths(kind: str, body: dict[str, Any], paths: tuple[str, ...]) -> None:
    client = forge_at(kind, "https://git.example.org/api", Comparison(body))
    assert await client.changed_paths("token", REPOSITORY, BASE, HEAD) == paths
