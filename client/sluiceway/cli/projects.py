"""`sluice project` and `sluice group`: the tree of projects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.confirming import ask, refuse_silence, yes_option
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from sluiceway.api.project.v1 import project_service_pb2 as pb
    from sluiceway.client import Client

    Node: TypeAlias = pb.Project | pb.ProjectGroup

C = TypeVar("C", bound="Callable[..., Any]")

VISIBILITIES = click.Choice(("public", "private"))
_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_PARENT = "PATH"
_FILE = click.Path(path_type=Path)

_visibility_option = option(
    "--visibility", type=VISIBILITIES, default=None, help="Who may see it. It is private if an ancestor is."
)
_list_parent_option = option("--parent", default="", metavar=_PARENT, help="Only the children of this parent.")
_move_option = option("--parent", default=None, metavar=_PARENT, help="Move it below this parent.")
_name_option = option("--name", default=None, metavar="NAME", help="Rename it.")


def retention_options(command: C) -> C:
    """Add the options of the retention of a project."""
    kinds = (
        ("run", "runs with all that is theirs so long after their end"),
        ("cache", "caches so long after their last use"),
        ("artifact", "artifacts so long after the end of their run"),
        ("log", "logs so long after the end of their run"),
    )
    for name, what in kinds:
        text = f"Delete {what}. 0: never. default: as the installation."
        command = option(f"--{name}-retention", default=None, metavar="TIME", help=text)(command)
    return command


@click.command()
@click.argument("path", metavar="PATH")
@_visibility_option
@option("--concurrency", type=click.IntRange(0), default=0, help="How many of its runs may run at a time. 0: no limit.")
@option("--cancel-superseded", is_flag=True, help="A new run cancels the older queued runs of its group.")
@option("--pass-variables-to-forks", is_flag=True, help="Runs of a fork's pull request get the variables.")
@option("--issue-id-tokens-to-forks", is_flag=True, help="Tasks of a fork's pull request get id tokens.")
@option("--remote-source", default="", metavar="NAME", help="The git provider that has its repository.")
@option(
    "--repository", default="", metavar="PATH", help="The repository there, such as acme/api; needs --remote-source."
)
@option("--git-url", default="", metavar="URL", help="A repository at a host that is no git provider: of https or SSH.")
@option("--git-username", default="", metavar="NAME", help="The user name for a URL of https.")
@option(
    "--git-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with the password of that user; - is stdin.",
)
@option("--ssh-host-key", default="", metavar="KEY", help="The SSH host key for a URL of SSH: a line of known_hosts.")
@option("--poll-interval", default="", metavar="TIME", help="How often its branches and tags are listed. Default: 1m.")
@output_option(*_FORMATS)
@server_options
def create(
    path: str,
    visibility: str | None,
    concurrency: int,
    cancel_superseded: bool,
    pass_variables_to_forks: bool,
    issue_id_tokens_to_forks: bool,
    remote_source: str,
    repository: str,
    git_url: str,
    git_username: str,
    git_password_file: Path | None,
    ssh_host_key: str,
    poll_interval: str,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Create the project PATH, such as org/acme/api. Without --visibility it is as its parent.

    With --repository, its webhook and deploy key are made at the provider, with your linked account. With --git-url,
    its branches and tags are listed from time to time.
    """
    from sluiceway.cli.values import parse_span, text_of

    if bool(remote_source) != bool(repository):
        raise click.UsageError("--remote-source and --repository go together")
    git: dict[str, Any] = {
        "username": git_username,
        "password": text_of(git_password_file),
        "ssh_host_key": ssh_host_key,
        "poll_interval": parse_span("--poll-interval", poll_interval) if poll_interval else None,
    }
    git = {name: value for name, value in git.items() if value}
    if git and not git_url:
        raise click.UsageError("--git-username, --git-password-file, --ssh-host-key and --poll-interval need --git-url")
    parent, name = _split(path)

    async def conversation(client: Client) -> pb.Project:
        return await client.projects.create(
            name,
            parent,
            visibility=visibility or "",
            concurrency=concurrency,
            cancel_superseded=cancel_superseded,
            pass_variables_to_forks=pass_variables_to_forks,
            issue_id_tokens_to_forks=issue_id_tokens_to_forks,
            remote_source_id=remote_source,
            repository_path=repository,
            **({"git": {"url": git_url, **git}} if git_url else {}),
        )

    made = with_client(server, token, conversation)
    _changed(made, output, f"created project {made.path}, id {made.id}")
    if made.deploy_key and git_url and output.is_for_people:
        print(f"add this key to the repository, with read access: {made.deploy_key}")


@click.command("list")
@_list_parent_option
@output_option(*ALL_FORMATS)
@server_options
def list_(parent: str, output: Format, server: str | None, token: str | None) -> None:
    """List the projects that you may see, by name."""

    async def conversation(client: Client) -> Sequence[pb.Project]:
        return await client.projects.list(parent=parent)

    _print_list(with_client(server, token, conversation), output)


@click.command()
@click.argument("project")
@output_option(*_FORMATS)
@server_options
def get(project: str, output: Format, server: str | None, token: str | None) -> None:
    """Show PROJECT, which is a path or an id."""
    from sluiceway.cli.retention import retention_words
    from sluiceway.cli.showing import details, plain, show

    found = with_client(server, token, lambda client: client.projects.get(project))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    settings = {
        "concurrency": str(found.concurrency) if found.concurrency else "no limit",
        "superseded runs": "are cancelled" if found.cancel_superseded else "stay queued",
        "repository": found.repository_path or found.git.url,
        "deploy key": found.deploy_key,
        "kept": retention_words(found),
        "forks": _for_forks(found),
        "runs": f"sluice run list --project {found.path}",
    }
    details(f"project {found.path}", _common(found) | settings)


def _for_forks(project: pb.Project) -> str:
    variables = "the variables" if project.pass_variables_to_forks else "no variables"
    return f"get {variables}, and {'id' if project.issue_id_tokens_to_forks else 'no id'} tokens"


@click.command()
@click.argument("project")
@_name_option
@_move_option
@_visibility_option
@option("--concurrency", type=click.IntRange(0), default=None, help="How many runs may run at a time. 0: no limit.")
@option("--cancel-superseded/--keep-superseded", default=None, help="What a new run does to older queued ones.")
@option("--pass-variables-to-forks/--no-variables-to-forks", default=None, help="Whether runs of forks get variables.")
@option(
    "--issue-id-tokens-to-forks/--no-id-tokens-to-forks", default=None, help="Whether tasks of forks get id tokens."
)
@option("--git-url", default=None, metavar="URL", help="Another URL of a repository that is at no git provider.")
@option("--git-username", default=None, metavar="NAME", help="The user name for a URL of https; empty: none.")
@option(
    "--git-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with the password of that user; - is stdin. Needed for another host or user.",
)
@option("--ssh-host-key", default=None, metavar="KEY", help="The SSH host key for a URL of SSH: a line of known_hosts.")
@option("--poll-interval", default=None, metavar="TIME", help="How often its branches and tags are listed.")
@retention_options
@output_option(*_FORMATS)
@server_options
def update(
    project: str,
    name: str | None,
    parent: str | None,
    visibility: str | None,
    concurrency: int | None,
    cancel_superseded: bool | None,
    pass_variables_to_forks: bool | None,
    issue_id_tokens_to_forks: bool | None,
    git_url: str | None,
    git_username: str | None,
    git_password_file: Path | None,
    ssh_host_key: str | None,
    poll_interval: str | None,
    log_retention: str | None,
    artifact_retention: str | None,
    cache_retention: str | None,
    run_retention: str | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Change PROJECT, which is a path or an id: what the options name.

    Members may keep things for less time than the installation; only operators may keep them longer.
    """
    from sluiceway.cli.retention import parse_retention
    from sluiceway.cli.values import parse_span, text_of

    git = _given(
        url=git_url,
        username=git_username,
        password=text_of(git_password_file) or None,
        ssh_host_key=ssh_host_key,
        poll_interval=parse_span("--poll-interval", poll_interval) if poll_interval else None,
    )
    fields = _given(
        name=name,
        parent_id=parent,
        concurrency=concurrency,
        cancel_superseded=cancel_superseded,
        pass_variables_to_forks=pass_variables_to_forks,
        issue_id_tokens_to_forks=issue_id_tokens_to_forks,
    )
    retention = parse_retention(
        logs=log_retention, artifacts=artifact_retention, caches=cache_retention, runs=run_retention
    )
    _check_some(fields | git | retention, visibility)

    async def conversation(client: Client) -> pb.Project:
        if not git and not retention:
            return await client.projects.update(project, visibility=visibility or "", **fields)
        found = await client.projects.get(project)
        # Each of these messages is replaced as a whole.
        changed = {"git": git, "retention": retention}
        whole = {name: _merged(getattr(found, name), wanted) for name, wanted in changed.items() if wanted}
        return await client.projects.update(project, etag=found.etag, visibility=visibility or "", **whole, **fields)

    made = with_client(server, token, conversation)
    _changed(made, output, f"changed project {made.path}")
    if made.deploy_key and git_url and output.is_for_people:
        print(f"the repository has to accept this key, with read access: {made.deploy_key}")


@click.command()
@click.argument("project")
@yes_option
@server_options
def delete(project: str, yes: bool, server: str | None, token: str | None) -> None:
    """Delete PROJECT, which is a path or an id, with its settings. Its runs are stopped."""
    refuse_silence(yes)

    async def conversation(client: Client) -> str:
        found = await client.projects.get(project)
        ask(f"Delete project {found.path}?", yes)
        await client.projects.delete(found.id, etag=found.etag)
        return found.path

    print(f"deleted project {with_client(server, token, conversation)}")


@click.command("create")
@click.argument("path", metavar="PATH")
@_visibility_option
@output_option(*_FORMATS)
@server_options
def create_group(path: str, visibility: str | None, output: Format, server: str | None, token: str | None) -> None:
    """Create the project group PATH, such as org/acme/backend. Without --visibility it is as its parent."""
    parent, name = _split(path)

    async def conversation(client: Client) -> pb.ProjectGroup:
        return await client.project_groups.create(name, parent, visibility=visibility or "")

    made = with_client(server, token, conversation)
    _changed(made, output, f"created project group {made.path}, id {made.id}")


@click.command("list")
@_list_parent_option
@output_option(*ALL_FORMATS)
@server_options
def list_groups(parent: str, output: Format, server: str | None, token: str | None) -> None:
    """List the project groups that you may see, by name."""

    async def conversation(client: Client) -> Sequence[pb.ProjectGroup]:
        return await client.project_groups.list(parent=parent)

    _print_list(with_client(server, token, conversation), output)


@click.command("get")
@click.argument("group")
@output_option(*_FORMATS)
@server_options
def get_group(group: str, output: Format, server: str | None, token: str | None) -> None:
    """Show GROUP, which is a path or an id."""
    from sluiceway.cli.showing import details, plain, show

    found = with_client(server, token, lambda client: client.project_groups.get(group))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(f"project group {found.path}", _common(found))


@click.command("update")
@click.argument("group")
@_name_option
@_move_option
@_visibility_option
@output_option(*_FORMATS)
@server_options
def update_group(
    group: str,
    name: str | None,
    parent: str | None,
    visibility: str | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Change GROUP, which is a path or an id: what the options name."""
    fields = _given(name=name, parent_id=parent)
    _check_some(fields, visibility)

    async def conversation(client: Client) -> pb.ProjectGroup:
        return await client.project_groups.update(group, visibility=visibility or "", **fields)

    made = with_client(server, token, conversation)
    _changed(made, output, f"changed project group {made.path}")


@click.command("delete")
@click.argument("group")
@yes_option
@server_options
def delete_group(group: str, yes: bool, server: str | None, token: str | None) -> None:
    """Delete GROUP, which is a path or an id, with everything below it. The runs there are stopped."""
    refuse_silence(yes)

    async def conversation(client: Client) -> str:
        found = await client.project_groups.get(group)
        ask(f"Delete project group {found.path} and everything below it?", yes)
        await client.project_groups.delete(found.id, etag=found.etag)
        return found.path

    print(f"deleted project group {with_client(server, token, conversation)}")


def visibility_word(number: int) -> str:
    """Return the word of a visibility, such as `public`."""
    from sluiceway.api.project.v1.visibility_pb2 import Visibility

    known = number in Visibility.values()
    return Visibility.Name(number).removeprefix("VISIBILITY_").lower() if known else str(number)


def _split(path: str) -> tuple[str, str]:
    parent, slash, name = path.rpartition("/")
    if not slash or not parent:
        raise click.UsageError(f"{path!r} has no parent: a path is org/NAME/... or user/NAME/..., or ID/NAME")
    return parent, name


def _merged(stored: Message, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a message with changes to it; None takes a field away."""
    fields = {field.name: value for field, value in stored.ListFields()}
    return {name: value for name, value in {**fields, **changed}.items() if value is not None}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_some(fields: dict[str, Any], visibility: str | None) -> None:
    if not fields and visibility is None:
        raise click.UsageError("give an option that says what to change")


def _changed(node: Node, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(node)], output, single=True)


def _common(node: Node) -> dict[str, str]:
    from sluiceway.cli.units import moment

    return {"id": node.id, "visibility": visibility_word(node.visibility), "created": moment(node.create_time)}


def _print_list(nodes: Sequence[Node], output: Format) -> None:
    from sluiceway.cli.references import short_ids
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    if not output.is_for_people:
        show([plain(each) for each in nodes], output)
        return
    wide = output is Format.WIDE
    ids = {each.id: each.id for each in nodes} if wide else short_ids([each.id for each in nodes])
    rows = [
        Row((each.path, visibility_word(each.visibility), ids[each.id], moment(each.create_time))) for each in nodes
    ]
    columns = (Column("PATH", 10), Column("VISIBILITY"), Column("ID"), Column("CREATED"))
    table(columns, rows, limit=NO_LIMIT if wide else None)
