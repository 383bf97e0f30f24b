"""The learning pipeline on the real MySQL and the real MLflow server.

Runs inside the Airflow image, on a stack's networks (tests/stack/live.py): a schema, an experiment and a
registered model of its own, so that the stack's data stay as they are.
"""

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pymysql
import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from covertype import artifact, contract, registry, snapshot, source, steps, tables
from covertype.settings import Policy, Settings

from .database import SCHEMA, ask, connect, emptied, texts

PROJECT = Path(__file__).parents[2]
FOREST = contract.as_typed(pd.read_parquet(PROJECT / "external" / "data" / "covertype.parquet"))
COLUMNS = list(contract.COLUMNS)


@pytest.fixture
def db() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty."""
    with emptied() as connection:
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
    own = Settings(
        experiment=name,
        model_name=name,
        trees=10,
        least_trees=1,
        search_trees=10,  # enough of them for a forest to win
        search_rows=600,
        importance_rows=50,
        promote_samples=200,
        # Ten trees are no better than noise and lose a rare class easily: those rules are proven in
        # tests/library, and here a gain is to be a gain.
        promote_confidence=0.55,
        promote_tolerance=1,
    )
    yield own
    client = MlflowClient(tracking_uri=own.tracking_uri, registry_uri=own.tracking_uri)
    for model in client.search_registered_models(f"name = '{name}'"):
        client.delete_registered_model(model.name)
    if (experiment := client.get_experiment_by_name(name)) is not None:
        client.delete_experiment(experiment.experiment_id)


def batch(rows: pd.DataFrame, number: int = 1) -> source.Batch:
    return source.Batch(1, number, texts(rows), "0" * 64)


def count(connection: tables.MySQL, table: str = "raw_observations") -> object:
    return ask(connection, f"SELECT COUNT(*) FROM {table}")[0][0]


def waiting_for_a_lock(connection: tables.MySQL) -> int:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return sum(thread["State"] == "User lock" for thread in cursor.fetchall())


def run_until_killed(program: str) -> None:
    """Run a program that kills itself, with names of this file."""
    names = f"import os, signal; from {__name__} import FOREST, batch, connect, tables\n"
    done = subprocess.run([sys.executable, "-c", names + program], cwd=PROJECT, check=False)
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
    stored = tables.load_observations(db, receipt.batch_id)
    pd.testing.assert_frame_equal(
        stored[COLUMNS].sort_values(COLUMNS, ignore_index=True), rows.sort_values(COLUMNS, ignore_index=True)
    )
    assert set(stored["batch_id"]) == {receipt.batch_id}
    keys = list(map(tables.row_key, texts(stored)))
    assert stored["row_key"].tolist() == keys == sorted(keys)


def test_empty_tables_give_an_empty_frame_of_the_same_types(db: tables.MySQL) -> None:
    stored = tables.load_observations(db, tables.last_line(db))
    assert stored.empty
    assert stored[COLUMNS].dtypes.to_dict() == FOREST[COLUMNS].dtypes.to_dict()


def test_a_tenth_of_all_data_is_stored_as_a_whole(db: tables.MySQL) -> None:
    rows = FOREST.head(58_101)
    assert tables.store_batch(db, batch(rows), "run 1").rows_new == len(rows.drop_duplicates())
    assert len(tables.load_observations(db, tables.last_line(db))) == count(db) == len(rows.drop_duplicates())


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("Slope", "x", pymysql.err.DataError),
        ("Slope", "", pymysql.err.DataError),
        ("Wilderness_Area", "x" * 17, ValueError),
        ("Wilderness_Area", "ñ" * 9, ValueError),
        ("Slope", "123", ValueError),
    ],
)
def test_a_row_that_does_not_fit_stores_nothing(
    db: tables.MySQL, column: str, value: str, error: type[Exception]
) -> None:
    rows = texts(FOREST.head(2000))
    rows[1999][COLUMNS.index(column)] = value
    with pytest.raises(error):
        tables.store_batch(db, source.Batch(1, 1, rows, "0" * 64), "run 1")
    assert (count(db), count(db, "raw_batches")) == (0, 0)
    assert tables.store_batch(db, batch(FOREST.head(2000)), "run 1").rows_new == 2000


def test_a_kill_in_the_middle_stores_nothing(db: tables.MySQL) -> None:
    run_until_killed("""
from pymysql.cursors import Cursor
execute, seen = Cursor.execute, []
def cut_short(cursor, statement, arguments=None):
    seen.append("INTO raw_observations" in statement)
    if sum(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(cursor, statement, arguments)
Cursor.execute = cut_short
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

    def ingest(dag_run_id: str) -> tables.Receipt:
        with closing(connect()) as connection:
            return steps.ingest(connection, settings, dag_run_id)

    monkeypatch.setattr(source, "fetch_batch", fetch)
    # One run twice, as when a task is retried while its first try is still at work.
    with ThreadPoolExecutor(3) as pool:
        same, again, another = pool.map(ingest, ["run 1", "run 1", "run 2"])
    assert same == again
    assert {same.rows_new, another.rows_new} == {0, 200}
    assert len(asked) == count(db, "raw_batches") == 2
    assert count(db) == 200


def promotion(run_id: str, request: str, **others: object) -> tables.Promotion:
    line = tables.Promotion(3, run_id, {"test_f1": 0.5}, None, None, True, "the first", "promoted", request)
    return replace(line, **others)


def test_a_decision_is_written_once(db: tables.MySQL) -> None:
    first = promotion("a" * 32, "run 1")
    worse = promotion("b" * 32, "run 2", champion=3, champion_metrics={"test_f1": 0.5}, promoted=False)
    changed = promotion("a" * 32, "run 1", candidate_metrics={"test_f1": 0.1}, reason="another")
    back = promotion("a" * 32, "command", champion=4, champion_metrics={}, decision="rolled back")
    for line in (first, worse, changed, back):
        tables.record_promotion(db, "model", line)
    assert tables.promotions(db, candidate_run_id="a" * 32) == [first, back]
    assert tables.promotions(db, request="run 2") == [worse]
    assert tables.promotions(db, candidate_run_id="a" * 32, request="run 2") == []
    assert tables.promotions(db) == [first, worse, back]


def test_the_table_of_an_earlier_version_is_brought_up_to_date(db: tables.MySQL) -> None:
    with db.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE promotions DROP COLUMN decision, DROP COLUMN request, DROP INDEX once, "
            "ADD UNIQUE KEY candidate_run_id (candidate_run_id)"
        )
        for number, promoted in ((1, True), (2, False)):
            cursor.execute(
                "INSERT INTO promotions (model, candidate, candidate_run_id, candidate_metrics, promoted, "
                "reason, at) VALUES ('m', %s, %s, '{}', %s, 'old', UTC_TIMESTAMP(6))",
                (number, str(number) * 32, promoted),
            )
    tables.create_tables(db)
    assert [line.decision for line in tables.promotions(db)] == ["promoted", "refused"]
    again = promotion("1" * 32, "run 1")
    tables.record_promotion(db, "m", again)
    assert tables.promotions(db, candidate_run_id="1" * 32)[-1] == again


def test_a_snapshot_stays_what_it_was(db: tables.MySQL) -> None:
    first = tables.store_batch(db, batch(FOREST.head(300)), "run 1")
    taken = snapshot.take(db)
    assert (taken.ledger, taken.rows) == (first.batch_id, 300)
    tables.store_batch(db, batch(FOREST.iloc[200:500], 2), "run 2")
    rows = snapshot.load(db, taken)
    assert len(rows) == 300
    assert set(rows["batch"]) == {1}
    assert set(snapshot.load(db, snapshot.take(db))["batch"]) == {1, 2}
    with db.cursor() as cursor:
        cursor.execute("DELETE FROM raw_observations WHERE batch_id = %s LIMIT 1", (first.batch_id,))
    with pytest.raises(snapshot.SnapshotError, match=r"299 rows .* not the 300"):
        snapshot.load(db, taken)


class Pipeline:
    """The steps as the tasks of the DAG call them, one run after the other."""

    def __init__(self, db: tables.MySQL, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.taken: dict[int, snapshot.Snapshot] = {}

    def learn(self, dag_run_id: str, *, force: bool = False) -> int:
        taken = steps.take_snapshot(self.db, self.settings, force=force)
        run = steps.learn(self.db, self.settings, taken, dag_run_id, force=force)
        steps.assess(self.db, self.settings, taken, run)
        version = steps.register(self.db, self.settings, run)
        self.taken[version] = taken
        return version

    def decide(self, version: int, policy: Policy = Policy.AUTO) -> tables.Promotion:
        settings = self.settings.model_copy(update={"policy": policy})
        return steps.decide(self.db, settings, self.taken[version], version)

    def in_production(self) -> int | None:
        champion = registry.champion(self.settings)
        return champion and champion.version

    def state(self) -> dict[int, tuple[str, tuple[str, ...]]]:
        return {one.version: (one.stage, one.aliases) for one in registry.list_versions(self.settings)}


@pytest.fixture
def pipeline(db: tables.MySQL, settings: Settings) -> Pipeline:
    return Pipeline(db, settings)


def test_learning_deciding_and_rolling_back(
    db: tables.MySQL, settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(steps.NothingNew, match="No row"):
        steps.take_snapshot(db, settings, force=True)
    tables.store_batch(db, batch(FOREST.sample(1500, random_state=1)), "run 1")
    assert pipeline.learn("run 1") == pipeline.learn("run 1") == 1  # a repeated task makes no second model
    decision = pipeline.decide(1)
    assert (decision.promoted, decision.champion) == (True, None)
    with pytest.raises(steps.NothingNew, match="1500 rows"):
        steps.take_snapshot(db, settings, force=False)

    tables.store_batch(db, batch(FOREST.sample(6000, random_state=2), 2), "run 2")
    assert pipeline.learn("run 2") == 2
    decision = pipeline.decide(2)
    assert (decision.promoted, decision.champion) == (True, 1)
    assert decision.champion_metrics is not None
    assert decision.champion_metrics["test_f1"] < decision.candidate_metrics["test_f1"]
    assert pipeline.in_production() == 2
    second = registry.get(settings, 2)
    assert (second.tags["decision"], second.tags["decision_champion"]) == ("promoted", "1")
    # What its users got of version 1 on the batch that it had never seen.
    metrics = MlflowClient(tracking_uri=settings.tracking_uri).get_run(second.run_id).data.metrics
    assert 0 < metrics["before_f1"] < 1

    # Rolled back once, however often the request is repeated; and a repeated task does not undo it.
    back = steps.rollback(db, settings, "rollback 1")
    assert (back.candidate, back.champion, back.decision) == (1, 2, "rolled back")
    assert steps.rollback(db, settings, "rollback 1") == back
    assert pipeline.in_production() == 1
    assert pipeline.decide(2) == decision
    assert pipeline.in_production() == 1
    with pytest.raises(registry.RegistryError, match="version 1 is the first"):
        steps.rollback(db, settings, "rollback 2")

    # The same rows again, forced: another model; its decision is cut short before it is carried out.
    def cut_short(*_: object) -> None:
        raise ConnectionError("cut short")

    assert pipeline.learn("run 3", force=True) == 3
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_production", cut_short)
        with pytest.raises(ConnectionError, match="cut short"):
            pipeline.decide(3)
    assert pipeline.in_production() == 1
    assert pipeline.decide(3).promoted
    assert pipeline.state() == {
        3: ("Production", ("champion",)),
        2: ("Archived", ()),
        1: ("Archived", ("previous",)),
    }
    assert [line.decision for line in tables.promotions(db)] == [
        "promoted",
        "promoted",
        "rolled back",
        "promoted",
    ]


def test_two_runs_that_met_the_same_rows_make_one_model(db: tables.MySQL, settings: Settings) -> None:
    tables.store_batch(db, batch(FOREST.sample(1000, random_state=1)), "run 1")
    taken = steps.take_snapshot(db, settings, force=False)
    assert steps.take_snapshot(db, settings, force=False) == taken

    def learn(dag_run_id: str) -> str:
        with closing(connect()) as connection:
            return steps.learn(connection, settings, taken, dag_run_id, force=False)

    first = learn("run 1")
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(learn, ["run 1", "run 2"])) == {first}
    for _ in range(2):
        steps.assess(db, settings, taken, first)
        assert steps.register(db, settings, first) == 1
        assert steps.decide(db, settings, taken, 1).promoted
    assert count(db, "promotions") == 1


def test_no_better_model_is_registered_and_not_promoted(db: tables.MySQL, pipeline: Pipeline) -> None:
    tables.store_batch(db, batch(FOREST.sample(1500, random_state=1)), "run 1")
    pipeline.learn("run 1")
    pipeline.decide(1)
    assert pipeline.learn("run 2", force=True) == 2
    decision = pipeline.decide(2)
    assert (decision.promoted, decision.decision) == (False, "refused")
    assert pipeline.state() == {2: ("None", ()), 1: ("Production", ("champion",))}


def test_a_person_decides_or_nobody_does(db: tables.MySQL, settings: Settings, pipeline: Pipeline) -> None:
    tables.store_batch(db, batch(FOREST.sample(1500, random_state=1)), "run 1")
    pipeline.learn("run 1")
    assert pipeline.decide(1, Policy.OFF).decision == "off"
    assert pipeline.in_production() is None
    with pytest.raises(steps.NotWaiting, match="off"):
        steps.approve(db, settings, 1, "approval 0")

    pipeline.learn("run 2", force=True)
    assert pipeline.decide(2, Policy.MANUAL).decision == "waiting"
    assert pipeline.state()[2] == ("None", ("challenger",))
    approved = steps.approve(db, settings, 2, "approval 1")
    assert steps.approve(db, settings, 2, "approval 1") == approved
    assert (approved.promoted, approved.decision) == (True, "approved")
    assert pipeline.state()[2] == ("Production", ("champion",))
    with pytest.raises(steps.NotWaiting, match="approved"):
        steps.approve(db, settings, 2, "approval 2")

    # Two that wait in front of the same champion: the second word would judge by a model that is gone.
    tables.store_batch(db, batch(FOREST.sample(6000, random_state=2), 2), "run 3")
    for number in (3, 4):
        pipeline.learn(f"run {number}", force=True)
        assert pipeline.decide(number, Policy.MANUAL).decision == "waiting"
    steps.approve(db, settings, 4, "approval 3")
    with pytest.raises(steps.NotWaiting, match="Production is version 4 now"):
        steps.approve(db, settings, 3, "approval 4")


def lose_files(settings: Settings, version: int) -> None:
    """Delete the files of a version's model from the object store, as a hand that slipped would."""
    mlflow.set_tracking_uri(settings.tracking_uri)
    run = mlflow.get_run(registry.get(settings, version).run_id)
    files = get_artifact_repository(mlflow.get_logged_model(artifact.model_id(run)).artifact_location)
    for file in files.list_artifacts():
        files.delete_artifacts(file.path)


def test_a_broken_candidate_and_a_lost_champion(
    db: tables.MySQL, settings: Settings, pipeline: Pipeline
) -> None:
    tables.store_batch(db, batch(FOREST.sample(1500, random_state=1)), "run 1")
    pipeline.learn("run 1")
    pipeline.decide(1)

    pipeline.learn("run 2", force=True)
    lose_files(settings, 2)
    decision = pipeline.decide(2)
    assert (decision.decision, decision.candidate_metrics) == ("refused", {})
    assert "no files any more" in decision.reason
    assert pipeline.in_production() == 1

    # A model of the same rows, no better, takes the place of a champion that is lost.
    lose_files(settings, 1)
    pipeline.learn("run 3", force=True)
    decision = pipeline.decide(3)
    assert (decision.decision, decision.champion, decision.champion_metrics) == ("promoted", 1, None)
    assert "cannot be used any more" in decision.reason
    assert pipeline.in_production() == 3
