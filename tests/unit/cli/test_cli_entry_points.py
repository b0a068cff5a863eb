"""Commands of `sluice` that other packages bring, as entry points."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click
import pytest

from sluiceway.cli.commands import EXTRA_KEY, LazyGroup
from sluiceway.cli.entry import main
from sluiceway.cli.main import app, executor

EXTRAS = {
    "db": "server",
    "executor run": "executor",
    "gateway": "server",
    "server": "server",
    "standalone": "standalone",
}


def test_each_command_names_the_extra_that_it_needs() -> None:
    assert {each.name: " ".join(each.extras) for each in entry_points(group="sluiceway.commands")} == EXTRAS


@pytest.mark.parametrize(
    ("group", "name"), [(app, "db"), (app, "server"), (app, "gateway"), (app, "standalone"), (executor, "run")]
)
def test_command_of_another_package_is_found(group: LazyGroup, name: str) -> None:
    context = click.Context(group)
    _, command, _ = group.resolve_command(context, [name])
    assert command is not None
    assert command.callback is not None or isinstance(command, click.Group)
    assert context.meta[EXTRA_KEY] in EXTRAS.values()
    assert name in group.list_commands(context)


def test_command_of_another_group_is_not_found() -> None:
    with pytest.raises(click.NoSuchCommand):
        app.resolve_command(click.Context(app), ["executor run"])


@pytest.mark.parametrize(("typed", "meant"), [("standalon", "standalone"), ("servr", "server"), ("rn", "run")])
def test_mistyped_command_gets_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(click.NoSuchCommand, match="No such command") as raised:
        app.resolve_command(click.Context(app), [typed])
    assert meant in (raised.value.possibilities or [])


def test_missing_package_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def server() -> None:
        raise ModuleNotFoundError("No module named 'etcd3aio'", name="etcd3aio")

    monkeypatch.setattr(EntryPoint, "load", lambda _: server)
    monkeypatch.setattr(sys, "argv", ["sluice", "server"])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    expected = "this command needs the package etcd3aio, which is not installed; install it with pip install"
    assert capsys.readouterr().err == f"sluice: {expected} 'sluiceway[server]'\n"
