"""Registry, archive and reports of plain objects that can fail at will, and tiny real models."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.pipeline import Pipeline

from covertype import contract
from covertype.artifact import Artifact
from covertype.prepare import TerrainFeatures
from covertype.questions import BadRow, Distribution, Feedback, Latency, Line, Predictions
from covertype.settings import Settings
from covertype.tables import Promotion
from covertype.trace import End, RunTrace, TaskTrace
from covertype.version import CHALLENGER, CHAMPION, ModelVersion
from model_api import conversion
from model_api.archive import Activity
from model_api.asking import Away
from model_api.main import create_app
from model_api.model import ServingModel
from model_api.reports import BatchFigures, ClassFigures, Report
from model_api.settings import ApiSettings

NAME = "modelo_covertype_vf"


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("COVERTYPE_", "MODEL_API_")):
                patch.delenv(name)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        yield


def quick(folder: Path) -> ApiSettings:
    """Settings of an API that looks often and keeps what it keeps in a folder."""
    return ApiSettings(poll_seconds=0.02, retry_seconds=0.05, body_limit=5_000_000, state_dir=folder)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


@contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """The port of loopback on which a real server runs the app, for the block."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the API listens")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def example_frame() -> pd.DataFrame:
    return contract.features_frame([contract.EXAMPLE, contract.EXAMPLE])


class Always:
    """Stands for a fitted pipeline that is sure of one class: version and answer can be told apart."""

    def __init__(
        self, code: int, classes: tuple[int, ...] = tuple(contract.CLASSES), total: float = 1.0
    ) -> None:
        self.classes_ = np.array(classes)
        self.calls: list[int] = []
        self._row = np.where(self.classes_ == code, total, 0.0)

    def predict_proba(self, X: pd.DataFrame) -> Any:
        self.calls.append(len(X))
        return np.tile(self._row, (len(X), 1))


class FakeRegistry:
    """A registry that can be `down`. Version N predicts class N % 7, unless it is `broken`."""

    def __init__(self) -> None:
        self.production: int | None = None
        self.challenger: int | None = None
        self.runs = "run"  # a registry that was made anew has other runs
        self.down = False
        self.broken: set[int] = set()
        self.loads: list[int] = []
        self.pipelines: dict[int, Any] = {}
        self.kept: list[tuple[str, int]] = []

    def _version(self, number: int) -> ModelVersion:
        serving = number == self.production
        return ModelVersion(
            name=NAME,
            version=number,
            run_id=f"{self.runs}-{number}",
            stage="Production" if serving else "None",
            aliases=("champion",) if serving else (),
            metrics={"test_f1": 0.5},
            tags={},
            created=datetime(2026, 1, number, tzinfo=UTC),
        )

    def find(self, alias: str) -> ModelVersion | None:
        if self.down:
            raise ConnectionError("no route to mlflow:5000")
        number = {CHAMPION: self.production, CHALLENGER: self.challenger}[alias]
        return None if number is None else self._version(number)

    def get(self, number: int) -> ModelVersion | None:
        if self.down:
            raise ConnectionError("no route to mlflow:5000")
        return self._version(number) if number in (1, 2) else None

    def load(self, version: ModelVersion) -> ServingModel:
        self.loads.append(version.version)
        if self.down or version.version in self.broken:
            raise OSError(f"artifact of version {version.version} is damaged")
        pipeline = self.pipelines.setdefault(version.version, Always(version.version % 7))
        return conversion.checked(version, Artifact(pipeline, example_frame()))

    def keep(self, version: ModelVersion, role: str) -> None:
        self.kept.append((role, version.version))

    def last_good(self) -> ServingModel | None:
        return None

    def list_versions(self) -> list[ModelVersion]:
        if self.down:
            raise ConnectionError("no route to mlflow:5000")
        return [self._version(number) for number in (2, 1)]


NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def task_trace(name: str, state: str, at: datetime, detail: str = "") -> TaskTrace:
    """A task that takes a minute, if it is at an end."""
    ended = None if state in {"running", "unknown"} else at + timedelta(minutes=1)
    return TaskTrace(name, state, at, ended, detail)


def run_trace(at: datetime, state: str, *tasks: TaskTrace) -> RunTrace:
    ended = None if state in {"running", "unknown"} else at + timedelta(minutes=5)
    return RunTrace("DAG_p2", f"scheduled__{at.isoformat()}", at, ended, state, tasks)


@dataclass
class FakeArchive:
    """An archive with two batches that can be `down`, or `frozen`: then nobody answers until it is set."""

    enabled: bool = True
    down: bool = False
    frozen: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    runs: list[RunTrace] = field(default_factory=list)
    ingests: list[End] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frozen.set()

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        self.frozen.wait(timeout=30)
        if self.down:
            raise Away("the database does not answer")

    def ledger(self) -> list[Line]:
        self._answer("ledger")
        first = Line(1, 1, 1, "run 1", NOON, 100, 98, 2, refused=False)
        return [Line(2, 1, 2, "run 2", NOON + timedelta(minutes=6), 50, 0, 50, refused=True), first]

    def distribution(self, column: str) -> Distribution:
        self._answer(f"distribution of {column}")
        return Distribution(column, "category", ["Cache", "Rawah"], {1: [60, 38], 2: [0, 7]})

    def quarantine(self, most: int) -> tuple[int, list[BadRow]]:
        self._answer(f"quarantine {most}")
        row = BadRow(2, 1, 2, 0, NOON, "['x']", "not a list of 13 strings")
        return 52, [row]

    def promotions(self, most: int) -> list[tuple[datetime, Promotion]]:
        self._answer(f"promotions {most}")
        first = Promotion(1, "run-1", {"test_f1": 0.5}, None, None, True, "the first", "promoted", "run 1")
        second = Promotion(2, "run-2", {}, 1, {"test_f1": 0.5}, False, "no better", "refused", "run 2")
        return [(NOON + timedelta(minutes=6), second), (NOON, first)]

    def activity(self, run_id: str | None) -> Activity:
        self._answer("activity")
        return Activity(
            run_id=run_id,
            promoted_at=NOON if run_id == "run-1" else None,
            runs=self.runs,
            ingests=self.ingests,
            feedback=[Feedback("run-1", 1, 4, 3)],
            latency=Latency(1.5, 9.0, 40),
            predictions=Predictions(90, 2, 50, NOON),
        )


@dataclass
class FakeReports:
    """Reports of an MLflow that can be `down`, or whose store can."""

    down: bool = False
    store_down: bool = False
    found: Report = field(
        default_factory=lambda: Report(
            [BatchFigures(1, 0.9, 0.8)],
            [ClassFigures(0, "Spruce/Fir", 0.9, 0.8, 0.85, 12)],
            [[7 * true + said for said in range(7)] for true in range(7)],
        )
    )

    def check(self) -> None:
        if self.down:
            raise Away("MLflow does not answer")

    def check_store(self) -> None:
        self.check()
        if self.store_down:
            raise Away("The store of artifacts, asked through MLflow, does not answer")

    def report(self, run_id: str) -> Report:
        self.check()
        return self.found


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def empty_client(registry: FakeRegistry, tmp_path: Path) -> Iterator[TestClient]:
    """The running API before there is a Production model."""
    with TestClient(create_app(registry, Settings(), quick(tmp_path))) as client:
        yield client


@pytest.fixture
def client(registry: FakeRegistry, empty_client: TestClient) -> TestClient:
    """The running API, serving version 1."""
    registry.production = 1
    wait_until(lambda: empty_client.get("/ready").status_code == 200, "version 1 is served")
    return empty_client


def random_observations(rows: int, seed: int) -> pd.DataFrame:
    """Valid observations with every class among them."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        name: random.integers(limits.minimum, limits.maximum + 1, rows)
        for name, limits in contract.RANGES.items()
    }
    columns |= {name: random.choice(values, rows) for name, values in contract.CATEGORIES.items()}
    columns[contract.TARGET] = np.arange(rows) % len(contract.CLASSES)
    return contract.as_typed(pd.DataFrame(columns))


def tiny_pipeline(seed: int) -> Pipeline:
    """A real model of this project, as small as can be."""
    rows = random_observations(140, seed)
    trees = ExtraTreesClassifier(n_estimators=3, max_depth=4, random_state=seed)
    pipeline = Pipeline([("prepare", TerrainFeatures()), ("model", trees)])
    return pipeline.fit(rows[list(contract.FEATURES)], rows[contract.TARGET])
