"""The schema that these tests have to themselves (tests/stack/live.py makes it, and says where it is)."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd

from covertype import contract, tables

SCHEMA = os.environ["LIVE_MYSQL_SCHEMA"]


def connect(silence: float | None = None) -> tables.MySQL:
    password = Path(os.environ["LIVE_MYSQL_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    return tables.connect(
        os.environ["LIVE_MYSQL_HOST"], os.environ["LIVE_MYSQL_USER"], password, SCHEMA, silence=silence
    )


def ask(connection: tables.MySQL, statement: str, *values: object) -> tuple[tuple[object, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return tuple(cursor.fetchall())


def empty(connection: tables.MySQL) -> None:
    """Make all tables, without a row. Deleted, not dropped: the pipeline's user may not drop a table."""
    tables.create_tables(connection)
    tables.create_answer_tables(connection)
    for table in ("raw_observations", "quarantine", "raw_batches", "promotions", "predictions", "feedback"):
        ask(connection, f"DELETE FROM {table}")


@contextmanager
def emptied() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty, for the block."""
    with closing(connect()) as connection:
        empty(connection)
        yield connection


def texts(rows: pd.DataFrame) -> list[list[str]]:
    """Rows as the source gives them: 13 texts each."""
    return rows[list(contract.COLUMNS)].astype("str").to_numpy().tolist()
