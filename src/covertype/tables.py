"""The tables in MySQL that others read: the ledger of batches, the observations, the rows set aside, the
decisions, the answers. They are made and filled here; `covertype.questions` is what people ask of them.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, batched
from typing import Any

import pandas as pd
import pymysql
from pymysql.connections import Connection

from covertype import contract
from covertype.source import Batch

log = logging.getLogger(__name__)

type MySQL = Connection[pymysql.cursors.Cursor]

FEATURE_TYPES = {
    name: "VARCHAR(16)" if name in contract.CATEGORIES else "SMALLINT" for name in contract.FEATURES
}
_FEATURE_COLUMNS = ",\n  ".join(f"{name} {kind} NOT NULL" for name, kind in FEATURE_TYPES.items())
# A ledger that is older than the quarantine gets these. A run may be refused any number of times and accepted
# once: the key leaves refused lines out, since NULL is no duplicate of NULL.
_BATCH_COLUMNS_SINCE = (
    "rows_quarantined INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'that break the contract'",
    "refused BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'too many of them: no row was stored'",
)
_ONE_ACCEPTED = "UNIQUE KEY one_accepted_per_run ((IF(refused, NULL, dag_run_id)))"
_UPGRADE_BATCHES = (
    f"ALTER TABLE raw_batches ADD COLUMN {_BATCH_COLUMNS_SINCE[0]}, ADD COLUMN {_BATCH_COLUMNS_SINCE[1]}, "
    f"DROP INDEX dag_run_id, ADD {_ONE_ACCEPTED}"
)
_DELETED_AT_ONCE = 5_000
_ANSWER_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS predictions (
  prediction_id CHAR(36) CHARACTER SET ascii NOT NULL PRIMARY KEY,
  model_version INT UNSIGNED NOT NULL,
  run_id VARCHAR(64) CHARACTER SET ascii NOT NULL COMMENT 'of the version, whose number may come again',
  {_FEATURE_COLUMNS},
  prediction TINYINT UNSIGNED NOT NULL COMMENT 'Cover_Type',
  probabilities JSON NOT NULL COMMENT 'by Cover_Type from 0 to 6',
  latency_ms DOUBLE NOT NULL COMMENT 'from the checked request to the answer, of the whole request',
  at DATETIME(6) NOT NULL COMMENT 'UTC',
  KEY at (at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    """CREATE TABLE IF NOT EXISTS feedback (
  prediction_id CHAR(36) CHARACTER SET ascii NOT NULL PRIMARY KEY,
  cover_type TINYINT UNSIGNED NOT NULL COMMENT 'what it turned out to be',
  at DATETIME(6) NOT NULL COMMENT 'UTC',
  KEY at (at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
)
_RECEIVED_LENGTH, _REASONS_LENGTH = 2_000, 4_000
_TABLES = {
    "raw_batches": f"""CREATE TABLE IF NOT EXISTS raw_batches (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `group` TINYINT UNSIGNED NOT NULL,
  batch TINYINT UNSIGNED NOT NULL,
  dag_run_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(6) NOT NULL COMMENT 'UTC',
  rows_received INT UNSIGNED NOT NULL,
  rows_new INT UNSIGNED NOT NULL,
  sha256 CHAR(64) NOT NULL COMMENT 'of the payload as received',
  {_BATCH_COLUMNS_SINCE[0]},
  {_BATCH_COLUMNS_SINCE[1]},
  {_ONE_ACCEPTED}
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    "raw_observations": f"""CREATE TABLE IF NOT EXISTS raw_observations (
  row_key BINARY(32) NOT NULL PRIMARY KEY COMMENT 'SHA-256 of the 13 values, comma-separated',
  batch_id INT UNSIGNED NOT NULL COMMENT 'the request that brought it first',
  {_FEATURE_COLUMNS},
  {contract.TARGET} TINYINT UNSIGNED NOT NULL,
  FOREIGN KEY (batch_id) REFERENCES raw_batches (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    "quarantine": f"""CREATE TABLE IF NOT EXISTS quarantine (
  batch_id INT UNSIGNED NOT NULL,
  position INT UNSIGNED NOT NULL COMMENT 'of the row in the payload, the first is 0',
  dag_run_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received VARCHAR({_RECEIVED_LENGTH}) NOT NULL COMMENT 'the row as it came, cut short',
  reasons VARCHAR({_REASONS_LENGTH}) NOT NULL COMMENT 'every rule that it breaks',
  at DATETIME(6) NOT NULL COMMENT 'UTC',
  PRIMARY KEY (batch_id, position),
  FOREIGN KEY (batch_id) REFERENCES raw_batches (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    "promotions": """CREATE TABLE IF NOT EXISTS promotions (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  model VARCHAR(250) NOT NULL,
  candidate INT UNSIGNED NOT NULL,
  candidate_run_id CHAR(32) NOT NULL,
  candidate_metrics JSON NOT NULL,
  champion INT UNSIGNED NULL,
  champion_metrics JSON NULL,
  promoted BOOLEAN NOT NULL,
  reason VARCHAR(1000) NOT NULL,
  at DATETIME(6) NOT NULL COMMENT 'UTC',
  decision VARCHAR(16) NOT NULL COMMENT 'promoted, refused, waiting, off, approved or rolled back',
  request VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'who asked',
  UNIQUE KEY once (candidate_run_id, request)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
}
# What a table of an earlier version lacks, by its column, and the statements that bring it.
_UPGRADES = {
    ("raw_batches", "rows_quarantined"): (_UPGRADE_BATCHES,),
    ("promotions", "decision"): (
        """ALTER TABLE promotions
          ADD COLUMN decision VARCHAR(16) NOT NULL DEFAULT 'refused',
          ADD COLUMN request VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
          DROP INDEX candidate_run_id, ADD UNIQUE KEY once (candidate_run_id, request)""",
        "UPDATE promotions SET decision = 'promoted' WHERE promoted",
    ),
}

_STORED_COLUMNS = ("row_key", "batch_id", *contract.COLUMNS)
# A row is sent as one literal, its key and its values at fixed places, and the server takes it apart: fifteen
# literals take the server longer to read than the row takes it to store.
_KEY_LENGTH = 32
_WIDTHS = {name: max(map(len, texts)) for name, texts in contract.TEXTS.items()}
_LITERAL_LENGTH = _KEY_LENGTH + sum(_WIDTHS.values())
# MySQL takes a number with spaces before it, not behind it.
_VALUES = "".join(f"%{'-' if name in contract.CATEGORIES else ''}{width}s" for name, width in _WIDTHS.items())
_ENDS = accumulate(_WIDTHS.values(), initial=_KEY_LENGTH)
_CUT = {
    name: f"SUBSTRING(line, {end + 1}, {width})"
    for (name, width), end in zip(_WIDTHS.items(), _ENDS, strict=False)
}
_CUT |= {name: f"RTRIM({_CUT[name]})" for name in contract.CATEGORIES}
# No look-up of the ledger's line for each row: the same transaction has just written it, and holds it.
# A row that is there already stays as it is. INSERT IGNORE would also swallow values that do not fit.
_INSERT_ROWS = f"""INSERT /*+ SET_VAR(foreign_key_checks=OFF) */ INTO raw_observations
  ({", ".join(_STORED_COLUMNS)})
SELECT SUBSTRING(line, 1, {_KEY_LENGTH}), {{batch_id}}, {", ".join(_CUT.values())}
FROM (VALUES {{lines}}) AS brought (line)
ON DUPLICATE KEY UPDATE row_key = row_key"""  # noqa: S608 - our own names
_ROWS_A_STATEMENT = 1_000

PROMOTION_COLUMNS = (
    "candidate",
    "candidate_run_id",
    "candidate_metrics",
    "champion",
    "champion_metrics",
    "promoted",
    "reason",
    "decision",
    "request",
)
_PART = 50_000


class LockTimeout(RuntimeError):
    """Somebody else held a named lock for longer than this caller was willing to wait."""


@dataclass(frozen=True)
class Receipt:
    """A line of the ledger: what one request brought."""

    batch_id: int
    group_number: int
    batch_number: int
    rows_received: int
    rows_new: int
    rows_quarantined: int = 0


@dataclass(frozen=True)
class Promotion:
    """A line of `promotions`: a version, the champion that it met (None: there was none) and how it ended.

    `decision` says it in a word, `request` who asked for it; the same request about the same model has one
    line.
    """

    candidate: int
    candidate_run_id: str
    candidate_metrics: Mapping[str, float]
    champion: int | None
    champion_metrics: Mapping[str, float] | None
    promoted: bool
    reason: str
    decision: str
    request: str


def connect(
    host: str,
    user: str,
    password: str,
    database: str,
    port: int = 3306,
    *,
    silence: float | None = None,
) -> MySQL:
    """A connection in autocommit mode; transactions are begun where they are needed. Raises
    pymysql.err.OperationalError.

    With `silence`, a server that says nothing for so many seconds is given up. Without, a statement may take
    as long as it takes.
    """
    return pymysql.connect(
        host=host, port=port, user=user, password=password, database=database,
        charset="utf8mb4", autocommit=True,
        connect_timeout=silence or 10, read_timeout=silence, write_timeout=silence,
    )  # fmt: skip


def ask(connection: MySQL, question: str, *values: object) -> Sequence[tuple[Any, ...]]:
    """The lines that answer a SELECT; a table that nobody has made yet is an empty one."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(question, values)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] != pymysql.constants.ER.NO_SUCH_TABLE:
                raise
            return ()
        return tuple(cursor.fetchall())


def create_answer_tables(connection: MySQL) -> None:
    """Create the tables of what the model API answers, and of what turned out to be true.

    Its user may do that, and change no table: indexes of later versions are `delete_answers`' to add.
    """
    with connection.cursor() as cursor:
        for statement in _ANSWER_TABLES:
            cursor.execute(statement)


def delete_answers(connection: MySQL, before: datetime) -> dict[str, int]:
    """Delete predictions and feedback from before a time (UTC), a few at a time: no lock is long. Returns how
    many of each.
    """
    create_answer_tables(connection)
    with connection.cursor() as cursor:
        cursor.execute("SHOW INDEX FROM feedback WHERE Key_name = 'at'")
        if cursor.fetchone() is None:
            cursor.execute("ALTER TABLE feedback ADD KEY at (at)")
    return {table: delete_before(connection, table, "at", before) for table in ("feedback", "predictions")}


def delete_before(connection: MySQL, table: str, column: str, before: datetime) -> int:
    """Delete what one of our tables has from before a time (UTC), a few at a time: no lock is long."""
    statement = f"DELETE FROM {table} WHERE {column} < %s ORDER BY {column} LIMIT {_DELETED_AT_ONCE}"  # noqa: S608 - our own
    deleted = 0
    with connection.cursor() as cursor:
        while count := cursor.execute(statement, (before,)):
            deleted += count
    return deleted


def create_tables(connection: MySQL) -> None:
    """Create the tables that are not there yet, and bring those of an earlier version up to date."""
    with connection.cursor() as cursor:
        for statement in _TABLES.values():
            cursor.execute(statement)
        for (table, column), statements in _UPGRADES.items():
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.columns "
                "WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
                (table, column),
            )
            if _one(cursor.fetchone()) == (0,):
                for statement in statements:
                    cursor.execute(statement)


def row_key(texts: Sequence[str]) -> bytes:
    """SHA-256 (32 bytes) of a row's text: those of its 13 values in the contract's order, comma-separated."""
    return hashlib.sha256(",".join(texts).encode()).digest()


def receipt_of(connection: MySQL, dag_run_id: str) -> Receipt | None:
    """What the ledger has for a run, or None when no batch was accepted for it yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, `group`, batch, rows_received, rows_new, rows_quarantined FROM raw_batches "
            "WHERE dag_run_id = %s AND NOT refused",
            (dag_run_id,),
        )
        line = cursor.fetchone()
    return None if line is None else Receipt(*line)


def store_batch(connection: MySQL, batch: Batch, dag_run_id: str) -> Receipt:
    """Store a batch: ledger, good rows and quarantine in one transaction. Each row once however often it
    arrives, each run one line.

    A second call for the same run changes nothing and returns the first one's receipt.
    """
    if (known := receipt_of(connection, dag_run_id)) is not None:
        return known
    rows = {row_key(row): row for row in batch.rows}
    with _transaction(connection), connection.cursor() as cursor:
        batch_id = _add_line(cursor, batch, dag_run_id, refused=False)
        for statement in _made_ahead(_insert_statements(rows, batch_id)):
            cursor.execute(statement)
        # Counted, not taken from the driver: what it calls an affected row depends on a flag of the
        # connection.
        cursor.execute("SELECT COUNT(*) FROM raw_observations WHERE batch_id = %s", (batch_id,))
        (rows_new,) = _one(cursor.fetchone())
        cursor.execute("UPDATE raw_batches SET rows_new = %s WHERE id = %s", (rows_new, batch_id))
    return _receipt(batch_id, batch, rows_new)


def refuse_batch(connection: MySQL, batch: Batch, dag_run_id: str) -> Receipt:
    """Write down that a batch came and was refused, with its bad rows; none of its good ones is stored.

    The run has no accepted batch by that: asked again, it may bring a better one.
    """
    with _transaction(connection), connection.cursor() as cursor:
        return _receipt(_add_line(cursor, batch, dag_run_id, refused=True), batch, rows_new=0)


def _add_line(cursor: pymysql.cursors.Cursor, batch: Batch, dag_run_id: str, *, refused: bool) -> int:
    """The ledger's line and the quarantine's; gives the line's id."""
    cursor.execute(
        "INSERT INTO raw_batches (`group`, batch, dag_run_id, received_at, rows_received, rows_new, sha256, "
        "rows_quarantined, refused) VALUES (%s, %s, %s, UTC_TIMESTAMP(6), %s, 0, %s, %s, %s)",
        (
            batch.group_number,
            batch.batch_number,
            dag_run_id,
            batch.rows_received,
            batch.sha256,
            batch.rows_bad,
            refused,
        ),
    )
    batch_id = int(cursor.lastrowid)
    cursor.executemany(
        "INSERT INTO quarantine (batch_id, position, dag_run_id, received, reasons, at) "
        "VALUES (%s, %s, %s, %s, %s, UTC_TIMESTAMP(6))",
        [
            (
                batch_id,
                bad.position,
                dag_run_id,
                bad.received[:_RECEIVED_LENGTH],
                "; ".join(bad.reasons)[:_REASONS_LENGTH],
            )
            for bad in batch.refusals
        ],
    )
    return batch_id


def _receipt(batch_id: int, batch: Batch, rows_new: int) -> Receipt:
    return Receipt(
        batch_id, batch.group_number, batch.batch_number, batch.rows_received, rows_new, batch.rows_bad
    )


def _insert_statements(rows: Mapping[bytes, Sequence[str]], batch_id: int) -> Iterator[str]:
    """What stores the rows, some at a time and by key: so neighbours land on the same page of the index."""
    for keys in batched(sorted(rows), _ROWS_A_STATEMENT, strict=False):
        lines = [key + (_VALUES % tuple(rows[key])).encode() for key in keys]
        if set(map(len, lines)) != {_LITERAL_LENGTH}:
            raise ValueError("A row has a value that is longer than the contract allows: nothing is stored.")
        yield _INSERT_ROWS.format(
            batch_id=batch_id, lines=", ".join([f"ROW(0x{line.hex()})" for line in lines])
        )


def _made_ahead[T](items: Iterator[T]) -> Iterator[T]:
    """The items, each made while its predecessor is in use: here while the server is at work."""
    with ThreadPoolExecutor(max_workers=1) as worker:
        item = worker.submit(next, items, None)
        while (ready := item.result()) is not None:
            item = worker.submit(next, items, None)
            yield ready


def last_line(connection: MySQL) -> int:
    """The number of the ledger's newest line; 0 while there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(MAX(id), 0) FROM raw_batches")
        (number,) = _one(cursor.fetchone())
    return int(number)


def load_keys(connection: MySQL, last: int) -> list[bytes]:
    """The sorted keys of the observations up to and including a line of the ledger."""
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute("SELECT row_key FROM raw_observations WHERE batch_id <= %s ORDER BY row_key", (last,))
        return [key for (key,) in cursor]


def load_observations(connection: MySQL, last: int) -> pd.DataFrame:
    """The observations up to and including a line of the ledger (n x 16), ordered by key.

    Columns: row_key (bytes), batch_id (the line of the ledger), batch (the source's number), then the
    contract's 13 in its types.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, batch FROM raw_batches")
        numbers = dict(cursor.fetchall())
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(
            f"SELECT {', '.join(_STORED_COLUMNS)} FROM raw_observations "  # noqa: S608 - our own names
            "WHERE batch_id <= %s ORDER BY row_key",
            (last,),
        )
        # In parts: a Python object for each value of the whole forest would take a gigabyte.
        parts = [_observations([])]
        while lines := cursor.fetchmany(_PART):
            parts.append(_observations(lines))
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(2, "batch", frame["batch_id"].map(numbers).astype("int64"))
    return frame


def _observations(lines: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(lines), columns=list(_STORED_COLUMNS))
    return contract.as_typed(frame.astype({"batch_id": "int64"}))


def record_promotion(connection: MySQL, model: str, promotion: Promotion) -> None:
    """Write a decision down, once per model and request: a repeated call leaves what was decided first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO promotions (model, at, {', '.join(PROMOTION_COLUMNS)}) "  # noqa: S608 - our own names
            f"VALUES (%s, UTC_TIMESTAMP(6), {', '.join(['%s'] * len(PROMOTION_COLUMNS))}) "
            "ON DUPLICATE KEY UPDATE candidate_run_id = candidate_run_id",
            (
                model,
                promotion.candidate,
                promotion.candidate_run_id,
                json.dumps(dict(promotion.candidate_metrics)),
                promotion.champion,
                None if promotion.champion_metrics is None else json.dumps(dict(promotion.champion_metrics)),
                promotion.promoted,
                promotion.reason,
                promotion.decision,
                promotion.request,
            ),
        )


def promotions(
    connection: MySQL, *, candidate_run_id: str | None = None, request: str | None = None
) -> list[Promotion]:
    """What was decided about the model of a run, or at a request, or both; the oldest first."""
    asked = {"candidate_run_id": candidate_run_id, "request": request}
    given = {name: value for name, value in asked.items() if value is not None}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(PROMOTION_COLUMNS)} FROM promotions "  # noqa: S608 - our own names
            f"WHERE {' AND '.join(f'{name} = %s' for name in given) or 'TRUE'} ORDER BY id",
            tuple(given.values()),
        )
        return [promotion_of(line) for line in cursor.fetchall()]


def promotion_of(line: tuple[Any, ...]) -> Promotion:
    """A line of `promotions`, by PROMOTION_COLUMNS."""
    values = dict(zip(PROMOTION_COLUMNS, line, strict=True))
    for name in ("candidate_metrics", "champion_metrics"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Promotion(**values | {"promoted": bool(values["promoted"])})


@contextmanager
def named_lock(connection: MySQL, name: str, timeout: int) -> Iterator[None]:
    """Hold a lock of the whole database for the block; it goes with the connection, so a killed holder frees
    it.

    Waits at most `timeout` seconds, then raises LockTimeout. MySQL's locks know no schema: the schema's name
    becomes part of it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONCAT(DATABASE(), '.', %s)", (name,))
        (full_name,) = _one(cursor.fetchone())
        started = time.monotonic()
        cursor.execute("SELECT GET_LOCK(%s, %s)", (full_name, timeout))
        (held,) = _one(cursor.fetchone())
        if held != 1:
            cursor.execute("SELECT IS_USED_LOCK(%s), CONNECTION_ID()", (full_name,))
            holder, waiter = _one(cursor.fetchone())
            raise LockTimeout(
                f"Connection {waiter} waited {time.monotonic() - started:.0f} s for the lock '{full_name}', "
                f"which connection {holder} holds: another run of the pipeline is at work."
            )
        try:
            yield
        finally:
            # On a lost connection the server has released it already, and the block's own error is the one to
            # show.
            if connection.open:
                cursor.execute("SELECT RELEASE_LOCK(%s)", (full_name,))


@contextmanager
def _transaction(connection: MySQL) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        if connection.open:
            connection.rollback()
        raise
    connection.commit()


def _one(line: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if line is None:
        raise LookupError("MySQL answered a query for one line with none.")
    return line
