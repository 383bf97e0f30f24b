"""The model that answers, and the thread that keeps it the Production one."""

import logging
import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from covertype import contract, registry
from covertype.registry import LoadedModel, ModelVersion
from covertype.settings import Settings
from model_api import metrics
from model_api.engine import Engine, Record, engine_for
from model_api.shelf import Shelf

log = logging.getLogger(__name__)

_LABELS = tuple(contract.CLASSES.values())
_CODES = tuple(contract.CLASSES)
_SAMPLE_ROWS = 500


class Registry(Protocol):
    """The part of the model registry that serving needs; each call raises what its client raises."""

    def champion(self) -> ModelVersion | None:
        """Give the Production version, None when there is none; one cheap request."""

    def load(self, version: ModelVersion) -> LoadedModel:
        """Fetch and load a version."""

    def keep(self, version: ModelVersion) -> None:
        """Note that a loaded version serves well."""

    def last_good(self) -> LoadedModel | None:
        """Load the version that served last, without asking anybody else; None when there was none."""

    def list_versions(self) -> list[ModelVersion]:
        """Give every version, the newest first."""


class MlflowRegistry:
    """The registry of the library's settings, and a shelf for what was fetched from it."""

    def __init__(self, settings: Settings, shelf: Shelf) -> None:
        """Ask nothing yet: the registry may be away."""
        self._settings = settings
        self._shelf = shelf

    def champion(self) -> ModelVersion | None:
        """See Registry."""
        return registry.champion(self._settings)

    def load(self, version: ModelVersion) -> LoadedModel:
        """See Registry."""
        return self._shelf.load(version, lambda folder: registry.fetch(self._settings, version, folder))

    def keep(self, version: ModelVersion) -> None:
        """See Registry."""
        self._shelf.keep(version)

    def last_good(self) -> LoadedModel | None:
        """See Registry."""
        return self._shelf.last_good()

    def list_versions(self) -> list[ModelVersion]:
        """See Registry."""
        return registry.list_versions(self._settings)


class UnfitModel(Exception):
    """The version loads, but does not classify the contract's features into the contract's classes."""


class NoModel(Exception):
    """There is no model to answer with; the message says why."""


@dataclass(frozen=True)
class ServingModel:
    """One checked version. Immutable: a request that holds it gets all of its answer from this version."""

    registered: ModelVersion
    engine: Engine
    engine_note: str | None
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def checked(cls, loaded: LoadedModel) -> "ServingModel":
        """Accept a version that answers its own input example sensibly; raise UnfitModel otherwise."""
        if unknown := set(map(int, loaded.artifact.pipeline.classes_)) - set(contract.CLASSES):
            raise UnfitModel(f"it knows classes that the contract does not: {sorted(unknown)}")
        examples = loaded.artifact.example.to_dict("records")
        if not examples:
            raise UnfitModel("it has no input example")
        engine, note = engine_for(loaded.artifact.pipeline, [*examples, *_sample()])
        model = cls(loaded.version, engine, note)
        # As many as the smallest and a large request have: that also warms up each way of computing.
        for records in (examples, examples * 50):
            if not np.allclose(model.probabilities(records).sum(axis=1), 1, atol=1e-4):
                raise UnfitModel("its answers to its own input example are no probabilities")
        return model

    def probabilities(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        """Give n x 7 probabilities for n records, in the order of the contract's classes.

        The model is called once. A class that the version has never seen has probability 0.
        """
        known = self.engine.probabilities(records)
        if self.engine.classes == list(_CODES):
            return known
        full = np.zeros((len(records), len(_CODES)))
        full[:, [_CODES.index(code) for code in self.engine.classes]] = known
        return full

    def predict(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        """Give one answer per record, in their order, shaped like `schemas.Prediction`."""
        version = str(self.registered.version)
        probabilities = self.probabilities(records)
        classes = probabilities.argmax(axis=1).tolist()
        for code in set(classes):
            metrics.PREDICTIONS.labels(version, _LABELS[code]).inc(classes.count(code))
        return [
            {
                "prediction": _CODES[best],
                "label": _LABELS[best],
                "probabilities": dict(zip(_LABELS, row, strict=True)),
                "model_version": version,
                "prediction_id": str(uuid.uuid4()),
            }
            for best, row in zip(classes, probabilities.tolist(), strict=True)
        ]


def _sample() -> list[Record]:
    """Valid records from all over the contract's ranges, the same ones each time."""
    choose = random.Random(0)  # noqa: S311 - no secret
    return [
        {name: choose.randint(limits.minimum, limits.maximum) for name, limits in contract.RANGES.items()}
        | {name: choose.choice(values) for name, values in contract.CATEGORIES.items()}
        for _ in range(_SAMPLE_ROWS)
    ]


class ModelHolder:
    """Holds the serving model and replaces it when another version becomes Production.

    A new version is fetched, loaded and checked beside the old one; only then the pointer moves. Whatever
    goes wrong, the last good model goes on serving, also when nothing is in Production any more.
    """

    def __init__(self, registry: Registry, poll_seconds: float = 5, retry_seconds: float = 60) -> None:
        """Look at `registry` every `poll_seconds` at least; retry a broken version within `retry_seconds`."""
        self._registry = registry
        self._poll_seconds = poll_seconds
        self._retry_seconds = retry_seconds
        self._model: ServingModel | None = None
        self._problem: str | None = "the registry has not been asked yet"
        self._production: ModelVersion | None = None
        self._broken: tuple[int, float, float] | None = None  # version, when to try again, pause after that
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-holder", daemon=True)

    @property
    def problem(self) -> str | None:
        """Why the Production version is not the one serving, None when it is."""
        return self._problem

    @property
    def production(self) -> ModelVersion | None:
        """The Production version when the registry last answered; None when it had none."""
        return self._production

    def current(self) -> ServingModel:
        """Give the model to answer with; raise NoModel with the reason when there is none."""
        model = self._model
        if model is None:
            raise NoModel(f"no model is loaded: {self._problem}")
        return model

    def start(self) -> None:
        """Begin watching the registry, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End watching; a load under way is abandoned with the process."""
        self._stop.set()
        self._thread.join(timeout=1)

    def refresh(self) -> None:
        """Look at the registry once and take its Production version up if that is another one."""
        try:
            self._production = production = self._registry.champion()
        except Exception as error:  # noqa: BLE001 - whatever the registry's client raises, serving goes on
            self._report(f"the model registry cannot be asked: {_reason(error)}")
            return
        if production is None:
            self._report("the registry has no Production version")
        # Not by its number: a registry that was lost and made anew counts from 1 again.
        elif self._model is not None and self._model.registered.run_id == production.run_id:
            self._report(None)
        elif not self._resting(production.version):
            self._take_up(production)

    def _take_up(self, production: ModelVersion) -> None:
        try:
            model = ServingModel.checked(self._registry.load(production))
        except Exception as error:  # noqa: BLE001 - a broken artifact can raise anything; the old one stays
            self._rest(production.version)
            metrics.SWAPS.labels("failed").inc()
            self._report(f"version {production.version} cannot be served: {_reason(error)}")
            return
        self._broken = None
        self._serve(model)
        metrics.SWAPS.labels("succeeded").inc()
        self._report(None)
        log.info("Serving version %s by %s", production.version, model.engine.name)
        try:
            self._registry.keep(production)
        except OSError as error:
            log.warning("Version %s is not kept on the volume: %s", production.version, _reason(error))

    def _serve(self, model: ServingModel) -> None:
        """Move the pointer: the one step of a swap that requests can see."""
        before, self._model = self._model, model
        for one, value in ((before, 0), (model, 1)):
            if one is not None:
                known = one.registered
                metrics.MODEL.labels(known.name, known.version, known.run_id, one.engine.name).set(value)
        metrics.LOADED.set(model.loaded_at.timestamp())
        metrics.CREATED.set(model.registered.created.timestamp())

    def _resting(self, version: int) -> bool:
        return self._broken is not None and self._broken[0] == version and time.monotonic() < self._broken[1]

    def _rest(self, version: int) -> None:
        # Loading is dear: a version that failed is tried again at growing distances.
        known = self._broken is not None and self._broken[0] == version
        pause = self._broken[2] if known and self._broken else self._poll_seconds
        self._broken = (version, time.monotonic() + pause, min(pause * 2, self._retry_seconds))

    def _report(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.warning("Model: %s", problem)
            else:
                log.info("Model: the Production version is serving")

    def _start_from_last_good(self) -> None:
        """Serve what served last until the registry has been asked: at once, and also when it is away."""
        try:
            if (loaded := self._registry.last_good()) is not None:
                self._serve(ServingModel.checked(loaded))
                log.info("Serving version %s from the volume", loaded.version.version)
        except Exception as error:  # noqa: BLE001 - a damaged copy can raise anything; the registry has another
            log.warning("The model on the volume is of no use: %s", _reason(error))

    def _watch(self) -> None:
        self._start_from_last_good()
        while not self._stop.is_set():
            self.refresh()
            # Not all replicas at the same instant, and never later than promised.
            self._stop.wait(self._poll_seconds * random.uniform(0.8, 1))  # noqa: S311 - no secret, a pause


def _reason(error: Exception) -> str:
    """Give the first line of an error, short enough for an answer and a log line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
