"""What people ask of the tables, and the traces of tasks, on the real MySQL."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pymysql
import pytest

from covertype import contract, questions, source, tables, trace, upkeep

from .database import ask, connect, emptied, texts

PROJECT = Path(__file__).parents[2]
FOREST = contract.as_typed(pd.read_parquet(PROJECT / "external" / "data" / "covertype.parquet"))
COLUMNS = list(contract.COLUMNS)
LABELS = list(contract.CLASSES.values())


@pytest.fixture
def db() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty."""
    with emptied() as connection:
        trace.delete(connection, datetime(9999, 1, 1))  # noqa: DTZ001 - as MySQL has it
        yield connection


def batch(rows: pd.DataFrame, number: int, bad: int = 0) -> source.Batch:
    refusals = tuple(contract.refusal(position, ["x"]) for position in range(bad))
    return source.Batch(1, number, texts(rows), "0" * 64, bad, refusals)


def test_empty_tables_and_one_that_was_never_made_have_empty_answers(db: tables.MySQL) -> None:
    assert questions.ledger(db) == []
    assert questions.distribution(db, "Elevation").counts == {}
    assert questions.quarantine(db, 10) == (0, [])
    assert questions.promotions(db, 10) == []
    assert questions.promoted_at(db, "a" * 32) is None
    assert questions.predictions(db) == questions.Predictions(0, 0, 0, None)
    assert questions.latency(db) is None
    assert questions.feedback(db) == []
    assert trace.runs(db) == []
    assert trace.last_ends(db, "DAG_p2", "ingest") == []
    assert tables.ask(db, "SELECT 1 FROM never_made") == ()


def test_the_ledger_and_the_quarantine_begin_with_the_newest(db: tables.MySQL) -> None:
    first = tables.store_batch(db, batch(FOREST.head(90), 1, bad=3), "run 1")
    refused = tables.refuse_batch(db, batch(FOREST.head(10), 2, bad=5), "run 2")
    newest, oldest = questions.ledger(db)
    assert (newest.id, newest.batch, newest.rows_received, newest.rows_new, newest.rows_quarantined) == (
        refused.batch_id,
        2,
        15,
        0,
        5,
    )
    assert (newest.refused, oldest.refused, oldest.rows_new) == (True, False, 90)
    assert abs(newest.received_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert questions.ledger(db, 1) == [newest]
    total, rows = questions.quarantine(db, 6)
    assert total == 8
    assert [(row.batch_id, row.position) for row in rows] == [
        *((refused.batch_id, position) for position in range(5)),
        (first.batch_id, 0),
    ]
    assert (rows[0].received, rows[0].reasons) == ("['x']", "not a list of 13 strings")


def test_the_distribution_of_all_rows_is_what_pandas_counts(db: tables.MySQL) -> None:
    """All 581,012 rows in ten batches; the first tenth comes again in the second batch, and counts once."""
    tenth = len(FOREST) // 10 + 1
    parts = [FOREST.iloc[start : start + tenth] for start in range(0, len(FOREST), tenth)]
    for number, part in enumerate(parts, 1):
        brought = pd.concat([part, FOREST.head(100)]) if number == 2 else part
        tables.store_batch(db, batch(brought, number), f"run {number}")

    for column in COLUMNS:
        counted = questions.distribution(db, column)
        assert sum(map(sum, counted.counts.values())) == len(FOREST)
        for number, part in enumerate(parts, 1):
            if column in contract.RANGES:
                low, high = contract.RANGES[column][:2]
                place = (part[column] - low) * 20 // (high - low + 1)
                found = place.value_counts().reindex(range(20), fill_value=0)
            else:
                known = contract.CLASSES if column == contract.TARGET else contract.CATEGORIES[column]
                found = part[column].value_counts().reindex(list(known), fill_value=0)
            assert list(counted.counts[number]) == found.tolist(), (column, number)


def test_each_value_lies_in_the_bin_that_is_named_after_it(db: tables.MySQL) -> None:
    tables.store_batch(db, batch(FOREST.sample(400, random_state=3), 7), "run 1")
    for column in COLUMNS:
        counted = questions.distribution(db, column)
        (counts,) = counted.counts.values()
        for label, count in zip(counted.bins, counts, strict=True):
            if counted.kind == "number":
                low, high = map(int, label.rsplit("–", 1))  # noqa: RUF001 - an en dash
                condition, values = "BETWEEN %s AND %s", (low, high)
            else:
                condition, values = "= %s", (LABELS.index(label) if column == contract.TARGET else label,)
            inside = ask(db, f"SELECT COUNT(*) FROM raw_observations WHERE {column} {condition}", *values)
            assert inside == ((count,),), (column, label)
        assert (counted.kind == "number") == (column in contract.RANGES)
        if column in contract.RANGES:
            limits = contract.RANGES[column]
            assert len(counted.bins) == 20
            assert counted.bins[0].startswith(f"{limits.minimum}–")  # noqa: RUF001 - an en dash
            assert counted.bins[-1].endswith(f"–{limits.maximum}")  # noqa: RUF001 - an en dash


def test_decisions_with_their_moment(db: tables.MySQL) -> None:
    one = tables.Promotion(1, "a" * 32, {"test_f1": 0.5}, None, None, True, "first", "promoted", "run 1")
    two = tables.Promotion(2, "b" * 32, {}, 1, {"test_f1": 0.5}, False, "no better", "refused", "run 2")
    for promotion in (one, two):
        tables.record_promotion(db, "model", promotion)
    (newest_at, newest), (oldest_at, oldest) = questions.promotions(db, 10)
    assert (newest, oldest) == (two, one)
    assert newest_at >= oldest_at
    assert questions.promotions(db, 1) == [(newest_at, two)]
    assert questions.promoted_at(db, "a" * 32) == oldest_at
    assert questions.promoted_at(db, "b" * 32) is None


def predict(db: tables.MySQL, version: int, rows: int, minutes: float, latency: float, request: int) -> None:
    """A request for so many rows, so many minutes ago; class 1 is said of each."""
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=minutes)
    with db.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO predictions VALUES (%s, %s, %s, {', '.join(['%s'] * 12)}, 1, '[]', %s, %s)",
            [
                (f"{request}-{row}", version, f"run-{version}", *contract.EXAMPLE.values(), latency, at)
                for row in range(rows)
            ],
        )


def test_predictions_latency_by_request_and_live_accuracy(db: tables.MySQL) -> None:
    predict(db, 1, 500, 60 * 30, 1_000, 0)  # of yesterday
    for request in range(1, 20):
        predict(db, 1, 1, 90, request, request)
    predict(db, 2, 300, 5, 20, 20)
    found = questions.predictions(db)
    assert (found.total, found.last_hour, found.last_day) == (819, 300, 319)
    assert found.latest is not None
    assert abs(datetime.now(UTC) - timedelta(minutes=5) - found.latest) < timedelta(minutes=1)
    assert questions.latency(db) == questions.Latency(p50=10, p95=19, requests=20)

    for identity, truth in (("0-0", 1), ("0-1", 2), ("1-0", 1), ("20-7", 1), ("none", 1)):
        ask(db, "INSERT INTO feedback VALUES (%s, %s, UTC_TIMESTAMP(6))", identity, truth)
    assert questions.feedback(db) == [
        questions.Feedback("run-2", 2, known=1, right=1),
        questions.Feedback("run-1", 1, known=3, right=2),
    ]


def attempt(task: str, run: str = "run 1", number: int = 1, timeout: int = 3_600) -> trace.Attempt:
    return trace.Attempt("DAG_p2", run, task, number, timeout, is_last=task == "promote")


def states(run: trace.RunTrace) -> list[tuple[str, str]]:
    return [(task.task_id, task.state) for task in run.tasks]


def test_a_run_is_told_by_its_tasks(db: tables.MySQL) -> None:
    trace.begin(db, attempt("ingest"))
    (run,) = trace.runs(db)
    assert (run.state, run.ended_at, states(run)) == ("running", None, [("ingest", "running")])
    wrapping = RuntimeError("gave up")
    wrapping.__cause__ = source.SourceUnavailable("away")
    trace.end(db, attempt("ingest"), trace.UP_FOR_RETRY, wrapping)
    (run,) = trace.runs(db)
    assert (run.state, run.tasks[0].detail) == ("running", "gave up")
    (end,) = trace.last_ends(db, "DAG_p2", "ingest")
    assert (end.state, end.error, end.detail) == ("up_for_retry", "SourceUnavailable", "gave up")

    trace.begin(db, attempt("ingest", number=2))
    trace.end(db, attempt("ingest", number=2), trace.SUCCESS)
    trace.end(db, attempt("prepare"), trace.SUCCESS)  # whose beginning was lost
    (run,) = trace.runs(db)
    assert (run.state, run.ended_at) == ("running", None), "between two tasks"
    trace.begin(db, attempt("promote"))
    trace.end(db, attempt("promote"), trace.SUCCESS)
    (run,) = trace.runs(db)
    assert states(run) == [("ingest", "success"), ("prepare", "success"), ("promote", "success")]
    assert run.state == "success"
    assert run.ended_at == run.tasks[-1].ended_at
    assert run.started_at < run.tasks[0].started_at, "of the first try"

    trace.begin(db, attempt("ingest", "run 2"))
    trace.end(db, attempt("ingest", "run 2"), trace.FAILED, ValueError("x" * 5_000))
    trace.end(db, attempt("promote", "run 3"), trace.SKIPPED, ValueError("nothing new"))
    newest, failed, done = trace.runs(db)
    assert (newest.state, failed.state, done.state) == ("skipped", "failed", "success")
    assert len(failed.tasks[0].detail) == 500
    assert [one.run_id for one in trace.runs(db, 2)] == ["run 3", "run 2"]
    assert [end.state for end in trace.last_ends(db, "DAG_p2", "ingest", 2)] == ["failed", "success"]


def test_a_killed_task_is_unknown_when_its_time_is_over(db: tables.MySQL) -> None:
    program = """
import os, signal
from tests.live.test_questions_on_mysql import attempt, connect, trace
trace.begin(connect(), attempt("train", timeout=600))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False)
    assert done.returncode == -signal.SIGKILL
    (run,) = trace.runs(db)
    assert (run.state, states(run)) == ("running", [("train", "running")])
    ask(db, "UPDATE dag_tasks SET started_at = started_at - INTERVAL 601 SECOND")
    (run,) = trace.runs(db)
    assert (run.state, run.ended_at, states(run)) == ("unknown", None, [("train", "unknown")])
    # Its scheduler comes back and tries again.
    trace.begin(db, attempt("train", number=2))
    (run,) = trace.runs(db)
    assert (run.state, states(run)) == ("running", [("train", "running")])


def test_old_traces_go(db: tables.MySQL) -> None:
    for run in ("old", "new"):
        trace.end(db, attempt("promote", run), trace.SUCCESS)
    ask(db, "UPDATE dag_tasks SET started_at = started_at - INTERVAL 31 DAY WHERE run_id = 'old'")
    assert upkeep.prune_traces(db, datetime.now(UTC) - timedelta(days=30)) == 1
    assert [run.run_id for run in trace.runs(db)] == ["new"]


def test_a_server_that_is_silent_is_given_up(db: tables.MySQL) -> None:
    with (
        closing(connect(silence=1)) as impatient,
        pytest.raises(pymysql.err.OperationalError, match="timed out"),
    ):
        tables.ask(impatient, "SELECT SLEEP(30)")
