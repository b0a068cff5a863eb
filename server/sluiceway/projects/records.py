"""The types of record that the project side keeps."""

from __future__ import annotations

from sluiceway.datamanager.model import Column, RecordType
from sluiceway.records.project.v1 import records_pb2 as pb

__all__ = ["RECORD_TYPES", "TOKEN"]

TOKEN: RecordType[pb.Token] = RecordType(
    name="token",
    message=pb.Token,
    columns=(
        Column("kind", lambda token: pb.TokenKind.Name(token.kind)),
        Column("user_id", lambda token: token.user_id or None),
        Column("group", lambda token: token.group or None),
        Column("name", lambda token: token.name),
    ),
    indexes=(("kind", "name"), ("user_id", "name"), ("group", "name")),
)

RECORD_TYPES: tuple[RecordType[pb.Token], ...] = (TOKEN,)
