from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """Who may see something."""
    __slots__ = ()
    VISIBILITY_UNSPECIFIED: _ClassVar[Visibility]
    """Not set."""
    VISIBILITY_PUBLIC: _ClassVar[Visibility]
    """Everybody."""
    VISIBILITY_PRIVATE: _ClassVar[Visibility]
    """Members only."""
VISIBILITY_UNSPECIFIED: Visibility
VISIBILITY_PUBLIC: Visibility
VISIBILITY_PRIVATE: Visibility
