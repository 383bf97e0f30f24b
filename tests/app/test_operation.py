"""What the operator sees: metrics, headers, logs."""

import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covertype import contract
from model_api.logs import REQUEST_ID, JsonFormatter

from .conftest import FakeRegistry, wait_until

RECORD = dict(contract.EXAMPLE)


def metric(client: TestClient, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels."""
    total = 0.0
    for line in client.get("/metrics").text.splitlines():
        found = re.fullmatch(r"(\w+?)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            total += float(found[3]) if labels.items() <= has.items() else 0
    return total


def test_requests_are_counted_by_route_and_status_and_rows_by_class(client: TestClient) -> None:
    def seen() -> list[float]:
        return [
            metric(client, "model_api_requests_total", route="/predict", status="200"),
            metric(client, "model_api_requests_total", route="/predict/batch", status="422"),
            metric(client, "model_api_requests_total", route="none", status="404"),
            metric(client, "model_api_request_seconds_count", route="/predict"),
            metric(client, "model_api_predictions_total", version="1", **{"class": "Lodgepole Pine"}),
            metric(client, "model_api_refused_values_total", field="Slope"),
        ]

    before = seen()
    assert client.post("/predict", json=RECORD).status_code == 200
    assert client.post("/predict/batch", json={"records": [RECORD] * 40}).status_code == 200
    assert client.post("/predict/batch", json={"records": [RECORD | {"Slope": 67}]}).status_code == 422
    assert client.get("/no/such/path").status_code == 404
    assert [after - number for after, number in zip(seen(), before, strict=True)] == [1, 1, 1, 1, 41, 1]


def test_the_serving_version_and_swaps_are_shown(client: TestClient, registry: FakeRegistry) -> None:
    failed = metric(client, "model_api_swaps_total", outcome="failed")
    assert metric(client, "model_api_model", version="1", run_id="run-1", engine="scikit-learn") == 1
    registry.broken, registry.production = {2}, 2

    def counted() -> bool:
        return metric(client, "model_api_swaps_total", outcome="failed") > failed

    def shown() -> bool:
        first, second = (metric(client, "model_api_model", run_id=f"run-{number}") for number in (1, 2))
        return (first, second) == (0, 1)

    wait_until(counted, "a failure is counted")
    assert not shown()
    registry.broken = set()
    wait_until(shown, "version 2 is shown, and version 1 is not")
    assert metric(client, "model_api_model_loaded_timestamp_seconds") > 1_700_000_000


def test_metrics_of_several_processes_are_added_up(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        from model_api import metrics
        metrics.PREDICTIONS.labels("1", "Aspen").inc(3)
        metrics.JOURNAL_BYTES.set(7)
        print(metrics.render().decode())
    """)
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(filter(None, sys.path))}
    texts = [
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert 'model_api_predictions_total{class="Aspen",version="1"} 6.0' in texts[1]
    assert "model_api_journal_bytes 7.0" in texts[1]


def test_each_answer_has_an_id_and_says_how_it_may_be_used(client: TestClient) -> None:
    own = client.get("/health", headers={"x-request-id": "from-a-client.1"})
    assert own.headers["x-request-id"] == "from-a-client.1"
    made = client.get("/health", headers={"x-request-id": 'forged" line'}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    for answer in (own, client.post("/predict", json={}), client.get("/nowhere")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    # Closed: no page of another origin may read an answer.
    assert not [name for name in own.headers if name.startswith("access-control")]


def test_a_refusal_is_logged_with_its_id(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="model_api.attendance")
    client.post("/predict", json={}, headers={"x-request-id": "seen-again"})
    (record,) = [record for record in caplog.records if record.name == "model_api.attendance"]
    token = REQUEST_ID.set("seen-again")
    line = json.loads(JsonFormatter().format(record))
    REQUEST_ID.reset(token)
    assert line["request_id"] == "seen-again"
    assert line["level"] == "INFO"
    assert re.fullmatch(r"POST /predict: 422 in \d+\.\d{3} s", line["message"])
