"""The masker: the same output however the stream is cut, and no form of a secret in it."""

from __future__ import annotations

import base64
import json
import shlex
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor.masking import MASK, Masker, forms_of

SECRET = b"p@ss/w0rd 'with' \"quotes\" + $more"
MULTILINE = b"first line of the key\nsecond line, longer\nshort\n"

small = st.binary(min_size=0, max_size=60).map(lambda data: bytes(b"ab=/"[byte % 4] for byte in data))
secrets = st.lists(st.binary(min_size=4, max_size=9).map(lambda d: bytes(b"ab"[byte % 2] for byte in d)), max_size=3)


def mask(values: list[bytes], *pieces: bytes) -> bytes:
    masker = Masker(values)
    return b"".join([*(masker.feed(piece) for piece in pieces), masker.finish()])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", SECRET),
        ("base64", base64.b64encode(SECRET)),
        ("base64 after one byte", base64.b64encode(b"x" + SECRET)),
        ("base64 after two bytes", base64.b64encode(b"xy" + SECRET + b"z")),
        ("base64 for URLs", base64.urlsafe_b64encode(b"user:" + SECRET)),
        ("URL path", quote(SECRET).encode()),
        ("URL query", quote_plus(SECRET).encode()),
        ("URL in small letters", quote(SECRET, safe="").lower().encode()),
        ("JSON", json.dumps(SECRET.decode())[1:-1].encode()),
        ("JSON with escaped slashes", json.dumps(SECRET.decode()).replace("/", "\\/")[1:-1].encode()),
        ("shell", shlex.quote(SECRET.decode())[1:-1].encode()),
        ("shell, as set -x writes it", b"p@ss/w0rd '\\''with'\\'' \"quotes\" + $more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_form_is_masked_wherever_the_stream_is_cut(name: str, written: bytes) -> None:
    text = b"before [" + written + b"] after"
    whole = mask([SECRET], text)
    assert MASK in whole
    assert whole.startswith(b"before [")
    assert whole.endswith(b"] after")
    assert len(whole) < len(text)
    for cut in range(len(text) + 1):
        assert mask([SECRET], text[:cut], text[cut:]) == whole
    assert mask([SECRET], *(bytes([byte]) for byte in text)) == whole


def test_base64_that_was_wrapped_is_masked() -> None:
    secret = bytes(range(33, 120))
    text = base64.encodebytes(b"user:" + secret + b"!")
    assert text.count(b"\n") > 1
    out = mask([secret], *(bytes([byte]) for byte in text))
    assert out == mask([secret], text)
    assert MASK in out
    assert len(out) < 20


def test_lines_of_a_secret_are_masked_with_any_prefix() -> None:
    out = mask([MULTILINE], b"> first line of the key\r\n> second line, longer\r\n> short\r\n")
    assert out == b"> ***\r\n> ***\r\n> short\r\n"


def test_line_ends_of_a_terminal_do_not_hide_a_secret() -> None:
    assert mask([b"one\ntwo\nthree"], b"[one\r\ntwo\r\nthree]") == b"[***]"


def test_overlapping_secrets_are_masked_as_one() -> None:
    assert mask([b"xabc", b"bcde"], b"-xabcde-") == b"-***-"


def test_adjacent_secrets_are_masked_as_one() -> None:
    assert mask([b"hunter22"], b"hunter22hunter22") == b"***"


def test_nothing_is_held_back_without_secrets() -> None:
    assert Masker([]).feed(b"abc") == b"abc"


def test_only_what_could_begin_a_secret_is_held_back() -> None:
    masker = Masker([b"secret-value"])
    assert masker.feed(b"hello sec") == b"hello "
    assert masker.feed(b"ond") == b"second"


def test_secret_of_three_bytes_masks_nothing() -> None:
    assert forms_of(b"abc") == frozenset()
    assert mask([b"abc"], b"abc") == b"abc"


@given(secrets, small, st.lists(st.integers(0, 60), max_size=8))
def test_output_does_not_depend_on_the_cuts(values: list[bytes], text: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert mask(values, *pieces) == mask(values, text)


@given(secrets, small)
def test_output_is_what_no_occurrence_covers(values: list[bytes], text: bytes) -> None:
    covered = [False] * len(text)
    for value in values:
        for form in forms_of(value):
            start = text.find(form)
            while start >= 0:
                covered[start : start + len(form)] = [True] * len(form)
                start = text.find(form, start + 1)
    expected = bytearray()
    for index, byte in enumerate(text):
        if not covered[index]:
            expected.append(byte)
        elif index == 0 or not covered[index - 1]:
            expected += MASK
    assert mask(values, text) == bytes(expected)


@given(st.binary(min_size=4, max_size=40), st.binary(max_size=20), st.binary(max_size=20), st.integers(1, 7))
def test_no_secret_passes_plain_or_in_base64(secret: bytes, before: bytes, after: bytes, size: int) -> None:
    for text in (before + secret + after, base64.b64encode(before + secret + after)):
        out = mask([secret], *(text[i : i + size] for i in range(0, len(text), size)))
        assert not (secret in out and secret not in MASK)
        for shift in range(3):
            core = base64.b64encode(bytes(shift) + secret)[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
            assert core not in out


def test_secret_that_is_added_is_masked_from_then_on() -> None:
    masker = Masker([b"earlier one"])
    before = masker.feed(b"later one, earlier one, lat")
    masker.add([b"later one"])
    after = masker.feed(b"er one, later one, earlier one") + masker.finish()
    assert before.startswith(b"later one, ***, ")
    assert after.endswith(b"er one, ***, ***")


def test_secret_that_is_added_is_masked_in_what_is_held_back() -> None:
    masker = Masker([b"abcd-first"])
    held = masker.feed(b"abcd")
    masker.add([b"abcd-second"])
    assert held + masker.feed(b"-second.") + masker.finish() == b"***."
