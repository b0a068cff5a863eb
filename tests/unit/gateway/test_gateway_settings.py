"""The limits of a gateway: their bounds, and the options that set them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.cli.gateway_options import GATEWAY_LIMITS
from sluiceway_server.cli.processes import gateway
from sluiceway_server.gateway.settings import GatewaySettings


def test_default_limits_are_within_their_bounds() -> None:
    GatewaySettings().check()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_body_bytes": 32 * 1024 * 1024}, "--max-body-bytes: must be 1Ki to 16Mi, not 32Mi"),
        ({"max_body_bytes": 1}, "--max-body-bytes: must be 1Ki to 16Mi, not 1"),
        ({"max_calls": 0}, "--max-calls: must be 1 to 100000, not 0"),
        ({"read_timeout": timedelta(days=2)}, "--read-timeout: must be 0.001s to 86400s, not 172800s"),
        ({"deadline": timedelta(minutes=20)}, "--deadline: must be at most --max-deadline, which is 600s"),
        ({"cors_origins": frozenset({"*"})}, '--cors-origin: "*" would admit every page'),
        ({"cors_origins": frozenset({"null"})}, '--cors-origin: "null" would admit every page'),
        ({"cors_origins": frozenset({"https://ci.example.org/"})}, "is not an origin"),
        ({"cors_origins": frozenset({"https://CI.example.org"})}, "is not an origin"),
        ({"cors_origins": frozenset({"ci.example.org"})}, "is not an origin"),
        ({"cors_origins": frozenset({"https://u:p@ci.example.org"})}, "is not an origin"),
        ({"cors_origins": frozenset({"https://ci.example.org:443"})}, "a browser leaves :443 out"),
    ],
    ids=str,
)
def test_limit_out_of_bounds_is_named_by_its_option(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        GatewaySettings(**fields).check()
    assert words in caught.value.message


@pytest.mark.parametrize(
    "origin",
    ["https://ci.example.org", "http://localhost:3000", "http://[::1]:8080", "http://10.0.0.1", "http://a:443"],
)
def test_origin_is_accepted_as_a_browser_sends_it(origin: str) -> None:
    GatewaySettings(cors_origins=frozenset({origin})).check()


def test_all_faults_of_settings_are_reported_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        GatewaySettings(max_calls=0, max_streams=0, cors_origins=frozenset({"*", "x"})).check()
    assert len(caught.value.violations) == 4


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, GatewaySettings]]:
    """Return the settings that a gateway would be started with."""
    calls: list[tuple[str, str, GatewaySettings]] = []

    def main(http: str, server: str, settings: GatewaySettings, **_: Any) -> int:
        calls.append((http, server, settings))
        return 0

    monkeypatch.setattr("sluiceway_server.app.gateway.main", main)
    return calls


def run(*arguments: str) -> Any:
    return CliRunner().invoke(gateway, ["--http", "h:1", "--server", "s:2", *arguments], standalone_mode=False)


def test_every_limit_has_an_option_with_the_same_default(started: list[tuple[str, str, GatewaySettings]]) -> None:
    done = run()
    assert done.exception is None
    assert started == [("h:1", "s:2", GatewaySettings())]
    fields = {f"--{name.replace('_', '-')}" for name in GatewaySettings.__dataclass_fields__}
    assert fields - {"--cors-origins"} == set(GATEWAY_LIMITS)


def test_options_set_the_limits(started: list[tuple[str, str, GatewaySettings]]) -> None:
    done = run(
        *("--cors-origin", "https://a", "--cors-origin", "https://b", "--max-body-bytes", "1Mi"),
        *("--read-timeout", "1m30s", "--max-calls", "7"),
    )
    assert done.exception is None
    assert started[0][2] == GatewaySettings(
        cors_origins=frozenset({"https://a", "https://b"}),
        max_body_bytes=1024 * 1024,
        read_timeout=timedelta(seconds=90),
        max_calls=7,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-body-bytes", "lots"), "--max-body-bytes"),
        (("--max-body-bytes", "1Gi"), "--max-body-bytes: must be"),
        (("--read-timeout", "30"), "--read-timeout"),
        (("--read-timeout", "-1s"), "--read-timeout"),
        (("--cors-origin", "*"), "--cors-origin"),
    ],
    ids=str,
)
def test_wrong_gateway_option_is_named(
    started: list[tuple[str, str, GatewaySettings]], arguments: tuple[str, ...], words: str
) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, InvalidInput)
    assert words in done.exception.message
    assert started == []
