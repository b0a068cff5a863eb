"""The options that say how etcd lets a command in.

Their values are kept in the command's context, so that commands with many options need no further parameters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluiceway.cli.commands import option

if TYPE_CHECKING:
    from sluiceway_server.kv.access import EtcdAccess

C = TypeVar("C", bound=Callable[..., Any])

PASSWORD_VARIABLE = "SLUICE_ETCD_PASSWORD"  # noqa: S105 - its name, not its value
_KEY = "sluiceway_server.cli.etcd_options"
_OPTIONS = {
    "--etcd-user": ("NAME", f"The etcd user. Its password is in a file, or in {PASSWORD_VARIABLE}."),
    "--etcd-password-file": ("FILE", "A file with the password of that user."),
    "--etcd-ca-file": ("FILE", "The CA certificates of etcd, in PEM. Default: those of this machine."),
    "--etcd-cert-file": ("FILE", "A client certificate for etcd, in PEM."),
    "--etcd-key-file": ("FILE", "The key of that certificate, in PEM."),
}


def etcd_access_options(command: C) -> C:
    """Add the options that `etcd_access` reads."""
    for name, (metavar, text) in reversed(_OPTIONS.items()):
        kind = None if metavar == "NAME" else click.Path(path_type=Path)
        command = option(name, type=kind, metavar=metavar, help=text, expose_value=False, callback=_keep)(command)
    return command


def etcd_access() -> EtcdAccess:
    """Read what the options of the command that runs name.

    Raises:
        InvalidInput: they do not go together, or a file cannot be used.
    """
    from sluiceway_server.kv.access import read_access

    given = {name.removeprefix("--etcd-").replace("-", "_"): value for name, value in _given().items()}
    return read_access(password=os.environ.get(PASSWORD_VARIABLE, ""), **given)


def etcd_access_arguments() -> tuple[str, ...]:
    """Write the options that were given, for the command line of another process of ours."""
    return tuple(part for name, value in _given().items() for part in (name, str(value)))


def _given() -> dict[str, Any]:
    """Return the options that were given, by name, files with their absolute paths."""
    kept: dict[str, Any] = click.get_current_context().meta.get(_KEY, {})
    return {name: kept[name] for name in _OPTIONS if kept.get(name) is not None}


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = parameter.opts[0]
    context.meta.setdefault(_KEY, {})[name] = value.absolute() if isinstance(value, Path) else value
