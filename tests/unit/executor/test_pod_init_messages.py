"""What the first process of a pod says is JSON, though it has no library for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor.drivers import pod_messages


@pytest.mark.parametrize("value", [None, True, False, 0, -1, 1.5, "", 'a "quoted" \\ path', "\0\n\x7f", "é 😀 \udc80"])
def test_values_are_written_as_json(value: object) -> None:
    assert json.loads(pod_messages.json_of(value)) == value  # type: ignore[arg-type]


@given(st.text())
def test_any_text_is_written_as_json(text: str) -> None:
    assert json.loads(pod_messages.json_of(text)) == text
