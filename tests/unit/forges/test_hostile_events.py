"""Bodies that no provider sends, with a valid signature: an event or one of our errors, and nothing else."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.forges.deliveries import MAX_EVENT_BYTES
from sluiceway_server.forges.errors import WebhookMalformed, WebhookRefused
from sluiceway_server.forges.http import Request
from sluiceway_server.forges.kinds import forge_at
from sluiceway_server.forges.port import Event, Ignored, PullRequest, Push
from sluiceway_server.forges.responses import Response
from tests.fakes.forge.deliveries import hex_digest

SECRET = "secret"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
A, B = "a" * 40, "b" * 40


class NoHttp:
    """Events are read without calls."""

    async def call(self, request: Request) -> Response:
        raise AssertionError(request)


CLIENTS = {kind: forge_at(kind, "https://git.example.org/api", NoHttp()) for kind in ("gitea", "github", "gitlab")}
HUB_REPOSITORY = {
    "id": 7,
    "full_name": "acme/app",
    "default_branch": "main",
    "html_url": "https://git.example.org/acme/app",
    "clone_url": "https://git.example.org/acme/app.git",
    "ssh_url": "git@git.example.org:acme/app.git",
    "private": True,
}
HUB_PUSH = {
    "ref": "refs/heads/main",
    "before": A,
    "after": B,
    "compare_url": "https://git.example.org/c",
    "head_commit": {"id": B, "message": "Change"},
    "repository": HUB_REPOSITORY,
    "sender": {"id": 1},
}
HUB_PULL_REQUEST = {
    "action": "opened",
    "number": 3,
    "pull_request": {
        "state": "open",
        "draft": False,
        "title": "A change",
        "html_url": "https://git.example.org/acme/app/pulls/3",
        "user": {"id": 1},
        "head": {"ref": "topic", "sha": A, "repo": {"id": 8}},
        "base": {"ref": "main", "sha": B, "repo": {"id": 7}},
    },
    "repository": HUB_REPOSITORY,
    "sender": {"id": 1},
}
GITLAB_PROJECT = {
    "id": 7,
    "path_with_namespace": "acme/sub/app",
    "default_branch": "main",
    "web_url": "https://git.example.org/acme/sub/app",
    "git_http_url": "https://git.example.org/acme/sub/app.git",
    "git_ssh_url": "git@git.example.org:acme/sub/app.git",
    "visibility_level": 0,
}
GITLAB_PUSH = {
    "object_kind": "push",
    "ref": "refs/heads/main",
    "before": A,
    "after": B,
    "checkout_sha": B,
    "message": None,
    "commits": [{"id": B, "message": "Change"}],
    "user_id": 1,
    "project_id": 7,
    "project": GITLAB_PROJECT,
}
GITLAB_MERGE_REQUEST = {
    "object_kind": "merge_request",
    "user": {"id": 1},
    "project": GITLAB_PROJECT,
    "object_attributes": {
        "action": "open",
        "iid": 3,
        "state": "opened",
        "source_branch": "topic",
        "target_branch": "main",
        "source_project_id": 8,
        "target_project_id": 7,
        "last_commit": {"id": A, "message": "Change"},
        "author_id": 1,
        "title": "A change",
        "url": "https://git.example.org/acme/sub/app/-/merge_requests/3",
    },
}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("gitea", "push", HUB_PUSH),
    ("gitea", "pull_request", HUB_PULL_REQUEST),
    ("github", "push", HUB_PUSH),
    ("github", "pull_request", HUB_PULL_REQUEST),
    ("gitlab", "Push Hook", GITLAB_PUSH),
    ("gitlab", "Merge Request Hook", GITLAB_MERGE_REQUEST),
]
EVENTS = [(kind, event) for kind, event, _ in BODIES]


def read(kind: str, event: str, body: bytes) -> Event:
    """Read a body, signed."""
    digest = hex_digest(SECRET, body)
    headers = {
        "X-Gitea-Event": event,
        "X-Gitea-Signature": digest,
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-Gitlab-Event": event,
        "X-Gitlab-Token": SECRET,
    }
    return CLIENTS[kind].read_event(headers, body, secret=SECRET, now=NOW)


@pytest.mark.parametrize(("kind", "event", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
def test_body_as_documented_is_an_event(kind: str, event: str, body: dict[str, Any]) -> None:
    found = read(kind, event, json.dumps(body).encode())
    assert isinstance(found, Push | PullRequest)
    assert found.repository.id == "7"


@pytest.mark.parametrize(("kind", "event"), EVENTS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"[" * 200_000, id="deep lists"),
        pytest.param(b'{"a":' * 200_000, id="deep objects"),
        pytest.param(b'{"action": "opened", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="a deep field"),
        pytest.param(b'{"number": ' + b"9" * 100_000 + b"}", id="a huge number"),
        pytest.param(b'{"number": 1e999999}', id="a huge exponent"),
        pytest.param(b'{"number": NaN}', id="NaN"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', id="a byte order mark"),
        pytest.param(b'{"ref": "\xff"}', id="broken UTF-8"),
        pytest.param(b'{"ref": "\\ud800"}', id="half of a character"),
    ],
)
def test_body_that_is_no_event_is_malformed(kind: str, event: str, body: bytes) -> None:
    with pytest.raises(WebhookMalformed) as caught:
        read(kind, event, body)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("kind", CLIENTS)
def test_body_above_the_limit_is_malformed(kind: str) -> None:
    with pytest.raises(WebhookMalformed, match="more than"):
        read(kind, "push", b" " * (MAX_EVENT_BYTES + 1))


HOSTILE: list[Any] = [
    None,
    True,
    0,
    -1,
    1 << 63,
    1 << 200,
    1.5,
    "",
    "7",
    "--upload-pack=x",
    "../../x",
    "a b",
    "a\0b",
    "\x1b[2J",
    "\u202e",
    "x" * 100_000,
    "0" * 40,
    "0" * 64,
    "A" * 40,
    "ext::sh -c id",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://user:password@git.example.org/x",
    [],
    {},
    [[]],
]


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where the values of a document are."""
    found = [here] if here else []
    if isinstance(value, dict):
        for key in value:
            found += paths(value[key], (*here, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            found += paths(value[index], (*here, index))
    return found


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Draw a body with a few values that were replaced or removed."""
    kind, event, body = draw(st.sampled_from(BODIES))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(body)))
        inner: Any = body
        for key in path[:-1]:
            inner = inner[key]
        if isinstance(inner, dict) and draw(st.booleans()) and draw(st.booleans()):
            del inner[path[-1]]
        else:
            inner[path[-1]] = draw(st.sampled_from(HOSTILE))
        if not paths(body):
            break
    return kind, event, json.dumps(body).encode()


@given(spoiled())
def test_spoiled_body_is_an_event_or_malformed(given_body: tuple[str, str, bytes]) -> None:
    kind, event, body = given_body
    try:
        found = read(kind, event, body)
    except WebhookMalformed as error:
        assert len(str(error)) < 2000  # noqa: PT017 - either is right
        return
    if isinstance(found, Ignored):
        return
    assert isinstance(found, Push | PullRequest)
    assert found.repository.path
    assert found.ref
    repository = found.repository
    for text in (repository.path, found.ref, repository.http_url, repository.ssh_url, repository.default_branch):
        assert not text.startswith(("-", "ext::", "file:"))
        assert text.isprintable()
    assert "password" not in repository.git_url
    assert int(found.repository.id) > 0


@given(st.sampled_from(EVENTS), st.binary(max_size=200))
def test_any_bytes_are_an_event_or_malformed(kind_event: tuple[str, str], body: bytes) -> None:
    with pytest.raises(WebhookMalformed):
        read(*kind_event, body)


HEADERS = (
    "X-Gitea-Event",
    "X-Gitea-Signature",
    "X-GitHub-Event",
    "X-Hub-Signature-256",
    "X-Gitlab-Token",
    "webhook-signature",
    "webhook-timestamp",
    "webhook-id",
    "Content-Type",
)


@given(
    st.sampled_from(list(CLIENTS)),
    st.dictionaries(
        st.sampled_from(HEADERS),
        st.text(max_size=80),
    ),
)
def test_no_headers_pass_without_the_secret(kind: str, headers: dict[str, str]) -> None:
    with pytest.raises(SluicewayError) as caught:
        CLIENTS[kind].read_event(headers, b"{}", secret=SECRET, now=NOW)
    assert isinstance(caught.value, WebhookRefused | WebhookMalformed)


@pytest.mark.parametrize(("kind", "body"), [("gitea", HUB_PUSH), ("github", HUB_PUSH), ("gitlab", GITLAB_PUSH)])
@pytest.mark.parametrize("zero", ["0" * 40, "0" * 64])
def test_zero_id_of_either_length_is_no_object(kind: str, body: dict[str, Any], zero: str) -> None:
    event = "Push Hook" if kind == "gitlab" else "push"
    created = read(kind, event, json.dumps({**body, "before": zero}).encode())
    deleted = read(kind, event, json.dumps({**body, "after": zero, "head_commit": None, "checkout_sha": None}).encode())
    assert isinstance(created, Push)
    assert isinstance(deleted, Push)
    assert (created.is_created, deleted.is_deleted, deleted.commit) == (True, True, None)


@pytest.mark.parametrize(("kind", "body"), [("gitea", HUB_PUSH), ("github", HUB_PUSH), ("gitlab", GITLAB_PUSH)])
@pytest.mark.parametrize(
    ("ref", "before"), [("refs/notes/x", A), ("refs/heads/main", B)], ids=["no branch and no tag", "nothing moved"]
)
def test_push_of_nothing_to_run_is_ignored(kind: str, body: dict[str, Any], ref: str, before: str) -> None:
    event = "Push Hook" if kind == "gitlab" else "push"
    found = read(kind, event, json.dumps({**body, "ref": ref, "before": before}).encode())
    assert isinstance(found, Ignored)
    assert found.reason


def test_user_that_the_provider_has_built_in_may_push() -> None:
    found = read("gitea", "push", json.dumps({**HUB_PUSH, "sender": {"id": -2}}).encode())
    assert isinstance(found, Push)
    assert found.sender_id == "-2"


def test_gitlab_event_that_names_two_projects_is_malformed() -> None:
    push = {**GITLAB_PUSH, "project_id": 8}
    merge = {**GITLAB_MERGE_REQUEST, "project": {**GITLAB_PROJECT, "id": 9}}
    for event, body in (("Push Hook", push), ("Merge Request Hook", merge)):
        with pytest.raises(WebhookMalformed, match="two projects"):
            read("gitlab", event, json.dumps(body).encode())


def test_gitlab_edit_is_not_a_new_commit() -> None:
    attributes = {**GITLAB_MERGE_REQUEST["object_attributes"], "action": "update"}  # type: ignore[dict-item]
    edited = read(
        "gitlab", "Merge Request Hook", json.dumps({**GITLAB_MERGE_REQUEST, "object_attributes": attributes}).encode()
    )
    assert isinstance(edited, Ignored)


@pytest.mark.parametrize("url", [None, "", "ext::sh -c id", "file:///etc", "-x", "https://u:p@git.example.org/x"])
def test_url_that_git_must_not_be_given_is_left_out(url: str | None) -> None:
    repository = {**HUB_REPOSITORY, "clone_url": url, "default_branch": "-x"}
    found = read("gitea", "push", json.dumps({**HUB_PUSH, "repository": repository}).encode())
    assert isinstance(found, Push)
    assert (found.repository.http_url, found.repository.default_branch) == ("", "")
    assert found.repository.git_url == HUB_REPOSITORY["ssh_url"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://u:p@git.example.org/", "data:text/html,x", "x" * 5000])
def test_link_that_is_not_safe_is_left_out(url: str) -> None:
    found = read("gitea", "push", json.dumps({**HUB_PUSH, "compare_url": url}).encode())
    assert isinstance(found, Push)
    assert found.compare_url == ""


def test_control_characters_of_a_message_are_replaced() -> None:
    commit = {"id": B, "message": "\x1b[2JChange\u202e\n\nWhy."}
    found = read("github", "push", json.dumps({**HUB_PUSH, "head_commit": commit}).encode())
    assert isinstance(found, Push)
    assert found.message == "\N{REPLACEMENT CHARACTER}[2JChange\N{REPLACEMENT CHARACTER}\n\nWhy."
