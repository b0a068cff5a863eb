"""The commands in the pages for users exist, with their options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sluiceway.cli.main import app

ROOT = Path(__file__).parents[3]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/operate.md",
    "docs/projects.md",
    "docs/datamanager.md",
    "docs/reference/errors.md",
    "examples/pipeline/README.md",
    "examples/small/README.md",
)
COMMAND = re.compile(r"(?:^ {4}(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?|`)(sluice (?:[^`\n]|\\\n)*[^`\n\\])`?", re.MULTILINE)


def commands_of(page: str) -> Iterator[str]:
    """Yield the command lines in the code of a page."""
    for found in COMMAND.finditer((ROOT / page).read_text()):
        yield re.sub(r"\s*\\\n\s*", " ", found[1])


def fault_of(line: str) -> str:
    """Return what of a command line does not exist; nothing if all does."""
    words = shlex.split(line.partition(" # ")[0].replace("|", " | ").replace(">", " > "))[1:]
    command: click.Command = app
    context = click.Context(app)
    while isinstance(command, click.Group) and words and not words[0].startswith(("-", "...")):
        try:
            _, found, words = command.resolve_command(context, words)
        except click.UsageError as error:
            return error.message
        assert found is not None
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word in {"|", ">", "&&", ";"}:
            break
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"{command.name} has no {word}"
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_page_exist(page: str) -> None:
    assert [f"{line}: {fault}" for line in commands_of(page) if (fault := fault_of(line))] == []


def test_commands_of_the_readme_are_found() -> None:
    assert any(line.startswith("sluice run create --repo") for line in commands_of("README.md"))


@pytest.mark.parametrize("line", ["sluice run destroy 1", "sluice run list --newest", "sluice server --etdc x"])
def test_unknown_command_in_a_page_is_a_fault(line: str) -> None:
    assert fault_of(line)
