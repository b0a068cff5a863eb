"""Tasks of a matrix: combinations of values, of which each makes a task with the expression `m`."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sluiceway.importing.document import KEYWORDS, Expression, Task
from sluiceway.importing.jsonnet_text import value_text
from sluiceway_common.foundation.errors import InvalidInput

MAX_COMBINATIONS: Final = 1000


def combinations(axes: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return each combination of one value of each axis.

    Raises:
        InvalidInput: there are more than any system allows.
    """
    if not axes:
        return []
    if math.prod(map(len, axes.values())) > MAX_COMBINATIONS:
        raise InvalidInput(f"a matrix has more than {MAX_COMBINATIONS} combinations")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def with_all_keys(found: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return combinations that all have the same keys; what one does not have is empty."""
    every = dict.fromkeys(key for each in found for key in each)
    return [{key: each.get(key, "") for key in every} for each in found]


def member(key: str) -> str:
    """Return the expression for a value of the combination that a task of a matrix is made for."""
    return f"m.{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) and key not in KEYWORDS else f"m[{json.dumps(key)}]"


def matrix_name(name: str, combinations: Sequence[Mapping[str, str]]) -> Expression:
    """Return the name of the tasks of a matrix: that of the job, and the values."""
    keys = list(combinations[0]) if combinations else []
    members = list(map(member, keys))
    if all(each[key] for each in combinations for key in keys):
        return Expression(
            " + ' ' + ".join([f"{value_text(name + ' ')} + {members[0]}", *members[1:]]) if keys else value_text(name)
        )
    return Expression(f"std.join(' ', [part for part in [{', '.join([value_text(name), *members])}] if part != ''])")


def depends_on(parents: Iterable[Task], conditions: Sequence[str] = ()) -> list[Any] | Expression:
    """Return the `depends` of a task; an expression if a parent has a matrix."""
    single: list[Any] = []
    several: list[str] = []
    for parent in parents:
        if parent.matrix is None:
            name = parent.name
            single.append({"task": name, "conditions": list(conditions)} if conditions else name)
        elif conditions:
            said = ", ".join(f"'{each}'" for each in conditions)
            several.append(f"[{{ task: t.name, conditions: [{said}] }} for t in {parent.local}]")
        else:
            several.append(f"[t.name for t in {parent.local}]")
    if not several:
        return single
    return Expression(" + ".join([*([value_text(single)] if single else []), *several]))
