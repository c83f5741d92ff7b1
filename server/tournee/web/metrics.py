"""Numbers for Prometheus.

Each of several worker processes writes its own files in PROMETHEUS_MULTIPROC_DIR, which the command line
sets before it starts them. The worker that answers `/metrics` adds all files up.
"""

from __future__ import annotations

import hmac
import os
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.answers import coded
from tournee.web.hosts import is_of_this_machine

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_requests = Counter("tournee_http_requests", "Requests answered.", ["route", "method", "status"])
_seconds = Histogram(
    "tournee_http_request_seconds",
    "Seconds from the request to the last byte of its answer; streams not counted.",
    ["route", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def count(route: str, method: str, status: int, seconds: float | None) -> None:
    """Count one request. Only known methods become labels, because a stranger can send any text."""
    method = method if method in _METHODS else "OTHER"
    _counter(route, method, status).inc()
    if seconds is not None:
        _histogram(route, method).observe(seconds)


# Looking up a metric's child takes longer than counting, and there are few combinations of labels.
@cache
def _counter(route: str, method: str, status: int) -> Counter:
    return _requests.labels(route, method, str(status))


@cache
def _histogram(route: str, method: str) -> Histogram:
    return _seconds.labels(route, method)


def metrics_route(token: str) -> Route:
    """Return the route `/metrics`; it needs the token, or if none is set, a client on this machine."""

    async def metrics(request: Request) -> Response:
        given = request.headers.get("authorization", "").partition(" ")
        if token and not hmac.compare_digest(given[2].strip().encode(), token.encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            return coded(
                401, "UNAUTHENTICATED", "Send the token for /metrics as a bearer token.", headers=challenge
            )
        if not token and not is_of_this_machine(request.scope):
            message = "Only this machine may read the metrics while TOURNEE_METRICS_TOKEN is not set."
            return coded(403, "FORBIDDEN", message)
        return _printed()

    return Route("/metrics", metrics)


def _printed() -> Response:
    """Return all metrics in Prometheus's text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
