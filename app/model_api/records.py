"""Predictions and what turned out to be true, in the tables `predictions` and `feedback` of MySQL."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
from pydantic_core import from_json, to_json

from covertype import questions, tables
from covertype.questions import Feedback
from covertype.tables import MySQL
from model_api import metrics
from model_api.archive import connect
from model_api.engine import Record
from model_api.journal import Journal
from model_api.settings import ApiSettings

log = logging.getLogger(__name__)

# Small, since whoever escapes and sends a text lets no request be answered meanwhile.
_LINES_A_STATEMENT = 250
_BYTES_A_STATEMENT = 500_000

_FEATURE_TYPES = tables.FEATURE_TYPES
# The server takes the lines apart: one value to escape, however many rows. What was delivered stays as it is.
_INSERT = f"""INSERT INTO predictions (
  prediction_id, model_version, run_id, {", ".join(_FEATURE_TYPES)},
  prediction, probabilities, latency_ms, at
)
SELECT
  id, version, run_id, {", ".join(f"new.{name}" for name in _FEATURE_TYPES)},
  class, chances, latency, moment
FROM JSON_TABLE(%s, '$[*]' COLUMNS (
  version INT UNSIGNED PATH '$.version' ERROR ON ERROR,
  run_id VARCHAR(64) CHARACTER SET ascii PATH '$.run_id' ERROR ON ERROR,
  latency DOUBLE PATH '$.latency_ms' ERROR ON ERROR,
  moment DATETIME(6) PATH '$.at' ERROR ON ERROR,
  NESTED PATH '$.rows[*]' COLUMNS (
    id CHAR(36) CHARACTER SET ascii PATH '$.id' ERROR ON ERROR,
    {", ".join(f"{name} {kind} PATH '$.of.{name}' ERROR ON ERROR" for name, kind in _FEATURE_TYPES.items())},
    class TINYINT UNSIGNED PATH '$.class' ERROR ON ERROR,
    chances JSON PATH '$.chances' ERROR ON ERROR
  )
)) AS new
WHERE NOT EXISTS (SELECT 1 FROM predictions AS known WHERE known.prediction_id = new.id)"""  # noqa: S608 - our own


class RecordsAway(Exception):
    """The database does not answer, or there is none; the message says which."""


class Recorder:
    """Writes answers to the journal at once, and from there to MySQL in a thread of its own."""

    def __init__(self, settings: ApiSettings) -> None:
        """Begin nothing yet; without a database in the settings nothing is ever recorded."""
        self._settings = settings
        self._journal = Journal(settings.state_dir / "journal", settings.journal_limit)
        self._changed = threading.Condition()
        self._asked, self._done = 0, 0
        self._ending = False
        self._away = False
        self._tables_made = False
        self._next_look = 0.0
        self._accuracy: dict[str, Feedback] = {}
        self._thread = threading.Thread(target=self._deliver_for_ever, name="recorder", daemon=True)

    @property
    def enabled(self) -> bool:
        """Whether there is a database to record in."""
        return self._settings.mysql_host != ""

    def accuracy(self, run_id: str) -> Feedback | None:
        """What feedback says of a version, as last read; None while nothing is known."""
        return self._accuracy.get(run_id)

    def start(self) -> None:
        """Begin to deliver, also what an earlier process has left."""
        if self.enabled:
            self._thread.start()

    def stop(self) -> None:
        """Deliver what there is, if that is quick; what is not delivered waits in the journal."""
        if self.enabled:
            with self._changed:
                self._ending = True
                self._changed.notify_all()
            self._thread.join(timeout=self._settings.flush_seconds)

    def record(
        self,
        version: int,
        run_id: str,
        records: Sequence[Record],
        answers: Sequence[dict[str, Any]],
        seconds: float,
    ) -> None:
        """Write down what was answered; never raises, and counts what cannot be written."""
        if not self.enabled:
            return
        line = {
            "version": version,
            "run_id": run_id,
            "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
            "latency_ms": round(seconds * 1_000, 3),
            "rows": [
                {
                    "id": answer["prediction_id"],
                    "of": record,
                    "class": answer["prediction"],
                    "chances": list(answer["probabilities"].values()),
                }
                for record, answer in zip(records, answers, strict=True)
            ],
        }
        if not self._journal.append(to_json(line)):
            metrics.LOST.labels("journal full").inc(len(records))
        metrics.JOURNAL_BYTES.set(self._journal.size)

    def feedback(self, prediction_id: str, cover_type: int) -> bool:
        """Store the true class of an answer; False when no such answer is known. Raises RecordsAway."""
        if not self.enabled:
            raise RecordsAway("predictions are not recorded here")
        try:
            with closing(self._connect()) as connection:
                if not self._know(connection, prediction_id):
                    # It may be so young that it is still on its way.
                    self._flush()
                    if not self._know(connection, prediction_id):
                        return False
                with connection.cursor() as cursor:
                    cursor.execute(
                        "INSERT INTO feedback (prediction_id, cover_type, at) "
                        "VALUES (%s, %s, UTC_TIMESTAMP(6)) AS new "
                        "ON DUPLICATE KEY UPDATE cover_type = new.cover_type, at = new.at",
                        (prediction_id, cover_type),
                    )
        except (pymysql.err.MySQLError, OSError) as error:
            log.warning("Feedback is not stored: %s", error)
            raise RecordsAway("the database of predictions does not answer") from error
        with self._changed:
            self._asked += 1  # so that the accuracy is read anew
            self._changed.notify_all()
        return True

    def _connect(self) -> MySQL:
        connection = connect(self._settings)
        if not self._tables_made:
            tables.create_answer_tables(connection)
            self._tables_made = True
        return connection

    @staticmethod
    def _know(connection: MySQL, prediction_id: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM predictions WHERE prediction_id = %s", (prediction_id,))
            return cursor.fetchone() is not None

    def _flush(self) -> None:
        """Wait until what is in the journal now is delivered, or it is clear that it will not be soon."""
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= wanted, timeout=self._settings.flush_seconds)

    def _deliver_for_ever(self) -> None:
        ending = False
        while not ending:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ending or self._asked > self._done, timeout=self._settings.deliver_seconds
                )
                ending, asked = self._ending, self._asked
            try:
                self._deliver(look=asked > self._done)
            except (pymysql.err.MySQLError, OSError) as error:
                self._tables_made = False  # it may come back as another, empty one
                if not self._away:
                    log.warning("Predictions wait in the journal: %s", error)
                self._away = True
            with self._changed:
                self._done = max(self._done, asked)
                self._changed.notify_all()

    def _deliver(self, *, look: bool) -> None:
        """All ready segments, one after the other; raises when MySQL is away, and they stay."""
        self._journal.seal()
        metrics.JOURNAL_BYTES.set(self._journal.size)
        if not (look or self._journal.size or time.monotonic() >= self._next_look):
            return
        with closing(self._connect()) as connection:
            more = True
            while more:
                with self._journal.take() as segment:
                    more = segment is not None
                    if segment is not None:
                        _deliver_segment(connection, segment)
                        self._journal.remove(segment)
            self._accuracy = _read_accuracy(connection)
        self._next_look = time.monotonic() + self._settings.accuracy_seconds
        if self._away:
            log.info("Predictions are delivered again")
        self._away = False
        metrics.JOURNAL_BYTES.set(self._journal.size)


def _deliver_segment(connection: MySQL, segment: Path) -> None:
    """The lines of a segment, many in a statement; a line that MySQL refuses is counted and left out."""
    for lines in _chunks(segment):
        try:
            _insert(connection, lines)
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError):
            raise
        except pymysql.err.MySQLError:
            for line in lines:
                _insert_alone(connection, line)


def _insert(connection: MySQL, lines: Sequence[bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, ((b"[" + b",".join(lines) + b"]").decode(),))
        metrics.RECORDED.inc(max(cursor.rowcount, 0))


def _insert_alone(connection: MySQL, line: bytes) -> None:
    try:
        _insert(connection, [line])
    except (pymysql.err.OperationalError, pymysql.err.InterfaceError):
        raise
    except pymysql.err.MySQLError as error:
        metrics.LOST.labels("refused by the database").inc(len(from_json(line)["rows"]))
        log.warning("A line of the journal cannot be recorded: %s", error)


def _chunks(segment: Path) -> Iterator[list[bytes]]:
    """The whole lines of a segment, in parts that fit into a statement."""
    part: list[bytes] = []
    size = 0
    with segment.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                # Cut short when its process was killed; its answer was never sent.
                metrics.LOST.labels("killed while writing").inc()
                continue
            part.append(line[:-1])
            size += len(line)
            if len(part) >= _LINES_A_STATEMENT or size >= _BYTES_A_STATEMENT:
                yield part
                part, size = [], 0
    if part:
        yield part


def _read_accuracy(connection: MySQL) -> dict[str, Feedback]:
    found = questions.feedback(connection)
    for one in found:
        metrics.FEEDBACK.labels(one.model_version).set(one.known)
        metrics.LIVE_ACCURACY.labels(one.model_version).set(one.accuracy)
    return {one.run_id: one for one in found}
