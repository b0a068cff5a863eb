"""Envelope encryption: what is sealed for a record can be opened there, with its master key, and nowhere else."""

from __future__ import annotations

import base64
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.records.project.v1 import sealed_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, InvalidInput
from sluiceway_server.projects import envelope as envelope_module
from sluiceway_server.projects.envelope import Envelope, MasterKeys, MasterKeyUnknown, new_master_key, parse_master_keys

OLD, NEW = os.urandom(32), os.urandom(32)
RECORD = "secret/1"


def envelope(*keys: bytes) -> Envelope:
    return Envelope(MasterKeys(keys))


@given(st.binary(max_size=1000), st.text(max_size=50))
def test_sealed_value_is_opened_by_its_record(value: bytes, record: str) -> None:
    both = envelope(OLD)
    sealed = both.seal(record, value)
    assert both.open_(record, sealed) == value
    assert both.seal(record, value) != sealed
    if len(value) >= 4:
        assert value not in sealed


def test_sealed_value_is_refused_by_another_record() -> None:
    sealed = envelope(OLD).seal(RECORD, b"value")
    for other in ("secret/2", "secret/1\0", "secret/", "variable/1", ""):
        with pytest.raises(DataLoss, match=re.escape("of another record")) as raised:
            envelope(OLD).open_(other, sealed)
        assert raised.value.reason == "SEALED_VALUE_DAMAGED"


def test_data_key_of_another_record_is_refused() -> None:
    both = envelope(OLD)
    mine, other = (pb.SealedValue.FromString(both.seal(record, b"value")) for record in (RECORD, "secret/2"))
    mine.data_key, mine.data_key_nonce = other.data_key, other.data_key_nonce
    with pytest.raises(DataLoss):
        both.open_(RECORD, mine.SerializeToString())


@pytest.mark.parametrize("field", ["data_key_nonce", "data_key", "nonce", "content"])
@pytest.mark.parametrize("damage", ["bit", "cut", "empty"])
def test_changed_sealed_value_is_refused(field: str, damage: str) -> None:
    both = envelope(OLD)
    message = pb.SealedValue.FromString(both.seal(RECORD, b"a value that is kept"))
    content: bytes = getattr(message, field)
    setattr(message, field, {"bit": bytes([content[0] ^ 1]) + content[1:], "cut": content[:-1], "empty": b""}[damage])
    with pytest.raises(DataLoss) as raised:
        both.open_(RECORD, message.SerializeToString())
    assert raised.value.reason == "SEALED_VALUE_DAMAGED"
    # The text of a cause could hold a part of the value.
    assert raised.value.__cause__ is None


def test_bytes_that_are_no_sealed_value_are_refused() -> None:
    with pytest.raises(DataLoss):
        envelope(OLD).open_(RECORD, b"\xff\xff\xff")


def test_first_master_key_encrypts_and_all_decrypt() -> None:
    both = envelope(OLD)
    before = both.seal(RECORD, b"value")
    newer = envelope(NEW, OLD)
    after = newer.seal(RECORD, b"value")
    assert newer.open_(RECORD, before) == newer.open_(RECORD, after) == b"value"
    assert newer.rewrap(after) is None
    assert envelope(NEW).open_(RECORD, after) == b"value"


def test_rewrapped_value_needs_the_new_key_only() -> None:
    sealed = envelope(OLD).seal(RECORD, b"value")
    rewrapped = envelope(NEW, OLD).rewrap(sealed)
    assert rewrapped is not None
    assert envelope(NEW).open_(RECORD, rewrapped) == b"value"
    assert pb.SealedValue.FromString(rewrapped).content == pb.SealedValue.FromString(sealed).content
    with pytest.raises(FailedPrecondition) as raised:
        envelope(OLD).open_(RECORD, rewrapped)
    assert raised.value.reason == "MASTER_KEY_UNKNOWN"
    assert raised.value.metadata == {"master_key_id": MasterKeys([NEW]).ids[0]}


def test_rewrap_refuses_a_value_that_names_another_record() -> None:
    message = pb.SealedValue.FromString(envelope(OLD).seal(RECORD, b"value"))
    message.record_id = "secret/2"
    with pytest.raises(DataLoss):
        envelope(NEW, OLD).rewrap(message.SerializeToString())


async def test_unknown_key_makes_the_keys_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope_module, "_RELOAD_PAUSE_SECONDS", 3600.0)
    sealed = envelope(NEW).seal(RECORD, b"value")
    reads: list[MasterKeys] = [MasterKeys([OLD]), MasterKeys([NEW, OLD])]

    async def read() -> MasterKeys:
        return reads.pop(0)

    late = Envelope(MasterKeys([OLD]), read=read)
    for _ in range(2):
        # A key that nobody has is looked for once in a while only.
        with pytest.raises(MasterKeyUnknown):
            await late.opened(RECORD, sealed)
    assert len(reads) == 1
    late = Envelope(MasterKeys([OLD]), read=read)
    assert await late.opened(RECORD, sealed) == b"value"
    assert late.master_key_id == MasterKeys([NEW]).ids[0]


def test_envelope_without_keys_refuses_both_directions() -> None:
    none = Envelope(None)
    sealed = envelope(OLD).seal(RECORD, b"value")
    for call in (
        lambda: none.seal(RECORD, b"value"),
        lambda: none.open_(RECORD, sealed),
        lambda: none.rewrap(sealed),
        lambda: none.master_key_id,
    ):
        with pytest.raises(FailedPrecondition, match="--master-key-file FILE") as raised:
            call()
        assert raised.value.reason == "MASTER_KEY_MISSING"
    assert none.master_key_ids == ()


def test_no_key_is_in_a_repr() -> None:
    keys = MasterKeys([OLD])
    for text in (repr(keys), repr(Envelope(keys)), str(vars(keys))):
        for form in (OLD.hex(), base64.b64encode(OLD).decode(), repr(OLD)[2:-1]):
            assert form not in text


def test_keys_of_a_file_are_read_in_order() -> None:
    first, second = new_master_key(), new_master_key()
    keys = parse_master_keys(f"# comment\r\n\n  {first}\r\n{second}".encode())
    assert keys.ids == MasterKeys([base64.b64decode(first), base64.b64decode(second)]).ids


GOOD = base64.b64encode(OLD)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "it has no key", id="empty"),
        pytest.param(b"# nothing\n\n", "it has no key", id="comments only"),
        pytest.param(b"correct horse battery staple", "line 1 is not in base64", id="a sentence"),
        pytest.param(GOOD + b"\n\xff\xfe", "line 2 is not in base64", id="no text"),
        pytest.param(base64.b64encode(OLD[:16]), "line 1 has 16 bytes, not 32", id="too short"),
        pytest.param(base64.b64encode(OLD + b"x"), "line 1 has 33 bytes, not 32", id="too long"),
        pytest.param(OLD.hex().encode(), "line 1 has 48 bytes, not 32", id="hex"),
        pytest.param(GOOD + b"\n\n" + GOOD, "line 3 is the same key", id="twice"),
    ],
)
def test_content_that_is_no_key_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(why)) as raised:
        parse_master_keys(content)
    assert raised.value.reason == "MASTER_KEY_UNUSABLE"
    for line in content.split():
        if len(line) > 8:
            assert line.decode("latin-1") not in raised.value.message


def test_too_many_keys_are_refused() -> None:
    with pytest.raises(InvalidInput, match="it has 101 keys"):
        parse_master_keys("\n".join(new_master_key() for _ in range(101)).encode())


@pytest.mark.parametrize("keys", [[], [OLD[:31]], [OLD, OLD]], ids=["none", "short", "twice"])
def test_wrong_lists_of_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(InvalidInput):
        MasterKeys(keys)
