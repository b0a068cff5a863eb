"""What each client of a git provider promises, against the fake of the provider."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.forges import errors
from sluiceway_server.forges.port import MAX_FILE_BYTES, CommitState, CommitStatus, EntryKind
from sluiceway_server.triggers.config_files import blob_id
from tests.contract.forges.conftest import FILES, Provider
from tests.fakes.forge import Kind, git

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC4 sluiceway"
STATUS = CommitStatus(
    context="sluice/test",
    state=CommitState.PENDING,
    target_url="http://127.0.0.1/runs/1",
    description="queued",
    ref="main",
)


async def test_user_is_the_owner_of_the_token(provider: Provider) -> None:
    user = await provider.client.user(provider.token)
    assert (user.id, user.name) == (str(provider.ann.id), "ann")


async def test_repository_is_found_by_path_and_by_id(provider: Provider) -> None:
    found = await provider.repository()
    assert found == await provider.client.repository_by_id(provider.token, str(provider.stored.id))
    assert (found.id, found.path, found.default_branch) == (str(provider.stored.id), "acme/app", "main")
    assert (found.is_private, found.may_administrate) == (True, True)
    assert found.http_url == f"{provider.fake.url}/acme/app.git"


async def test_reader_may_not_administrate(provider: Provider) -> None:
    bob = provider.fake.add_user("bob")
    provider.stored.readers.add(bob.id)
    found = await provider.client.repository(bob.token, "acme/app")
    assert not found.may_administrate
    with pytest.raises(errors.RightMissing):
        await provider.client.create_webhook(bob.token, found, url="http://127.0.0.1/hook", secret="s")


async def test_repository_of_others_is_not_found(provider: Provider) -> None:
    eve = provider.fake.add_user("eve")
    found = await provider.repository()
    with pytest.raises(errors.NotAtForge):
        await provider.client.repository(eve.token, "acme/app")
    with pytest.raises(errors.NotAtForge):
        await provider.client.file(eve.token, found, "README.md", provider.commit)
    with pytest.raises(errors.NotAtForge):
        await provider.client.refs(eve.token, found)


async def test_revoked_token_is_refused(provider: Provider) -> None:
    provider.ann.is_revoked = True
    with pytest.raises(errors.TokenRefused) as caught:
        await provider.client.user(provider.token)
    assert provider.token not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "tökén"])
async def test_token_that_no_header_can_hold_is_invalid(provider: Provider, token: str) -> None:
    with pytest.raises(InvalidInput):
        await provider.client.user(token)


@pytest.mark.parametrize("path", ["", "app", "acme/", "/app", "../../user", "acme/../x", "acme/a\0b", "acme/./x"])
async def test_path_that_is_no_repository_is_invalid(provider: Provider, path: str) -> None:
    with pytest.raises(InvalidInput):
        await provider.client.repository(provider.token, path)
    assert provider.fake.calls == []


@pytest.mark.parametrize("number", ["", "acme/app", "1/hooks", "-1", "٣", "1?x=1"])
async def test_repository_id_is_a_number(provider: Provider, number: str) -> None:
    with pytest.raises(InvalidInput):
        await provider.client.repository_by_id(provider.token, number)


async def test_repositories_have_pages(provider: Provider) -> None:
    for number in range(120):
        stored = replace(provider.stored, id=next(provider.fake.store.ids), path=f"acme/more{number}")
        provider.fake.store.repositories.append(stored)
    paths: list[str] = []
    page: int | None = 1
    while page is not None:
        found = await provider.client.repositories(provider.token, page=page)
        paths += [repository.path for repository in found.repositories]
        page = found.next_page
    assert paths == [stored.path for stored in provider.fake.store.repositories]
    assert len(provider.fake.calls) >= 2


async def test_webhook_is_active_and_replaces_an_older_one(provider: Provider) -> None:
    found = await provider.repository()
    url = "http://127.0.0.1:1/webhooks/1"
    other = await provider.client.create_webhook(provider.token, found, url=f"{url}0", secret="0")
    first = await provider.client.create_webhook(provider.token, found, url=url, secret="1")
    second = await provider.client.create_webhook(provider.token, found, url=url, secret="2")
    assert [(str(hook.id), hook.secret) for hook in provider.stored.hooks] == [(other, "0"), (second, "2")]
    assert all(hook.is_active for hook in provider.stored.hooks)
    assert first != second


async def test_webhook_without_a_secret_is_refused(provider: Provider) -> None:
    with pytest.raises(InvalidInput):
        await provider.client.create_webhook(
            provider.token, await provider.repository(), url="http://127.0.0.1:1/", secret=""
        )
    assert provider.stored.hooks == []


async def test_webhook_that_is_gone_is_deleted(provider: Provider) -> None:
    found = await provider.repository()
    number = await provider.client.create_webhook(provider.token, found, url="http://127.0.0.1:1/", secret="s")
    await provider.client.delete_webhook(provider.token, found, number)
    await provider.client.delete_webhook(provider.token, found, number)
    assert provider.stored.hooks == []


@pytest.mark.parametrize("number", ["..", "", ".", "1/..", "%2e%2e", "٣"])
async def test_id_that_could_name_something_else_is_invalid(provider: Provider, number: str) -> None:
    found = await provider.repository()
    provider.fake.calls.clear()
    with pytest.raises(InvalidInput):
        await provider.client.delete_webhook(provider.token, found, number)
    with pytest.raises(InvalidInput):
        await provider.client.delete_deploy_key(provider.token, found, number)
    assert provider.fake.calls == []


async def test_deploy_key_is_read_only_and_created_once(provider: Provider) -> None:
    found = await provider.repository()
    first = await provider.client.create_deploy_key(provider.token, found, title="sluiceway", public_key=KEY)
    second = await provider.client.create_deploy_key(provider.token, found, title="sluiceway", public_key=KEY)
    assert first == second
    assert [key.read_only for key in provider.stored.keys] == [True]
    await provider.client.delete_deploy_key(provider.token, found, first)
    await provider.client.delete_deploy_key(provider.token, found, first)
    assert provider.stored.keys == []


async def test_deploy_key_of_another_repository(provider: Provider) -> None:
    other = await provider.fake.add_repository(provider.ann, "acme/other")
    found = await provider.client.repository_by_id(provider.token, str(other.id))
    await provider.client.create_deploy_key(provider.token, found, title="sluiceway", public_key=KEY)
    creation = provider.client.create_deploy_key(
        provider.token, await provider.repository(), title="sluiceway", public_key=KEY
    )
    if provider.fake.kind is Kind.GITHUB:
        # GitHub takes a key once.
        with pytest.raises(errors.ForgeRefused, match="already in use"):
            await creation
    else:
        await creation
        assert len(provider.stored.keys) == 1


async def test_deploy_key_that_may_write_is_replaced(provider: Provider) -> None:
    found = await provider.repository()
    await provider.client.create_deploy_key(provider.token, found, title="sluiceway", public_key=KEY)
    provider.stored.keys[0].read_only = False
    await provider.client.create_deploy_key(provider.token, found, title="sluiceway", public_key=KEY)
    assert [key.read_only for key in provider.stored.keys] == [True]


@pytest.mark.parametrize("path", FILES)
async def test_file_of_a_commit_is_its_bytes(provider: Provider, path: str) -> None:
    found = await provider.repository()
    assert await provider.client.file(provider.token, found, path, provider.commit) == FILES[path]


@pytest.mark.parametrize("path", ["missing", ".sluice", ".sluice/missing", "README.md/x"])
async def test_what_is_no_file_is_none(provider: Provider, path: str) -> None:
    found = await provider.repository()
    assert await provider.client.file(provider.token, found, path, provider.commit) is None


async def test_file_of_an_unknown_commit_is_not_found(provider: Provider) -> None:
    with pytest.raises(errors.NotAtForge):
        await provider.client.file(provider.token, await provider.repository(), "README.md", "1" * 40)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", "a/", ".", "\0"])
async def test_path_outside_of_the_repository_is_invalid(provider: Provider, path: str) -> None:
    found = await provider.repository()
    with pytest.raises(InvalidInput):
        await provider.client.file(provider.token, found, path, provider.commit)
    with pytest.raises(InvalidInput):
        await provider.client.folder(provider.token, found, path, provider.commit)


@pytest.mark.parametrize("commit", ["main", "", "HEAD", "a" * 39, "A" * 40, "-" * 40])
async def test_commit_is_a_whole_id(provider: Provider, commit: str) -> None:
    found = await provider.repository()
    with pytest.raises(InvalidInput):
        await provider.client.file(provider.token, found, "README.md", commit)
    with pytest.raises(InvalidInput):
        await provider.client.set_status(provider.token, found, commit, STATUS)


async def test_message_is_that_of_the_commit(provider: Provider) -> None:
    found = await provider.repository()
    commit = await provider.fake.commit(provider.stored, provider.ann, {"m": b"m"}, message="Subject\n\nBody [skip ci]")
    message = await provider.client.commit_message(provider.token, found, commit)
    assert message.rstrip("\n") == "Subject\n\nBody [skip ci]"
    with pytest.raises(errors.NotAtForge):
        await provider.client.commit_message(provider.token, found, "0" * 39 + "1")


async def test_file_has_a_limit_of_size(provider: Provider) -> None:
    found = await provider.repository()
    large: dict[str, bytes | None] = {"at": b"a" * 900_000, "over": b"a" * (MAX_FILE_BYTES + 1)}
    commit = await provider.fake.commit(provider.stored, provider.ann, large)
    content = await provider.client.file(provider.token, found, "at", commit)
    assert content is not None
    assert len(content) == 900_000
    with pytest.raises(errors.ForgeResponseTooLarge):
        await provider.client.file(provider.token, found, "over", commit)


async def test_folder_has_its_entries(provider: Provider) -> None:
    found = await provider.repository()
    top = await provider.client.folder(provider.token, found, "", provider.commit)
    assert top is not None
    assert [(entry.path, entry.kind) for entry in top] == [
        (".sluice", EntryKind.FOLDER),
        ("README.md", EntryKind.FILE),
        ("bytes", EntryKind.FILE),
    ]
    inner = await provider.client.folder(provider.token, found, ".sluice", provider.commit)
    assert inner is not None
    assert [entry.path for entry in inner] == [".sluice/config.yml", ".sluice/lib"]
    content = await provider.client.file(provider.token, found, inner[0].path, provider.commit)
    assert inner[0].object_id == blob_id(content or b"")


async def test_what_is_no_folder_is_none(provider: Provider) -> None:
    found = await provider.repository()
    for path in ("missing", "README.md"):
        assert await provider.client.folder(provider.token, found, path, provider.commit) is None
    with pytest.raises(errors.NotAtForge):
        await provider.client.folder(provider.token, found, "missing", "1" * 40)


async def test_refs_are_commits_also_of_annotated_tags(provider: Provider) -> None:
    found = await provider.repository()
    await provider.fake.tag(provider.stored, provider.ann, "v1", provider.commit, message="Version 1")
    await provider.fake.tag(provider.stored, provider.ann, "light", provider.commit)
    await provider.fake.update_refs(
        provider.stored, provider.ann, {f"refs/heads/b{number}": provider.commit for number in range(130)}
    )
    refs = await provider.client.refs(provider.token, found)
    assert len(refs) == 133
    assert set(refs.values()) == {provider.commit}
    assert {"refs/heads/main", "refs/tags/v1", "refs/tags/light", "refs/heads/b129"} <= set(refs)


async def test_changed_paths_are_those_of_all_commits(provider: Provider) -> None:
    found = await provider.repository()
    await provider.fake.commit(provider.stored, provider.ann, {"new": b"1"})
    head = await provider.fake.commit(provider.stored, provider.ann, {"README.md": None, "docs/readme.md": b"# App\n"})
    changed = await provider.client.changed_paths(provider.token, found, provider.commit, head)
    assert changed == ("README.md", "docs/readme.md", "new")


async def test_nothing_changed_between_a_commit_and_itself(provider: Provider) -> None:
    found = await provider.repository()
    assert await provider.client.changed_paths(provider.token, found, provider.commit, provider.commit) == ()


async def test_changed_paths_are_unknown_if_there_are_many(provider: Provider) -> None:
    found = await provider.repository()
    many: dict[str, bytes | None] = {f"f{number}": b"" for number in range(301)}
    head = await provider.fake.commit(provider.stored, provider.ann, many)
    changed = await provider.client.changed_paths(provider.token, found, provider.commit, head)
    if provider.fake.kind in (Kind.GITEA, Kind.FORGEJO):
        assert changed == tuple(sorted(many))
    else:
        assert changed is None


async def test_changed_paths_of_an_unknown_commit_are_unknown(provider: Provider) -> None:
    found = await provider.repository()
    assert await provider.client.changed_paths(provider.token, found, "1" * 40, provider.commit) is None


async def test_changed_paths_after_a_forced_push_miss_nothing(provider: Provider) -> None:
    found = await provider.repository()
    undone = await provider.fake.commit(provider.stored, provider.ann, {"undone": b"1"})
    changed = await provider.client.changed_paths(provider.token, found, undone, provider.commit)
    assert changed is None or "undone" in changed


@pytest.mark.parametrize("state", list(CommitState))
async def test_status_is_set_in_every_state_and_again(provider: Provider, state: CommitState) -> None:
    found = await provider.repository()
    status = replace(STATUS, state=state, description="x" * 1000)
    await provider.client.set_status(provider.token, found, provider.commit, status)
    await provider.client.set_status(provider.token, found, provider.commit, status)
    stored = provider.stored.last_status(provider.commit, "sluice/test")
    assert stored is not None
    assert stored.target_url == STATUS.target_url
    assert len(stored.description) < 1000


async def test_last_status_counts(provider: Provider) -> None:
    found = await provider.repository()
    for state in (CommitState.PENDING, CommitState.RUNNING, CommitState.SUCCESS, CommitState.PENDING):
        await provider.client.set_status(provider.token, found, provider.commit, replace(STATUS, state=state))
    stored = provider.stored.last_status(provider.commit, "sluice/test")
    assert stored is not None
    assert stored.state == "pending"


async def test_renamed_repository_is_found_and_written_to(provider: Provider) -> None:
    found = await provider.repository()
    provider.fake.rename(provider.stored, "other/name")
    assert (await provider.client.repository(provider.token, "acme/app")).path == "other/name"
    assert (await provider.client.repository_by_id(provider.token, found.id)).path == "other/name"
    assert await provider.client.file(provider.token, found, "README.md", provider.commit) == b"# App\n"
    await provider.client.set_status(provider.token, found, provider.commit, STATUS)
    number = await provider.client.create_webhook(provider.token, found, url="http://127.0.0.1:1/", secret="s")
    assert [str(hook.id) for hook in provider.stored.hooks] == [number]
    await provider.client.create_deploy_key(provider.token, found, title="t", public_key=KEY)
    await provider.client.delete_webhook(provider.token, found, number)
    assert len(provider.stored.statuses) == len(provider.stored.keys) == 1
    assert provider.stored.hooks == []


async def test_api_and_clone_have_the_same_commit(provider: Provider) -> None:
    refs = await git.refs(provider.stored.folder)
    found = await provider.repository()
    assert (await provider.client.refs(provider.token, found))["refs/heads/main"] == refs["refs/heads/main"]


@pytest.mark.parametrize("from_fork", [False, True], ids=["own", "fork"])
async def test_pull_request_is_as_it_is_now(provider: Provider, from_fork: bool) -> None:
    eve = provider.fake.add_user("eve")
    provider.stored.readers.add(eve.id)
    source = provider.stored
    if from_fork:
        source = await provider.fake.add_repository(eve, "eve/app", content=provider.stored.folder)
    author = eve if from_fork else provider.ann
    await provider.fake.update_refs(source, author, {"refs/heads/topic": provider.commit})
    head = await provider.fake.commit(source, author, {"a": b"1"}, branch="topic")
    opened = await provider.fake.open_pull_request(
        provider.stored, eve, head_branch="topic", fork=source if from_fork else None
    )
    opened.is_open = False
    found = await provider.client.pull_request(provider.token, await provider.repository(), str(opened.number))
    assert (found.number, found.commit, found.is_from_fork) == (opened.number, head, from_fork)
    assert (found.head_branch, found.base_branch, found.base_commit) == ("topic", "main", provider.commit)
    assert (found.author_id, found.title, found.repository.path) == (str(eve.id), "A change", "acme/app")
    kind = "merge-requests" if provider.fake.kind is Kind.GITLAB else "pull"
    assert found.ref == f"refs/{kind}/{opened.number}/head"


async def test_heads_of_open_pull_requests_are_listed(provider: Provider) -> None:
    found = await provider.repository()
    assert await provider.client.pull_request_heads(provider.token, found) == {}
    kind = "merge-requests" if provider.fake.kind is Kind.GITLAB else "pull"
    heads: dict[str, str] = {}
    # More than a page of Gitea.
    for number in range(1, 62):
        branch: dict[str, str | None] = {f"refs/heads/topic-{number}": provider.commit}
        await provider.fake.update_refs(provider.stored, provider.ann, branch)
        opened = await provider.fake.open_pull_request(provider.stored, provider.ann, head_branch=f"topic-{number}")
        heads[f"refs/{kind}/{opened.number}/head"] = provider.commit
        if number == 7:
            opened.is_open = False
            del heads[f"refs/{kind}/{opened.number}/head"]
    assert await provider.client.pull_request_heads(provider.token, found) == heads


async def test_pull_request_that_is_not_there_is_not_found(provider: Provider) -> None:
    found = await provider.repository()
    with pytest.raises(errors.NotAtForge):
        await provider.client.pull_request(provider.token, found, "12")
    with pytest.raises(InvalidInput):
        await provider.client.pull_request(provider.token, found, "../1")
