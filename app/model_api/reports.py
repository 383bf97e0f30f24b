"""Reports of evaluations, and whether MLflow and its store are well: by its REST API and artifact proxy."""

import csv
import io
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from covertype import contract
from covertype.settings import Settings
from model_api.asking import Away
from model_api.login import Login
from model_api.logs import reason

log = logging.getLogger(__name__)

_SECONDS = 2  # of silence
_MOST_BYTES = 1_000_000
_MOST_KEPT = 100
_ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts"
_SCHEME = "mlflow-artifacts"
_FOLDER = "report"
# No run writes there: to list it asks the store, and brings nothing. Behind its login MLflow lets in by the
# experiment that a path begins with; this is the one that it always has.
_NOWHERE = "0/is-the-store-there"


@dataclass(frozen=True)
class BatchFigures:
    """How good a model is on the test rows of a batch."""

    batch: int
    accuracy: float
    f1: float


@dataclass(frozen=True)
class ClassFigures:
    """How good a model is on the test rows of a class, and how many there are."""

    code: int
    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Report:
    """An evaluation as its run keeps it; what the run of an earlier version does not have is empty."""

    per_batch: Sequence[BatchFigures]
    classes: Sequence[ClassFigures]
    confusion: Sequence[Sequence[int]] | None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.per_batch and self.classes and self.confusion)


class Reports(Protocol):
    """What can be asked; each question raises Away when MLflow does not answer it."""

    def check(self) -> None:
        """Return when MLflow answers."""

    def check_store(self) -> None:
        """Return when MLflow reaches the store of artifacts."""

    def report(self, run_id: str) -> Report:
        """Give the report of a run."""


class MlflowReports:
    """The reports in the MLflow of the library's settings. Whole ones are remembered: they do not change."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        """Ask nothing yet: MLflow may be away."""
        self._client = httpx.Client(
            base_url=settings.tracking_uri, auth=Login(), timeout=_SECONDS, transport=transport
        )
        self._kept: OrderedDict[str, Report] = OrderedDict()

    def check(self) -> None:
        """See Reports."""
        with _answering("MLflow"):
            self._client.get("health").raise_for_status()

    def check_store(self) -> None:
        """See Reports."""
        with _answering("The store of artifacts, asked through MLflow,"):
            self._client.get(_ARTIFACTS, params={"path": _NOWHERE}).raise_for_status()

    def report(self, run_id: str) -> Report:
        """See Reports."""
        if (kept := self._kept.get(run_id)) is not None:
            return kept
        with _answering("MLflow"):
            folder = self._folder(run_id)
            sizes = {} if folder is None else self._sizes(folder)

            def table[T](name: str, read: Callable[[list[dict[str, str]]], T], absent: T) -> T:
                if name not in sizes:
                    return absent
                try:
                    return read(_lines(self._text(f"{folder}/{name}", sizes[name])))
                except (ValueError, KeyError, TypeError, csv.Error) as error:
                    log.warning("%s of run %s is damaged: %s", name, run_id, reason(error))
                    return absent

            report = Report(
                per_batch=table("per_batch.csv", _per_batch, []),
                classes=table("per_class.csv", _per_class, []),
                confusion=table("confusion_matrix.csv", _confusion, None),
            )
        if report.is_whole:
            self._kept[run_id] = report
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return report

    def _folder(self, run_id: str) -> str | None:
        """Where the proxy has the report of a run; None for a run whose artifacts are not the proxy's."""
        answer = self._client.get("api/2.0/mlflow/runs/get", params={"run_id": run_id})
        # Deleted for good; behind its login MLflow forbids to ask for what is not there.
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            return None
        place = urlsplit(answer.raise_for_status().json()["run"]["info"]["artifact_uri"])
        return f"{place.path.strip('/')}/{_FOLDER}" if place.scheme == _SCHEME else None

    def _sizes(self, folder: str) -> dict[str, int]:
        answer = self._client.get(_ARTIFACTS, params={"path": folder}).raise_for_status().json()
        return {file["path"]: int(file.get("file_size", 0)) for file in answer.get("files", [])}

    def _text(self, path: str, size: int) -> str:
        """A file as text; raises ValueError for one that is too large, whatever its size is said to be."""
        content = bytearray()
        if size <= _MOST_BYTES:
            with self._client.stream("GET", f"{_ARTIFACTS}/{path}") as answer:
                for part in answer.raise_for_status().iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        break
        if max(size, len(content)) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        return content.decode()


@contextmanager
def _answering(who: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        log.warning("%s does not answer: %s", who, reason(error))
        raise Away(f"{who} does not answer") from error


def _lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), strict=True))


def _per_batch(lines: list[dict[str, str]]) -> Sequence[BatchFigures]:
    return [
        BatchFigures(int(line["batch"]), _figure(line["test_accuracy"]), _figure(line["test_f1"]))
        for line in lines
    ]


def _per_class(lines: list[dict[str, str]]) -> Sequence[ClassFigures]:
    return [
        ClassFigures(
            code=int(line["class"]),
            label=contract.CLASSES[int(line["class"])],
            precision=_figure(line["precision"]),
            recall=_figure(line["recall"]),
            f1=_figure(line["f1"]),
            rows=int(line["rows"]),
        )
        for line in lines
    ]


def _confusion(lines: list[dict[str, str]]) -> Sequence[Sequence[int]] | None:
    labels = list(contract.CLASSES.values())
    if [line["true"] for line in lines] != labels:
        raise ValueError("its lines are not the classes")
    return [[int(line[label]) for label in labels] for line in lines]


def _figure(text: Any) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no figure")
    return value
