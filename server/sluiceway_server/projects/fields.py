"""Fields of requests that all services of the tree check alike. Pure."""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from sluiceway.api.project.v1 import visibility_pb2
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.projects.names import name_fault

__all__ = ["changed_fields", "check_fields"]


def changed_fields(resource: Message, mask: FieldMask, changeable: Collection[str]) -> frozenset[str]:
    """Return the fields that an update changes: those of the mask, or without one those that are set (AIP-134).

    Args:
        resource: the new values.
        mask: paths relative to the resource; `*` is all that can be changed.
        changeable: the fields that an update may name.

    Raises:
        InvalidInput: the mask names a field that does not exist or cannot be changed.
    """
    if not mask.paths:
        return frozenset(field.name for field, _ in resource.ListFields()) & frozenset(changeable)
    if list(mask.paths) == ["*"]:
        return frozenset(changeable)
    found = [
        Violation("update_mask", f"{path!r} is none of: {', '.join(sorted(changeable))}")
        for path in mask.paths
        if path not in changeable
    ]
    if found:
        raise InvalidInput(found)
    return frozenset(mask.paths)


def check_fields(
    resource: str,
    *,
    name: str | None = None,
    of_value: bool = False,
    visibility: int | None = None,
    others: Collection[Violation] = (),
) -> None:
    """Check a name and a visibility; None: not given.

    Args:
        resource: the name of the request field that has them.
        name: the name.
        of_value: it is the name of a secret or a variable.
        visibility: the number of the enum.
        others: faults that were found already.

    Raises:
        InvalidInput: all faults.
    """
    found = list(others)
    if name is not None and (fault := name_fault(name, of_value=of_value)) is not None:
        found.append(Violation(f"{resource}.name", fault))
    if visibility is not None and visibility not in visibility_pb2.Visibility.values():
        found.append(Violation(f"{resource}.visibility", f"{visibility} is not known"))
    if found:
        raise InvalidInput(found)
