"""What the variables of a project stand for in a run. Pure.

A *level* is a project or one of its ancestors, with the variables and secrets that belong to it. The nearest level that
defines a variable decides, as a whole: the values of one farther away are not looked at, even if no value of the
nearest matches. Its first value whose `when` matches names a secret and a key. That secret is looked for at the level
of the variable and above it, never below: who may define secrets in a project must not change what a variable of its
organization means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sluiceway_common.runconfig.when import Context, When, matches
from sluiceway_server.projects.names import key_of

__all__ = ["Level", "SecretState", "SecretValue", "Unset", "VariableChoice", "resolve_variables"]


@dataclass(frozen=True, slots=True)
class SecretState:
    """A secret without its values.

    Attributes:
        id: of its record.
        version: the present one.
        keys: of its values.
    """

    id: str
    version: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class VariableChoice:
    """A possible value of a variable: a key of a secret, and when it is used; None: always."""

    secret_name: str
    key: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A project, or an ancestor of it.

    Attributes:
        path: of it, for people.
        variables: its variables by `names.key_of` of their names, with their values in order.
        secrets: its secrets, by `names.key_of` of their names.
    """

    path: str
    variables: Mapping[str, Sequence[VariableChoice]] = field(default_factory=dict)
    secrets: Mapping[str, SecretState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretValue:
    """What a variable stands for: a value of one version of a secret."""

    secret_id: str
    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Unset:
    """A variable that has no value in a run, and why: a clause for people, such as "is not set"."""

    why: str


def resolve_variables(
    levels: Sequence[Level], names: Iterable[str], context: Context
) -> dict[str, SecretValue | Unset]:
    """Return what variables stand for in a run.

    Args:
        levels: of the run's project, nearest first.
        names: of the variables, as a configuration has them; case does not count.
        context: what the run is made for; the conditions of values look at it.
    """
    return {name: _resolve(levels, name, context) for name in names}


def _resolve(levels: Sequence[Level], name: str, context: Context) -> SecretValue | Unset:
    index = next((at for at, each in enumerate(levels) if key_of(name) in each.variables), None)
    if index is None:
        return Unset("is not set")
    level = levels[index]
    choices = level.variables[key_of(name)]
    chosen = next((choice for choice in choices if matches(choice.when, context)), None)
    if chosen is None:
        return Unset(f"has no value for this ref at {level.path}")
    for above in levels[index:]:
        secret = above.secrets.get(key_of(chosen.secret_name))
        if secret is None:
            continue
        if chosen.key not in secret.keys:
            return Unset(f'names the key "{chosen.key}", which the secret "{chosen.secret_name}" does not have')
        return SecretValue(secret.id, chosen.key, secret.version)
    return Unset(f'names the secret "{chosen.secret_name}", which is neither at {level.path} nor above it')
