"""Deliveries of webhooks, from a real `git push` to the event, for each provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from sluiceway_server.forges import errors
from sluiceway_server.forges.port import Event, Ignored, Ping, PullRequest, PullRequestAction, Push
from tests.contract.forges.conftest import Provider
from tests.fakes.forge import Kind, git

SECRET = "s3cret-of-the-webhook"


@dataclass
class Hooked:
    """A provider with a webhook, and the deliveries that its receiver got."""

    provider: Provider
    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def read(self, index: int = -1) -> Event:
        headers, body = self.got[index]
        return self.provider.client.read_event(headers, body, secret=SECRET, now=datetime.now(UTC))

    async def events(self) -> list[Event]:
        """Wait until nothing is on its way, and return all events since the last call."""
        await self.provider.fake.deliveries.settled()
        found = [self.read(index) for index in range(len(self.got))]
        self.got.clear()
        return found

    async def delivered(self) -> None:
        await self.provider.fake.deliveries.settled()
        assert self.got


@pytest.fixture
async def hooked(provider: Provider) -> AsyncIterator[Hooked]:
    """Yield each provider with a webhook that the client created."""
    made = Hooked(provider, "")

    async def receive(request: web.Request) -> web.Response:
        made.got.append((dict(request.headers), await request.read()))
        return web.Response(text="stored")

    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/webhooks/1", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/1"
        await provider.client.create_webhook(provider.token, await provider.repository(), url=made.url, secret=SECRET)
        pings = await made.events()
        assert [type(event) for event in pings] == ([Ping] if provider.fake.kind is Kind.GITHUB else [])
        yield made
    finally:
        await runner.cleanup()


async def pushed(hooked: Hooked, **files: bytes) -> Push:
    """Commit files to the main branch; return the event."""
    await hooked.provider.fake.commit(hooked.provider.stored, hooked.provider.ann, dict(files), message="Add files")
    (event,) = await hooked.events()
    assert isinstance(event, Push)
    return event


async def test_git_push_becomes_an_event(hooked: Hooked, tmp_path: Path) -> None:
    provider = hooked.provider
    url = (await provider.repository()).http_url.replace("://", f"://ann:{provider.token}@")
    clone = tmp_path / "clone"
    await git.git(tmp_path, "clone", "--quiet", url, str(clone))
    (clone / "new").write_text("1")
    await git.git(clone, "add", "new")
    await git.git(clone, "commit", "--quiet", "--message", "Add a file\n\nWith a reason.")
    commit = (await git.git(clone, "rev-parse", "HEAD")).decode().strip()
    await git.git(clone, "push", "--quiet", "origin", "HEAD")
    (event,) = await hooked.events()
    assert isinstance(event, Push)
    assert (event.ref, event.before, event.after, event.commit) == (
        "refs/heads/main",
        provider.commit,
        commit,
        commit,
    )
    assert event.message == "Add a file\n\nWith a reason.\n"
    assert event.sender_id == str(provider.ann.id)
    assert event.repository.id == str(provider.stored.id)
    assert event.delivery_id
    found = await provider.repository()
    assert (event.repository.git_url, event.repository.path) == (found.git_url, found.path)


async def test_push_without_the_right_changes_nothing(hooked: Hooked, tmp_path: Path) -> None:
    provider = hooked.provider
    bob = provider.fake.add_user("bob")
    provider.stored.readers.add(bob.id)
    url = (await provider.repository()).http_url.replace("://", f"://bob:{bob.token}@")
    clone = tmp_path / "clone"
    await git.git(tmp_path, "clone", "--quiet", url, str(clone))
    with pytest.raises(git.GitError):
        await git.git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/other")
    assert await hooked.events() == []


async def test_branch_is_created_and_deleted(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.update_refs(provider.stored, provider.ann, {"refs/heads/a/b": provider.commit})
    await provider.fake.update_refs(provider.stored, provider.ann, {"refs/heads/a/b": None})
    created, deleted = await hooked.events()
    assert isinstance(created, Push)
    assert isinstance(deleted, Push)
    assert (created.is_created, created.is_deleted, created.commit) == (True, False, provider.commit)
    assert (deleted.is_created, deleted.is_deleted, deleted.commit) == (False, True, None)
    assert deleted.message == ""


@pytest.mark.parametrize("message", ["", "Version 1"], ids=["light", "annotated"])
async def test_tag_has_the_commit_that_it_names(hooked: Hooked, message: str) -> None:
    provider = hooked.provider
    await provider.fake.tag(provider.stored, provider.ann, "v1", provider.commit, message=message)
    (event,) = await hooked.events()
    assert isinstance(event, Push)
    assert (event.ref, event.commit) == ("refs/tags/v1", provider.commit)
    assert (event.after == provider.commit) == (not message)


async def test_pull_request_is_opened_and_synchronized(hooked: Hooked) -> None:
    provider = hooked.provider
    head = await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"}, branch="topic")
    await hooked.events()
    request = await provider.fake.open_pull_request(provider.stored, provider.ann, head_branch="topic")
    (opened,) = await hooked.events()
    assert isinstance(opened, PullRequest)
    assert (opened.action, opened.number, opened.commit) == (PullRequestAction.OPENED, request.number, head)
    assert (opened.head_branch, opened.base_branch, opened.is_from_fork) == ("topic", "main", False)
    assert opened.repository.id == str(provider.stored.id)
    assert await git.commit_of(provider.stored.folder, opened.ref) == head
    newer = await provider.fake.commit(provider.stored, provider.ann, {"a": b"2"}, branch="topic")
    push, synchronized = await hooked.events()
    assert isinstance(push, Push)
    assert isinstance(synchronized, PullRequest)
    assert (synchronized.action, synchronized.commit) == (PullRequestAction.SYNCHRONIZED, newer)


async def test_only_pull_requests_with_news_start_runs(hooked: Hooked) -> None:
    provider = hooked.provider
    request = await provider.fake.open_pull_request(provider.stored, provider.ann, head_branch="main")
    await hooked.events()
    await provider.fake.pull_request_event(provider.stored, request, provider.ann, "edited")
    request.is_open = False
    await provider.fake.pull_request_event(provider.stored, request, provider.ann, "closed")
    await provider.fake.pull_request_event(provider.stored, request, provider.ann, "synchronized", old_head="1" * 40)
    request.is_open = True
    await provider.fake.pull_request_event(provider.stored, request, provider.ann, "reopened")
    *others, reopened = await hooked.events()
    assert [type(event) for event in others] == [Ignored] * 3
    assert isinstance(reopened, PullRequest)
    assert reopened.action is PullRequestAction.REOPENED


@pytest.mark.parametrize("is_gone", [False, True], ids=["fork is there", "fork was deleted"])
async def test_pull_request_of_a_fork_says_so(hooked: Hooked, is_gone: bool) -> None:
    provider = hooked.provider
    eve = provider.fake.add_user("eve")
    provider.stored.readers.add(eve.id)
    fork = await provider.fake.add_repository(eve, "eve/app", content=provider.stored.folder)
    head = await provider.fake.commit(fork, eve, {"a": b"1"}, branch="main")
    request = await provider.fake.open_pull_request(provider.stored, eve, head_branch="main", fork=fork)
    if is_gone:
        request.head_repository = None
        await provider.fake.pull_request_event(provider.stored, request, eve, "reopened")
    event = (await hooked.events())[-1]
    assert isinstance(event, PullRequest)
    assert event.is_from_fork
    assert event.head_repository_id == (None if is_gone else str(fork.id))
    assert (event.author_id, event.repository.id) == (str(eve.id), str(provider.stored.id))
    assert await git.commit_of(provider.stored.folder, event.ref) == head


async def test_redelivery_is_known_by_its_id_or_its_commit(hooked: Hooked) -> None:
    first = await pushed(hooked, a=b"1")
    hooked.provider.fake.deliveries.redeliver(hooked.provider.fake.deliveries.sent[-1])
    (second,) = await hooked.events()
    assert isinstance(second, Push)
    is_same = first.delivery_id == second.delivery_id
    # A redelivery of Gitea has another id: there, the commit tells.
    assert is_same == (hooked.provider.fake.kind in (Kind.GITHUB, Kind.GITLAB))
    assert (first.repository.id, first.ref, first.after) == (second.repository.id, second.ref, second.after)


async def test_two_webhooks_can_get_one_delivery_id(hooked: Hooked) -> None:
    provider = hooked.provider
    provider.fake.add_webhook(provider.stored, hooked.url, SECRET)
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    first, second = (event.delivery_id for event in await hooked.events())
    if provider.fake.kind is Kind.GITHUB:
        assert first == second
    if provider.fake.kind in (Kind.GITEA, Kind.FORGEJO):
        assert first != second


async def test_late_deliveries_can_come_in_reverse(hooked: Hooked) -> None:
    provider = hooked.provider
    provider.fake.deliveries.hold = True
    commits = [await provider.fake.commit(provider.stored, provider.ann, {"a": bytes([n])}) for n in range(3)]
    assert await hooked.events() == []
    provider.fake.deliveries.release(reverse=True)
    events = await hooked.events()
    assert [event.after for event in events if isinstance(event, Push)] == commits[::-1]


async def test_refs_show_what_was_not_delivered(hooked: Hooked) -> None:
    provider = hooked.provider
    tags: dict[str, str | None] = {f"refs/tags/v{number}": provider.commit for number in range(4)}
    await provider.fake.update_refs(provider.stored, provider.ann, tags)
    events = await hooked.events()
    assert len(events) == (0 if provider.fake.kind in (Kind.GITHUB, Kind.GITLAB) else 4)
    assert set(tags) <= set(await provider.client.refs(provider.token, await provider.repository()))


async def test_changed_paths_have_what_a_body_leaves_out(hooked: Hooked) -> None:
    provider = hooked.provider
    head = provider.commit
    folder = provider.stored.folder
    for number in range(25):
        head = await git.commit_files(folder, "topic", {f"f{number}": b""}, "Add a file")
    await provider.fake.update_refs(provider.stored, provider.ann, {"refs/heads/main": head})
    (event,) = await hooked.events()
    assert isinstance(event, Push)
    found = await provider.repository()
    changed = await provider.client.changed_paths(provider.token, found, provider.commit, head)
    assert changed is None or {f"f{number}" for number in range(25)} <= set(changed)


async def test_delivery_with_another_secret_is_refused(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for secret in (SECRET + "x", SECRET[:-1], "é", ""):
        with pytest.raises(errors.WebhookRefused):
            provider.client.read_event(headers, body, secret=secret, now=datetime.now(UTC))


async def test_delivery_is_refused_if_its_body_changes(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for other in (body + b" ", body[:-1], body.replace(b"refs/heads/main", b"refs/heads/evil"), b""):
        with pytest.raises(errors.WebhookRefused) as caught:
            provider.client.read_event(headers, other, secret=SECRET, now=datetime.now(UTC))
        assert caught.value.reason == "WEBHOOK_SIGNATURE_INVALID"


SIGNATURES = {
    Kind.GITEA: ("X-Gitea-Signature",),
    Kind.FORGEJO: ("X-Gitea-Signature", "X-Forgejo-Signature"),
    Kind.GITHUB: ("X-Hub-Signature-256",),
    Kind.GITLAB: ("X-Gitlab-Token",),
}


@pytest.mark.parametrize("value", [None, "", "sha256=", "é", "x" * 100_000, "0" * 64, "sha256=" + "0" * 64])
async def test_signature_that_is_missing_or_odd_is_refused(hooked: Hooked, value: str | None) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for name in SIGNATURES[provider.fake.kind]:
        headers.pop(name)
        if value is not None:
            headers[name] = value
    with pytest.raises(errors.WebhookRefused) as caught:
        provider.client.read_event(headers, body, secret=SECRET, now=datetime.now(UTC))
    is_empty = not value or (value == "sha256=" and provider.fake.kind is Kind.GITHUB)
    assert caught.value.reason == ("WEBHOOK_SIGNATURE_MISSING" if is_empty else "WEBHOOK_SIGNATURE_INVALID")


async def test_delivery_without_a_secret_is_refused(hooked: Hooked) -> None:
    provider = hooked.provider
    for hook in provider.stored.hooks:
        hook.secret = hook.signing_token = ""
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for secret in (SECRET, ""):
        with pytest.raises(errors.WebhookRefused) as caught:
            provider.client.read_event(headers, body, secret=secret, now=datetime.now(UTC))
        assert caught.value.reason == "WEBHOOK_SIGNATURE_MISSING"


async def test_headers_of_another_provider_are_not_read(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    own = {Kind.GITHUB: "github", Kind.GITLAB: "gitlab"}.get(provider.fake.kind, "gitea")
    for other in {"github", "gitlab", "gitea", "gogs"} - {own}:
        headers = {name: value for name, value in headers.items() if not name.lower().startswith(f"x-{other}-")}
        headers |= {f"X-{other}-Event": "ping", f"X-{other}-Delivery": "foreign", f"X-{other}-Signature": "foreign"}
    event = provider.client.read_event(headers, body, secret=SECRET, now=datetime.now(UTC))
    assert isinstance(event, Push)
    assert event.delivery_id not in ("", "foreign")


async def test_names_of_headers_are_read_in_any_case(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for spelled in ({k.lower(): v for k, v in headers.items()}, {k.upper(): v for k, v in headers.items()}):
        event = provider.client.read_event(spelled, body, secret=SECRET, now=datetime.now(UTC))
        assert isinstance(event, Push)


async def test_form_is_refused(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    form = urlencode({"payload": body.decode()}).encode()
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    with pytest.raises(errors.WebhookMalformed, match="JSON"):
        provider.client.read_event(headers, form, secret=SECRET, now=datetime.now(UTC))


async def test_event_of_another_kind_is_ignored_with_a_reason(hooked: Hooked) -> None:
    provider = hooked.provider
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    for name in headers:
        if name.lower().endswith("-event"):
            headers[name] = "Wiki Page Hook"
    event = provider.client.read_event(headers, body, secret=SECRET, now=datetime.now(UTC))
    assert isinstance(event, Ignored)
    assert "Wiki Page Hook" in event.reason


async def test_renamed_repository_keeps_its_id_in_events(hooked: Hooked) -> None:
    before = await pushed(hooked, a=b"1")
    hooked.provider.fake.rename(hooked.provider.stored, "other/name")
    after = await pushed(hooked, a=b"2")
    assert before.repository.id == after.repository.id
    assert after.repository.path == "other/name"


async def test_gitlab_that_signs_is_held_to_the_time(hooked: Hooked) -> None:
    provider = hooked.provider
    if provider.fake.kind is not Kind.GITLAB:
        # The others do not sign a time.
        return
    await provider.fake.commit(provider.stored, provider.ann, {"a": b"1"})
    await hooked.delivered()
    headers, body = hooked.got[0]
    signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    for seconds in (-300, 0, 300):
        now = signed_at + timedelta(seconds=seconds)
        assert isinstance(provider.client.read_event(headers, body, secret=SECRET, now=now), Push)
    for seconds in (-301, 301):
        now = signed_at + timedelta(seconds=seconds)
        with pytest.raises(errors.WebhookRefused) as caught:
            provider.client.read_event(headers, body, secret=SECRET, now=now)
        assert caught.value.reason == "WEBHOOK_SIGNATURE_EXPIRED"
    headers["webhook-id"] = "another"
    with pytest.raises(errors.WebhookRefused):
        provider.client.read_event(headers, body, secret=SECRET, now=signed_at)


async def test_gitlab_that_does_not_sign_is_authenticated(hooked: Hooked) -> None:
    for hook in hooked.provider.stored.hooks:
        hook.signing_token = ""
    event = await pushed(hooked, a=b"1")
    assert event.delivery_id
