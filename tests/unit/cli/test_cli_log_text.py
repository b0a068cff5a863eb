"""Logs at a terminal have no control sequences but colours, wherever they are cut; a pipe gets the bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.cli.log_text import LogOutput, LogText

SHOWN = {
    "text": (b"plain\n", "plain\n"),
    "letters of the world": ("größe 東京\n".encode(), "größe 東京\n"),
    "tabs": (b"a\tb\n", "a\tb\n"),
    "colours, and their end": (b"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n\x1b[0m"),
    "a colour that nobody ends": (b"\x1b[31mred", "\x1b[31mred\x1b[0m"),
    "a title": (b"\x1b]0;evil\x07", "^[]0;evil^G"),
    "a question to the terminal": (b"\x1b[6n", "^[[6n"),
    "a cursor that moves up": (b"\x1b[2A", "^[[2A"),
    "a C1 control": (b"\xc2\x9b31m", "\\x9b31m"),
    "bytes that are no UTF-8": (b"a\xffb", "a\\xffb"),
    "text that runs backwards": ("a\u202eb".encode(), "a\\u202eb"),
    "line ends of Windows": (b"a\r\nb\r\n", "a\nb\n"),
    "a line that is overwritten": (b"10%\r20%\r\n", "10%\n20%\n"),
    "a NUL and a delete": (b"a\x00b\x7f", "a^@b^?"),
    "an escape at the end": (b"a\x1b", "a^["),
    "half a letter at the end": ("ö".encode()[:1], "\\xc3"),
}


@pytest.mark.parametrize(("data", "expected"), SHOWN.values(), ids=SHOWN.keys())
def test_log_at_a_terminal_is_shown_as_text(data: bytes, expected: str) -> None:
    assert LogText().feed(data, last=True) == expected


@pytest.mark.parametrize(("data", "expected"), SHOWN.values(), ids=SHOWN.keys())
def test_log_text_does_not_depend_on_chunks(data: bytes, expected: str) -> None:
    text = LogText()
    shown = "".join(text.feed(data[i : i + 1]) for i in range(len(data))) + text.feed(b"", last=True)
    assert shown == expected


@given(
    st.lists(st.binary(max_size=20) | st.sampled_from([b"\x1b", b"[31", b"m", b"\r", b"\n", "ö".encode()]), max_size=20)
)
def test_log_text_never_has_control_sequences(chunks: list[bytes]) -> None:
    text = LogText()
    cut = "".join(map(text.feed, chunks)) + text.feed(b"", last=True)
    assert cut == LogText().feed(b"".join(chunks), last=True)
    for part in cut.split("\x1b")[1:]:
        code, end, _ = part.partition("m")
        assert code.startswith("[")
        assert end
        assert set(code[1:]) <= set("0123456789;:")
    assert cut.replace("\x1b", "").replace("\n", "").replace("\t", "").isprintable()


def stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def written(to: io.TextIOWrapper) -> bytes:
    to.flush()
    return to.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]  # a BytesIO


def test_log_to_a_pipe_is_its_bytes() -> None:
    to = stream()
    output = LogOutput(to, raw=True)
    for chunk in (bytes(range(256)), b"\x1b]0;x\x07", b"no end"):
        output.write(chunk)
    output.finish()
    assert written(to) == bytes(range(256)) + b"\x1b]0;x\x07no end"


def test_log_to_a_terminal_is_text() -> None:
    to = stream()
    output = LogOutput(to, raw=False)
    output.write(b"a\x1b]0;")
    output.write(b"x\x07")
    output.finish()
    assert written(to) == b"a^[]0;x^G"


@pytest.mark.parametrize(
    ("raw", "expected"), [(True, b"t | a\x07\nt | bc\nt | end\n"), (False, b"t | a^G\nt | bc\nt | end\n")]
)
def test_prefixed_log_lines_are_whole(raw: bool, expected: bytes) -> None:
    to = stream()
    output = LogOutput(to, raw=raw, prefix="t | ")
    output.write(b"a\x07\nb")
    assert written(to).count(b"\n") == 1
    output.write(b"c\nend")
    output.finish()
    output.finish()
    assert written(to) == expected


def test_log_line_without_an_end_is_bounded() -> None:
    to = stream()
    output = LogOutput(to, raw=True, prefix="t | ")
    output.write(b"x" * (65 * 1024))
    assert len(written(to)) > 64 * 1024
    output.finish()
    assert written(to).replace(b"t | ", b"").replace(b"\n", b"") == b"x" * (65 * 1024)
