"""Where a command of `sluice db` works: through a server, or on the two stores directly."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from sluiceway.cli.commands import option
from sluiceway.cli.connecting import with_client
from sluiceway.cli.terminal import clean
from sluiceway_server.cli.etcd_options import etcd_access, etcd_access_options

if TYPE_CHECKING:
    from sluiceway.client import Client
    from sluiceway_server.app.store_access import StoreSettings

C = TypeVar("C", bound=Callable[..., Any])
T = TypeVar("T")


def stores_options(command: C) -> C:
    """Add `--etcd` with what lets us in there, `--object-storage` and `--prefix`."""
    etcd = option(
        "--etcd", default="", metavar="URL,...", help="Without a server: the endpoints of etcd, separated by commas."
    )
    storage = option(
        "--object-storage",
        default="",
        help="Without a server: posix:DIR, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION.",
    )
    prefix = option(
        "--prefix", default="sluiceway", help="Without a server: the prefix of all keys in etcd and of all objects."
    )
    return etcd(storage(prefix(etcd_access_options(command))))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works: on these stores directly, or (None) through a server."""

    stores: StoreSettings | None
    server: str | None
    token: str | None

    @classmethod
    def of(cls, etcd: str, object_storage: str, prefix: str, server: str | None, token: str | None) -> Place:
        """Make one out of a command's options. Raises `UsageError` when they do not go together."""
        stores = _stores(etcd, object_storage, prefix)
        if stores is not None and _is_given("server", "token"):
            # One of the two would be ignored.
            raise click.UsageError("--server and --token are for a server, --object-storage is for none: give one")
        return cls(stores, server, token)

    def ask(
        self,
        through: Callable[[Client], Awaitable[T]],
        directly: Callable[[StoreSettings], Coroutine[Any, Any, T]],
    ) -> T:
        """Do what the command does, in one of the two ways."""
        if self.stores is None:
            return with_client(self.server, self.token, through)
        return asyncio.run(directly(self.stores))


def _is_given(*names: str) -> bool:
    """Return whether any of the options was given on the command line, and not by the environment."""
    context = click.get_current_context()
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)


def both_stores(etcd: str, object_storage: str, prefix: str, *, why: str) -> StoreSettings:
    """Return the stores that a command needs, which has no other way. Raises `UsageError` when one is not named."""
    stores = _stores(etcd, object_storage, prefix)
    if stores is None or not stores.etcd:
        raise click.UsageError(f"{why}; name them with --etcd and --object-storage")
    return stores


def _stores(etcd: str, object_storage: str, prefix: str) -> StoreSettings | None:
    if not object_storage:
        if etcd:
            raise click.UsageError("--etcd goes with --object-storage: both stores, or a server")
        return None
    from sluiceway_common.foundation.logging import set_up_logging
    from sluiceway_server.app.store_access import StoreSettings

    # The command itself prints what matters.
    set_up_logging(level="error")
    endpoints = tuple(endpoint.strip() for endpoint in etcd.split(",") if endpoint.strip())
    return StoreSettings(endpoints, object_storage, prefix, etcd_access())


def need_etcd(stores: StoreSettings) -> None:
    """Raise `UsageError` unless etcd was named."""
    if not stores.etcd:
        raise click.UsageError("this needs both stores; name etcd too, with --etcd")


def say(*lines: str) -> None:
    """Print lines on stderr; empty ones are left out."""
    for line in lines:
        if line:
            print(clean(line), file=sys.stderr)
