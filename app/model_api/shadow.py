"""The challenger predicts what the champion answered, later and for the metrics alone."""

import logging
import queue
import threading
import time
from collections.abc import Sequence

from model_api import metrics
from model_api.engine import Record
from model_api.logs import reason
from model_api.serving import ModelHolder

log = logging.getLogger(__name__)

# Rows of many requests in one call of the model cost a fraction of as many calls.
_ROWS_AT_ONCE = 1_000
_PAUSE = 0.05


class Shadow:
    """A bounded queue of answered rows, and the thread that asks the challenger about them."""

    def __init__(self, challenger: ModelHolder, limit: int) -> None:
        """Hold at most `limit` requests; what comes on top is counted, and not looked at."""
        self._challenger = challenger
        self._queue: queue.Queue[tuple[Sequence[Record], Sequence[int]]] = queue.Queue(limit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)

    def start(self) -> None:
        """Begin to follow, and to watch for a challenger."""
        self._challenger.start()
        self._thread.start()

    def stop(self) -> None:
        """Forget what waits."""
        self._stop.set()
        self._challenger.stop()
        self._thread.join(timeout=1)

    def follow(self, records: Sequence[Record], classes: Sequence[int]) -> None:
        """Let the challenger predict these too, when it has time; returns at once."""
        if self._challenger.model is None:
            return
        try:
            self._queue.put_nowait((records, classes))
        except queue.Full:
            metrics.SHADOW_DROPPED.inc(len(records))

    def _follow(self) -> None:
        while not self._stop.wait(_PAUSE):
            while records_and_classes := self._waiting():
                self._compare(*records_and_classes)

    def _waiting(self) -> tuple[list[Record], list[int]] | None:
        records: list[Record] = []
        classes: list[int] = []
        while len(records) < _ROWS_AT_ONCE:
            try:
                more, answered = self._queue.get_nowait()
            except queue.Empty:
                break
            records += more
            classes += answered
        return (records, classes) if records else None

    def _compare(self, records: Sequence[Record], classes: Sequence[int]) -> None:
        model = self._challenger.model
        if model is None:
            return  # its role was taken meanwhile
        version = str(model.registered.version)
        started = time.perf_counter()
        try:
            found = model.classes(records)
        except Exception as error:  # noqa: BLE001 - whatever a challenger raises, it disturbs nobody
            metrics.labelled(metrics.SHADOW_ROWS, version, "failed").inc(len(records))
            log.warning("The challenger, version %s, fails: %s", version, reason(error))
            return
        seconds = (time.perf_counter() - started) / len(records)
        metrics.labelled(metrics.SHADOW_SECONDS, version).observe(seconds)
        agreed = sum(one == other for one, other in zip(found, classes, strict=True))
        metrics.labelled(metrics.SHADOW_ROWS, version, "agreed").inc(agreed)
        metrics.labelled(metrics.SHADOW_ROWS, version, "differed").inc(len(records) - agreed)
