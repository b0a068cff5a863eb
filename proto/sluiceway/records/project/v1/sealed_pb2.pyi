from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SealedValue(_message.Message):
    """A value that is encrypted with AES-256-GCM under a data key of its own, which is encrypted with AES-256-GCM under a
    master key. The id of the record that it belongs to is associated data of both. In records it is a field of bytes whose
    name begins with `encrypted_`: a change of the master key finds it by that.
    """
    __slots__ = ("master_key_id", "data_key_nonce", "data_key", "nonce", "content", "record_id")
    MASTER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_KEY_NONCE_FIELD_NUMBER: _ClassVar[int]
    DATA_KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    master_key_id: str
    """The id of the master key: the first 16 hex digits of a digest of it."""
    data_key_nonce: bytes
    """The nonce of `data_key`: 12 bytes."""
    data_key: bytes
    """The encrypted data key: 32 bytes, and a tag of 16."""
    nonce: bytes
    """The nonce of `content`: 12 bytes."""
    content: bytes
    """The encrypted value, and a tag of 16 bytes."""
    record_id: str
    """The id of the record that it belongs to. Who opens the value does not trust it."""
    def __init__(self, master_key_id: _Optional[str] = ..., data_key_nonce: _Optional[bytes] = ..., data_key: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., content: _Optional[bytes] = ..., record_id: _Optional[str] = ...) -> None: ...
