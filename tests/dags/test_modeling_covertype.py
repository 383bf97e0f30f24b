import importlib.util
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from covertype.settings import Settings

DAG_FILE = Path(__file__).parents[2] / "dags" / "modeling_covertype.py"


def test_the_tasks_follow_one_another(dag: DAG) -> None:
    assert {name: dag.get_task(name).downstream_task_ids for name in dag.task_ids} == {
        "ingest": {"prepare"},
        # Whoever needs the snapshot gets it from `prepare` itself.
        "prepare": {"train", "evaluate", "promote"},
        "train": {"evaluate"},
        "evaluate": {"register"},
        "register": {"promote"},
        "promote": set(),
    }


def test_the_trigger_form_has_types_and_refuses_what_is_none(dag: DAG) -> None:
    assert dag.params.dump() == {
        "action": "learn",
        "group": 1,
        "fraction": 1.0,
        "force": False,
        "policy": "auto",
        "version": None,
    }
    for name, bad in {
        "action": "destroy",
        "group": 11,
        "fraction": 0,
        "force": "yes",
        "policy": "sometimes",
        "version": 0,
    }.items():
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(bad)


def load_dag_file() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loaded_again", DAG_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_form_reaches_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERTYPE_GROUP_NUMBER", "3")
    module = load_dag_file()
    assert module.PARAMS["group"].value == 3
    settings = module.settings_of({"group": 4, "fraction": 0.5, "policy": "off", "force": True})
    assert (settings.group_number, settings.fraction, settings.policy) == (4, 0.5, "off")
    assert module.settings_of(None).group_number == 3


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
    assert load_dag_file().SCHEDULE == "*/2 * * * *"
