"""Carries the comments of the protos into what is generated from them.

protoc leaves comments out of Python code. This writes those of the API to `sluiceway/api/comments.json`, by full name,
for OpenAPI; and puts all of them into the type stubs, as docstrings, for editors.

    python scripts/comments.py DESCRIPTOR_SET FOLDER

DESCRIPTOR_SET was written by `protoc --include_source_info`; FOLDER has the generated code.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

API = "sluiceway.api."
# Field numbers in descriptor.proto: the paths of SourceCodeInfo are made of them.
FILE_MESSAGES, FILE_ENUMS, FILE_SERVICES = 4, 5, 6
MESSAGE_FIELDS, MESSAGE_MESSAGES, MESSAGE_ENUMS = 2, 3, 4
ENUM_VALUES, SERVICE_METHODS = 2, 2

Path_ = tuple[int, ...]


def comments_of(file: FileDescriptorProto) -> dict[str, str]:
    """Read the comments of a file by full name; an enum's values are below the enum."""
    text = {tuple(at.path): _clean(at.leading_comments) for at in file.source_code_info.location if at.leading_comments}
    return {name: text[path] for name, path in _places(file) if path in text}


def paragraphs_of(comment: str) -> str:
    """Join the lines of each paragraph and of each element of a list, as one writes Markdown."""
    return re.sub(r"(?<!\n)\n(?!\n|- ) *", " ", comment)


def document(stub: str, package: str, comments: dict[str, str]) -> str:
    """Put comments into the stub of a file, below the classes and attributes that they are about."""
    lines: list[str] = []
    classes: list[tuple[int, str]] = []
    for line in stub.splitlines():
        lines.append(line)
        found = re.match(r"(?P<indent> *)(?:class (?P<class>\w+)\(|(?P<attribute>\w+): )", line)
        if found is None:
            continue
        depth = len(found["indent"])
        classes = [(at, name) for at, name in classes if at < depth]
        outer = ".".join([package, *(name for _, name in classes)])
        name = found["class"] or found["attribute"]
        if found["class"] is not None:
            classes.append((depth, name))
        comment = comments.get(f"{outer}.{name}")
        if comment is not None:
            indent = found["indent"] + ("    " if found["class"] else "")
            lines += _docstring(comment, indent)
    return "\n".join(lines) + "\n"


def main() -> None:
    files = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes()).file
    folder = Path(sys.argv[2])
    api: dict[str, str] = {}
    for file in files:
        comments = comments_of(file)
        if file.package.startswith(API):
            api |= {name: paragraphs_of(comment) for name, comment in comments.items()}
        stub = folder / file.name.replace(".proto", "_pb2.pyi")
        if stub.exists():
            stub.write_text(document(stub.read_text(), file.package, comments))
    text = json.dumps(dict(sorted(api.items())), indent=1, ensure_ascii=False)
    (folder / "sluiceway" / "api" / "comments.json").write_text(text + "\n")


def _places(file: FileDescriptorProto) -> Iterator[tuple[str, Path_]]:
    yield from _messages(file.package, (), file.message_type, FILE_MESSAGES)
    yield from _enums(file.package, (), file.enum_type, FILE_ENUMS)
    for number, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield name, (FILE_SERVICES, number)
        for at, method in enumerate(service.method):
            yield f"{name}.{method.name}", (FILE_SERVICES, number, SERVICE_METHODS, at)


def _messages(scope: str, path: Path_, messages: Iterable[DescriptorProto], kind: int) -> Iterator[tuple[str, Path_]]:
    for number, message in enumerate(messages):
        name, here = f"{scope}.{message.name}", (*path, kind, number)
        yield name, here
        for at, field in enumerate(message.field):
            yield f"{name}.{field.name}", (*here, MESSAGE_FIELDS, at)
        yield from _messages(name, here, message.nested_type, MESSAGE_MESSAGES)
        yield from _enums(name, here, message.enum_type, MESSAGE_ENUMS)


def _enums(scope: str, path: Path_, enums: Iterable[EnumDescriptorProto], kind: int) -> Iterator[tuple[str, Path_]]:
    for number, enum in enumerate(enums):
        name, here = f"{scope}.{enum.name}", (*path, kind, number)
        yield name, here
        for at, value in enumerate(enum.value):
            yield f"{name}.{value.name}", (*here, ENUM_VALUES, at)


def _clean(comment: str) -> str:
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip()


def _docstring(comment: str, indent: str) -> list[str]:
    first, *rest = comment.replace("\\", "\\\\").replace('"""', '\\"""').splitlines()
    if not rest:
        return [f'{indent}"""{first}"""']
    return [f'{indent}"""{first}', *(f"{indent}{line}" if line else "" for line in rest), f'{indent}"""']


if __name__ == "__main__":
    main()
