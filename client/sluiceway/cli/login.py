"""`sluice login` and `logout`: get a token, remember it with the address of the server, and revoke it.

With `--browser` a person confirms the login in a browser on any machine (RFC 8628), so that it works over SSH too.
"""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import DurationType, option, server_options
from sluiceway.cli.connecting import (
    Server,
    Token,
    delete_login,
    find_address,
    find_server,
    read_login,
    with_client,
    without_token,
    write_login,
)
from sluiceway_common.foundation.errors import FailedPrecondition, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from sluiceway.client import Client

_DEFAULT_LIFETIME = timedelta(days=14)


@click.command()
@option("--browser", is_flag=True, help="Confirm the login in a browser, on this machine or any other.")
@option("--user", metavar="NAME", help="Log in as this user, with the password, which is asked for.")
@option("--password-stdin", is_flag=True, help="Read the password of --user from standard input.")
@option(
    "--expires-in",
    type=DurationType(),
    default=_DEFAULT_LIFETIME,
    metavar="DURATION",
    help="How long a login with --browser or --user is valid, at most 30d. Default: 14d.",
)
@server_options
def login(
    browser: bool, user: str | None, password_stdin: bool, expires_in: timedelta, server: str | None, token: str | None
) -> None:
    """Log in to a server, for all later commands: with a browser, with a password, or with a token that you have.

    Without --browser and --user it takes the token of --token or SLUICE_TOKEN; else it is prompted for, or read from
    standard input if that is not a terminal. Server and token are stored in a file that only you can read.
    """
    if browser and user:
        raise click.UsageError("--browser and --user are two ways to log in; choose one")
    if password_stdin and not user:
        raise click.UsageError("--password-stdin needs --user NAME")
    expire = datetime.now(UTC) + expires_in
    if browser:
        address = find_address(server, read_login())
        name, text = without_token(address, lambda client: _in_browser(client, expire))
        _store(address, text, f"as {name}")
    elif user:
        address = find_address(server, read_login())
        password = _password(user, from_stdin=password_stdin)

        async def log_in(client: Client) -> str:
            return (await client.users.log_in(user, password, expire=expire))[1]

        _store(address, without_token(address, log_in), f"as {user}")
    else:
        _with_token(server, token)


@click.command()
@option("--forget-only", is_flag=True, help="Leave the token valid, such as when the server is away.")
def logout(forget_only: bool) -> None:
    """Revoke the token that `sluice login` got with a browser or a password, and forget server and token.

    A token that you gave to `sluice login` stays valid, since it may be used elsewhere too.
    """
    known = read_login()
    address, text = known.get("server"), known.get("token")
    if not address or not text:
        delete_login()
        print("not logged in")
        return
    if "issued" in known and not forget_only:
        try:
            without_token(address, lambda client: client.logins.log_out(text))
        except Unavailable as error:
            error.message += "; the token is still valid. Try again, or forget it with: sluice logout --forget-only"
            raise
        said = "the token is revoked"
    else:
        said = "the token stays valid; `sluice token revoke` or `sluice user revoke-token` revokes it"
    delete_login()
    print(f"logged out of {address}; {said}")


def _with_token(server: str | None, token: str | None) -> None:
    if not token:
        # Not as an argument: that is in the history of the shell, and in the list of processes.
        token = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
        if not token.strip():
            raise Unauthenticated(
                "standard input has no token; give it there, in SLUICE_TOKEN or with --token, or log in with"
                " --user NAME --password-stdin, or with --browser"
            )
    where = find_server(server, token)

    async def try_it(client: Client) -> None:
        await client.runs.list(limit=1)

    with_client(where.address, where.token, try_it)
    print(f"logged in to {where.address}; the token is in {write_login(where)}")


def _store(address: str, text: str, who: str) -> None:
    path = write_login(Server(address, Token(text)), issued=True)
    print(f"logged in to {address} {who}; the token is in {path}")


def _password(user: str, *, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise Unauthenticated("standard input has no password")
        return password
    if not sys.stdin.isatty():
        raise Unauthenticated(
            "standard input is not a terminal, so the password cannot be asked for; give it there with --password-stdin"
        )
    answer: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return answer


async def _in_browser(client: Client, expire: datetime) -> tuple[str, str]:
    """Wait until a person has confirmed the login; return the user's name, and a token.

    Raises:
        SluicewayError: it was denied, or nobody confirmed it in time.
    """
    import asyncio

    begun = await client.logins.begin_device(f"sluice on {platform.node() or 'an unknown machine'}"[:100])
    print(
        f"Open {begun.verification_uri_complete}\n"
        f"in a browser on any machine, log in, and confirm the code {begun.user_code}.",
        file=sys.stderr,
        flush=True,
    )
    end = begun.expire_time.ToDatetime(tzinfo=UTC)
    while datetime.now(UTC) < end:
        await asyncio.sleep(begun.interval_seconds)
        try:
            answer = await client.logins.redeem_device(begun.device_code, expire=expire)
        except Unavailable:
            continue  # the person is not asked once more because a server was restarted
        if answer.token:
            return answer.user.name, answer.token
    raise FailedPrecondition("nobody confirmed the login in time; begin once more with: sluice login --browser")
