"""Output of commands: tables, JSON, names, without control characters."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2
from sluiceway.cli.commands import Format
from sluiceway.cli.showing import Column, Row, Table, details, plain, show, table
from sluiceway.cli.terminal import clean, clean_lines, cut, paint, says_colour, show_what_can_be_shown, width
from sluiceway.cli.units import age, duration, size_text

HOSTILE = {
    "escape": "a\x1b[31mb",
    "one-byte control sequence introducer": "a\x9b31mb",
    "bell": "a\x07b",
    "carriage return": "a\rb",
    "line break": "a\nb",
    "right-to-left override": "a\u202eb",
    "delete": "a\x7fb",
    "nothing at all": "a\0b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_control_characters_are_not_printed(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert (shown[0], shown[-1]) == ("a", "b")


def test_line_breaks_and_unicode_letters_are_kept() -> None:
    assert clean_lines("eins\nzwei\x1b") == "eins\nzwei\N{REPLACEMENT CHARACTER}"
    assert clean("größer 東京 🚀") == "größer 東京 🚀"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_table_shows_no_control_character(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table((Column("NAME"), Column("STATUS")), [Row((text, text), note=text)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_details_show_no_control_character(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    details(text, {"reason": text, "nothing": ""})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


READERS: dict[Format, Callable[[str], Any]] = {
    Format.JSON: json.loads,
    Format.YAML: yaml.safe_load,
    Format.JSONL: lambda text: [json.loads(line) for line in text.splitlines()],
}


@pytest.mark.parametrize("output", READERS, ids=lambda output: output.value)
@pytest.mark.parametrize("text", [*HOSTILE.values(), "größer 東京"], ids=[*HOSTILE, "letters of the world"])
def test_json_and_yaml_escape_control_characters(text: str, output: Format, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"id": "r1", "name": text}, {"id": "r2"}]
    show(items, output)
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    assert READERS[output](out) == [{"id": "r1", "name": text}, {"id": "r2"}]


@pytest.mark.parametrize("output", [Format.JSON, Format.YAML], ids=lambda output: output.value)
def test_single_object_is_not_printed_as_a_list(output: Format, capsys: pytest.CaptureFixture[str]) -> None:
    show([{"id": "r1"}], output, single=True)
    assert READERS[output](capsys.readouterr().out) == {"id": "r1"}


@pytest.mark.parametrize("output", [Format.JSON, Format.YAML], ids=lambda output: output.value)
def test_unicode_letters_are_readable_in_json_and_yaml(output: Format, capsys: pytest.CaptureFixture[str]) -> None:
    show([{"name": "größer"}], output)
    assert "größer" in capsys.readouterr().out


@pytest.mark.parametrize("output", [Format.JSON, Format.YAML, Format.JSONL], ids=lambda output: output.value)
def test_json_and_yaml_parse_equal_with_an_ascii_encoding(output: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr("sys.stdout", ascii_only)
    show([{"name": "größer 東京"}], output)
    ascii_only.flush()
    written = ascii_only.buffer.getvalue()
    assert READERS[output](written.decode("ascii")) == [{"name": "größer 東京"}]


def test_name_output_is_one_id_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    show([plain(run_pb2.Run(id="r1", name="x")), plain(run_pb2.Run(id="r2"))], Format.NAME)
    assert capsys.readouterr().out == "r1\nr2\n"


THREE = (Column("NAME"), Column("TOOK"), Column("REASON"))


def test_table_is_aligned_with_wide_letters(capsys: pytest.CaptureFixture[str]) -> None:
    table(THREE, [Row(("東京", "1s", "")), Row(("b", "", "because"))])
    assert capsys.readouterr().out.splitlines() == ["NAME  TOOK  REASON", "東京  1s", "b           because"]
    assert width("e\N{COMBINING ACUTE ACCENT}東") == 3


def test_later_rows_keep_the_columns_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Table(THREE)
    shown.print([Row(("a", "1s", "x"))])
    shown.print([Row(("b", "2s", "y"))], heading=False)
    assert capsys.readouterr().out.splitlines() == ["NAME  TOOK  REASON", "a     1s    x", "b     2s    y"]


def test_table_that_is_too_wide_is_truncated(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("ID"), Column("NAME", 5), Column("GROUP", 8))
    table(columns, [Row(("0123456789", "a" * 30, "b" * 30), note="word " * 20)], limit=40)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert lines[1].split() == ["0123456789", "a" * 12 + "…", "b" * 12 + "…"]
    assert " ".join(" ".join(lines[2:]).split()) == ("word " * 20).strip()


def test_table_gives_up_more_than_the_usual_minimum(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("ID"), Column("NAME", 12), Column("GROUP", 12))
    table(columns, [Row(("0123456789", "a" * 30, "b" * 30))], limit=30)
    assert capsys.readouterr().out.splitlines()[1] == "0123456789  aaaaaaa…  bbbbbbb…"


def test_table_does_not_truncate_fixed_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table((Column("ID"), Column("NAME", 3)), [Row(("0123456789", "abcdef"))], limit=5)
    assert capsys.readouterr().out.splitlines()[1] == "0123456789  ab…"


CUTS = {
    "what fits": ("abc", 3, "abc"),
    "what does not": ("abcd", 3, "ab…"),
    "wide letters": ("東京都", 5, "東京…"),
    "half a wide letter": ("東京都", 4, "東…"),
    "a space before the end": ("ab cd", 4, "ab…"),
}


@pytest.mark.parametrize(("text", "columns", "expected"), CUTS.values(), ids=CUTS.keys())
def test_text_is_truncated_by_columns(text: str, columns: int, expected: str) -> None:
    assert cut(text, columns) == expected
    assert width(cut(text, columns)) <= columns


def test_stream_replaces_what_its_encoding_lacks() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show_what_can_be_shown(stream)
    stream.write("größe… 東 \N{REPLACEMENT CHARACTER} \udcff")
    stream.flush()
    written = stream.buffer.getvalue()
    assert written == rb"gr\xf6\xdfe... \u6771 ? \udcff"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


COLOURS = {
    "at a terminal": (Screen(), {"TERM": "xterm"}, True),
    "not into a file": (io.StringIO(), {"TERM": "xterm"}, False),
    "not when NO_COLOR is set": (Screen(), {"NO_COLOR": "1"}, False),
    "an empty NO_COLOR does not count": (Screen(), {"NO_COLOR": ""}, True),
    "not at a dumb terminal": (Screen(), {"TERM": "dumb"}, False),
}


@pytest.mark.parametrize(("stream", "environment", "expected"), COLOURS.values(), ids=COLOURS.keys())
def test_colour_is_used_at_terminals_only(stream: io.StringIO, environment: dict[str, str], expected: bool) -> None:
    assert says_colour(stream, environment) is expected


def test_status_has_its_colour() -> None:
    assert paint("failed (ignored)", "failed (ignored)", colour=True) == "\x1b[31mfailed (ignored)\x1b[0m"
    assert paint("failed", "failed", colour=False) == "failed"
    assert paint("unheard of", "unheard of", colour=True) == "unheard of"


START = datetime(2026, 1, 1, tzinfo=UTC)
DURATIONS = {
    "tenths below a minute": (0.25, "0.2s"),
    "never sixty seconds": (59.96, "1m00s"),
    "minutes": (61, "1m01s"),
    "hours": (3600 * 2 + 60 * 5 + 1, "2h05m"),
    "clocks that disagree": (-5, "0.0s"),
}


@pytest.mark.parametrize(("seconds", "expected"), DURATIONS.values(), ids=DURATIONS.keys())
def test_duration_is_formatted_in_short_form(seconds: float, expected: str) -> None:
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(START)
    end.FromDatetime(START + timedelta(seconds=seconds))
    assert duration(begin, end) == expected
    assert duration(begin, Timestamp(), running=True, now=START + timedelta(seconds=seconds)) == expected


def test_duration_of_what_never_began_is_empty() -> None:
    begin = Timestamp()
    begin.FromDatetime(START)
    assert duration(Timestamp(), Timestamp()) == duration(begin, Timestamp()) == ""


AGES = {
    "seconds": (119, "119s"),
    "minutes": (120, "2m"),
    "hours": (7200, "2h"),
    "days": (3 * 86400, "3d"),
    "clocks that disagree": (-5, "0s"),
}


@pytest.mark.parametrize(("seconds", "expected"), AGES.values(), ids=AGES.keys())
def test_age_is_formatted_in_one_unit(seconds: float, expected: str) -> None:
    time = Timestamp()
    time.FromDatetime(START)
    assert age(time, now=START + timedelta(seconds=seconds)) == expected
    assert age(Timestamp(), now=START) == ""


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 << 40, "5120.0 GiB")]
)
def test_size_is_formatted_in_a_suitable_unit(size: int, expected: str) -> None:
    assert size_text(size) == expected
