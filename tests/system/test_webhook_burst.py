"""A burst of webhooks on real parts, while the object storage is away and a server is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.webhook_burst import burst, check

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def test_each_push_of_a_burst_makes_its_run_once(tmp_path: Path, s3_owner: None) -> None:
    with burst(tmp_path) as parts:
        outcome = parts.run(200, away=5)
    check(outcome)
