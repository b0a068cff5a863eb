"""References to runs and tasks: parsing and printing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from sluiceway_common.foundation.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.client import Client

    C = TypeVar("C", bound=Callable[..., Any])

RUN_HELP = "RUN is a number (4, or org/acme/site#4), an id or the beginning of one, or @last for the newest run."
_SHORT = 13  # the time of a UUIDv7, to the millisecond
_MOST_NAMED = 10
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def run_argument(command: C) -> C:
    """Add the argument that names a run."""
    return click.argument("run", metavar="RUN")(command)


def short_id(id_: str) -> str:
    """Return the beginning of an id by which it is usually known."""
    return id_[:_SHORT]


def short_ids(ids: Collection[str]) -> dict[str, str]:
    """Return for each id a beginning that no other of these ids has, all of one length."""
    length = _SHORT
    while len({id_[:length] for id_ in ids}) < len(set(ids)):
        length += 1
    return {id_: id_[:length] for id_ in ids}


async def run_id_of(client: Client, reference: str) -> str:
    """Return the id of the run that a reference means.

    Raises:
        InvalidInput: it has none of the forms of a reference.
        NotFound: there is no such run.
        FailedPrecondition: several runs match.
    """
    # A whole id needs no lookup; the next call fails if there is no such run.
    return reference if _ID.fullmatch(reference) else (await resolve(client, reference)).id


async def resolve(client: Client, reference: str) -> run_pb2.Run:
    """Return the run that a reference means; raises as `run_id_of` does."""
    try:
        return await client.runs.resolve(reference)
    except InvalidInput as error:
        # The name of the field in the request says nothing to a person.
        raise InvalidInput("; ".join(violation.message for violation in error.violations)) from error


def find_task(tasks: Sequence[run_pb2.Task], wanted: str) -> run_pb2.Task:
    """Return the task with this name or id.

    Raises:
        NotFound: no run matches.
    """
    for task in tasks:
        if wanted in {task.name, task.id}:
            return task
    names = [task.name for task in tasks]
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    known = f"{', '.join(names[:_MOST_NAMED])}{more}" if names else "no tasks"
    raise NotFound(f'there is no task "{wanted}"; the run has {known}')


def task_reference(task: run_pb2.Task) -> str:
    """Return what is typed to name a task: its name, quoted for a shell, or its id if the name cannot be shown."""
    return shlex.quote(task.name) if task.name.isprintable() else task.id


def title_of(run: run_pb2.Run) -> str:
    """Return the name of a run for messages."""
    return f"run {run.number} ({run.name})"
