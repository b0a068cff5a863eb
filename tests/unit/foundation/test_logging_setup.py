"""Logging: JSON lines for programs, also of libraries, and short lines at a terminal."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from sluiceway_common.foundation.logging import set_up_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_log_event_is_json_with_context_and_cause() -> None:
    out = io.StringIO()
    set_up_logging(stream=out)
    with structlog.contextvars.bound_contextvars(request_id="q1"):
        structlog.get_logger("a.b").info("task_assigned", task="t1")
        try:
            raise ValueError("oh")
        except ValueError:
            structlog.get_logger("a.b").exception("failed")
    logging.getLogger("library").warning("a %s", "message")
    structlog.get_logger("a.b").debug("not shown")
    first, second, third = map(json.loads, out.getvalue().splitlines())
    assert (first["event"], first["task"], first["request_id"], first["level"]) == (
        "task_assigned",
        "t1",
        "q1",
        "info",
    )
    assert first["logger"] == "a.b"
    assert first["timestamp"].endswith("Z")
    assert second["exception"][0]["exc_value"] == "oh"
    assert (third["event"], third["level"]) == ("a message", "warning")


def test_log_for_people_is_text() -> None:
    out = io.StringIO()
    set_up_logging(stream=out, json=False)
    structlog.get_logger("a").info("hello", n=1)
    assert "hello" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
    ids=["a terminal", "a dumb one", "no colour wanted"],
)
def test_log_at_a_terminal_is_short_lines_in_colour(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    set_up_logging(stream=out)
    structlog.get_logger("a.long.name.of.a.module").info("child_started", child="etcd", pid=4711)
    text = out.getvalue()
    assert ("\x1b" in text) is coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info\] child_started child=etcd pid=4711\n", plain)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_logged_traceback_has_no_local_variables(as_json: bool) -> None:
    out = io.StringIO()
    set_up_logging(stream=out, json=as_json)

    def sign_in(token: str) -> None:
        raise ValueError(f"a token of {len(token)} characters")

    try:
        sign_in("".join(("s3", "cr3t", "t0ken")))
    except ValueError:
        structlog.get_logger("a").exception("failed")
    assert "a token of 11 characters" in out.getvalue()
    assert "sign_in" in out.getvalue()
    assert "s3cr3tt0ken" not in out.getvalue()
