"""Runs on three servers, of which one after the other is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server_kills import check, installation

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_runs_end_right_while_servers_are_killed(tmp_path: Path, s3_owner: None) -> None:
    with installation(tmp_path) as parts:
        outcome = parts.run(8, seed=1, down_seconds=2)
    assert outcome.kills
    check(outcome)
