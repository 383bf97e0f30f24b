"""What the model API answers, as values. The `read_…` functions raise ValueError, TypeError, KeyError or
AttributeError on what is no such answer.
"""

import math
from collections.abc import Mapping
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


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, expected text")
    return str(value)


def _numbers(body: object) -> dict[str, float]:
    """Names and finite numbers; raises TypeError or ValueError on anything else."""
    if not isinstance(body, dict):
        raise TypeError(f"{type(body).__name__} where names with numbers were expected")
    numbers = {str(name): float(value) for name, value in body.items()}
    if not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError("a number that is not finite")
    return numbers


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
    if not isinstance(body, list):
        raise TypeError(f"{type(body).__name__} where a list of versions was expected")
    return tuple(_version(item) for item in body)


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
