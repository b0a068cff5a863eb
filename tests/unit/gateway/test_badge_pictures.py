"""Badges: what they say, that nothing of a label is markup, and that texts fit."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from sluiceway.api.project.v1 import badge_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_server.gateway.badge_pictures import MAX_LABEL, badge_of, json_of, svg_of, text_width

SVG = "{http://www.w3.org/2000/svg}"
FINISHED = run_pb2.RUN_PHASE_FINISHED
STATES = {
    "success": pb.GetBadgeResponse(phase=FINISHED, result=run_pb2.RUN_RESULT_SUCCESS),
    "failed": pb.GetBadgeResponse(phase=FINISHED, result=run_pb2.RUN_RESULT_FAILED),
    "stopped": pb.GetBadgeResponse(phase=FINISHED, result=run_pb2.RUN_RESULT_STOPPED),
    "running": pb.GetBadgeResponse(phase=run_pb2.RUN_PHASE_RUNNING),
    "setup error": pb.GetBadgeResponse(phase=run_pb2.RUN_PHASE_SETUP_ERROR),
    "no runs": pb.GetBadgeResponse(),
    "not found": None,
}


def contrast_to_white(color: str) -> float:
    """Return the contrast of WCAG 2."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("message", STATES)
def test_badge_says_the_state(message: str) -> None:
    badge = badge_of(STATES[message], "build")
    assert (badge.label, badge.message) == ("build", message)
    assert contrast_to_white(badge.color) >= 4.5
    root = ElementTree.fromstring(svg_of(badge))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == root.get("aria-label") == f"build: {message}"
    shields = json.loads(json_of(badge))
    assert (shields["schemaVersion"], shields["label"], shields["message"]) == (1, "build", message)


@pytest.mark.parametrize(
    "label",
    ['<script>alert("x")</script>', '"/><image href="https://x/"/>', "&amp;<>'\"", "a\x00\x1b[31m\u202eb", "\ud800"],
    ids=["script", "attribute", "entities", "control characters", "surrogate"],
)
def test_label_is_never_markup(label: str) -> None:
    root = ElementTree.fromstring(svg_of(badge_of(None, label)))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {"svg", "title", "rect", "g", "text"}
    assert not [name for element in root.iter() for name in element.keys() if name.startswith("on")]  # noqa: SIM118
    json.loads(json_of(badge_of(None, label)))


def test_long_label_is_cut() -> None:
    assert len(badge_of(None, "x" * 1000).label) == MAX_LABEL
    assert badge_of(None, "").label == "build"


@pytest.mark.parametrize("label", ["build", "WWWWWWWW", "iiiiiiiii", "日本語のビルド", "e\u0301" * 5, "x" * 60])
def test_boxes_are_as_wide_as_their_texts(label: str) -> None:
    badge = badge_of(STATES["success"], label)
    root = ElementTree.fromstring(svg_of(badge))
    left, right = root.findall(f"{SVG}rect")
    texts = root.findall(f"{SVG}g/{SVG}text")
    for box, text in zip((left, right), texts, strict=True):
        length = float(text.get("textLength", ""))
        start = float(text.get("x", "")) - float(box.get("x", "0"))
        assert start + length <= float(box.get("width", "")) - start + 0.11
    assert float(root.get("width", "")) == pytest.approx(
        sum(float(box.get("width", "")) for box in (left, right)), 0.01
    )
    assert re.fullmatch(r"\d+(\.\d)?", root.get("width", ""))


def test_widths_follow_the_font() -> None:
    assert text_width("W") > 2 * text_width("i")
    assert text_width("日") == pytest.approx(11, 0.1)
    assert text_width("e\u0301") == text_width("e")
    assert text_width("") == 0
