"""What the API tells about the pipeline and the stack, and what it says when nobody can be asked."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from covertype.trace import End, RunTrace
from model_api.main import create_app
from model_api.reports import Report

from .conftest import (
    FakeArchive,
    FakeRegistry,
    FakeReports,
    listening,
    quick,
    run_trace,
    task_trace,
    wait_until,
)

RECORD = dict(contract.EXAMPLE)
CALLS = ["/batches", "/batches/distribution?column=Slope", "/quarantine", "/promotions"]


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
def reports() -> FakeReports:
    return FakeReports()


@pytest.fixture
def api(
    registry: FakeRegistry, archive: FakeArchive, reports: FakeReports, tmp_path: Path
) -> Iterator[TestClient]:
    """The API, serving version 1, with an archive and reports."""
    registry.production = 1
    app = create_app(registry, Settings(), quick(tmp_path), archive, reports)
    with TestClient(app) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        yield client


def get(api: TestClient, path: str) -> Any:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_batches_are_the_lines_of_the_ledger(api: TestClient) -> None:
    second, first = get(api, "/batches")
    assert first == {
        "id": 1,
        "group": 1,
        "batch": 1,
        "dag_run_id": "run 1",
        "received_at": "2026-11-28T12:00:00Z",
        "rows_received": 100,
        "rows_new": 98,
        "rows_quarantined": 2,
        "refused": False,
    }
    assert (second["id"], second["refused"]) == (2, True)


def test_a_distribution_has_counts_in_the_order_of_its_bins(api: TestClient, archive: FakeArchive) -> None:
    assert get(api, "/batches/distribution?column=Wilderness_Area") == {
        "column": "Wilderness_Area",
        "kind": "category",
        "bins": ["Cache", "Rawah"],
        "batches": [{"batch": 1, "rows": 98, "counts": [60, 38]}, {"batch": 2, "rows": 7, "counts": [0, 7]}],
    }
    for column in contract.COLUMNS:
        assert api.get("/batches/distribution", params={"column": column}).status_code == 200
    for asked in ("", "?column=Height", "?column=batch_id", "?column=Slope;DROP TABLE predictions"):
        refused = api.get(f"/batches/distribution{asked}")
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["query", "column"])
    assert len(archive.asked) == 1 + len(contract.COLUMNS)


def test_the_quarantine_and_its_limit(api: TestClient, archive: FakeArchive) -> None:
    assert get(api, "/quarantine") == {
        "total": 52,
        "rows": [
            {
                "batch_id": 2,
                "group": 1,
                "batch": 2,
                "position": 0,
                "received_at": "2026-11-28T12:00:00Z",
                "received": "['x']",
                "reasons": "not a list of 13 strings",
            }
        ],
    }
    get(api, "/quarantine?limit=1000")
    assert archive.asked == ["quarantine 100", "quarantine 1000"]
    for limit in ("0", "1001", "-1", "many"):
        assert api.get("/quarantine", params={"limit": limit}).status_code == 422
        assert api.get("/promotions", params={"limit": limit}).status_code == 422


def test_promotions_tell_who_met_whom(api: TestClient) -> None:
    second, first = get(api, "/promotions")
    assert (first["champion"], first["champion_metrics"], first["promoted"]) == (None, None, True)
    assert second == {
        "candidate": 2,
        "champion": 1,
        "candidate_metrics": {},
        "champion_metrics": {"test_f1": 0.5},
        "promoted": False,
        "decision": "refused",
        "reason": "no better",
        "request": "run 2",
        "at": "2026-11-28T12:06:00Z",
    }


def test_the_evaluation_of_a_version(api: TestClient, reports: FakeReports, registry: FakeRegistry) -> None:
    found = get(api, "/models/1/evaluation")
    assert (found["version"], found["run_id"], found["metrics"]) == ("1", "run-1", {"test_f1": 0.5})
    assert found["per_batch"] == [{"batch": 1, "accuracy": 0.9, "f1": 0.8}]
    assert found["classes"] == [
        {"class": 0, "label": "Spruce/Fir", "precision": 0.9, "recall": 0.8, "f1": 0.85, "rows": 12}
    ]
    assert found["confusion"]["labels"] == list(contract.CLASSES.values())
    assert found["confusion"]["counts"][1] == [7, 8, 9, 10, 11, 12, 13]

    reports.found = Report([], [], None)  # of a run from before there were reports
    old = get(api, "/models/1/evaluation")
    assert (old["per_batch"], old["classes"], old["confusion"]) == ([], [], None)

    assert api.get("/models/3/evaluation").status_code == 404
    assert api.get("/models/first/evaluation").status_code == 422
    reports.down = True
    assert api.get("/models/1/evaluation").status_code == 503
    registry.down = True
    assert api.get("/models/1/evaluation").json() == {"detail": "the model registry does not answer"}


@pytest.mark.parametrize("path", CALLS)
def test_without_the_database_503_with_the_reason(
    api: TestClient, archive: FakeArchive, path: str, tmp_path: Path
) -> None:
    archive.down = True
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (503, {"detail": "the database does not answer"})
    archive.down = False
    assert api.get(path).status_code == 200
    with TestClient(create_app(FakeRegistry(), Settings(), quick(tmp_path))) as nowhere:
        assert nowhere.get(path).json() == {"detail": "there is no database here"}


def test_who_hangs_is_given_up_in_time_and_holds_up_no_prediction(
    registry: FakeRegistry, archive: FakeArchive, reports: FakeReports, tmp_path: Path
) -> None:
    registry.production = 1
    settings = quick(tmp_path).model_copy(update={"ask_seconds": 1})
    with (
        listening(create_app(registry, Settings(), settings, archive, reports)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as api,
    ):
        wait_until(lambda: api.get("/ready").status_code == 200, "version 1 is served")
        archive.frozen.clear()

        def ask(path: str) -> tuple[int, float]:
            started = time.monotonic()
            return api.get(path).status_code, time.monotonic() - started

        # More than there are threads of any kind.
        crowd = ThreadPoolExecutor(48)
        asked = [crowd.submit(ask, path) for path in CALLS * 12]
        wait_until(lambda: len(archive.asked) >= 4, "all threads for questions hang")
        started = time.monotonic()
        # The second is computed on the same threads as every other call's.
        assert api.post("/predict", json=RECORD).status_code == 200
        assert api.post("/predict/batch", json={"records": [RECORD] * 100}).status_code == 200
        assert api.get("/health").status_code == 200
        state = api.get("/state").json()
        assert time.monotonic() - started < 5
        assert (state["predictions"], state["runs"]) == (None, None)
        crowd.shutdown()
        assert {one.result()[0] for one in asked} == {503}
        assert max(one.result()[1] for one in asked) < 5, "not the 30 s for which it is frozen"
        archive.frozen.set()
        wait_until(lambda: api.get("/batches").status_code == 200, "it answers again")


def services(state: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in state["services"]}


def test_the_state_of_a_stack_that_is_well(api: TestClient, archive: FakeArchive) -> None:
    now = datetime.now(UTC)
    at = now - timedelta(minutes=3)
    tasks = [task_trace("ingest", "success", at), task_trace("prepare", "failed", at, "held")]
    archive.runs = [run_trace(at, "failed", *tasks)]
    archive.ingests = [End("success", "", "", at)]
    state = get(api, "/state")
    assert list(state) == [
        "at",
        "services",
        "model",
        "predictions",
        "latency_ms",
        "live_accuracy",
        "runs",
    ]
    assert services(state) == {
        "model-api": "up",
        "mlflow": "up",
        "minio": "up",
        "mysql-data-store": "up",
        "airflow-scheduler": "up",
        "data-api": "up",
    }
    assert all(one["last_seen"] and one["detail"] for one in state["services"])
    model = state["model"]
    assert (model["name"], model["version"], model["run_id"]) == ("modelo_covertype_vf", "1", "run-1")
    assert (model["promoted_at"], bool(model["loaded_at"])) == ("2026-11-28T12:00:00Z", True)
    assert state["predictions"] == {
        "total": 90,
        "last_hour": 2,
        "last_day": 50,
        "latest": "2026-11-28T12:00:00Z",
    }
    assert state["latency_ms"] == {"p50": 1.5, "p95": 9.0, "requests": 40}
    assert state["live_accuracy"] == [{"model_version": 1, "feedback": 4, "right": 3, "accuracy": 0.75}]
    (run,) = state["runs"]
    assert (run["dag_id"], run["state"]) == ("DAG_p2", "failed")
    assert [(task["task_id"], task["state"], task["detail"]) for task in run["tasks"]] == [
        ("ingest", "success", ""),
        ("prepare", "failed", "held"),
    ]


def test_the_state_of_a_stack_where_nothing_answers(
    archive: FakeArchive, reports: FakeReports, tmp_path: Path
) -> None:
    archive.down = reports.down = True
    with TestClient(create_app(FakeRegistry(), Settings(), quick(tmp_path), archive, reports)) as api:
        state = get(api, "/state")
        unknown = {"minio": "unknown", "airflow-scheduler": "unknown", "data-api": "unknown"}
        assert (
            services(state)
            == {
                "model-api": "up",
                "mlflow": "down",
                "mysql-data-store": "down",
            }
            | unknown
        )
        parts = ("model", "predictions", "latency_ms", "live_accuracy", "runs")
        assert {state[part] for part in parts} == {None}
        assert {one["last_seen"] for one in state["services"][1:]} == {None}
    with TestClient(create_app(FakeRegistry(), Settings(), quick(tmp_path), reports=reports)) as api:
        assert services(get(api, "/state"))["mysql-data-store"] == "unknown", "there is none"


def test_what_was_seen_last_is_remembered(
    api: TestClient, reports: FakeReports, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(api, "/state")
    reports.store_down = True
    # Asked anew when what is remembered is too old to be shown.
    later = time.monotonic() + 600
    monkeypatch.setattr("model_api.asking.time", SimpleNamespace(monotonic=lambda: later))
    minio = {one["name"]: one for one in get(api, "/state")["services"]}["minio"]
    assert (minio["status"], bool(minio["last_seen"])) == ("down", True)
    assert "store of artifacts" in minio["detail"]


def traces(*distances: int, state: str = "success") -> list[RunTrace]:
    """Runs so many minutes ago, the newest first."""
    now = datetime.now(UTC)
    begun = [now - timedelta(minutes=minutes) for minutes in distances]
    return [run_trace(at, state, task_trace("promote", state, at)) for at in begun]


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        ([], "unknown"),
        (traces(3, 9, 15), "up"),
        (traces(9), "up"),
        (traces(60, 66, 72), "unknown"),
        (traces(100, 160, 220), "up"),  # a schedule of an hour
        (traces(40, state="running"), "up"),  # a long training
        (traces(70, state="unknown"), "unknown"),
    ],
)
def test_the_scheduler_is_known_by_the_traces_of_tasks(
    api: TestClient, archive: FakeArchive, runs: list[RunTrace], status: str
) -> None:
    archive.runs = runs
    scheduler = {one["name"]: one for one in get(api, "/state")["services"]}["airflow-scheduler"]
    assert scheduler["status"] == status
    assert bool(scheduler["last_seen"]) == bool(runs)


def ends(*found: tuple[str, str, int]) -> list[End]:
    """Tries to ingest: state, what ended it, minutes ago; the newest first."""
    now = datetime.now(UTC)
    return [End(state, error, error, now - timedelta(minutes=ago)) for state, error, ago in found]


@pytest.mark.parametrize(
    ("ingests", "status", "seen"),
    [
        (ends(), "unknown", False),
        (ends(("success", "", 3)), "up", True),
        (ends(("skipped", "SourceExhausted", 3)), "up", True),
        (ends(("failed", "BatchRefused", 3)), "up", True),
        (ends(("up_for_retry", "SourceUnavailable", 3), ("success", "", 9)), "down", True),
        (ends(("failed", "SourceUnavailable", 90)), "down", False),
        (ends(("success", "", 2), ("failed", "SourceUnavailable", 3)), "up", True),
        # Says nothing of the source: the next one back does.
        (ends(("failed", "LockTimeout", 2), ("failed", "SourceUnavailable", 3)), "down", False),
        (ends(("skipped", "", 2)), "unknown", False),
        (ends(("success", "", 90)), "unknown", True),
    ],
)
def test_the_source_is_known_by_what_the_ingest_met(
    api: TestClient, archive: FakeArchive, ingests: list[End], status: str, seen: bool
) -> None:
    archive.runs, archive.ingests = traces(3, 9, 15), ingests
    source = {one["name"]: one for one in get(api, "/state")["services"]}["data-api"]
    assert (source["status"], bool(source["last_seen"])) == (status, seen)


def test_the_key_is_asked_for_here_too(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of this test", encoding="utf-8")
    settings = quick(tmp_path).model_copy(update={"key_file": tmp_path / "key"})
    with TestClient(create_app(registry, Settings(), settings, FakeArchive(), FakeReports())) as api:
        for path in [*CALLS, "/state", "/models/1/evaluation"]:
            assert api.get(path).status_code == 401
            assert api.get(path, headers={"x-api-key": "of this test"}).status_code == 200


def test_the_document_describes_every_answer(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    for path in ("/state", "/batches", "/batches/distribution", "/quarantine", "/promotions"):
        call = document["paths"][path]["get"]
        assert call["summary"]
        assert call["description"]
        assert "$ref" in json.dumps(call["responses"]["200"]["content"])
        assert ("503" in call["responses"]) == (path != "/state")
    assert set(document["paths"]["/models/{version}/evaluation"]["get"]["responses"]) >= {"404", "503"}
