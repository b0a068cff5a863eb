"""What events and repositories say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_server.forges.port import PullRequest, PullRequestAction, Repository

REPOSITORY = Repository(
    id="7",
    path="acme/app",
    default_branch="main",
    web_url="https://git.example.org/acme/app",
    http_url="https://git.example.org/acme/app.git",
    ssh_url="git@git.example.org:acme/app.git",
    is_private=True,
)
PULL_REQUEST = PullRequest(
    delivery_id="d",
    repository=REPOSITORY,
    sender_id="1",
    author_id="1",
    action=PullRequestAction.OPENED,
    number=3,
    ref="refs/pull/3/head",
    commit="a" * 40,
    head_branch="topic",
    base_branch="main",
    base_commit=None,
    head_repository_id="7",
    is_draft=False,
    title="A change",
    url="https://git.example.org/acme/app/pulls/3",
)


@pytest.mark.parametrize(
    ("head_repository_id", "is_from_fork"),
    [
        pytest.param("7", False, id="the head is in the base repository"),
        pytest.param("8", True, id="the head is in another repository"),
        pytest.param(None, True, id="the repository of the head was deleted"),
    ],
)
def test_pull_request_is_from_a_fork_by_numeric_ids(head_repository_id: str | None, is_from_fork: bool) -> None:
    assert replace(PULL_REQUEST, head_repository_id=head_repository_id).is_from_fork is is_from_fork


def test_private_repository_is_fetched_over_ssh() -> None:
    assert REPOSITORY.git_url == REPOSITORY.ssh_url
    assert replace(REPOSITORY, is_private=False).git_url == REPOSITORY.http_url


def test_repository_without_one_url_is_fetched_from_the_other() -> None:
    assert replace(REPOSITORY, ssh_url="").git_url == REPOSITORY.http_url
    assert replace(REPOSITORY, is_private=False, http_url="").git_url == REPOSITORY.ssh_url
    assert replace(REPOSITORY, ssh_url="", http_url="").git_url == ""
