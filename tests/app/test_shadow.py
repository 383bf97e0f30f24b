"""The challenger predicts what the champion answered: seen in the metrics, felt by nobody."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from model_api import metrics
from model_api.main import create_app

from .conftest import Always, FakeRegistry, quick, wait_until
from .test_operation import metric

RECORD = dict(contract.EXAMPLE)


@pytest.fixture
def shadowed(registry: FakeRegistry, tmp_path: Path) -> Iterator[TestClient]:
    """The API in shadow mode, serving version 1."""
    metrics.MODEL.clear()  # models of other tests, which are no more
    registry.production = 1
    settings = quick(tmp_path).model_copy(update={"shadow": True, "shadow_queue": 3})
    with TestClient(create_app(registry, Settings(), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        yield client


def challenge(client: TestClient, registry: FakeRegistry, version: int | None) -> None:
    """Another challenger, until it is taken up or gone."""
    registry.challenger = version

    def shown() -> bool:
        total = metric(client, "model_api_model", role="challenger")
        mine = metric(client, "model_api_model", role="challenger", version=str(version))
        return (total, mine) == ((0, 0) if version is None else (1, 1))

    wait_until(shown, f"version {version} is the challenger")


def rows(client: TestClient, version: int, outcome: str) -> float:
    return metric(client, "model_api_shadow_rows_total", version=str(version), outcome=outcome)


def test_agreement_and_time_of_the_challenger_are_counted(
    shadowed: TestClient, registry: FakeRegistry
) -> None:
    registry.pipelines[8] = Always(1)  # as version 1
    for version, outcome in ((8, "agreed"), (9, "differed")):
        challenge(shadowed, registry, version)
        before = rows(shadowed, version, outcome)
        assert shadowed.post("/predict", json=RECORD).json()["prediction"] == 1
        answer = shadowed.post("/predict/batch", json={"records": [RECORD] * 70})
        assert answer.json()["model_version"] == "1"
        wait_until(
            lambda v=version, o=outcome, b=before: rows(shadowed, v, o) == b + 71, "the rows are compared"
        )
    assert metric(shadowed, "model_api_shadow_row_seconds_count", version="9") > 0
    assert metric(shadowed, "model_api_model", role="champion", version="1") == 1


def test_without_a_challenger_nothing_waits(shadowed: TestClient, registry: FakeRegistry) -> None:
    challenge(shadowed, registry, 9)
    challenge(shadowed, registry, None)
    dropped = metric(shadowed, "model_api_shadow_dropped_total")
    for _ in range(10):
        assert shadowed.post("/predict", json=RECORD).status_code == 200
    assert metric(shadowed, "model_api_shadow_dropped_total") == dropped


class Stuck(Always):
    """A challenger that does not come to an end until it is let go."""

    def __init__(self) -> None:
        super().__init__(2)
        self.go = threading.Event()
        self.go.set()
        self.asked = threading.Event()

    def predict_proba(self, X: pd.DataFrame) -> Any:
        self.asked.set()
        assert self.go.wait(20)
        return super().predict_proba(X)


def test_a_slow_challenger_slows_no_answer_and_what_it_misses_is_counted(
    shadowed: TestClient, registry: FakeRegistry
) -> None:
    stuck = registry.pipelines[10] = Stuck()
    challenge(shadowed, registry, 10)
    dropped = metric(shadowed, "model_api_shadow_dropped_total")
    stuck.asked.clear()
    stuck.go.clear()
    try:
        assert shadowed.post("/predict", json=RECORD).status_code == 200
        assert stuck.asked.wait(5)
        for _ in range(8):  # the queue holds three
            assert shadowed.post("/predict", json=RECORD).json()["model_version"] == "1"
        assert metric(shadowed, "model_api_shadow_dropped_total") == dropped + 5
    finally:
        stuck.go.set()


def test_a_challenger_that_fails_or_does_not_load_disturbs_nobody(
    shadowed: TestClient, registry: FakeRegistry
) -> None:
    class Failing(Always):
        broken = False

        def predict_proba(self, X: pd.DataFrame) -> Any:
            if self.broken:
                raise RuntimeError("out of trees")
            return super().predict_proba(X)

    failing = registry.pipelines[11] = Failing(1)
    challenge(shadowed, registry, 11)
    failing.broken = True
    assert shadowed.post("/predict", json=RECORD).status_code == 200
    wait_until(lambda: rows(shadowed, 11, "failed") == 1, "the failure is counted")

    registry.broken = {12}
    failed = metric(shadowed, "model_api_swaps_total", role="challenger", outcome="failed")
    registry.challenger = 12
    wait_until(
        lambda: metric(shadowed, "model_api_swaps_total", role="challenger", outcome="failed") > failed,
        "the failed load is counted",
    )
    assert shadowed.get("/model").json()["problem"] is None
    assert shadowed.post("/predict", json=RECORD).json()["model_version"] == "1"
