"""What the ingest guarantees, on the real MySQL: any order, repeats, lost connections, bad rows.

Runs beside test_learning_on_mysql.py and as it does, in the schema of its own.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest import mock

import pandas as pd
import pymysql
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from covertype import contract, source, steps, tables
from covertype.settings import Settings

from .database import ask, connect, emptied, texts

FOREST = contract.as_typed(
    pd.read_parquet(Path(__file__).parents[2] / "external" / "data" / "covertype.parquet").head(5_000)
)
COLUMNS = list(contract.COLUMNS)


@pytest.fixture
def db() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty."""
    with emptied() as connection:
        yield connection


def batch(rows: pd.DataFrame, bad: int = 0) -> source.Batch:
    refusals = tuple(contract.refusal(position, ["x"]) for position in range(bad))
    return source.Batch(1, 1, texts(rows), "0" * 64, bad, refusals)


def count(connection: tables.MySQL, table: str) -> object:
    return ask(connection, f"SELECT COUNT(*) FROM {table}")[0][0]


@contextmanager
def connection_lost(victim: tables.MySQL, command: int, *, sent: bool) -> Iterator[None]:
    """The server drops the connection at its n-th command, before or just after it was sent.

    A COMMIT that was sent may have been carried out or not.
    """
    send, commands = pymysql.connections.Connection._execute_command, []

    def cut_short(connection: tables.MySQL, *arguments: object) -> None:
        commands.append(arguments)
        if connection is victim and len(commands) == command:
            if sent:
                send(connection, *arguments)
            with closing(connect()) as killer:
                send(killer, pymysql.constants.COMMAND.COM_QUERY, f"KILL {victim.thread_id()}")
                killer._read_ok_packet()
            if sent:
                return
        send(connection, *arguments)

    with mock.patch.object(pymysql.connections.Connection, "_execute_command", cut_short):
        yield


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(["run 1", "run 2", "run 3"]),
        st.lists(st.integers(0, 29), min_size=1, max_size=40),
        st.integers(0, 3),
        st.none() | st.tuples(st.integers(1, 16), st.booleans()),
    ),
    min_size=1,
    max_size=6,
)


# The same examples each time, and no limits of time: the machine may be busy.
@tries(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(arrivals=ARRIVALS)
def test_in_any_order_with_repeats_and_kills_each_row_is_there_once(
    arrivals: list[tuple[str, list[int], int, tuple[int, bool] | None]],
) -> None:
    """Rows come in any order and again, runs are repeated, connections are lost; then the task is retried."""
    pool = FOREST.sample(30, random_state=5)
    keys = list(map(tables.row_key, texts(pool)))
    acknowledged: dict[str, tables.Receipt] = {}
    first_brought_by: dict[bytes, int] = {}
    with emptied() as db, mock.patch.object(tables, "_ROWS_A_STATEMENT", 7):
        for run, positions, bad, cut in arrivals:
            brought = batch(pool.iloc[positions], bad=bad)
            if cut is not None:
                with (
                    closing(connect()) as victim,
                    connection_lost(victim, cut[0], sent=cut[1]),
                    suppress(pymysql.err.OperationalError, pymysql.err.InterfaceError),
                ):
                    tables.store_batch(victim, brought, run)
            receipt = tables.store_batch(db, brought, run)

            if run in acknowledged:
                assert receipt == acknowledged[run]
            else:
                new = {keys[position] for position in positions} - set(first_brought_by)
                first_brought_by |= dict.fromkeys(new, receipt.batch_id)
                assert (receipt.rows_received, receipt.rows_new, receipt.rows_quarantined) == (
                    len(positions) + bad,
                    len(new),
                    bad,
                )
                acknowledged[run] = receipt
            assert dict(ask(db, "SELECT row_key, batch_id FROM raw_observations")) == first_brought_by
            assert [tables.receipt_of(db, run) for run in acknowledged] == list(acknowledged.values())
            assert count(db, "raw_batches") == len(acknowledged)
            assert count(db, "quarantine") == sum(one.rows_quarantined for one in acknowledged.values())


def test_bad_rows_are_set_aside_and_too_many_refuse_the_batch(
    db: tables.MySQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings()
    answers = [batch(FOREST.head(94), bad=6), batch(FOREST.head(95), bad=5)]
    monkeypatch.setattr(source, "fetch_batch", lambda _: answers.pop(0))
    message = r"6 of 100 rows of batch 1 break the contract, more than 5\.0%.*not a list of 13 strings"
    with pytest.raises(source.SourceError, match=message):
        steps.ingest(db, settings, "run 1")
    assert (count(db, "raw_observations"), count(db, "quarantine")) == (0, 6)
    assert tables.receipt_of(db, "run 1") is None

    # Repeated, the run asks again, and what was refused stays written down.
    receipt = steps.ingest(db, settings, "run 1")
    assert (receipt.rows_received, receipt.rows_new, receipt.rows_quarantined) == (100, 95, 5)
    assert steps.ingest(db, settings, "run 1") == receipt
    with db.cursor() as cursor:
        cursor.execute(
            "SELECT rows_received, rows_new, rows_quarantined, refused FROM raw_batches ORDER BY id"
        )
        assert cursor.fetchall() == ((100, 0, 6, 1), (100, 95, 5, 0))
        cursor.execute(
            "SELECT position, dag_run_id, received, reasons FROM quarantine WHERE batch_id = %s",
            receipt.batch_id,
        )
        assert cursor.fetchall()[0] == (0, "run 1", "['x']", "not a list of 13 strings")


def test_a_ledger_of_the_version_before_is_brought_up(db: tables.MySQL) -> None:
    with db.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE raw_batches DROP INDEX one_accepted_per_run, DROP COLUMN rows_quarantined, "
            "DROP COLUMN refused, ADD UNIQUE KEY dag_run_id (dag_run_id)"
        )
        cursor.execute(
            "INSERT INTO raw_batches "
            "(`group`, batch, dag_run_id, received_at, rows_received, rows_new, sha256) "
            "VALUES (1, 2, 'run 1', UTC_TIMESTAMP(6), 10, 9, '')"
        )
    tables.create_tables(db)
    known = tables.receipt_of(db, "run 1")
    assert known is not None
    assert (known.batch_number, known.rows_received, known.rows_new, known.rows_quarantined) == (2, 10, 9, 0)
    assert tables.store_batch(db, batch(FOREST.head(10)), "run 1") == known
    assert tables.refuse_batch(db, batch(FOREST.head(10), bad=3), "run 2").rows_quarantined == 3
    assert tables.store_batch(db, batch(FOREST.head(10)), "run 2").rows_new == 10
    with pytest.raises(pymysql.err.IntegrityError), db.cursor() as cursor:
        cursor.execute(
            "INSERT INTO raw_batches "
            "(`group`, batch, dag_run_id, received_at, rows_received, rows_new, sha256) "
            "VALUES (1, 2, 'run 2', UTC_TIMESTAMP(6), 10, 9, '')"
        )
