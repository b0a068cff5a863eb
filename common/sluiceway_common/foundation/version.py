"""The version of this build, known without importing anything heavy."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
