"""The command that runs a step's text, as a configuration writes it: `"/bin/sh -e"`. Pure."""

from __future__ import annotations

import shlex


def split_shell(text: str) -> list[str]:
    """Split the command into its words, as a shell does.

    Raises:
        ValueError: it is not a command, for a person.
    """
    try:
        words = shlex.split(text)
    except ValueError as cause:
        raise ValueError(f"is not a command: {str(cause).lower()}") from cause
    if not words:
        raise ValueError("is not a command: it is blank")
    return words
