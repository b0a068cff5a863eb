"""The templates in the keys of caches: `{{ checksum "go.sum" }}`, `{{ .Branch }}`, `{{ arch }}`. Pure but for files.

The functions of Agola are here too (`md5sum`, `sha256sum`, `env`, `unixtime`, `year`, `month`, `day`), so that its
configurations keep their keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.texts import line_fault

MAX_KEY = 512
_TEMPLATE = re.compile(r"\{\{\s*(\.?[A-Za-z_]\w*)(?:\s+(\"[^\"]*\"|'[^']*'|[^\s{}]+))?\s*\}\}")
_FUNCTIONS = (
    '.Branch, .Tag, .Commit, .Task, arch, os, checksum "FILE", md5sum "FILE", env "NAME", unixtime, year, month, day'
)


class KeyInvalid(FailedPrecondition):
    """The key of a cache cannot be made."""

    reason = "CACHE_KEY_INVALID"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What templates may use.

    Attributes:
        branch: of the run; empty in a run of a tag or a commit.
        tag: of the run; empty in any other.
        commit: its id.
        task: the name of the task.
        arch: of the pod.
        environment: of the task, without its secrets.
        now: the time at which the step runs.
        read: reads a file of the pod, by a path from the working directory.
    """

    branch: str
    tag: str
    commit: str
    task: str
    arch: str
    environment: Mapping[str, str]
    now: datetime
    read: Callable[[str], Awaitable[bytes]]


async def expand(key: str, facts: KeyFacts) -> str:
    """Return a key with the values of its templates.

    Raises:
        KeyInvalid: a template is unknown or lacks its argument, or the key is empty, too long or not one line.
        FailedPrecondition: a file cannot be read (`FILE_UNREADABLE`).
    """
    made, end = "", 0
    for template in _TEMPLATE.finditer(key):
        made += key[end : template.start()] + await _value(template[1], (template[2] or "").strip("\"'"), facts)
        end = template.end()
    made += key[end:]
    if "{{" in made or "}}" in made:
        raise KeyInvalid(f'the key "{key}" has a template that cannot be read; there are {_FUNCTIONS}')
    fault = "must not be empty" if not made.strip() else line_fault(made, most=MAX_KEY)
    if fault is not None:
        raise KeyInvalid(f'the key "{key}" {fault}')
    return made


async def _value(name: str, argument: str, facts: KeyFacts) -> str:
    simple = {
        ".Branch": facts.branch,
        ".Tag": facts.tag,
        ".Commit": facts.commit,
        ".Task": facts.task,
        "arch": facts.arch,
        "os": "linux",
        "unixtime": str(int(facts.now.timestamp())),
        "year": f"{facts.now:%Y}",
        "month": f"{facts.now:%m}",
        "day": f"{facts.now:%d}",
    }
    if name in simple:
        return simple[name]
    if name not in {"checksum", "sha256sum", "md5sum", "env"}:
        raise KeyInvalid(f'"{name}" is not known in the key of a cache; there are {_FUNCTIONS}')
    if not argument:
        raise KeyInvalid(f'"{name}" needs an argument in quotes: {{{{ {name} "..." }}}}')
    if name == "env":
        return facts.environment.get(argument, "")
    data = await facts.read(argument)
    # A key is no proof of anything; this is the function that Agola has.
    return (
        hashlib.md5(data, usedforsecurity=False).hexdigest() if name == "md5sum" else hashlib.sha256(data).hexdigest()
    )
