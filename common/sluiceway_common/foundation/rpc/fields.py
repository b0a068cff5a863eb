"""Check the fields of requests against their annotations. Pure.

`google.api.field_behavior` (AIP-203) says which fields must be set, and which ones only the server sets: those are
cleared, without an error. `sluiceway.api.options.v1.limits` bounds values. Both hold for a request and the single
messages in it. The elements of lists and maps are left to the services, which know how many there may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from google.api import field_behavior_pb2  # type: ignore[import-untyped]  # ships no types
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from sluiceway.api.options.v1 import options_pb2
from sluiceway_common.foundation.errors import Violation

F = TypeVar("F", bound=Callable[..., Any])

# The generated stubs call these plain FieldDescriptors.
_BEHAVIOR: Any = field_behavior_pb2.field_behavior
_LIMITS: Any = options_pb2.limits
_OURS = "sluiceway."
_MARK = "_sluiceway_checks_fields"


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of a message. `inner` are its fields that hold one message of ours."""

    output_only: tuple[FieldDescriptor, ...]
    required: tuple[FieldDescriptor, ...]
    limited: tuple[tuple[FieldDescriptor, options_pb2.Limits], ...]
    inner: tuple[FieldDescriptor, ...]


def behaviors_of(field: FieldDescriptor) -> frozenset[str]:
    """Return the names of a field's behaviors, such as `REQUIRED`."""
    names = field_behavior_pb2.FieldBehavior.Name
    return frozenset(names(value) for value in field.GetOptions().Extensions[_BEHAVIOR])


def limits_of(field: FieldDescriptor) -> options_pb2.Limits | None:
    """Return the limits of a field's value; None: it has none."""
    options = field.GetOptions()
    return options.Extensions[_LIMITS] if options.HasExtension(_LIMITS) else None


def clear_output_only(request: Message) -> None:
    """Clear the fields that only the server sets (AIP-203, OUTPUT_ONLY)."""
    rules = _rules(request.DESCRIPTOR)
    for field in rules.output_only:
        request.ClearField(field.name)
    for field in rules.inner:
        if request.HasField(field.name):
            clear_output_only(getattr(request, field.name))


def field_faults(request: Message) -> list[Violation]:
    """Find the required fields that are not set, and the values that are outside of their limits.

    The fields of a resource that is updated with a mask need not be set (AIP-134).
    """
    is_partial = "update_mask" in request.DESCRIPTOR.fields_by_name
    return list(_faults(request, "", is_partial=is_partial))


def checks_fields_itself(method: F) -> F:
    """Mark a method of a servicer that calls `field_faults` itself, to report these faults together with others."""
    setattr(method, _MARK, True)
    return method


def checks_fields(method: object) -> bool:
    """Return whether a method of a servicer was marked by `checks_fields_itself`."""
    return getattr(method, _MARK, False) is True


@cache
def _rules(descriptor: Descriptor) -> _Rules:
    fields = tuple(descriptor.fields)
    return _Rules(
        output_only=tuple(field for field in fields if "OUTPUT_ONLY" in behaviors_of(field)),
        required=tuple(field for field in fields if "REQUIRED" in behaviors_of(field)),
        limited=tuple((field, limits) for field in fields if (limits := limits_of(field)) is not None),
        inner=tuple(
            field
            for field in fields
            if field.message_type is not None
            and not field.is_repeated
            and field.message_type.full_name.startswith(_OURS)
        ),
    )


def _faults(message: Message, path: str, *, is_partial: bool) -> Iterator[Violation]:
    rules = _rules(message.DESCRIPTOR)
    for field in rules.required:
        if not _is_set(message, field) and not (path and is_partial):
            yield Violation(path + field.name, "it is required")
    for field, limits in rules.limited:
        if _is_set(message, field):
            fault = _limit_fault(getattr(message, field.name), limits)
            if fault:
                yield Violation(path + field.name, fault)
    for field in rules.inner:
        if message.HasField(field.name):
            yield from _faults(getattr(message, field.name), f"{path}{field.name}.", is_partial=is_partial)


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    if field.is_repeated:
        return len(getattr(message, field.name)) > 0
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name) != field.default_value)


def _limit_fault(value: Any, limits: options_pb2.Limits) -> str:
    """Return what is wrong with a value that is set; empty: nothing."""
    low = limits.minimum if limits.HasField("minimum") else None
    high = limits.maximum if limits.HasField("maximum") else None
    if low is not None and high is not None and not low <= value <= high:
        return f"it must be from {low} to {high}, not {value}"
    if low is not None and value < low:
        return f"it must be at least {low}, not {value}"
    if high is not None and value > high:
        return f"it must be at most {high}, not {value}"
    if limits.HasField("max_length") and len(value) > limits.max_length:
        return f"it has {len(value)} characters; at most {limits.max_length} are allowed"
    if limits.HasField("max_items") and len(value) > limits.max_items:
        return f"it has {len(value)} elements; at most {limits.max_items} are allowed"
    return ""
