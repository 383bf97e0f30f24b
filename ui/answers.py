"""What the model API answers, as values. The `read_…` functions raise ValueError, TypeError, KeyError or
AttributeError on what is no such answer.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Version:
    """One registered version of a model; `created` is None where the API gives no date."""

    name: str
    version: str
    stage: str
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    created: datetime | None


@dataclass(frozen=True)
class Serving:
    """The version that answers predictions now."""

    name: str
    version: str
    run_id: str
    loaded_at: datetime | None
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """One prediction: the class and its name, the probability (0..1) of each class, and what computed it."""

    cover_type: int
    label: str
    probabilities: Mapping[str, float]
    model_version: str
    prediction_id: str


@dataclass(frozen=True)
class Service:
    """Whether a service works, as far as the API knows, and when it was last seen to."""

    name: str
    status: str
    last_seen: datetime | None
    detail: str


@dataclass(frozen=True)
class Current:
    """The model that serves, since when, and since when it is the one in Production."""

    name: str
    version: str
    run_id: str
    loaded_at: datetime | None
    promoted_at: datetime | None


@dataclass(frozen=True)
class Traffic:
    """How many predictions were kept, and when the last was."""

    total: int
    last_hour: int
    last_day: int
    latest: datetime | None


@dataclass(frozen=True)
class Latency:
    """How long predictions took, in milliseconds, over so many of them."""

    p50: float
    p95: float
    requests: int


@dataclass(frozen=True)
class LiveAccuracy:
    """How often a version was right, of the predictions that somebody has said the truth about."""

    version: str
    feedback: int
    right: int
    accuracy: float


@dataclass(frozen=True)
class Task:
    """One task of a run, with what it said of its end."""

    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class Run:
    """One run of a DAG; `ended` is None while it goes on, and where nobody knows."""

    dag: str
    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class State:
    """The whole pipeline at one moment; a part is None where the API does not know it."""

    at: datetime
    services: tuple[Service, ...]
    model: Current | None
    traffic: Traffic | None
    latency: Latency | None
    accuracy: tuple[LiveAccuracy, ...] | None
    runs: tuple[Run, ...] | None


@dataclass(frozen=True)
class Batch:
    """One request to the data source: what came, what of it was new, and what was set aside."""

    group: int
    batch: int
    asked_by: str
    received: datetime | None
    rows: int
    new: int
    quarantined: int
    refused: bool

    @property
    def repeated(self) -> int | None:
        """Good rows that were there before; None for a refused request, of which nothing was kept."""
        return None if self.refused else self.rows - self.new - self.quarantined


@dataclass(frozen=True)
class Distribution:
    """How often each bin of a column occurs in each batch of the source: counts in the order of `bins`."""

    column: str
    is_number: bool
    bins: tuple[str, ...]
    counts: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class BadRow:
    """A row that was set aside: where it stood, as it came, and every rule that it breaks."""

    group: int
    batch: int
    position: int
    received_at: datetime | None
    received: str
    reasons: str


@dataclass(frozen=True)
class Quarantine:
    """How many rows are set aside in all, and the last of them."""

    total: int
    rows: tuple[BadRow, ...]


@dataclass(frozen=True)
class Promotion:
    """A decision about a version; both metrics were measured on the same rows."""

    candidate: str
    champion: str | None
    candidate_metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float]
    promoted: bool
    decision: str
    reason: str
    asked_by: str
    at: datetime | None


@dataclass(frozen=True)
class ClassQuality:
    """How well a version tells one class, over so many rows of it."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Evaluation:
    """What a version's report says; empty or None where the report has no such part."""

    version: str
    metrics: Mapping[str, float]
    # Batch -> accuracy and macro-F1 on its rows.
    per_batch: Mapping[int, tuple[float, float]]
    classes: tuple[ClassQuality, ...]
    labels: tuple[str, ...]
    # True class by predicted class.
    confusion: tuple[tuple[int, ...], ...] | None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, expected text")
    return str(value)


def _numbers(body: object) -> dict[str, float]:
    """Names and finite numbers; raises TypeError or ValueError on anything else."""
    if not isinstance(body, dict):
        raise TypeError(f"{type(body).__name__} where names with numbers were expected")
    return {str(name): _number(value) for name, value in body.items()}


def _moment(value: object) -> datetime | None:
    """A time with a zone from ISO 8601 text; None stays None."""
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_serving(body: Any) -> Serving:
    """The answer of GET /model."""
    return Serving(
        _text(body, "name"),
        _text(body, "version"),
        _text(body, "run_id"),
        _moment(body["loaded_at"]),
        _numbers(body["metrics"]),
    )


def _version(body: Any) -> Version:
    return Version(
        _text(body, "name"),
        _text(body, "version"),
        _text(body, "stage"),
        tuple(str(alias) for alias in body["aliases"]),
        _numbers(body["metrics"]),
        _moment(body["created"]),
    )


def read_versions(body: Any) -> tuple[Version, ...]:
    """The answer of GET /models."""
    return _each(body, _version)


def read_model_names(body: Any) -> tuple[str, ...]:
    """The answer of GET /listar_modelos."""
    names = body["modelos_disponibles"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("modelos_disponibles is not a list of names")
    return tuple(names)


def read_prediction(body: Any) -> Prediction:
    """The answer of POST /predict."""
    label, probabilities = _text(body, "label"), _numbers(body["probabilities"])
    if label not in probabilities or not all(0 <= value <= 1 for value in probabilities.values()):
        raise ValueError("probabilities that do not fit the prediction")
    return Prediction(
        int(body["prediction"]),
        label,
        probabilities,
        _text(body, "model_version"),
        _text(body, "prediction_id"),
    )


def read_predictions(body: Any, count: int) -> tuple[Prediction, ...]:
    """The answer of POST /predict/batch to that many records."""
    predictions = _each(body["predictions"], read_prediction)
    if len(predictions) != count:
        raise ValueError(f"{len(predictions)} predictions for {count} records")
    return predictions


def read_state(body: Any) -> State:
    """The answer of GET /state."""
    at = _moment(body["at"])
    if at is None:
        raise ValueError("a state without its time")
    return State(
        at,
        _each(body["services"], _service),
        _known(body["model"], _current),
        _known(body["predictions"], _traffic),
        _known(body["latency_ms"], _latency),
        _known(body["live_accuracy"], lambda items: _each(items, _live_accuracy)),
        _known(body["runs"], lambda items: _each(items, _run)),
    )


def _service(body: Any) -> Service:
    return Service(
        _text(body, "name"), _text(body, "status"), _moment(body["last_seen"]), _text(body, "detail")
    )


def _current(body: Any) -> Current:
    return Current(
        _text(body, "name"),
        _text(body, "version"),
        _text(body, "run_id"),
        _moment(body["loaded_at"]),
        _moment(body["promoted_at"]),
    )


def _traffic(body: Any) -> Traffic:
    return Traffic(
        _count(body["total"]), _count(body["last_hour"]), _count(body["last_day"]), _moment(body["latest"])
    )


def _latency(body: Any) -> Latency:
    return Latency(_number(body["p50"]), _number(body["p95"]), _count(body["requests"]))


def _live_accuracy(body: Any) -> LiveAccuracy:
    return LiveAccuracy(
        _text(body, "model_version"),
        _count(body["feedback"]),
        _count(body["right"]),
        _share(body["accuracy"]),
    )


def _run(body: Any) -> Run:
    return Run(
        _text(body, "dag_id"),
        _text(body, "run_id"),
        _text(body, "state"),
        _moment(body["started_at"]),
        _moment(body["ended_at"]),
        _each(body["tasks"], _task),
    )


def _task(body: Any) -> Task:
    return Task(_text(body, "task_id"), _text(body, "state"), str(body["detail"] or ""))


def read_batches(body: Any) -> tuple[Batch, ...]:
    """The answer of GET /batches."""
    return _each(body, _batch)


def _batch(body: Any) -> Batch:
    return Batch(
        _count(body["group"]),
        _count(body["batch"]),
        _text(body, "dag_run_id"),
        _moment(body["received_at"]),
        _count(body["rows_received"]),
        _count(body["rows_new"]),
        _count(body["rows_quarantined"]),
        bool(body["refused"]),
    )


def read_distribution(body: Any) -> Distribution:
    """The answer of GET /batches/distribution."""
    bins = _each(body["bins"], str)
    counts = {_count(item["batch"]): _each(item["counts"], _count) for item in body["batches"]}
    if not bins or any(len(numbers) != len(bins) for numbers in counts.values()):
        raise ValueError("counts that do not fit the bins")
    return Distribution(_text(body, "column"), body["kind"] == "number", bins, dict(sorted(counts.items())))


def read_quarantine(body: Any) -> Quarantine:
    """The answer of GET /quarantine."""
    return Quarantine(_count(body["total"]), _each(body["rows"], _bad_row))


def _bad_row(body: Any) -> BadRow:
    return BadRow(
        _count(body["group"]),
        _count(body["batch"]),
        _count(body["position"]),
        _moment(body["received_at"]),
        _text(body, "received"),
        _text(body, "reasons"),
    )


def read_promotions(body: Any) -> tuple[Promotion, ...]:
    """The answer of GET /promotions."""
    return _each(body, _promotion)


def _promotion(body: Any) -> Promotion:
    champion = body["champion"]
    return Promotion(
        _text(body, "candidate"),
        None if champion is None else _text(body, "champion"),
        _numbers(body["candidate_metrics"]),
        _numbers(body["champion_metrics"] or {}),
        bool(body["promoted"]),
        _text(body, "decision"),
        _text(body, "reason"),
        _text(body, "request"),
        _moment(body["at"]),
    )


def read_evaluation(body: Any) -> Evaluation:
    """The answer of GET /models/{version}/evaluation."""
    confusion = body["confusion"]
    labels: tuple[str, ...] = ()
    counts = None
    if confusion is not None:
        labels = _each(confusion["labels"], str)
        counts = _each(confusion["counts"], lambda line: _each(line, _count))
        if {len(labels)} != {len(counts), *map(len, counts)}:
            raise ValueError("a confusion matrix that is not square")
    return Evaluation(
        _text(body, "version"),
        _numbers(body["metrics"]),
        {_count(item["batch"]): (_share(item["accuracy"]), _share(item["f1"])) for item in body["per_batch"]},
        _each(body["classes"], _class_quality),
        labels,
        counts,
    )


def _class_quality(body: Any) -> ClassQuality:
    return ClassQuality(
        _text(body, "label"),
        _share(body["precision"]),
        _share(body["recall"]),
        _share(body["f1"]),
        _count(body["rows"]),
    )


def _known[T](value: Any, parse: Callable[[Any], T]) -> T | None:
    return None if value is None else parse(value)


def _each[T](items: Any, parse: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(items, list):
        raise TypeError(f"{type(items).__name__} where a list was expected")
    return tuple(parse(item) for item in items)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} where a count was expected")
    return value


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number that is not finite")
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{number} where a share from 0 to 1 was expected")
    return number
