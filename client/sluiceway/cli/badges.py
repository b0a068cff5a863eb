"""`sluice project badge`: the state of a branch as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway_common.foundation.errors import FailedPrecondition

if TYPE_CHECKING:
    from sluiceway.client import Client


@click.command()
@click.argument("project", metavar="PROJECT")
@option("--branch", default="main", metavar="BRANCH", help="The branch. Default: main.")
@option("--name", default="", metavar="RUN", help="The runs of this name only. Default: all.")
@option("--new-token", is_flag=True, help="Make a token for the badges of a private project; the one before is void.")
@option("--delete-token", is_flag=True, help="Delete the token, and print nothing.")
@server_options
def badge(
    project: str,
    branch: str,
    name: str,
    new_token: bool,
    delete_token: bool,
    server: str | None,
    token: str | None,
) -> None:
    """Print the Markdown of a badge with the state of a branch.

    Everybody may see the badges of a public project. Those of a private one need a token in their URL.
    """
    if new_token and delete_token:
        raise click.UsageError("--new-token excludes --delete-token")

    async def conversation(client: Client) -> str:
        if delete_token:
            await client.projects.delete_badge_token(project)
            return f"deleted the badge token of project {project}"
        public_url = await client.public_url()
        if not public_url:
            raise FailedPrecondition(
                "the server does not know the URL of its gateway; start it with --public-url",
                reason="PUBLIC_URL_MISSING",
            )
        found = await client.projects.get(project)
        text = await client.projects.create_badge_token(project) if new_token else ""
        return _markdown(public_url, found.path, branch, name, text)

    print(with_client(server, token, conversation))


def _markdown(public_url: str, path: str, branch: str, name: str, token: str) -> str:
    from urllib.parse import quote, urlencode

    query = urlencode({key: value for key, value in (("run", name), ("token", token)) if value})
    picture = f"{public_url}/badges/{path}/{quote(branch)}.svg{f'?{query}' if query else ''}"
    label = "".join(f"\\{character}" if character in "[]\\" else character for character in name or "build")
    return f"[![{label}]({picture})]({public_url}/projects/{path})"
