"""The types of record that the project side keeps."""

from __future__ import annotations

from typing import Any

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Column, RecordType

__all__ = ["FIRST_TOKENS", "FIRST_TOKENS_ID", "RECORD_TYPES", "TOKEN"]


def _kind(token: pb.Token) -> str:
    # A newer version may know more kinds; what a column is made of must never stop a server.
    return pb.TokenKind.Name(token.kind) if token.kind in pb.TokenKind.values() else str(int(token.kind))


TOKEN: RecordType[pb.Token] = RecordType(
    name="token",
    message=pb.Token,
    columns=(
        Column("kind", _kind),
        Column("user_id", lambda token: token.user_id or None),
        Column("group", lambda token: token.group or None),
        Column("name", lambda token: token.name),
    ),
    indexes=(("kind", "name"), ("user_id", "name"), ("group", "name")),
)

FIRST_TOKENS: RecordType[pb.FirstTokens] = RecordType("first_tokens", pb.FirstTokens)
FIRST_TOKENS_ID = "first"

RECORD_TYPES: tuple[RecordType[Any], ...] = (TOKEN, FIRST_TOKENS)
