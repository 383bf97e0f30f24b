"""All ten batches through the real DAG, from where test_end_to_end.py stops until the source has no more."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from .conftest import ARTEFACTS, Stack

BATCHES = 10
ROWS = 58_100
TRAINED = {"ingest", "prepare", "train", "evaluate", "register", "promote"}


@pytest.fixture(scope="module")
def gathered(stack: Stack) -> dict[str, Any]:
    """The run that found the source exhausted, after those that gathered what was left."""
    # Two at once: one waits for the other, and both get a batch of their own.
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda _: stack.run_dag(), range(2)))
    for run in together:
        assert set(run["tasks"].values()) == {"success"}, run
    for _ in range(BATCHES + 1):
        run = stack.run_dag()
        assert run["state"] == "success", run
        seconds = (moment(run["end_date"]) - moment(run["start_date"])).total_seconds()
        print(f"{run['dag_run_id']}: {seconds:.0f} s, {run['tasks']}")
        if run["tasks"]["ingest"] == "skipped":
            return run
        assert set(run["tasks"].values()) == {"success"}, run
    return pytest.fail(f"the source still gave batches after {BATCHES + 1} runs")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def runs(stack: Stack) -> list[dict[str, Any]]:
    """MLflow's evaluated runs of the experiment, the oldest first, each with metrics and tags by name."""
    api = f"{stack.url('mlflow')}/api/2.0/mlflow"
    experiment = httpx.get(
        f"{api}/experiments/get-by-name",
        params={"experiment_name": "covertype_training_experiment"},
        timeout=30,
    )
    found = httpx.post(
        f"{api}/runs/search",
        json={
            "experiment_ids": [experiment.raise_for_status().json()["experiment"]["experiment_id"]],
            "filter": "tags.dag_run_sha256 LIKE '%' AND attributes.status = 'FINISHED'",
            "order_by": ["attributes.start_time ASC"],
            "max_results": 100,
        },
        timeout=30,
    )
    return [
        {
            "id": run["info"]["run_id"],
            "metrics": {metric["key"]: metric["value"] for metric in run["data"]["metrics"]},
            "tags": {tag["key"]: tag["value"] for tag in run["data"]["tags"]},
        }
        for run in found.raise_for_status().json()["runs"]
    ]


def test_a_run_after_the_last_batch_is_skipped_and_not_failed(stack: Stack, gathered: dict[str, Any]) -> None:
    answer = httpx.get(f"{stack.url('data-api')}/data", params={"group_number": 1}, timeout=30)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Ya se recolectó toda la información minima necesaria"}
    assert set(gathered["tasks"]) == TRAINED
    assert set(gathered["tasks"].values()) == {"skipped"}


def test_nothing_is_lost_or_doubled(stack: Stack, gathered: dict[str, Any]) -> None:
    ledger = stack.mysql("SELECT batch, rows_received, rows_new, dag_run_id FROM raw_batches ORDER BY id")
    assert [int(line[0]) for line in ledger] == list(range(1, BATCHES + 1))
    assert len({line[3] for line in ledger}) == BATCHES
    assert sum(int(line[1]) for line in ledger) == pytest.approx(ROWS, abs=BATCHES)
    ((stored,),) = stack.mysql("SELECT COUNT(*) FROM raw_observations")
    assert int(stored) == sum(int(line[2]) for line in ledger) == sum(int(line[1]) for line in ledger)
    assert len(runs(stack)) == BATCHES
    versions = httpx.get(f"{stack.url('model-api')}/models", timeout=30).raise_for_status().json()
    assert sorted(int(version["version"]) for version in versions) == list(range(1, BATCHES + 1))
    decided = stack.mysql("SELECT COUNT(*) FROM promotions WHERE decision IN ('promoted', 'refused')")
    assert decided == [[str(BATCHES)]]


def test_the_targets_are_reached(stack: Stack, gathered: dict[str, Any]) -> None:
    metrics = runs(stack)[-1]["metrics"]
    assert metrics["test_accuracy"] >= 0.93
    assert metrics["test_f1"] >= 0.88
    assert metrics["baseline_f1"] < 0.2
    # Drift: what users got of the model before it was trained on the batch is worse than what it promised.
    for run in runs(stack)[1:]:
        assert 0.2 < run["metrics"]["before_f1"] < run["metrics"]["test_f1"]


def test_the_last_version_that_was_promoted_is_in_production(stack: Stack, gathered: dict[str, Any]) -> None:
    ((last,),) = stack.mysql("SELECT candidate FROM promotions WHERE promoted ORDER BY id DESC LIMIT 1")
    versions = httpx.get(f"{stack.url('model-api')}/models", timeout=30).raise_for_status().json()
    (production,) = [version for version in versions if version["stage"] == "Production"]
    assert str(production["version"]) == last
    assert "champion" in production["aliases"]


def test_the_curve_of_every_batch_is_in_mlflow(
    stack: Stack, gathered: dict[str, Any], browser_page: Any
) -> None:
    found = runs(stack)
    assert [int(run["tags"]["batch"]) for run in found] == list(range(1, BATCHES + 1))
    history = (
        httpx.get(
            f"{stack.url('mlflow')}/api/2.0/mlflow/metrics/get-history",
            params={"run_id": found[-1]["id"], "metric_key": "batch_f1"},
            timeout=30,
        )
        .raise_for_status()
        .json()["metrics"]
    )
    curve = {int(point["step"]): point["value"] for point in history}
    assert sorted(curve) == list(range(1, BATCHES + 1))
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    browser_page.set_content(svg(curves(found) | {"macro-F1 of the last model, by batch": curve}))
    browser_page.locator("svg").screenshot(path=ARTEFACTS / "quality-per-batch.png")


def curves(found: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """What MLflow has of each run, by the number of its batch."""
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for run in found:
        batch, metrics = int(run["tags"]["batch"]), run["metrics"]
        series["accuracy, all test rows so far"][batch] = metrics["test_accuracy"]
        series["macro-F1, all test rows so far"][batch] = metrics["test_f1"]
        if "before_accuracy" in metrics:
            series["accuracy users got on the new batch"][batch] = metrics["before_accuracy"]
            series["macro-F1 users got on the new batch"][batch] = metrics["before_f1"]
    return dict(series)


def svg(series: dict[str, dict[int, float]]) -> str:
    """A line chart without a drawing library, which the tests' environment on the host does not have."""
    colours = ("#1b7837", "#762a83", "#7fbf7b", "#af8dc3", "#878787")

    def x(batch: int) -> float:
        return 60 + (batch - 1) * 62

    def y(value: float) -> float:
        return 40 + (1 - value) * 400

    marks = []
    for tenth in range(11):
        marks.append(f'<line x1="60" x2="618" y1="{y(tenth / 10)}" y2="{y(tenth / 10)}" stroke="#ddd"/>')
        marks.append(f'<text x="28" y="{y(tenth / 10) + 4}">{tenth / 10:.1f}</text>')
    marks += [f'<text x="{x(batch) - 4}" y="460">{batch}</text>' for batch in range(1, BATCHES + 1)]
    for position, (name, line) in enumerate(series.items()):
        colour = colours[position]
        points = " ".join(f"{x(batch)},{y(value):.1f}" for batch, value in sorted(line.items()))
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for batch, value in line.items():
            marks.append(f'<circle cx="{x(batch)}" cy="{y(value):.1f}" r="3" fill="{colour}"/>')
        marks.append(f'<rect x="330" y="{300 + position * 24}" width="14" height="4" fill="{colour}"/>')
        marks.append(f'<text x="352" y="{306 + position * 24}">{name}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="650" height="490" '
        'font-family="sans-serif" font-size="13">'
        '<rect width="650" height="490" fill="white"/>'
        '<text x="60" y="24" font-size="16">Quality per batch, from MLflow</text>'
        f'{"".join(marks)}<text x="320" y="482">batch</text></svg>'
    )
