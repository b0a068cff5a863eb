"""The page of reasons: which there are is read from the code, what they mean from docs/reference/reasons.toml.

The reason of an error is a constant that is given to an error of our family, as the argument `reason` or as the
attribute of a class; computed ones come from the enums that they are computed from. The reasons of runs, tasks and
steps are those of `ReasonCode`, and the constants that an executor reports.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from scripts.reference.markdown import NOTICE, ROOT, Fault, code, table
from sluiceway_common.foundation import errors
from sluiceway_common.runconfig.capabilities import Feature
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_server.datamanager.recovery.diagnosis import Kind, StoreDiagnosis
from sluiceway_server.gateway.errors import HTTP_CODES

SOURCES = ("common", "server", "executor", "client")
OUTCOME_CALLS = {"Ending", "PodGone", "Reason", "StepEnded", "StepState", "StopRequested", "exceed_limit"}
DESCRIPTIONS = ROOT / "docs" / "reference" / "reasons.toml"

HEAD = """# Reasons

Errors come first; the reasons of [runs and tasks](#reasons-of-runs-and-tasks-skipped-cancelled-ended) are at the end.

Every error has a gRPC code, a message for people, and a *reason* for programs: `google.rpc.ErrorInfo.reason`, with the
domain `sluiceway`; in JSON it is in `error.details`. Reasons are part of the API: a later version may add some, and
does not change what one means. Codes and HTTP statuses correspond as in [api.md](../design/api.md#errors).
"""


def reasons_page() -> str:
    """Return the page; raise `Fault` for reasons without a description, and for descriptions without a reason."""
    groups: dict[str, dict[str, Any]] = tomllib.loads(DESCRIPTIONS.read_text())
    codes = codes_of_reasons()
    outcomes = codes_of_outcomes()
    errors_described, outcomes_described = (
        {name for group in groups.values() if bool(group.get("outcome")) is kind for name in group if name.isupper()}
        for kind in (False, True)
    )
    missing = (codes.keys() - errors_described) | (outcomes - outcomes_described - errors_described)
    if missing:
        raise Fault(f"docs/reference/reasons.toml lacks a description of: {', '.join(sorted(missing))}")
    unknown = (errors_described - codes.keys()) | (outcomes_described - outcomes)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise Fault(f"docs/reference/reasons.toml describes reasons that the code does not have: {names}")
    lines = [NOTICE, "", HEAD]
    for group in groups.values():
        lines += [f"## {group['title']}", ""]
        if "about" in group:
            lines += [group["about"], ""]
        described_here = {name: text for name, text in group.items() if name.isupper()}
        if group.get("outcome"):
            lines += table(("reason", "meaning"), [(code(name), text) for name, text in described_here.items()])
        else:
            rows = [_row(name, text, sorted(codes[name])) for name, text in described_here.items()]
            lines += table(("reason", "gRPC code", "HTTP", "when", "what to do"), rows)
    return "\n".join(lines).rstrip() + "\n"


def _row(reason: str, description: list[str], names: list[str]) -> tuple[str, ...]:
    http = description[2] if len(description) > 2 else ", ".join(sorted({_http(name) for name in names}))
    return code(reason), ", ".join(names), http, description[0], description[1]


def codes_of_reasons() -> dict[str, set[str]]:
    """Return the gRPC codes with which each reason occurs."""
    family = _family()
    found: dict[str, set[str]] = {}
    for tree in _modules():
        for reason, name in _raised(tree, family):
            found.setdefault(reason, set()).add(family[name])
    for kind in Kind:
        if kind not in {Kind.NEW, Kind.HEALTHY}:
            nothing: Any = None  # what was found is in the message only
            found.setdefault(kind.value, set()).add(StoreDiagnosis(kind, "", nothing).error().code.value)
    for feature in Feature:
        found.setdefault(f"{feature.upper()}_UNSUPPORTED", set()).add("FAILED_PRECONDITION")
    return found


def codes_of_outcomes() -> set[str]:
    """Return the reasons of runs, tasks, steps and refused updates."""
    found = {reason.upper() for reason in ReasonCode} | {f"LIMIT_{limit}" for limit in ("MEMORY", "PROCESSES")}
    for tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _last_name(node.func) in OUTCOME_CALLS:
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                texts = (part.value for each in given for part in ast.walk(each) if isinstance(part, ast.Constant))
                found |= {text.upper() for text in texts if isinstance(text, str) and _is_code(text)}
    return found


def _is_code(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Z]{2,}(_[A-Z]+)*|[a-z]+(_[a-z]+)+", text))


@cache
def _modules() -> tuple[ast.Module, ...]:
    """Parse all modules, once for a process."""
    files = (path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py")))
    return tuple(ast.parse(path.read_text()) for path in files)


def _family() -> dict[str, str]:
    """Return the code of each class of the family, by the name of the class."""
    family = {
        name: error.code.value
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.SluicewayError)
    }
    classes = [node for tree in _modules() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    size = 0
    while size < len(family):
        size = len(family)
        for class_ in classes:
            for base in class_.bases:
                if (name := _last_name(base)) in family:
                    family.setdefault(class_.name, family[name])
    return family


def _raised(tree: ast.Module, family: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each reason in a module, with the class that it is given to."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _last_name(node.func)) in family:
            for keyword in node.keywords:
                if keyword.arg == "reason":
                    if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                        yield keyword.value.value, name
                    elif isinstance(keyword.value, ast.Name) and keyword.value.id in constants:
                        yield constants[keyword.value.id], name
        elif isinstance(node, ast.ClassDef) and node.name in family:
            for statement in node.body:
                match statement:
                    case (
                        ast.Assign(targets=[ast.Name("reason")], value=ast.Constant(str(reason)))
                        | ast.AnnAssign(target=ast.Name("reason"), value=ast.Constant(str(reason)))
                    ):
                        yield reason, node.name


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(_, name):
            return name
    return ""


def _http(name: str) -> str:
    return str(HTTP_CODES[name])
