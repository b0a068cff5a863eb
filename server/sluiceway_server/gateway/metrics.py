"""The metrics of a gateway, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class GatewayMetrics:
    """Counters of one gateway, in a registry of their own."""

    def __init__(self, streams: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        # The label is the template of a route and never the path of a request: the number of series stays small.
        self._requests = Counter(
            "sluiceway_gateway_requests",
            "Requests, when they are over.",
            ("method", "route", "code"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "sluiceway_gateway_request_seconds",
            "From the request's headers to the end of its response; streams are not in it.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        gauge = Gauge("sluiceway_gateway_streams", "Open streams.", registry=self._registry)
        gauge.set_function(streams)

    def observe(self, method: str, route: str, code: int, seconds: float | None) -> None:
        """Count a request; `seconds` is None for a stream."""
        method = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
        self._requests.labels(method, route, str(code)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """Write all in Prometheus' text format."""
        return generate_latest(self._registry)
