"""How the stack is doing, as far as this API can know without reaching further (decision 0041)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from covertype import trace
from covertype.trace import End, RunTrace
from model_api.archive import Activity, Archive
from model_api.asking import Away, Desk, Remembered
from model_api.model import ServingModel
from model_api.reports import Reports
from model_api.serving import ModelHolder

UP, DOWN, UNKNOWN = "up", "down", "unknown"

# How long an answer is shown at least before the service is asked again.
_SECONDS, _STORE_SECONDS = 2, 10
# Runs come in the schedule's rhythm. Silence of less than this says nothing, whatever the rhythm.
_SILENCE = timedelta(minutes=10)
# What the source had answered, or not, when a try to ingest ended early.
_ANSWERED = {"SourceExhausted", "SourceError", "BatchRefused"}
_UNAVAILABLE = "SourceUnavailable"


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True, protected_namespaces=())


class Service(_Shown):
    """A service of the stack. `unknown` is said where nothing is known, also for lack of news."""

    name: Literal["model-api", "mlflow", "minio", "mysql-data-store", "airflow-scheduler", "data-api"]
    status: Literal["up", "down", "unknown"]
    last_seen: datetime | None = Field(description="When there was last a sign of it; null: not known")
    detail: str = Field(description="How this is known, or what is wrong")


class ServingNow(_Shown):
    """The version that answers predictions."""

    name: str
    version: str
    run_id: str
    loaded_at: datetime
    promoted_at: datetime | None = Field(description="When a decision put it into Production, if known")


class PredictionCounts(_Shown):
    """How many predictions are recorded."""

    total: int
    last_hour: int
    last_day: int
    latest: datetime | None


class LatencyFigures(_Shown):
    """How long requests took, of the newest predictions of the last 24 hours (10,000 at most)."""

    p50: float = Field(description="Half of the requests took at most so many ms")
    p95: float = Field(description="95 of 100 requests took at most so many ms")
    requests: int


class VersionAccuracy(_Shown):
    """How a version did where the truth is known by now."""

    model_version: int
    feedback: int = Field(validation_alias="known", description="Predictions with feedback")
    right: int
    accuracy: float


class TaskState(_Shown):
    """The latest try of a task of a run."""

    task_id: str
    state: str = Field(description="running, success, failed, skipped, up_for_retry, or unknown: overdue")
    started_at: datetime
    ended_at: datetime | None
    detail: str = Field(description="Why it failed, was skipped or is tried again; cut short")


class RunState(_Shown):
    """A run of the DAG, by the tasks that have begun."""

    dag_id: str
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    state: Literal["running", "success", "failed", "skipped", "unknown"]
    tasks: list[TaskState]


class State(_Shown):
    """The stack at a moment. What cannot be known is null, never 0."""

    at: datetime
    services: list[Service]
    model: ServingNow | None
    predictions: PredictionCounts | None
    latency_ms: LatencyFigures | None
    live_accuracy: list[VersionAccuracy] | None = Field(description="The newest version first")
    runs: list[RunState] | None = Field(description="The last 20, the newest first")


@dataclass(frozen=True)
class Desks:
    """Who asks: threads for each service, so that one that hangs holds up no other."""

    database: Desk
    counting: Desk
    mlflow: Desk

    def close(self) -> None:
        """Forget what waits."""
        for desk in (self.database, self.counting, self.mlflow):
            desk.close()


def open_desks(seconds: float) -> Desks:
    """Desks that wait at most so long for an answer."""
    return Desks(Desk("the database", 3, seconds), Desk("the count", 1, seconds), Desk("MLflow", 3, seconds))


class StateTeller:
    """Asks everybody at once, and remembers what each has said for a while."""

    def __init__(self, holder: ModelHolder, archive: Archive, reports: Reports, desks: Desks) -> None:
        """Ask nothing yet."""
        self._holder = holder
        self._archive = archive
        self._desks = desks
        self._activity = Remembered(self._ask_archive, _SECONDS)
        self._mlflow = Remembered(reports.check, _SECONDS)
        self._store = Remembered(reports.check_store, _STORE_SECONDS)

    async def tell(self) -> State:
        """What is known now; in time, whoever hangs."""
        now = datetime.now(UTC)
        mlflow, store, activity = await asyncio.gather(
            _asked(self._desks.mlflow, self._mlflow),
            _asked(self._desks.mlflow, self._store),
            _asked(self._desks.database, self._activity),
        )
        known = _NOTHING if isinstance(activity, Away) else activity
        return State.model_validate(
            {
                "at": now,
                "services": [
                    _service("model-api", None, now, self._holder.problem),
                    _service("mlflow", mlflow, self._mlflow.answered_at),
                    _service("minio", store, self._store.answered_at)
                    if not isinstance(mlflow, Away)
                    else _unknown("minio", self._store.answered_at, "MLflow, which asks it, does not answer"),
                    _service("mysql-data-store", activity, self._activity.answered_at)
                    if self._archive.enabled
                    else _unknown("mysql-data-store", None, "this API has no database"),
                    _scheduler(known.runs, now),
                    _source(known.ingests, known.runs, now),
                ],
                "model": _serving(self._holder.model, known),
                "predictions": known.predictions,
                "latency_ms": known.latency,
                "live_accuracy": known.feedback,
                "runs": known.runs,
            }
        )

    def _ask_archive(self) -> Activity:
        model = self._holder.model
        return self._archive.activity(model.registered.run_id if model else None)


_NOTHING = Activity(
    run_id=None, promoted_at=None, runs=None, ingests=None, feedback=None, latency=None, predictions=None
)


async def _asked[T](desk: Desk, question: Callable[[], T]) -> T | Away:
    try:
        return await desk.ask(question)
    except Away as away:
        return away


def _service(name: str, answer: object, seen: datetime | None, detail: str | None = None) -> dict[str, Any]:
    away = isinstance(answer, Away)
    said = str(answer) if away else detail or "answers"
    return {"name": name, "status": DOWN if away else UP, "last_seen": seen, "detail": said}


def _unknown(name: str, seen: datetime | None, detail: str) -> dict[str, Any]:
    return {"name": name, "status": UNKNOWN, "last_seen": seen, "detail": detail}


def _serving(model: ServingModel | None, known: Activity) -> dict[str, Any] | None:
    if model is None:
        return None
    registered = model.registered
    return {
        "name": registered.name,
        "version": str(registered.version),
        "run_id": registered.run_id,
        "loaded_at": model.loaded_at,
        # What is remembered may be about the version before.
        "promoted_at": known.promoted_at if known.run_id == registered.run_id else None,
    }


def _scheduler(runs: Sequence[RunTrace] | None, now: datetime) -> dict[str, Any]:
    """By the last trace of a task: up while one works, and in a silence that the runs' rhythm explains."""
    name = "airflow-scheduler"
    if runs is None:
        return _unknown(name, None, "its tasks' traces cannot be read")
    tasks = [task for run in runs for task in run.tasks]
    if not tasks:
        return _unknown(name, None, "no task has left a trace yet")
    seen = max(task.ended_at or task.started_at for task in tasks)
    working = [task.task_id for task in tasks if task.state == trace.RUNNING]
    if working:
        return _service(name, None, seen, f"{working[0]} is running")
    if now - seen <= _explained(runs):
        return _service(name, None, seen, "its tasks come in their rhythm")
    return _unknown(name, seen, "no task has begun for longer than the runs' rhythm explains")


def _source(ends: Sequence[End] | None, runs: Sequence[RunTrace] | None, now: datetime) -> dict[str, Any]:
    """By the last try to ingest that says something about it: most other ends say nothing."""
    name = "data-api"
    if ends is None or runs is None:
        return _unknown(name, None, "what the ingest has met cannot be read")
    answers = [end for end in ends if end.state == trace.SUCCESS or end.error in _ANSWERED]
    seen = answers[0].at if answers else None
    telling = next((end for end in ends if end in answers or end.error == _UNAVAILABLE), None)
    if telling is None:
        return _unknown(name, None, "no ingest has asked it yet")
    if telling.error == _UNAVAILABLE:
        return {"name": name, "status": DOWN, "last_seen": seen, "detail": telling.detail}
    if now - telling.at <= _explained(runs):
        return _service(name, None, seen, telling.detail or "gave the last ingest a batch")
    return _unknown(name, seen, "no ingest has asked it for longer than the runs' rhythm explains")


def _explained(runs: Sequence[RunTrace]) -> timedelta:
    """How long a silence is nothing unusual: twice the usual distance of two runs."""
    begun = sorted(run.started_at for run in runs)
    distances = [(later - earlier).total_seconds() for earlier, later in pairwise(begun)]
    return max(_SILENCE, timedelta(seconds=2 * median(distances))) if distances else _SILENCE
