"""Which error of a task group is raised."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Conflict, NotFound
from sluiceway_common.foundation.tasks import one_error

ROOT = Path(__file__).parents[3]


async def fail(error: Exception) -> None:
    raise error


async def together(*errors: Exception) -> None:
    """Run tasks that fail with these errors, in a group in a group."""
    with one_error():
        async with asyncio.TaskGroup(), asyncio.TaskGroup() as tasks:
            for error in errors:
                tasks.create_task(fail(error))


async def test_first_sluiceway_error_of_a_group_is_raised_alone() -> None:
    with pytest.raises(NotFound, match="first") as raised:
        await together(NotFound("first"), Conflict("second"))
    assert isinstance(raised.value.__cause__, ExceptionGroup)


async def test_group_with_an_unexpected_exception_stays_whole() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await together(NotFound("ours"), KeyError("a fault"))
    (inner,) = raised.value.exceptions
    assert isinstance(inner, ExceptionGroup)
    assert [type(error) for error in inner.exceptions] == [NotFound, KeyError]


async def test_exception_that_is_not_a_group_is_unchanged() -> None:
    with pytest.raises(asyncio.CancelledError), one_error():
        raise asyncio.CancelledError


def test_no_except_star_clause_raises() -> None:
    """With Python 3.11.2 such an error comes out in a group, and newer ones do not show it."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("common", "server", "executor", "client")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for star in ast.walk(ast.parse(path.read_text()))
        if isinstance(star, ast.TryStar)
        for handler in star.handlers
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
    ]
    assert found == []
