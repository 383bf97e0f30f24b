"""What `/metrics` shows. Right with several processes too, which then share PROMETHEUS_MULTIPROC_DIR."""

import os
import time
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from covertype import contract

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("model_api_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "model_api_request_seconds", "From the first byte to the last", ["route"], buckets=_SECONDS
)
PREDICTIONS = Counter("model_api_predictions", "Rows predicted", ["version", "class"])
REFUSED = Counter(
    "model_api_refused_values", "Values outside the contract's ranges and categories", ["field"]
)
SWAPS = Counter("model_api_swaps", "Attempts to take up another version", ["outcome"])
RECORDED = Counter("model_api_recorded", "Predictions delivered to the database")
LOST = Counter("model_api_lost", "Predictions that are not recorded and never will be", ["reason"])
JOURNAL_BYTES = Gauge(
    "model_api_journal_bytes", "Predictions that wait for the database", multiprocess_mode="max"
)
MODEL = Gauge(
    "model_api_model",
    "1 for the version that answers, 0 for those before it",
    ["name", "version", "run_id", "engine"],
    multiprocess_mode="mostrecent",
)
LOADED = Gauge(
    "model_api_model_loaded_timestamp_seconds",
    "When the version that answers was taken up",
    multiprocess_mode="mostrecent",
)
CREATED = Gauge(
    "model_api_model_created_timestamp_seconds",
    "When the version that answers was registered",
    multiprocess_mode="mostrecent",
)
FEEDBACK = Gauge(
    "model_api_feedback", "Answers whose truth is known", ["version"], multiprocess_mode="mostrecent"
)
LIVE_ACCURACY = Gauge(
    "model_api_live_accuracy",
    "Share of them that were right",
    ["version"],
    multiprocess_mode="mostrecent",
)

_VIOLATIONS = {"greater_than_equal", "less_than_equal", "literal_error"}
# Whatever a client calls its method or path, the number of time series is bounded.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def render() -> bytes:
    """All metrics as Prometheus reads them, of all processes."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        registry = REGISTRY
    else:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    text: bytes = generate_latest(registry)
    return text


def count_violations(errors: list[dict[str, Any]]) -> None:
    """Count the values that lie outside the contract, by field."""
    for error in errors:
        field = error["loc"][-1]
        if error["type"] in _VIOLATIONS and field in contract.FEATURES:
            REFUSED.labels(field).inc()


class Measured:
    """Counts and times each request, by its route: outermost, so that refusals count too."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, status).inc()
            DURATION.labels(route).observe(time.perf_counter() - started)
