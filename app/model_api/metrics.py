"""What `/metrics` shows. Right with several processes too, which then share PROMETHEUS_MULTIPROC_DIR."""

import os
from functools import lru_cache
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

from covertype import contract

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_ROW_SECONDS = (0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.01, 0.1)

REQUESTS = Counter("model_api_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "model_api_request_seconds", "From the first byte to the last", ["route"], buckets=_SECONDS
)
PREDICTIONS = Counter("model_api_predictions", "Rows predicted", ["version", "class"])
REFUSED = Counter(
    "model_api_refused_values", "Values outside the contract's ranges and categories", ["field"]
)
SWAPS = Counter("model_api_swaps", "Attempts to take up another version", ["role", "outcome"])
RECORDED = Counter("model_api_recorded", "Predictions delivered to the database")
LOST = Counter("model_api_lost", "Predictions that are not recorded and never will be", ["reason"])
JOURNAL_BYTES = Gauge(
    "model_api_journal_bytes", "Predictions that wait for the database", multiprocess_mode="max"
)
MODEL = Gauge(
    "model_api_model",
    "1 for the version that has the role now, champion or challenger, 0 for those before it",
    ["role", "name", "version", "run_id", "engine"],
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
SHADOW_ROWS = Counter(
    "model_api_shadow_rows",
    "Rows that the challenger predicted too, by whether it agreed with the champion",
    ["version", "outcome"],
)
SHADOW_SECONDS = Histogram(
    "model_api_shadow_row_seconds",
    "Time that the challenger took for a row, many at once",
    ["version"],
    buckets=_ROW_SECONDS,
)
SHADOW_DROPPED = Counter("model_api_shadow_dropped", "Rows that the challenger had no time for")
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


# What a request needs is looked up once: to ask for a child by its labels costs as much as a few trees.
@lru_cache(maxsize=2_048)
def labelled[Metric: (Counter, Histogram)](metric: Metric, *labels: str | int) -> Metric:
    """The one of a metric's series that has these labels."""
    found: Metric = metric.labels(*labels)
    return found


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
