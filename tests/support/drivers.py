"""A driver that supports everything that a configuration can ask for."""

from __future__ import annotations

from typing import Final

from sluiceway_common.runconfig.capabilities import Capabilities
from sluiceway_common.runconfig.step_model import STEP_MODELS

__all__ = ["ABLE"]

ABLE: Final = (
    Capabilities(
        "able",
        steps=frozenset(STEP_MODELS),
        registry_images=True,
        folder_images=True,
        services=True,
        privileged=True,
        entrypoint=True,
        volumes=True,
        limits_processors=True,
    ),
)
