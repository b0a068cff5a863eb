"""The version of this build, readable without heavy imports."""

from __future__ import annotations

VERSION = "0.1.0"
