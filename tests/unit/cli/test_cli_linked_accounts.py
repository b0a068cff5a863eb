"""The table of linked accounts."""

from __future__ import annotations

import pytest

from sluiceway.api.project.v1.linked_account_service_pb2 import LinkedAccount
from sluiceway.cli.remote_sources import account_rows
from sluiceway.cli.showing import Column, table


def test_account_has_its_problem_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        LinkedAccount(id="1", remote_source_id="s1", remote_name="eve"),
        LinkedAccount(id="2", remote_source_id="s2", remote_name="ann", problem="it was revoked; link it again"),
    ]
    rows = account_rows(found, {"s1": "forge"})
    assert [row.cells for row in rows] == [("forge", "eve", "1"), ("s2", "ann", "2")]
    table([Column("SOURCE"), Column("ACCOUNT"), Column("ID")], rows)
    assert capsys.readouterr().out.splitlines()[-1].strip() == "it was revoked; link it again"
