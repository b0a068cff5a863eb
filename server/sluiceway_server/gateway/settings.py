"""The settings of a gateway, and their bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.limits import MAX_MESSAGE_BYTES

__all__ = ["GatewaySettings"]

_KIB = 1024
_MIB = 1024 * _KIB
_SHORTEST = timedelta(milliseconds=1)
_DAY = timedelta(days=1)

# An origin as a browser sends it (WHATWG URL, "ASCII serialisation of an origin").
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The limits of a gateway, with their defaults.

    Attributes:
        max_body_bytes: of a request; larger ones are 413. Raise it for runs of very many tasks, up to gRPC's 16 MiB.
        max_header_bytes: of a request's line and headers together; larger ones are 431.
        max_large_bodies: bodies of more than 64 KiB, or of unknown length, that are read and translated at a time;
            others wait. They may take `max_body_bytes` each.
        max_workers: processes that translate large messages. Each takes a processor and up to 1 GiB for a while.
        max_calls: unary calls at a time; more are 429. Lower it when the gateway's memory is small.
        max_streams: streams at a time; more are 429.
        max_connections: connections at a time; more are 503. Each needs a file descriptor.
        deadline: of a unary call without a deadline of its own.
        max_deadline: that a call may ask for with `sluice-timeout`.
        read_timeout: for a request's headers, and again for its body; slower ones are cut.
        keep_alive_timeout: how long a connection stays open without a request.
        linger_timeout: how long a client may continue to send a request after the response; then its connection
            is closed.
        linger_bytes: how much it may send in that time. It is discarded.
        comment_interval: how often an open SSE stream is sent a comment. Lower it when a proxy cuts sooner.
        stall_timeout: how long a client may read nothing before it is disconnected.
        first_message_timeout: how long a stream's response waits for its first message, so that a call that fails at
            once gets its own HTTP code.
        cors_origins: which other origins may call from a browser, exactly as a browser sends them
            (`https://ci.example.org`).
    """

    max_body_bytes: int = 8 * _MIB
    max_header_bytes: int = 32 * _KIB
    max_large_bodies: int = 16
    max_workers: int = 2
    max_calls: int = 1024
    max_streams: int = 4096
    max_connections: int = 8192
    deadline: timedelta = timedelta(seconds=30)
    max_deadline: timedelta = timedelta(minutes=10)
    read_timeout: timedelta = timedelta(seconds=30)
    keep_alive_timeout: timedelta = timedelta(seconds=75)
    linger_timeout: timedelta = timedelta(seconds=30)
    linger_bytes: int = 256 * _MIB
    comment_interval: timedelta = timedelta(seconds=15)
    stall_timeout: timedelta = timedelta(seconds=60)
    first_message_timeout: timedelta = timedelta(seconds=2)
    cors_origins: frozenset[str] = frozenset()

    def check(self) -> None:
        """Check that all values are within their bounds.

        Raises:
            InvalidInput: with all faults, each with its option of `sluice gateway`.
        """
        faults: list[Violation] = []
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                faults.append(
                    Violation(_option(name), f"must be {_shown(least)} to {_shown(most)}, not {_shown(value)}")
                )
        if self.deadline > self.max_deadline:
            most_shown = _shown(self.max_deadline)
            faults.append(Violation(_option("deadline"), f"must be at most --max-deadline, which is {most_shown}"))
        for origin in sorted(self.cors_origins):
            fault = _origin_fault(origin)
            if fault:
                faults.append(Violation("--cors-origin", fault))
        if faults:
            raise InvalidInput(faults)


_BOUNDS: dict[str, tuple[int, int] | tuple[timedelta, timedelta]] = {
    "max_body_bytes": (_KIB, MAX_MESSAGE_BYTES),
    "max_header_bytes": (_KIB, _MIB),
    "max_large_bodies": (1, 1_000),
    "max_workers": (1, 100),
    "max_calls": (1, 100_000),
    "max_streams": (1, 100_000),
    "max_connections": (1, 1_000_000),
    "deadline": (_SHORTEST, _DAY),
    "max_deadline": (_SHORTEST, _DAY),
    "read_timeout": (_SHORTEST, _DAY),
    "keep_alive_timeout": (_SHORTEST, _DAY),
    "linger_timeout": (_SHORTEST, _DAY),
    "linger_bytes": (_KIB, 1024 * 1024 * _MIB),
    "comment_interval": (_SHORTEST, _DAY),
    "stall_timeout": (_SHORTEST, _DAY),
    "first_message_timeout": (_SHORTEST, _DAY),
}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _shown(value: int | timedelta) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    for unit, name in ((_MIB, "Mi"), (_KIB, "Ki")):
        if value >= unit and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def _origin_fault(origin: str) -> str:
    if origin in {"*", "null"}:
        return f'"{origin}" would admit every page; name each origin, such as https://ci.example.org'
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return f'"{origin}" is not an origin as a browser sends it, such as https://ci.example.org or http://[::1]:8080'
    if found.group(2) == _DEFAULT_PORTS[origin.partition(":")[0]]:
        return f'"{origin}" would never match: a browser leaves {found.group(2)} out'
    return ""
