import importlib.util
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from covertype import source, steps, tables, train
from covertype.settings import Settings

DAG_FILE = Path(__file__).parents[2] / "dags" / "modeling_covertype.py"


def test_the_tasks_follow_one_another(dag: DAG) -> None:
    order = ["collect", "train", "register", "promote"]
    assert {name: dag.get_task(name).downstream_task_ids for name in dag.task_ids} == {
        name: {follower} if follower else set()
        for name, follower in zip(order, [*order[1:], None], strict=True)
    }


def test_one_run_at_a_time_and_none_of_the_past(dag: DAG) -> None:
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_the_schedule_is_longer_than_the_window_of_the_source(dag: DAG) -> None:
    assert dag.timetable.expression == "*/6 * * * *"
    assert dag.timetable.run_immediately is False


def test_every_task_is_retried_and_outlasts_the_wait_for_the_lock(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.retries >= 1
        assert task.retry_delay > timedelta()
        assert task.execution_timeout > timedelta(seconds=Settings().lock_timeout) + timedelta(minutes=10)


def test_everything_is_explained_in_the_ui(dag: DAG) -> None:
    assert dag.doc_md
    assert all(name in dag.doc_md for name in dag.task_ids)
    assert all(task.doc_md for task in dag.tasks)


def test_parsing_imports_nothing_heavy() -> None:
    heavy = {"covertype", "matplotlib", "mlflow", "numpy", "pandas", "pymysql", "sklearn", "skops"}
    program = f"""
import runpy, sys
before = set(sys.modules)
runpy.run_path({str(DAG_FILE)!r})
print("heavy:", sorted({heavy!r} & (set(sys.modules) - before)))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in answer.stdout


def test_the_schedule_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERTYPE_SCHEDULE", "*/2 * * * *")
    spec = importlib.util.spec_from_file_location("other_schedule", DAG_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.SCHEDULE == "*/2 * * * *"


class Database:
    """Stands for an open connection; knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    known = SimpleNamespace(
        host="mysql-data-store", login="admin", password="secret", schema="datadb", port=None
    )

    def connect(*arguments: object) -> Database:
        assert arguments == ("mysql-data-store", "admin", "secret", "datadb", 3306)
        return database

    monkeypatch.setattr(BaseHook, "get_connection", lambda name: {"mysql_default": known}[name])
    monkeypatch.setattr(tables, "connect", connect)
    return database


def call(dag: DAG, name: str, **arguments: object) -> Any:
    task: Any = dag.get_task(name)
    return task.python_callable(**arguments)


def raising(error: Exception) -> Any:
    def step(*_: object) -> None:
        raise error

    return step


@pytest.mark.parametrize(
    ("task", "step", "error", "becomes"),
    [
        ("collect", "collect", source.SourceExhausted("all ten"), AirflowSkipException),
        ("collect", "collect", source.SourceError("422"), AirflowFailException),
        ("collect", "collect", source.SourceUnavailable("503"), source.SourceUnavailable),
        ("collect", "collect", tables.LockTimeout("held"), tables.LockTimeout),
        ("train", "learn", train.NotEnoughData("3 rows"), AirflowFailException),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(
    monkeypatch: pytest.MonkeyPatch,
    dag: DAG,
    opened: Database,
    task: str,
    step: str,
    error: Exception,
    becomes: type,
) -> None:
    monkeypatch.setattr(steps, step, raising(error))
    with pytest.raises(becomes, match=str(error)):
        call(dag, task, run_id="manual__1")
    assert opened.closed


def test_the_tasks_hand_on_references_only(
    monkeypatch: pytest.MonkeyPatch, dag: DAG, opened: Database
) -> None:
    receipt = tables.Receipt(batch_id=7, group_number=1, batch_number=2, rows_received=10, rows_new=9)
    promotion = tables.Promotion(4, "abc", {"test_f1": 0.9}, None, None, True, "the first")
    monkeypatch.setattr(
        steps, "collect", lambda _connection, _settings, run: receipt if run == "manual__1" else None
    )
    monkeypatch.setattr(steps, "learn", lambda _connection, _settings, run: f"trained for {run}")
    monkeypatch.setattr(steps, "register", lambda _connection, _settings, run: 4 if run == "abc" else None)
    monkeypatch.setattr(
        steps, "decide", lambda _connection, _settings, version: promotion if version == 4 else None
    )

    assert call(dag, "collect", run_id="manual__1") == {"batch": 2, "rows_received": 10, "rows_new": 9}
    assert call(dag, "train", run_id="manual__1") == "trained for manual__1"
    assert call(dag, "register", mlflow_run="abc") == 4
    assert call(dag, "promote", version=4) == {"version": 4, "promoted": True, "reason": "the first"}
