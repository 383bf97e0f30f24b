"""The learning pipeline on the real MySQL and the real MLflow server.

Runs inside the Airflow image, on a stack's networks (tests/stack/live.py): a schema, an experiment and a
registered model of its own, so that the stack's data stay as they are.
"""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pandas as pd
import pymysql
import pytest
from mlflow import MlflowClient
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from covertype import contract, registry, source, steps, tables
from covertype.settings import Settings

HERE = Path(__file__).parent
FOREST = contract.as_typed(pd.read_parquet(HERE.parents[1] / "external" / "data" / "covertype.parquet"))
COLUMNS = list(contract.COLUMNS)
SCHEMA = os.environ["LIVE_MYSQL_SCHEMA"]


def connect() -> tables.MySQL:
    password = Path(os.environ["LIVE_MYSQL_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    return tables.connect(os.environ["LIVE_MYSQL_HOST"], os.environ["LIVE_MYSQL_USER"], password, SCHEMA)


@pytest.fixture
def db() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty."""
    with closing(connect()) as connection:
        tables.create_tables(connection)
        with connection.cursor() as cursor:
            # Deleted, not dropped: the pipeline's user may not drop a table.
            for table in ("raw_observations", "raw_batches", "promotions"):
                cursor.execute(f"DELETE FROM {table}")
        yield connection


@pytest.fixture
def other() -> Iterator[tables.MySQL]:
    """A second connection."""
    with closing(connect()) as connection:
        yield connection


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Quick settings, with an experiment and a model that are deleted afterwards."""
    name = f"learning_test_{uuid.uuid4().hex}"
    own = Settings(experiment=name, model_name=name, trees=5, search_trees=3, search_rows=300)
    yield own
    client = MlflowClient(tracking_uri=own.tracking_uri, registry_uri=own.tracking_uri)
    for model in client.search_registered_models(f"name = '{name}'"):
        client.delete_registered_model(model.name)
    if (experiment := client.get_experiment_by_name(name)) is not None:
        client.delete_experiment(experiment.experiment_id)


def batch(rows: pd.DataFrame, number: int = 1) -> source.Batch:
    return source.Batch(1, number, rows[COLUMNS].reset_index(drop=True), "0" * 64)


def count(connection: tables.MySQL, table: str = "raw_observations") -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        ((number,),) = cursor.fetchall()
    return int(number)


def waiting_for_a_lock(connection: tables.MySQL) -> int:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return sum(thread["State"] == "User lock" for thread in cursor.fetchall())


def run_until_killed(program: str) -> None:
    """Run a program that kills itself, beside this file and its names."""
    names = "import os, signal; from test_learning_on_mysql import FOREST, batch, connect, tables\n"
    done = subprocess.run([sys.executable, "-c", names + program], cwd=HERE, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_row_is_stored_once_and_a_run_has_one_receipt(db: tables.MySQL) -> None:
    first = FOREST.sample(500, random_state=1)
    # Rows of the first batch come again, and twice.
    second = pd.concat([FOREST.sample(300, random_state=2), first.head(100), first.head(100)])
    receipt = tables.store_batch(db, batch(first), "run 1")
    assert (receipt.rows_received, receipt.rows_new) == (500, 500)
    assert tables.store_batch(db, batch(second), "run 1") == receipt
    assert tables.receipt_of(db, "run 1") == receipt
    assert count(db, "raw_batches") == 1

    distinct = len(pd.concat([first, second]).drop_duplicates())
    receipt = tables.store_batch(db, batch(second, 2), "run 2")
    assert (receipt.rows_received, receipt.rows_new) == (500, distinct - 500)
    assert tables.store_batch(db, batch(first, 2), "run 3").rows_new == 0
    tables.create_tables(db)
    assert count(db) == distinct


def test_what_comes_back_is_what_went_in(db: tables.MySQL) -> None:
    rows = FOREST.sample(2000, random_state=1)
    receipt = tables.store_batch(db, batch(rows), "run 1")
    stored = tables.load_observations(db)
    pd.testing.assert_frame_equal(
        stored[COLUMNS].sort_values(COLUMNS, ignore_index=True), rows.sort_values(COLUMNS, ignore_index=True)
    )
    assert set(stored["batch_id"]) == {receipt.batch_id}
    keys = [tables.row_key(values) for values in stored[COLUMNS].itertuples(index=False, name=None)]
    assert stored["row_key"].tolist() == keys == sorted(keys)


def test_empty_tables_give_an_empty_frame_of_the_same_types(db: tables.MySQL) -> None:
    stored = tables.load_observations(db)
    assert stored.empty
    assert stored[COLUMNS].dtypes.to_dict() == FOREST[COLUMNS].dtypes.to_dict()


def test_a_tenth_of_all_data_is_stored_as_a_whole(db: tables.MySQL) -> None:
    rows = FOREST.head(58_101)
    assert tables.store_batch(db, batch(rows), "run 1").rows_new == len(rows.drop_duplicates())
    assert len(tables.load_observations(db)) == count(db) == len(rows.drop_duplicates())


def test_a_row_that_does_not_fit_stores_nothing(db: tables.MySQL) -> None:
    bad = batch(FOREST.head(2000))
    bad.rows.loc[1999, "Wilderness_Area"] = "x" * 17
    with pytest.raises(pymysql.err.DataError):
        tables.store_batch(db, bad, "run 1")
    assert (count(db), count(db, "raw_batches")) == (0, 0)
    assert tables.store_batch(db, batch(FOREST.head(2000)), "run 1").rows_new == 2000


def test_a_kill_in_the_middle_stores_nothing(db: tables.MySQL) -> None:
    run_until_killed("""
from pymysql.cursors import Cursor
insert = Cursor.executemany
def cut_short(cursor, statement, rows):
    insert(cursor, statement, rows[:1500])
    os.kill(os.getpid(), signal.SIGKILL)
Cursor.executemany = cut_short
tables.store_batch(connect(), batch(FOREST.head(3000)), "run 1")
""")
    assert tables.store_batch(db, batch(FOREST.head(3000)), "run 1").rows_new == 3000
    assert (count(db), count(db, "raw_batches")) == (3000, 1)


def test_a_lock_is_one_connections_and_its_waiter_gives_up(db: tables.MySQL, other: tables.MySQL) -> None:
    message = rf"waited \d+ s for the lock '{SCHEMA}\.learning', which connection {db.thread_id()} holds"
    with (
        tables.named_lock(db, "learning", 1),
        pytest.raises(tables.LockTimeout, match=message),
        tables.named_lock(other, "learning", 1),
    ):
        pytest.fail("two connections hold the lock")
    with tables.named_lock(other, "learning", 0):
        pass


def test_a_lock_is_free_after_an_error_of_its_block(db: tables.MySQL, other: tables.MySQL) -> None:
    with pytest.raises(ZeroDivisionError), tables.named_lock(db, "learning", 0):
        raise ZeroDivisionError
    with tables.named_lock(other, "learning", 0):
        pass


def test_a_lock_goes_with_its_killed_holder(db: tables.MySQL) -> None:
    run_until_killed("""
with tables.named_lock(connect(), "learning", 30):
    os.kill(os.getpid(), signal.SIGKILL)
""")
    with tables.named_lock(db, "learning", 30):
        pass


def test_a_lost_connection_shows_as_itself(db: tables.MySQL, other: tables.MySQL) -> None:
    def lose_it() -> None:
        with tables.named_lock(other, "learning", 0):
            db.kill(other.thread_id())
            count(other)

    with pytest.raises(pymysql.err.OperationalError, match=r"Lost connection|killed|gone away"):
        lose_it()
    with tables.named_lock(db, "learning", 30):
        pass


def test_the_source_is_asked_by_one_run_at_a_time(
    db: tables.MySQL, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = threading.Lock()
    asked: list[int] = []

    def fetch(_: Settings) -> source.Batch:
        assert asking.acquire(blocking=False), "two runs ask the source at once"
        if not asked:
            wait = Retrying(
                retry=retry_if_exception_type(AssertionError),
                stop=stop_after_delay(60),
                wait=wait_fixed(0.1),
                reraise=True,
            )
            for attempt in wait:
                with attempt:
                    assert waiting_for_a_lock(db) == 2
        asked.append(1)
        asking.release()
        return batch(FOREST.head(200))

    def collect(dag_run_id: str) -> tables.Receipt:
        with closing(connect()) as connection:
            return steps.collect(connection, settings, dag_run_id)

    monkeypatch.setattr(source, "fetch_batch", fetch)
    # One run twice, as when a task is retried while its first try is still at work.
    with ThreadPoolExecutor(3) as pool:
        same, again, another = pool.map(collect, ["run 1", "run 1", "run 2"])
    assert same == again
    assert {same.rows_new, another.rows_new} == {0, 200}
    assert len(asked) == count(db, "raw_batches") == 2
    assert count(db) == 200


def test_a_decision_is_written_once(db: tables.MySQL) -> None:
    first = tables.Promotion(3, "a" * 32, {"test_f1": 0.5}, None, None, True, "the first model")
    worse = tables.Promotion(4, "b" * 32, {"test_f1": 0.1}, 3, {"test_f1": 0.5}, False, "worse")
    changed = tables.Promotion(3, "a" * 32, {"test_f1": 0.1}, 2, {"test_f1": 0.5}, False, "another")
    for promotion in (first, worse, changed):
        tables.record_promotion(db, "model", promotion)
    assert tables.promotion_of(db, "a" * 32) == first
    assert tables.promotion_of(db, "b" * 32) == worse
    assert tables.promotion_of(db, "c" * 32) is None
    assert count(db, "promotions") == 2


def test_learning_deciding_and_rolling_back(
    db: tables.MySQL, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(dag_run_id: str) -> int:
        return steps.register(db, settings, steps.learn(db, settings, dag_run_id))

    def in_production() -> int | None:
        champion = registry.champion(settings)
        return champion and champion.version

    tables.store_batch(db, batch(FOREST.sample(1500, random_state=1)), "run 1")
    assert learn("run 1") == learn("run 1") == 1  # a repeated task makes no second model
    decision = steps.decide(db, settings, 1)
    assert decision.promoted
    assert decision.champion is None

    tables.store_batch(db, batch(FOREST.sample(6000, random_state=2), 2), "run 2")
    assert learn("run 2") == 2
    decision = steps.decide(db, settings, 2)
    assert decision.promoted
    assert decision.champion == 1
    assert decision.champion_metrics is not None
    assert decision.champion_metrics["test_f1"] < decision.candidate_metrics["test_f1"]
    assert in_production() == 2

    # A task that is repeated after a rollback does not undo it.
    registry.rollback(settings)
    assert in_production() == 1
    assert steps.decide(db, settings, 2) == decision
    assert in_production() == 1

    # A decision that was cut short before it was carried out is carried out by the next try.
    def cut_short(*_: object) -> None:
        raise ConnectionError("cut short")

    assert learn("run 3") == 3
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_production", cut_short)
        with pytest.raises(ConnectionError, match="cut short"):
            steps.decide(db, settings, 3)
    assert in_production() == 1
    assert steps.decide(db, settings, 3).promoted
    assert in_production() == 3
    found = [
        (version.version, version.stage, version.aliases) for version in registry.list_versions(settings)
    ]
    assert found == [
        (3, registry.PRODUCTION, (registry.CHAMPION,)),
        (2, "Archived", ()),
        (1, "Archived", ()),
    ]
