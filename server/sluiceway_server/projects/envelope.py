"""Envelope encryption of values that are stored: secrets, keys of webhooks.

Each value is encrypted with AES-256-GCM under a data key that is used once. The data key is stored beside it, encrypted
under a *master key*, which is never in the database. So a change of the master key encrypts data keys again, and not
the values (`rewrap`). The id of the record is associated data of both: a value that somebody copies to another record
cannot be opened there.

Where master keys come from is in `master_key_source`; `master_key_rotation` encrypts all values under a new one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from sluiceway.records.project.v1 import sealed_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, InvalidInput

__all__ = ["KEY_BYTES", "Envelope", "MasterKeyUnknown", "MasterKeys", "new_master_key", "parse_master_keys"]

KEY_BYTES = 32
_NONCE_BYTES = 12
_MAX_KEYS = 100
_RELOAD_PAUSE_SECONDS = 5.0
_MAKE_ONE = "a key is 32 random bytes in base64, as `openssl rand -base64 32` prints them"


ReadKeys: TypeAlias = "Callable[[], Awaitable[MasterKeys | None]]"


class MasterKeyUnknown(FailedPrecondition):
    """A value is encrypted under a master key that this server does not have."""

    reason = "MASTER_KEY_UNKNOWN"


class MasterKeys:
    """The master keys of a server: the first one encrypts, all of them decrypt.

    The id of a key is computed from it, so two servers with the same keys agree on their ids. The keys themselves are
    in no attribute and no `repr`.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each, at least one.

        Raises:
            InvalidInput: `MASTER_KEY_UNUSABLE`: there is none, one has another length, or one is there twice.
        """
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise _unusable(f"there must be at least one key, and {_MAKE_ONE}")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        if len(self._ciphers) != len(keys):
            raise _unusable("a key is there twice")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys; the first one is of the key that encrypts."""
        return tuple(self._ciphers)

    def cipher(self, key_id: str) -> AESGCM | None:
        """Return the cipher of a key; None if it is not one of these."""
        return self._ciphers.get(key_id)

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self.ids)})"


class Envelope:
    """Seals and opens values with the master keys of this server, which may be replaced while it runs."""

    def __init__(self, keys: MasterKeys | None, *, read: ReadKeys | None = None) -> None:
        """Take the master keys.

        Args:
            keys: None: this server has none, and both directions raise.
            read: reads them again, for `reload`; None: they never change.
        """
        self._keys = keys
        self._read = read
        self._reload_after = 0.0

    @property
    def master_key_ids(self) -> tuple[str, ...]:
        """The ids of the master keys, the one that encrypts first; empty without any."""
        return () if self._keys is None else self._keys.ids

    @property
    def master_key_id(self) -> str:
        """The id of the master key that encrypts. Raises `FailedPrecondition` (`MASTER_KEY_MISSING`)."""
        return self._need().ids[0]

    async def reload(self) -> None:
        """Read the master keys again, and use them from now on.

        Raises:
            InvalidInput: `MASTER_KEY_UNUSABLE`: they cannot be read. Those that were read before stay in use.
        """
        if self._read is not None:
            self._keys = await self._read()

    def seal(self, record_id: str, plaintext: bytes) -> bytes:
        """Encrypt a value of a record under the newest master key. Every call gives other bytes.

        Args:
            record_id: which record it is for, with its kind, such as `secret/ID`. Only this record can open it.
            plaintext: the value.

        Raises:
            FailedPrecondition: `MASTER_KEY_MISSING`: this server has no master key.
        """
        data_key = os.urandom(KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._wrap(record_id, data_key)
        sealed.nonce = nonce
        sealed.content = AESGCM(data_key).encrypt(nonce, plaintext, _bound("content", record_id))
        return sealed.SerializeToString()

    def open_(self, record_id: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made for the same record.

        Raises:
            FailedPrecondition: `MASTER_KEY_MISSING`: this server has no master key; `MASTER_KEY_UNKNOWN`: the value was
                encrypted under one that it does not have.
            DataLoss: `SEALED_VALUE_DAMAGED`: the bytes were changed, or are of another record.
        """
        message = _parse(record_id, sealed)
        data_key = self._unwrap(record_id, message)
        try:
            return AESGCM(data_key).decrypt(message.nonce, message.content, _bound("content", record_id))
        except (InvalidTag, ValueError):
            raise _damaged(record_id) from None

    async def opened(self, record_id: str, sealed: bytes) -> bytes:
        """Decrypt as `open_`, and read the master keys again if the value is encrypted under an unknown one.

        Another server may have changed the master key before this one has read it.
        """
        try:
            return self.open_(record_id, sealed)
        except MasterKeyUnknown:
            if asyncio.get_running_loop().time() < self._reload_after:
                raise
            self._reload_after = asyncio.get_running_loop().time() + _RELOAD_PAUSE_SECONDS
            await self.reload()
        return self.open_(record_id, sealed)

    def rewrap(self, sealed: bytes) -> bytes | None:
        """Encrypt the data key of a value under the newest master key; the value itself stays encrypted as it is.

        Returns None if it is encrypted under that key already.

        Raises:
            FailedPrecondition: as `open_`.
            DataLoss: as `open_`.
        """
        message = _parse("a value", sealed)
        if message.master_key_id == self._need().ids[0]:
            return None
        # A wrong id is found here: it is associated data of the data key.
        wrapped = self._wrap(message.record_id, self._unwrap(message.record_id, message))
        wrapped.nonce = message.nonce
        wrapped.content = message.content
        return wrapped.SerializeToString()

    def _wrap(self, record_id: str, data_key: bytes) -> pb.SealedValue:
        keys = self._need()
        key_id = keys.ids[0]
        cipher = keys.cipher(key_id)
        assert cipher is not None  # noqa: S101 - it is the id of one of these keys
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = cipher.encrypt(nonce, data_key, _bound("data key", record_id))
        return pb.SealedValue(master_key_id=key_id, data_key_nonce=nonce, data_key=wrapped, record_id=record_id)

    def _unwrap(self, record_id: str, message: pb.SealedValue) -> bytes:
        cipher = self._need().cipher(message.master_key_id)
        if cipher is None:
            raise MasterKeyUnknown(
                f"{record_id} is encrypted under the master key {message.master_key_id}, which this server does not"
                " have; add that key to its master key file, below the first one",
                metadata={"master_key_id": message.master_key_id},
            )
        try:
            return cipher.decrypt(message.data_key_nonce, message.data_key, _bound("data key", record_id))
        except (InvalidTag, ValueError):
            raise _damaged(record_id) from None

    def _need(self) -> MasterKeys:
        if self._keys is None:
            raise FailedPrecondition(
                "this server has no master key, so it can neither store nor use secrets; start it with"
                " --master-key-file FILE, with the same file on all servers",
                reason="MASTER_KEY_MISSING",
            )
        return self._keys


def new_master_key() -> str:
    """Make a master key, as a line of a master key file."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def parse_master_keys(content: bytes) -> MasterKeys:
    """Parse a master key file: a key of 32 bytes in base64 on each line, the one that encrypts first.

    Empty lines and lines that begin with `#` are skipped. No message contains a part of the content.

    Raises:
        InvalidInput: `MASTER_KEY_UNUSABLE`: a line is not a key, a key is there twice, or there is none.
    """
    keys: list[bytes] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _unusable(f"line {number} is not in base64; {_MAKE_ONE}") from None
        if len(key) != KEY_BYTES:
            raise _unusable(f"line {number} has {len(key)} bytes, not {KEY_BYTES}; {_MAKE_ONE}")
        if key in keys:
            raise _unusable(f"line {number} is the same key as a line above it")
        keys.append(key)
    if not keys:
        raise _unusable(f"it has no key; {_MAKE_ONE}")
    if len(keys) > _MAX_KEYS:
        raise _unusable(f"it has {len(keys)} keys; {_MAX_KEYS} are the most")
    return MasterKeys(keys)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"sluiceway master key id\0" + key).hexdigest()[:16]


def _bound(part: str, record_id: str) -> bytes:
    return f"sluiceway {part}\0{record_id}".encode()


def _parse(record_id: str, sealed: bytes) -> pb.SealedValue:
    try:
        return pb.SealedValue.FromString(sealed)
    except DecodeError:
        raise _damaged(record_id) from None


def _damaged(record_id: str) -> DataLoss:
    return DataLoss(
        f"the encrypted value of {record_id} was changed, or is of another record; set it again",
        reason="SEALED_VALUE_DAMAGED",
    )


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(f"the master keys cannot be used: {why}", reason="MASTER_KEY_UNUSABLE")
