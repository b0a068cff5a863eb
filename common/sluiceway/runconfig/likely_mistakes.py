"""What a task may say, and most likely does not mean: the words of the warnings.

The checks of a configuration use them for a document, and the server for the tasks of a run that somebody creates
without one, so that both say the same. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from sluiceway.runconfig.environment import POD_VARIABLE

__all__ = ["carriage_return", "overwritten_variable"]


def carriage_return(text: str, *, is_command: bool) -> str | None:
    """Warn of carriage returns in a text; None when it has none."""
    if "\r" not in text:
        return None
    if "\r\n" not in text:
        what = "it holds a carriage return"
    elif is_command:
        what = "its lines end in CR LF"
    else:
        what = "it has lines that end in CR LF"
    then = ", which a shell takes for a part of the command" if is_command else ""
    return f"{what}{then}; save the file with LF line ends, or take the carriage returns out"


def overwritten_variable(name: str, value: str | None, *, system: Collection[str], in_step: bool = False) -> str | None:
    """Warn of a variable that the system sets to something else; None for any other one.

    Args:
        name: of the variable.
        value: its value; None where that is not known yet.
        system: the names that the system sets (`environment.system_variables`).
        in_step: whether it is of a step, whose own variables win; else it is of a task or a container.
    """
    if name == POD_VARIABLE:
        return f"`{name}` is set by the executor; this value is not used"
    if in_step or name not in system or (name == "CI" and value == "true"):
        return None
    return f"`{name}` is set by the system; this value is not used, but a step's own `environment` can set it"
