"""What a verify tells: what it found, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

from sluiceway_common.foundation.errors import SluicewayError

__all__ = ["Finding", "Progress", "fault_of"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        object: the key that it is about; empty: about both stores.
        message: what it is, and what to do.
        is_fault: something is missing or damaged; otherwise a person may want to know.
    """

    object: str
    message: str
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: objects and bytes read, and how many objects there are, as far as is known."""

    objects: int
    bytes: int
    all_objects: int


def fault_of(error: SluicewayError, key: str) -> Finding:
    """Make the fault that an error tells of; `key` is the object where the error names none."""
    return Finding(error.metadata.get("object", key), error.message)
