import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, BaseHook

from covertype import tables
from covertype import upkeep as library

DAG_FILE = Path(__file__).parents[2] / "dags" / "upkeep.py"
NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def upkeep() -> DAG:
    bag = DagBag(DAG_FILE)
    assert bag.import_errors == {}
    assert list(bag.dags) == ["covertype_upkeep"]
    return bag.dags["covertype_upkeep"]


def test_it_runs_every_night_and_not_before(upkeep: DAG) -> None:
    assert upkeep.timetable.expression == "30 3 * * *"
    assert upkeep.start_date is None
    assert (upkeep.max_active_runs, upkeep.catchup) == (1, False)


def test_everything_is_explained_and_retried(upkeep: DAG) -> None:
    assert set(upkeep.task_ids) == {
        "prune_answers",
        "prune_history",
        "prune_logs",
        "prune_mlflow",
        "prune_traces",
    }
    assert upkeep.doc_md is not None
    for task in upkeep.tasks:
        assert task.task_id in upkeep.doc_md
        assert task.doc_md
        assert task.retries >= 1
        assert task.execution_timeout


def test_the_retention_is_a_number_of_days_of_at_least_one(upkeep: DAG) -> None:
    schema = upkeep.params.get_param("retention_days").schema
    assert (schema["type"], schema["minimum"]) == ("integer", 1)


def test_each_task_gets_the_same_cut(upkeep: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    context: dict[str, Any] = {
        "dag_run": SimpleNamespace(run_after=NOW),
        "params": {"retention_days": 7},
    }
    cuts = []

    def prune_mlflow(_: object, before: datetime) -> library.Pruned:
        cuts.append(before)
        return library.Pruned(2, 1)

    def prune_files(_: Path, before: datetime) -> int:
        cuts.append(before)
        return 3

    def prune_answers(connection: object, before: datetime) -> dict[str, int]:
        cuts.append(before)
        return {"feedback": 4, "predictions": 5}

    def prune_traces(connection: object, before: datetime) -> int:
        cuts.append(before)
        return 6

    monkeypatch.setattr(library, "prune_answers", prune_answers)
    monkeypatch.setattr(library, "prune_traces", prune_traces)
    monkeypatch.setattr(tables, "connect", lambda *_: SimpleNamespace(close=lambda: None))
    known = SimpleNamespace(host="h", login="l", password="p", schema="s", port=None)
    monkeypatch.setattr(BaseHook, "get_connection", lambda name: {"mysql_default": known}[name])
    monkeypatch.setattr(library, "prune_mlflow", prune_mlflow)
    monkeypatch.setattr(library, "prune_files", prune_files)
    call: Any = upkeep.get_task("prune_mlflow")
    assert call.python_callable(**context) == {"runs": 2, "models": 1}
    call = upkeep.get_task("prune_logs")
    assert call.python_callable(**context) == 3
    call = upkeep.get_task("prune_answers")
    assert call.python_callable(**context) == {"feedback": 4, "predictions": 5}
    call = upkeep.get_task("prune_traces")
    assert call.python_callable(**context) == 6
    assert cuts == [NOW - timedelta(days=7)] * 4

    history: Any = upkeep.get_task("prune_history")
    command = history.render_template(history.bash_command, context, upkeep.get_template_env())
    assert re.search(r"airflow db clean --clean-before-timestamp '2026-11-16T03:30:00\+00:00' ", command)
    assert "--yes" in command
