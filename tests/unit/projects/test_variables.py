"""What a variable stands for: the nearest definition, its first value that matches, and a secret at or above it."""

from __future__ import annotations

import pytest

from sluiceway_common.runconfig.when import Context, Rules, When
from sluiceway_server.projects.variables import (
    Level,
    SecretState,
    SecretValue,
    Unset,
    VariableChoice,
    resolve_variables,
)

MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main")
FEATURE = Context(ref_type="branch", ref="refs/heads/feat/x", branch="feat/x")
TAG = Context(ref_type="tag", ref="refs/tags/v1", tag="v1")
PULL_REQUEST = Context(ref_type="pull_request", ref="refs/pull/3/head", pull_request_id="3")
ON_MAIN = When(branch=Rules(include=("main",)))
ON_TAGS = When(tag=Rules(include=("/^v/",)))
NOT_MAIN = When(branch=Rules(include=("/.*/",), exclude=("main",)))


def choice(secret: str, when: When | None = None, *, key: str = "key") -> VariableChoice:
    return VariableChoice(secret, key, when)


def secret(id_: str, *keys: str, version: int = 1) -> SecretState:
    return SecretState(id_, version, frozenset(keys or ("key",)))


def level(path: str, *, secrets: dict[str, SecretState] | None = None, **variables: list[VariableChoice]) -> Level:
    return Level(path, variables, secrets or {})


API = level("org/acme/backend/api")
BACKEND = level("org/acme/backend")
ACME = level("org/acme")
ROOT_SECRET = level("org/acme", secrets={"npm": secret("s-acme")})

CASES = [
    pytest.param(
        [level("api", secrets={"npm": secret("s", version=4)}, token=[choice("npm")])],
        MAIN,
        SecretValue("s", "key", 4),
        id="variable and secret of the project, present version",
    ),
    pytest.param(
        [API, level("backend", token=[choice("npm")]), ROOT_SECRET],
        MAIN,
        SecretValue("s-acme", "key", 1),
        id="variable of a group, secret of the organization",
    ),
    pytest.param(
        [
            level("api", token=[choice("npm")]),
            level("backend", secrets={"npm": secret("s-backend")}),
            ROOT_SECRET,
        ],
        MAIN,
        SecretValue("s-backend", "key", 1),
        id="nearest secret at or above the variable",
    ),
    pytest.param(
        [level("api", secrets={"npm": secret("s-api")}), level("backend", token=[choice("npm")]), ROOT_SECRET],
        MAIN,
        SecretValue("s-acme", "key", 1),
        id="secret below the variable is not taken",
    ),
    pytest.param(
        [level("api", secrets={"npm": secret("s-api")}), level("backend", token=[choice("npm")]), ACME],
        MAIN,
        Unset('names the secret "npm", which is neither at backend nor above it'),
        id="secret only below the variable",
    ),
    pytest.param(
        [level("api", token=[choice("npm", ON_TAGS)]), level("acme", token=[choice("npm")]), ROOT_SECRET],
        MAIN,
        Unset("has no value for this ref at api"),
        id="nearest definition wins as a whole",
    ),
    pytest.param(
        [level("api", token=[]), level("acme", token=[choice("npm")]), ROOT_SECRET],
        MAIN,
        Unset("has no value for this ref at api"),
        id="nearest definition without values hides the others",
    ),
    pytest.param(
        [
            level(
                "api",
                token=[choice("npm", ON_TAGS), choice("npm", ON_MAIN, key="b"), choice("npm", key="c")],
                secrets={"npm": secret("s", "key", "b", "c")},
            )
        ],
        MAIN,
        SecretValue("s", "b", 1),
        id="first value that matches",
    ),
    pytest.param(
        [
            level(
                "api", token=[choice("npm", ON_MAIN), choice("npm", key="c")], secrets={"npm": secret("s", "key", "c")}
            )
        ],
        FEATURE,
        SecretValue("s", "c", 1),
        id="value without a condition is for all other refs",
    ),
    pytest.param(
        [level("api", token=[choice("npm", NOT_MAIN)]), ROOT_SECRET],
        MAIN,
        Unset("has no value for this ref at api"),
        id="excluded branch",
    ),
    pytest.param(
        [level("api", token=[choice("npm", NOT_MAIN)]), ROOT_SECRET],
        FEATURE,
        SecretValue("s-acme", "key", 1),
        id="included branch",
    ),
    pytest.param(
        [level("api", token=[choice("npm", ON_TAGS)]), ROOT_SECRET],
        TAG,
        SecretValue("s-acme", "key", 1),
        id="tag",
    ),
    pytest.param(
        [level("api", token=[choice("npm", ON_MAIN)]), ROOT_SECRET],
        PULL_REQUEST,
        Unset("has no value for this ref at api"),
        id="pull request has no branch",
    ),
    pytest.param(
        [level("api", token=[choice("npm", When())]), ROOT_SECRET],
        PULL_REQUEST,
        SecretValue("s-acme", "key", 1),
        id="empty condition always matches",
    ),
    pytest.param(
        [level("api", token=[choice("npm", key="other"), choice("npm")]), ROOT_SECRET],
        MAIN,
        Unset('names the key "other", which the secret "npm" does not have'),
        id="key that is not in the secret, also if a later value would do",
    ),
    pytest.param(
        [
            level("api", token=[choice("npm", key="b")], secrets={"npm": secret("s-api", "a")}),
            level("acme", secrets={"npm": secret("s-acme", "b")}),
        ],
        MAIN,
        Unset('names the key "b", which the secret "npm" does not have'),
        id="nearest secret counts, also if a farther one has the key",
    ),
    pytest.param([API, BACKEND, ACME], MAIN, Unset("is not set"), id="no definition"),
    pytest.param([], MAIN, Unset("is not set"), id="no levels"),
    pytest.param(
        [level("api", token=[choice("NPM")]), ROOT_SECRET],
        MAIN,
        SecretValue("s-acme", "key", 1),
        id="case of the secret's name does not count",
    ),
]


@pytest.mark.parametrize(("levels", "context", "expected"), CASES)
def test_variable_stands_for(levels: list[Level], context: Context, expected: SecretValue | Unset) -> None:
    assert resolve_variables(levels, ["Token"], context) == {"Token": expected}


def test_each_name_is_resolved_alone() -> None:
    levels = [level("api", a=[choice("one")], b=[choice("two")], secrets={"one": secret("s1"), "two": secret("s2")})]
    assert resolve_variables(levels, ["a", "b", "c"], MAIN) == {
        "a": SecretValue("s1", "key", 1),
        "b": SecretValue("s2", "key", 1),
        "c": Unset("is not set"),
    }
