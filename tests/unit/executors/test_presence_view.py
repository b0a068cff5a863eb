"""What placement sees of an executor's key."""

from __future__ import annotations

import pytest

from sluiceway_server.executors.presence import Presence


@pytest.mark.parametrize(
    ("drivers", "in_group", "takes"),
    [
        pytest.param(("sandbox",), True, True, id="a sandbox in a group for forks"),
        pytest.param(("sandbox",), False, False, id="a sandbox in another group"),
        pytest.param(("host",), True, False, id="a host driver in a group for forks"),
        pytest.param(("sandbox", "host"), True, False, id="both drivers"),
    ],
)
def test_executor_takes_runs_of_forks(drivers: tuple[str, ...], in_group: bool, takes: bool) -> None:
    presence = Presence("g", "e", "session", "stream", "1", "server", 1, drivers=drivers)
    assert presence.view(takes_forks=in_group).takes_forks == takes
