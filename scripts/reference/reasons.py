"""The page of error reasons: which there are is read from the code, what they mean from docs/reference/reasons.toml.

A reason is a constant that is given to an error of our family, as the argument `reason` or as the attribute of a class.
Reasons that are computed come from the two enums that they are computed from.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.reference.markdown import NOTICE, ROOT, Fault, code, table
from sluiceway_common.foundation import errors
from sluiceway_common.runconfig.capabilities import Feature
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.gateway.errors import HTTP_CODES

SOURCES = ("common", "server", "executor", "client")
DESCRIPTIONS = ROOT / "docs" / "reference" / "reasons.toml"

HEAD = """# Error reasons

Every error has a gRPC code, a message for people, and a *reason* for programs: `google.rpc.ErrorInfo.reason`, with the
domain `sluiceway`; in JSON it is in `error.details`. Reasons are part of the API: a later version may add some, and
does not change what one means. Codes and HTTP statuses correspond as in [api.md](../design/api.md#errors).
"""


def reasons_page() -> str:
    """Return the page; raise `Fault` for reasons without a description, and for descriptions without a reason."""
    groups: dict[str, dict[str, Any]] = tomllib.loads(DESCRIPTIONS.read_text())
    codes = codes_of_reasons()
    described = {reason for group in groups.values() for reason in group if reason.isupper()}
    if missing := sorted(codes.keys() - described):
        raise Fault(f"docs/reference/reasons.toml lacks a description of: {', '.join(missing)}")
    if unknown := sorted(described - codes.keys()):
        raise Fault(f"docs/reference/reasons.toml describes reasons that the code does not have: {', '.join(unknown)}")
    lines = [NOTICE, "", HEAD]
    for group in groups.values():
        lines += [f"## {group['title']}", ""]
        if "about" in group:
            lines += [group["about"], ""]
        rows = []
        for reason, description in group.items():
            if reason.isupper():
                names = sorted(codes[reason])
                http = description[2] if len(description) > 2 else ", ".join(sorted({_http(name) for name in names}))
                rows.append((code(reason), ", ".join(names), http, description[0], description[1]))
        lines += table(("reason", "gRPC code", "HTTP", "when", "what to do"), rows)
    return "\n".join(lines).rstrip() + "\n"


def codes_of_reasons() -> dict[str, set[str]]:
    """Return the gRPC codes with which each reason occurs."""
    modules = {path: ast.parse(path.read_text()) for path in _files()}
    family = _family(modules)
    found: dict[str, set[str]] = {}
    for tree in modules.values():
        for reason, name in _raised(tree, family):
            found.setdefault(reason, set()).add(family[name])
    for kind in Kind:
        if kind not in {Kind.NEW, Kind.HEALTHY}:
            found.setdefault(kind.value, set()).add("FAILED_PRECONDITION")
    for feature in Feature:
        found.setdefault(f"{feature.upper()}_UNSUPPORTED", set()).add("FAILED_PRECONDITION")
    return found


def _files() -> Iterator[Path]:
    for source in SOURCES:
        yield from sorted((ROOT / source).rglob("*.py"))


def _family(modules: dict[Path, ast.Module]) -> dict[str, str]:
    """Return the code of each class of the family, by the name of the class."""
    family = {
        name: error.code.value
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.SluicewayError)
    }
    classes = [node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
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
