"""What people ask of the tables: questions that change nothing, each answered in one go.

Counting is the server's work: what comes back is as small as what is shown. Times are UTC. A table that
nobody has made yet is an empty one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from covertype import contract
from covertype.tables import PROMOTION_COLUMNS, MySQL, Promotion, ask, promotion_of

_BINS = 20
# So many of the newest predictions tell how long an answer takes.
_TIMED = 10_000


@dataclass(frozen=True)
class Line:
    """A line of the ledger: one request to the source, by its group and the source's number of the batch."""

    id: int
    group: int
    batch: int
    dag_run_id: str
    received_at: datetime
    rows_received: int
    rows_new: int
    rows_quarantined: int
    refused: bool


@dataclass(frozen=True)
class Distribution:
    """How the values of a column are spread over bins: for each batch of the source, rows in each bin."""

    column: str
    kind: Literal["number", "category"]
    bins: Sequence[str]
    counts: Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class BadRow:
    """A row of the quarantine: of which request, where it stood in it, what came, and all that was wrong."""

    batch_id: int
    group: int
    batch: int
    position: int
    received_at: datetime
    received: str
    reasons: str


@dataclass(frozen=True)
class Predictions:
    """How many predictions there are, and of when the newest one is."""

    total: int
    last_hour: int
    last_day: int
    latest: datetime | None


@dataclass(frozen=True)
class Latency:
    """How long requests took, in milliseconds: half of them, and 95 of 100, at most so long."""

    p50: float
    p95: float
    requests: int


@dataclass(frozen=True)
class Feedback:
    """What became of a version's predictions, by its run: whose truth is known, and how many were right."""

    run_id: str
    model_version: int
    known: int
    right: int

    @property
    def accuracy(self) -> float:
        """Share of those that were right."""
        return self.right / self.known


def ledger(connection: MySQL, most: int = 1_000) -> list[Line]:
    """The newest lines of the ledger, the newest first."""
    lines = ask(
        connection,
        "SELECT id, `group`, batch, dag_run_id, received_at, rows_received, rows_new, rows_quarantined, "
        "refused FROM raw_batches ORDER BY id DESC LIMIT %s",
        most,
    )
    return [_line(line) for line in lines]


def distribution(connection: MySQL, column: str) -> Distribution:
    """The distribution of one of the contract's columns, batch by batch.

    An integer column has 20 bins, as equal as whole numbers can be; raises KeyError for what is no column.
    """
    values: Mapping[int | str, int]
    if column in contract.RANGES:
        low, high = contract.RANGES[column][:2]
        span = high - low + 1
        chosen = f"({column} - ({low})) * {_BINS} DIV {span}"
        edges = [low - (-number * span // _BINS) for number in range(_BINS + 1)]
        bins = [f"{start}–{end - 1}" for start, end in pairwise(edges)]  # noqa: RUF001 - an en dash
        values = {number: number for number in range(_BINS)}
    else:
        chosen = column
        known: Iterable[int | str] = (
            contract.CLASSES if column == contract.TARGET else contract.CATEGORIES[column]
        )
        values = {value: place for place, value in enumerate(known)}
        bins = list(contract.CLASSES.values()) if column == contract.TARGET else list(map(str, known))

    # Rows are counted by the ledger's line, which they know themselves, and lines are added up here. The
    # ledger is read last, so that it has them all.
    found = ask(
        connection,
        f"SELECT batch_id, {chosen} AS value, COUNT(*) FROM raw_observations GROUP BY batch_id, value",  # noqa: S608 - our own
    )
    numbers = dict(ask(connection, "SELECT id, batch FROM raw_batches"))
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * len(bins))
    for line, value, rows in found:
        counts[numbers[line]][values[value]] += rows
    kind: Literal["number", "category"] = "number" if column in contract.RANGES else "category"
    return Distribution(column, kind, bins, dict(sorted(counts.items())))


def quarantine(connection: MySQL, most: int) -> tuple[int, list[BadRow]]:
    """How many rows are set aside, and those of the newest requests."""
    total = ask(connection, "SELECT COUNT(*) FROM quarantine")
    rows = ask(
        connection,
        "SELECT batch_id, `group`, batch, position, received_at, received, reasons FROM quarantine "
        "JOIN raw_batches ON id = batch_id ORDER BY batch_id DESC, position LIMIT %s",
        most,
    )
    return sum(count for (count,) in total), [_bad_row(row) for row in rows]


def promotions(connection: MySQL, most: int) -> list[tuple[datetime, Promotion]]:
    """The last decisions and when they were taken, the newest first."""
    lines = ask(
        connection,
        f"SELECT at, {', '.join(PROMOTION_COLUMNS)} FROM promotions ORDER BY id DESC LIMIT %s",  # noqa: S608 - our own
        most,
    )
    return [(_utc(line[0]), promotion_of(line[1:])) for line in lines]


def promoted_at(connection: MySQL, run_id: str) -> datetime | None:
    """When the model of a run was last put into Production; None when no decision says so."""
    lines = ask(connection, "SELECT MAX(at) FROM promotions WHERE candidate_run_id = %s AND promoted", run_id)
    return next((_utc(at) for (at,) in lines if at is not None), None)


def predictions(connection: MySQL) -> Predictions:
    """How much the model was asked."""
    lines = ask(
        connection,
        "SELECT COUNT(*), "
        "(SELECT COUNT(*) FROM predictions WHERE at >= UTC_TIMESTAMP(6) - INTERVAL 1 HOUR), "
        "(SELECT COUNT(*) FROM predictions WHERE at >= UTC_TIMESTAMP(6) - INTERVAL 1 DAY), "
        "MAX(at) FROM predictions",
    )
    for total, hour, day, latest in lines:
        return Predictions(total, hour, day, None if latest is None else _utc(latest))
    return Predictions(0, 0, 0, None)


def latency(connection: MySQL) -> Latency | None:
    """How long the requests behind the newest predictions of the last day took; None when there were none.

    The rows of one request have one moment and one time.
    """
    lines = ask(
        connection,
        "WITH newest AS (SELECT at, latency_ms FROM predictions "
        "WHERE at >= UTC_TIMESTAMP(6) - INTERVAL 1 DAY ORDER BY at DESC LIMIT %s), "
        "requests AS (SELECT DISTINCT at, latency_ms FROM newest), "
        "ranked AS (SELECT latency_ms, ROW_NUMBER() OVER (ORDER BY latency_ms) AS place, "
        "COUNT(*) OVER () AS number FROM requests) "
        "SELECT MAX(IF(place = CEIL(0.5 * number), latency_ms, NULL)), "
        "MAX(IF(place = CEIL(0.95 * number), latency_ms, NULL)), MAX(number) FROM ranked",
        _TIMED,
    )
    return next((Latency(p50, p95, number) for p50, p95, number in lines if number), None)


def feedback(connection: MySQL) -> list[Feedback]:
    """What became of the predictions of each version, the newest version first."""
    lines = ask(
        connection,
        "SELECT run_id, MAX(model_version) AS version, COUNT(*), "
        "CAST(SUM(prediction = cover_type) AS SIGNED) "
        "FROM feedback JOIN predictions USING (prediction_id) GROUP BY run_id ORDER BY version DESC",
    )
    return [Feedback(*line) for line in lines]


def _line(found: tuple[Any, ...]) -> Line:
    number, group, batch, dag_run_id, at, received, new, quarantined, refused = found
    return Line(number, group, batch, dag_run_id, _utc(at), received, new, quarantined, bool(refused))


def _bad_row(found: tuple[Any, ...]) -> BadRow:
    batch_id, group, batch, position, at, received, reasons = found
    return BadRow(batch_id, group, batch, position, _utc(at), received, reasons)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)
