"""Types of values in responses and events, and how they become ours. Pure.

Whatever a provider sends is checked here: an id is a number, a commit is hexadecimal, a ref is one that git accepts.
Texts for people lose what controls a terminal. URLs that are not links, or that git must not be given, become empty,
and so does a default branch that is no ref: a repository without them is still one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sluiceway_common.foundation.locations import commit_fault, is_remote, link_fault, ref_fault, repository_fault
from sluiceway_common.foundation.texts import MAX_TEXT, foreign_fault, shown

__all__ = [
    "Branch",
    "BranchOrEmpty",
    "CloneUrl",
    "CommitId",
    "CommitIdOrZero",
    "Id",
    "Link",
    "Message",
    "OrEmpty",
    "RefName",
    "RepositoryPath",
    "Shape",
    "Title",
    "UserId",
    "path_fault",
]

_MAX_TITLE = 500


class Shape(BaseModel):
    """The part of a JSON object that is used. Other fields are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def path_fault(path: str) -> str | None:
    """Return why a text is not the path of a repository: two or more names with slashes between them."""
    names = path.split("/")
    if len(names) < 2 or any(name in ("", ".", "..") for name in names):
        return "must be the path of a repository, such as acme/app"
    return foreign_fault(path, most=1000)


def _path(value: str) -> str:
    return _without_fault(value, path_fault(value))


def _commit(value: str) -> str:
    return _without_fault(value, commit_fault(value))


def _ref(value: str) -> str:
    return _without_fault(value, ref_fault(value))


def _clone_url(value: str) -> str:
    return value if is_remote(value) and repository_fault(value) is None else ""


def _without_fault(value: str, fault: str | None) -> str:
    if fault is not None:
        raise ValueError(fault)
    return value


Id = Annotated[int, Field(strict=True, gt=0, lt=1 << 63)]
UserId = Annotated[int, Field(strict=True, gt=-(1 << 63), lt=1 << 63)]
"""The id of a user who did something. Users that a provider has built in have negative ones, at Gitea for example."""
CommitId = Annotated[str, AfterValidator(_commit)]
CommitIdOrZero = Annotated[
    str | None,
    # A ref that does not exist has an id of zeros only: 40, or 64 where objects are named by SHA-256.
    BeforeValidator(lambda value: None if isinstance(value, str) and value in ("0" * 40, "0" * 64) else value),
    AfterValidator(lambda value: None if value is None else _commit(value)),
]
RefName = Annotated[str, AfterValidator(_ref)]
Branch = RefName
RepositoryPath = Annotated[str, AfterValidator(_path)]
_NullIsEmpty = BeforeValidator(lambda value: "" if value is None else value)
OrEmpty = Annotated[str, _NullIsEmpty]
BranchOrEmpty = Annotated[str, _NullIsEmpty, AfterValidator(lambda value: "" if ref_fault(value) else value)]
CloneUrl = Annotated[str, _NullIsEmpty, AfterValidator(_clone_url)]
Link = Annotated[
    str,
    _NullIsEmpty,
    AfterValidator(lambda value: "" if link_fault(value) else value),
]
Message = Annotated[
    str,
    _NullIsEmpty,
    AfterValidator(lambda value: shown(value, most=MAX_TEXT)),
]
Title = Annotated[str, AfterValidator(lambda value: shown(" ".join(value.split()), most=_MAX_TITLE))]
