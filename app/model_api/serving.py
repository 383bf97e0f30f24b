"""Which model answers, and the thread that keeps it the Production one."""

import logging
import random
import threading
import time

from covertype.version import CHALLENGER, CHAMPION, ModelVersion
from model_api import metrics
from model_api.logs import reason
from model_api.model import ServingModel
from model_api.registry import Registry

log = logging.getLogger(__name__)

_NOUNS = {CHAMPION: "Production", CHALLENGER: "challenger"}


class NoModel(Exception):
    """There is no model to answer with; the message says why."""


class ModelHolder:
    """Holds the model that has a role and replaces it when another version takes the role up.

    A new version is fetched, loaded and checked beside the old one; only then the pointer moves. Whatever
    goes wrong, the last good champion goes on serving, also when nothing is in Production any more; a
    challenger goes with its role.
    """

    def __init__(
        self,
        registry: Registry,
        poll_seconds: float = 5,
        retry_seconds: float = 60,
        role: str = CHAMPION,
    ) -> None:
        """Look at `registry` every `poll_seconds` at least; retry a broken version within `retry_seconds`."""
        self._registry = registry
        self._role = role
        self._poll_seconds = poll_seconds
        self._retry_seconds = retry_seconds
        self._model: ServingModel | None = None
        self._problem: str | None = "the registry has not been asked yet"
        self._production: ModelVersion | None = None
        self._broken: tuple[int, float, float] | None = None  # version, when to try again, pause after that
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"{role}-holder", daemon=True)

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

    @property
    def model(self) -> ServingModel | None:
        """The model of the moment, None when there is none."""
        return self._model

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
            self._production = production = self._registry.find(self._role)
        except Exception as error:  # noqa: BLE001 - whatever the registry's client raises, serving goes on
            self._report(f"the model registry cannot be asked: {reason(error)}")
            return
        if production is None:
            self._report(f"the registry has no {_NOUNS[self._role]} version")
            if self._role != CHAMPION and self._model is not None:
                self._serve(None)
        # Not by its number: a registry that was lost and made anew counts from 1 again.
        elif self._model is not None and self._model.registered.run_id == production.run_id:
            self._report(None)
        elif not self._resting(production.version):
            self._take_up(production)

    def _take_up(self, production: ModelVersion) -> None:
        try:
            model = self._registry.load(production)
        except Exception as error:  # noqa: BLE001 - a broken artifact can raise anything; the old one stays
            self._rest(production.version)
            metrics.labelled(metrics.SWAPS, self._role, "failed").inc()
            self._report(f"version {production.version} cannot be served: {reason(error)}")
            return
        self._broken = None
        self._serve(model)
        metrics.labelled(metrics.SWAPS, self._role, "succeeded").inc()
        self._report(None)
        log.info("Version %s is the %s, by %s", production.version, self._role, model.engine.name)
        try:
            self._registry.keep(production, self._role)
        except OSError as error:
            log.warning("Version %s is not kept on the volume: %s", production.version, reason(error))

    def _serve(self, model: ServingModel | None) -> None:
        """Move the pointer: the one step of a swap that requests can see."""
        before, self._model = self._model, model
        for one, value in ((before, 0), (model, 1)):
            if one is not None:
                known = one.registered
                metrics.MODEL.labels(
                    self._role, known.name, known.version, known.run_id, one.engine.name
                ).set(value)
        if model is None or self._role != CHAMPION:
            return
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
                log.warning("%s: %s", self._role, problem)
            else:
                log.info("%s: it is the version that the registry names", self._role)

    def _start_from_last_good(self) -> None:
        """Serve what served last until the registry has been asked: at once, and also when it is away."""
        try:
            if (model := self._registry.last_good()) is not None:
                self._serve(model)
                log.info("Serving version %s from the volume", model.registered.version)
        except Exception as error:  # noqa: BLE001 - a damaged copy can raise anything; the registry has another
            log.warning("The model on the volume is of no use: %s", reason(error))

    def _watch(self) -> None:
        if self._role == CHAMPION:
            self._start_from_last_good()
        while not self._stop.is_set():
            self.refresh()
            # Not all replicas at the same instant, and never later than promised.
            self._stop.wait(self._poll_seconds * random.uniform(0.8, 1))  # noqa: S311 - no secret, a pause
