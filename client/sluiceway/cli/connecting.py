"""Find the server and the token of a command.

`--server`/`--token`, then `SLUICE_SERVER`/`SLUICE_TOKEN`, then the login file, `$XDG_CONFIG_HOME/sluice/login.json`
(`~/.config/...`), mode 600: `{"server": "HOST:PORT", "token": "..."}`. `"issued": "yes"` says that `sluice login` got
the token for itself, so that `sluice logout` revokes it.

A token is sent to another machine over TLS (`https://HOST[:PORT]`) only. `SLUICE_CA_FILE` names a file of authorities
to trust; `SLUICE_INSECURE=1` sends the token in clear.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from sluiceway_common.foundation.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from sluiceway.client import Client

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and a token for it."""

    address: str
    token: Token


class Token(str):
    """A token, which prints as `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def find_server(server: str | None, token: str | None, *, environment: Mapping[str, str] = os.environ) -> Server:
    """Determine the server and the token.

    Args:
        server: of the option or `SLUICE_SERVER`, if any.
        token: of the option or `SLUICE_TOKEN`, if any.
        environment: says where the login file is.

    Raises:
        InvalidInput: no address is known, or it is a URL, or the login file cannot be read.
        Unauthenticated: no token is known.
    """
    login = {} if server and token else read_login(environment)
    address = find_address(server, login)
    # A token of one server is never sent to another one.
    known = token or (login.get("token") if address == login.get("server") else None)
    if not known:
        raise Unauthenticated(f"no token for {address} is known; give it with --token or SLUICE_TOKEN")
    known = known.strip()
    if not (known.isascii() and known.isprintable()):
        raise InvalidInput("the token holds characters that no token has; copy it again")
    return Server(address, Token(known))


def find_address(server: str | None, login: Mapping[str, str]) -> str:
    """Determine the address of the server, from the option or the login file.

    Raises:
        InvalidInput: none is known, or it is a URL.
    """
    address = server or login.get("server")
    if not address:
        raise InvalidInput("no server is known; name it with --server HOST:PORT or SLUICE_SERVER")
    if address.startswith("http://"):
        raise InvalidInput(f'"{address}" is a URL; the server is named by its gRPC address, HOST:PORT')
    return address


def read_login(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the login file has; nothing if there is none.

    Raises:
        InvalidInput: it cannot be read.
    """
    path = _login_file(environment)
    try:
        login = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the login file {path} cannot be read: {error}") from error
    if not isinstance(login, dict) or not all(isinstance(value, str) for value in login.values()):
        raise InvalidInput(
            f"the login file {path} is not a JSON object with server and token; run `sluice login` again"
        )
    return login


def write_login(where: Server, *, issued: bool = False, environment: Mapping[str, str] = os.environ) -> Path:
    """Store the server's address and the token, and return the path of the file, which only its owner can read.

    `issued`: the token was made for this login.

    Raises:
        FailedPrecondition: the file cannot be written.
    """
    import tempfile

    path = _login_file(environment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new file with a mode of its own, put in place at once: never half written, never readable for others.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".login-")
        try:
            with os.fdopen(handle, "w") as file:
                more = {"issued": "yes"} if issued else {}
                json.dump({"server": where.address, "token": where.token, **more}, file)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FailedPrecondition(f"the login file {path} cannot be written: {error.strerror}") from error
    return path


def delete_login(*, environment: Mapping[str, str] = os.environ) -> None:
    """Delete the login file. May be repeated.

    Raises:
        FailedPrecondition: it cannot be deleted.
    """
    path = _login_file(environment)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FailedPrecondition(f"the login file {path} cannot be deleted: {error.strerror}") from error


def _login_file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sluice" / "login.json"


def with_client(server: str | None, token: str | None, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run the calls of a command.

    Raises:
        SluicewayError: its error; if the server cannot be reached, with its address.
        click.exceptions.Exit: 130, it was interrupted.
    """
    where = find_server(server, token)
    return _conversing(where.address, where.token, use)


def without_token(address: str, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run calls that need no token, and whose requests or responses have secrets all the same.

    Raises:
        SluicewayError: as `with_client`.
        click.exceptions.Exit: 130, it was interrupted.
    """
    return _conversing(address, None, use)


def _conversing(address: str, token: str | None, use: Callable[[Client], Awaitable[T]]) -> T:
    import asyncio

    async def conversation() -> T:
        from sluiceway.client import connect
        from sluiceway_common.foundation.rpc.address import secure_target

        ca_file, insecure = os.environ.get("SLUICE_CA_FILE") or None, os.environ.get("SLUICE_INSECURE") == "1"
        secure_target(
            address, tls=False, ca_file=ca_file, insecure=insecure, sends_token=True, otherwise="SLUICE_INSECURE=1"
        )
        async with connect(address, token=token, ca_file=ca_file, insecure=insecure) as client:
            return await use(client)

    try:
        return asyncio.run(conversation())
    except InvalidInput as error:
        if error.reason == "TOKEN_IN_CLEAR":
            error.message = (
                f"the token would be sent in clear to {address}; use https://HOST[:PORT], or set "
                "SLUICE_INSECURE=1 if you trust the network"
            )
        raise
    except (Unavailable, DeadlineExceeded) as error:
        error.message = f"{address}: {error.message}"
        raise
    except KeyboardInterrupt:
        print("sluice: interrupted", file=sys.stderr)
        raise click.exceptions.Exit(130) from None
