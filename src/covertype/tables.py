"""The tables in MySQL that others read: the ledger of batches, the observations, the decisions. Only this
module speaks SQL.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pymysql
from pymysql.connections import Connection

from covertype import contract
from covertype.source import Batch

log = logging.getLogger(__name__)

type MySQL = Connection[pymysql.cursors.Cursor]

_FEATURE_COLUMNS = ",\n  ".join(
    f"{name} {'VARCHAR(16)' if name in contract.CATEGORIES else 'SMALLINT'} NOT NULL"
    for name in contract.FEATURES
)
_TABLES = {
    "raw_batches": """CREATE TABLE IF NOT EXISTS raw_batches (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `group` TINYINT UNSIGNED NOT NULL,
  batch TINYINT UNSIGNED NOT NULL,
  dag_run_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
  received_at DATETIME(6) NOT NULL COMMENT 'UTC',
  rows_received INT UNSIGNED NOT NULL,
  rows_new INT UNSIGNED NOT NULL,
  sha256 CHAR(64) NOT NULL COMMENT 'of the payload as received'
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    "raw_observations": f"""CREATE TABLE IF NOT EXISTS raw_observations (
  row_key BINARY(32) NOT NULL PRIMARY KEY COMMENT 'SHA-256 of the 13 values, comma-separated',
  batch_id INT UNSIGNED NOT NULL COMMENT 'the request that brought it first',
  {_FEATURE_COLUMNS},
  {contract.TARGET} TINYINT UNSIGNED NOT NULL,
  FOREIGN KEY (batch_id) REFERENCES raw_batches (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
    "promotions": """CREATE TABLE IF NOT EXISTS promotions (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  model VARCHAR(250) NOT NULL,
  candidate INT UNSIGNED NOT NULL,
  candidate_run_id CHAR(32) NOT NULL UNIQUE,
  candidate_metrics JSON NOT NULL,
  champion INT UNSIGNED NULL,
  champion_metrics JSON NULL,
  promoted BOOLEAN NOT NULL,
  reason VARCHAR(1000) NOT NULL,
  at DATETIME(6) NOT NULL COMMENT 'UTC'
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
}

_STORED_COLUMNS = ("row_key", "batch_id", *contract.COLUMNS)
# A row that is there already stays as it is. INSERT IGNORE would also swallow values that do not fit.
_INSERT_ROW = (
    f"INSERT INTO raw_observations ({', '.join(_STORED_COLUMNS)}) "  # noqa: S608 - the contract's names
    f"VALUES ({', '.join(['%s'] * len(_STORED_COLUMNS))}) ON DUPLICATE KEY UPDATE row_key = row_key"
)


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


@dataclass(frozen=True)
class Promotion:
    """A line of `promotions`: a candidate, the champion that it met (None for the first) and how it ended."""

    candidate: int
    candidate_run_id: str
    candidate_metrics: Mapping[str, float]
    champion: int | None
    champion_metrics: Mapping[str, float] | None
    promoted: bool
    reason: str


def connect(host: str, user: str, password: str, database: str, port: int = 3306) -> MySQL:
    """A connection in autocommit mode; transactions are begun where they are needed. Raises
    pymysql.err.OperationalError.
    """
    return pymysql.connect(
        host=host, port=port, user=user, password=password, database=database,
        charset="utf8mb4", autocommit=True, connect_timeout=10,
    )  # fmt: skip


def create_tables(connection: MySQL) -> None:
    """Create the tables that are not there yet."""
    with connection.cursor() as cursor:
        for statement in _TABLES.values():
            cursor.execute(statement)


def row_key(values: tuple[object, ...]) -> bytes:
    """SHA-256 (32 bytes) of a row's text: its 13 values in the contract's order, comma-separated."""
    return hashlib.sha256(",".join(map(str, values)).encode()).digest()


def receipt_of(connection: MySQL, dag_run_id: str) -> Receipt | None:
    """What the ledger has for a run, or None when it has stored nothing yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, `group`, batch, rows_received, rows_new FROM raw_batches WHERE dag_run_id = %s",
            (dag_run_id,),
        )
        line = cursor.fetchone()
    return None if line is None else Receipt(*line)


def store_batch(connection: MySQL, batch: Batch, dag_run_id: str) -> Receipt:
    """Store a batch, ledger and rows in one transaction: each row once however often it arrives, each run one
    line.

    A second call for the same run changes nothing and returns the first one's receipt.
    """
    if (known := receipt_of(connection, dag_run_id)) is not None:
        return known
    # Sorted by key, so that neighbours land on the same page of the index.
    rows = sorted((row_key(values), *values) for values in batch.rows.itertuples(index=False, name=None))
    with _transaction(connection), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO raw_batches "
            "(`group`, batch, dag_run_id, received_at, rows_received, rows_new, sha256) "
            "VALUES (%s, %s, %s, UTC_TIMESTAMP(6), %s, 0, %s)",
            (batch.group_number, batch.batch_number, dag_run_id, len(rows), batch.sha256),
        )
        batch_id = cursor.lastrowid
        cursor.executemany(_INSERT_ROW, [(key, batch_id, *values) for key, *values in rows])
        # Counted, not taken from the driver: what it calls an affected row depends on a flag of the
        # connection.
        cursor.execute("SELECT COUNT(*) FROM raw_observations WHERE batch_id = %s", (batch_id,))
        (rows_new,) = _one(cursor.fetchone())
        cursor.execute("UPDATE raw_batches SET rows_new = %s WHERE id = %s", (rows_new, batch_id))
    return Receipt(batch_id, batch.group_number, batch.batch_number, len(rows), rows_new)


def load_observations(connection: MySQL) -> pd.DataFrame:
    """All observations so far (n x 15): row_key (bytes), batch_id, then the contract's 13 columns and types,
    ordered by key.
    """
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        columns = ", ".join(_STORED_COLUMNS)
        cursor.execute(f"SELECT {columns} FROM raw_observations ORDER BY row_key")  # noqa: S608 - our own names
        frame = pd.DataFrame(iter(cursor), columns=list(_STORED_COLUMNS))
    return contract.as_typed(frame.astype({"batch_id": "int64"}))


def record_promotion(connection: MySQL, model: str, promotion: Promotion) -> None:
    """Write a decision down, once per candidate run: a repeated call leaves what was decided first."""
    champion_metrics = (
        None if promotion.champion_metrics is None else json.dumps(dict(promotion.champion_metrics))
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO promotions (model, candidate, candidate_run_id, candidate_metrics, "
            "champion, champion_metrics, promoted, reason, at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) "
            "ON DUPLICATE KEY UPDATE candidate_run_id = candidate_run_id",
            (
                model,
                promotion.candidate,
                promotion.candidate_run_id,
                json.dumps(dict(promotion.candidate_metrics)),
                promotion.champion,
                champion_metrics,
                promotion.promoted,
                promotion.reason,
            ),
        )


def promotion_of(connection: MySQL, candidate_run_id: str) -> Promotion | None:
    """What was decided about the model of a run, or None while nothing is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT candidate, candidate_run_id, candidate_metrics, champion, champion_metrics, "
            "promoted, reason FROM promotions WHERE candidate_run_id = %s",
            (candidate_run_id,),
        )
        line = cursor.fetchone()
    if line is None:
        return None
    candidate, run_id, metrics, champion, champion_metrics, promoted, reason = line
    parsed = None if champion_metrics is None else json.loads(champion_metrics)
    return Promotion(candidate, run_id, json.loads(metrics), champion, parsed, bool(promoted), reason)


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
