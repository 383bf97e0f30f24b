"""What the pipeline and its users have left in MySQL, as a reader has it: in time, and never changed."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pymysql

from covertype import questions, tables, trace
from covertype.questions import BadRow, Distribution, Feedback, Latency, Line, Predictions
from covertype.tables import MySQL, Promotion
from model_api.asking import Away
from model_api.settings import ApiSettings

log = logging.getLogger(__name__)

# The task that asks the source.
_INGEST = ("DAG_p2", "ingest")
# Longest time of one question; the counts of all rows are remembered, and have more.
_SECONDS, _COUNTING_SECONDS = 3, 20
# The server ends a question that takes too long; this much later it is taken for frozen.
_GRACE = 0.5


@dataclass(frozen=True)
class Activity:
    """What has been going on; None: not found out. `promoted_at` is of the model of `run_id`."""

    run_id: str | None
    promoted_at: datetime | None
    runs: Sequence[trace.RunTrace] | None
    ingests: Sequence[trace.End] | None
    feedback: Sequence[Feedback] | None
    latency: Latency | None
    predictions: Predictions | None


class Archive(Protocol):
    """What can be asked; each question raises Away when the database does not answer it."""

    @property
    def enabled(self) -> bool:
        """Whether there is a database to ask."""

    def ledger(self) -> Sequence[Line]:
        """The lines of the ledger, the newest first."""

    def distribution(self, column: str) -> Distribution:
        """How a column's values are spread, batch by batch."""

    def quarantine(self, most: int) -> tuple[int, Sequence[BadRow]]:
        """How many rows are set aside, and the newest of them."""

    def promotions(self, most: int) -> Sequence[tuple[datetime, Promotion]]:
        """The newest decisions and when they were taken."""

    def activity(self, run_id: str | None) -> Activity:
        """What has been going on, and when the model of a run was promoted."""


class MySQLArchive:
    """The archive in the database of the settings, a connection a question."""

    def __init__(self, settings: ApiSettings) -> None:
        """Ask nothing yet: the database may be away."""
        self._settings = settings
        self._counted: dict[str, tuple[Line | None, Distribution]] = {}

    @property
    def enabled(self) -> bool:
        """See Archive."""
        return self._settings.mysql_host != ""

    def ledger(self) -> Sequence[Line]:
        """See Archive."""
        with self._connected() as connection:
            return questions.ledger(connection)

    def distribution(self, column: str) -> Distribution:
        """See Archive. Counted anew when the ledger has a new line, and only then."""
        with self._connected(_COUNTING_SECONDS) as connection:
            newest = next(iter(questions.ledger(connection, 1)), None)
            counted_at, counted = self._counted.get(column, (None, None))
            if counted is None or newest != counted_at:
                counted = questions.distribution(connection, column)
                self._counted[column] = (newest, counted)
            return counted

    def quarantine(self, most: int) -> tuple[int, Sequence[BadRow]]:
        """See Archive."""
        with self._connected() as connection:
            return questions.quarantine(connection, most)

    def promotions(self, most: int) -> Sequence[tuple[datetime, Promotion]]:
        """See Archive."""
        with self._connected() as connection:
            return questions.promotions(connection, most)

    def activity(self, run_id: str | None) -> Activity:
        """See Archive. What takes longest is asked last: too long, it costs nothing but itself."""
        with self._connected() as connection:

            def ask[T](question: Callable[..., T], *asked: str) -> T | None:
                try:
                    return question(connection, *asked)
                except pymysql.err.MySQLError as error:
                    log.warning("A question is not answered: %s", error)
                    return None

            return Activity(
                run_id=run_id,
                promoted_at=None if run_id is None else ask(questions.promoted_at, run_id),
                runs=ask(trace.runs),
                ingests=ask(trace.last_ends, *_INGEST),
                feedback=ask(questions.feedback),
                latency=ask(questions.latency),
                predictions=ask(questions.predictions),
            )

    @contextmanager
    def _connected(self, seconds: float = _SECONDS) -> Iterator[MySQL]:
        if not self.enabled:
            raise Away("there is no database here")
        try:
            with closing(connect(self._settings, silence=seconds + _GRACE)) as connection:
                with connection.cursor() as cursor:
                    cursor.execute("SET SESSION max_execution_time = %s", (int(seconds * 1_000),))
                yield connection
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            log.warning("The database does not answer: %s", error)
            raise Away("the database does not answer") from error
        except pymysql.err.MySQLError as error:
            log.warning("The database refuses a question: %s", error)
            raise Away("the database refuses the question; the log says why") from error


def connect(settings: ApiSettings, *, silence: float | None = None) -> MySQL:
    """A connection to the database of the settings. Raises OSError or pymysql.err.OperationalError."""
    password = settings.mysql_password_file.read_text(encoding="utf-8").strip()
    return tables.connect(
        *(settings.mysql_host, settings.mysql_user, password, settings.mysql_database, settings.mysql_port),
        silence=silence,
    )
