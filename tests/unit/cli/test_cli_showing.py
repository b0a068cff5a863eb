"""What is shown: tables, JSON, names, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2
from sluiceway.cli.commands import Format
from sluiceway.cli.showing import duration, show_messages, table
from sluiceway.cli.terminal import clean, clean_lines, paint, says_colour, width

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
def test_what_a_terminal_obeys_is_not_shown(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert (shown[0], shown[-1]) == ("a", "b")


def test_lines_stay_lines_and_letters_of_the_world_stay() -> None:
    assert clean_lines("eins\nzwei\x1b") == "eins\nzwei\N{REPLACEMENT CHARACTER}"
    assert clean("größer 東京 🚀") == "größer 東京 🚀"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_table_shows_no_control_character(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "STATUS"), [(text, text)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_json_shows_no_control_character_and_means_the_same(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_messages([run_pb2.Run(id="r1", name=text)], Format.JSON, single=True)
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    assert json.loads(out) == {"id": "r1", "name": text}


def test_letters_of_the_world_stay_readable_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_messages([run_pb2.Run(name="größer")], Format.JSON)
    assert "größer" in capsys.readouterr().out


def test_names_are_ids_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_messages([run_pb2.Run(id="r1", name="x"), run_pb2.Run(id="r2")], Format.NAME)
    assert capsys.readouterr().out == "r1\nr2\n"


def test_table_is_aligned_also_with_wide_letters(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "TOOK", "REASON"), [("東京", "1s", ""), ("b", "", "because")])
    assert capsys.readouterr().out.splitlines() == ["NAME  TOOK  REASON", "東京  1s", "b           because"]
    assert width("e\N{COMBINING ACUTE ACCENT}東") == 3


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
def test_colour_is_for_terminals(stream: io.StringIO, environment: dict[str, str], expected: bool) -> None:
    assert says_colour(stream, environment) is expected


def test_status_is_painted_by_its_word() -> None:
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
def test_duration_is_said_shortly(seconds: float, expected: str) -> None:
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(START)
    end.FromDatetime(START + timedelta(seconds=seconds))
    assert duration(begin, end) == expected
    assert duration(begin, Timestamp(), running=True, now=START + timedelta(seconds=seconds)) == expected


def test_what_never_began_took_no_time() -> None:
    begin = Timestamp()
    begin.FromDatetime(START)
    assert duration(Timestamp(), Timestamp()) == duration(begin, Timestamp()) == ""
