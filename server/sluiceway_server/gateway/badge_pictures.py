"""Badges as SVG and as JSON for shields.io. Pure.

The picture has no script, no style and no link, and all texts are escaped. Its widths are those of Verdana; with
another font, `textLength` makes the text as wide as its box. The colours have a contrast of at least 4.5 to white.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from html import escape

from sluiceway.api.project.v1 import badge_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.texts import shown

DEFAULT_LABEL = "build"
MAX_LABEL = 60

_GREEN, _RED, _BLUE, _AMBER, _GREY = "#1a7f37", "#cf222e", "#0969da", "#9a6700", "#57606a"
_LABEL_COLOR = "#444d56"
_SIZE = 11
_PADDING = 6
_HEIGHT = 20
# Advance widths of Verdana from U+0020 to U+007E, in units of 1/2048 em.
_WIDTHS = (
    720, 806, 940, 1676, 1302, 2204, 1488, 550, 930, 930, 1302, 1676, 745, 930, 745, 930, 1302, 1302, 1302, 1302, 1302,
    1302, 1302, 1302, 1302, 1302, 930, 930, 1676, 1676, 1676, 1117, 2048, 1400, 1404, 1430, 1578, 1295, 1177, 1588,
    1539, 862, 931, 1419, 1140, 1726, 1532, 1612, 1235, 1612, 1424, 1400, 1262, 1499, 1400, 2025, 1403, 1260, 1403,
    930, 930, 930, 1676, 1302, 1302, 1230, 1276, 1067, 1276, 1220, 720, 1276, 1296, 562, 705, 1212, 562, 1992, 1296,
    1243, 1276, 1276, 874, 1067, 807, 1296, 1212, 1676, 1212, 1212, 1076, 1300, 930, 1300, 1676,
)  # fmt: skip
_WIDE, _NARROW = 2048, 1302


@dataclass(frozen=True, slots=True)
class Badge:
    """What a badge says: `label`, `message`, and the colour of the message."""

    label: str
    message: str
    color: str


def badge_of(state: pb.GetBadgeResponse | None, label: str) -> Badge:
    """Return the badge of a state; None: there is no such project, or it may not be seen."""
    text = shown(label, most=MAX_LABEL) or DEFAULT_LABEL
    if state is None:
        return Badge(text, "not found", _GREY)
    match state.phase, state.result:
        case run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_SUCCESS:
            return Badge(text, "success", _GREEN)
        case run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_FAILED:
            return Badge(text, "failed", _RED)
        case run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_STOPPED:
            return Badge(text, "stopped", _AMBER)
        case run_pb2.RUN_PHASE_RUNNING, _:
            return Badge(text, "running", _BLUE)
        case run_pb2.RUN_PHASE_SETUP_ERROR, _:
            return Badge(text, "setup error", _RED)
        case run_pb2.RUN_PHASE_UNSPECIFIED, _:
            return Badge(text, "no runs", _GREY)
    return Badge(text, "unknown", _GREY)


def text_width(text: str) -> float:
    """Return the width of a text in pixels, at the size of badges."""
    units = sum(_width_of(character) for character in text)
    return round(units * _SIZE / 2048, 1)


def svg_of(badge: Badge) -> bytes:
    """Return a badge as a picture."""
    left, right = text_width(badge.label), text_width(badge.message)
    left_box, right_box = left + 2 * _PADDING, right + 2 * _PADDING
    width = left_box + right_box
    label, message = escape(badge.label), escape(badge.message)
    name = f"{label}: {message}"
    fit = 'lengthAdjust="spacingAndGlyphs"'
    font = f'font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{_SIZE}" fill="#fff"'
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.1f}" height="{_HEIGHT}"',
        f'role="img" aria-label="{name}">',
        f"<title>{name}</title>",
        f'<rect width="{left_box:.1f}" height="{_HEIGHT}" fill="{_LABEL_COLOR}"/>',
        f'<rect x="{left_box:.1f}" width="{right_box:.1f}" height="{_HEIGHT}" fill="{badge.color}"/>',
        f'<g {font} aria-hidden="true">',
        f'<text x="{_PADDING}" y="14" textLength="{left}" {fit}>{label}</text>',
        f'<text x="{left_box + _PADDING:.1f}" y="14" textLength="{right}" {fit}>{message}</text>',
        "</g>",
        "</svg>",
    )
    return "\n".join((*lines, "")).encode()


def json_of(badge: Badge) -> bytes:
    """Return a badge in the form of https://shields.io/badges/endpoint-badge."""
    fields = {"schemaVersion": 1, "label": badge.label, "message": badge.message, "color": badge.color.lstrip("#")}
    if badge.message in {"failed", "setup error", "not found"}:
        fields["isError"] = True
    return json.dumps(fields).encode() + b"\n"


def _width_of(character: str) -> int:
    index = ord(character) - 32
    if 0 <= index < len(_WIDTHS):
        return _WIDTHS[index]
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in {"W", "F"} else _NARROW
