"""How commands find the server and the token.

`--server`/`--token`, then `SLUICE_SERVER`/`SLUICE_TOKEN`, then the login file, `$XDG_CONFIG_HOME/sluice/login.json`
(`~/.config/...`), mode 600: `{"server": "HOST:PORT", "token": "..."}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sluiceway.foundation.errors import InvalidInput, Unauthenticated

if TYPE_CHECKING:
    from sluiceway.client import Client

__all__ = ["Server", "ServerOption", "Token", "TokenOption", "find_server", "with_client"]

T = TypeVar("T")

ServerOption = Annotated[
    str | None, typer.Option("--server", envvar="SLUICE_SERVER", help="The server's gRPC address, HOST:PORT.")
]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="SLUICE_TOKEN", help="A token of yours.", show_envvar=True)
]


@dataclass(frozen=True, slots=True)
class Server:
    """Where to call, and as whom."""

    address: str
    token: Token


class Token(str):
    """A token; prints as `***` where it is shown by accident."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def find_server(server: str | None, token: str | None) -> Server:
    """Decide where to call, and as whom.

    Raises:
        InvalidInput: no address is known, or the login file cannot be read.
        Unauthenticated: no token is known.
    """
    login: dict[str, str] = {}
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sluice" / "login.json"
    if (server is None or token is None) and path.exists():
        try:
            login = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"the login file {path} cannot be read: {error}") from error
    address = server or login.get("server")
    if not address:
        raise InvalidInput("no server is known; name it with --server HOST:PORT or SLUICE_SERVER")
    # A token of one server is never sent to another one.
    known = token or (login.get("token") if address == login.get("server") else None)
    if not known:
        raise Unauthenticated(f"no token for {address} is known; give it with --token or SLUICE_TOKEN")
    return Server(address, Token(known))


def with_client(server: str | None, token: str | None, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run a command's conversation with the server."""
    where = find_server(server, token)

    async def conversation() -> T:
        from sluiceway.client import connect

        async with connect(where.address, token=where.token) as client:
            return await use(client)

    try:
        return asyncio.run(conversation())
    except KeyboardInterrupt:
        print("sluice: interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
