"""What each task of DAG_p2 calls, hands on, and makes of an error."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from covertype import artifact, registry, source, steps, tables, trace, train
from covertype.evaluate import BrokenModel
from covertype.snapshot import Snapshot


class Database:
    """Stands for an open connection; knows whether it was closed, and how long it may be silent."""

    def __init__(self) -> None:
        self.closed = False
        self.silence: float | None = None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    known = SimpleNamespace(
        host="mysql-data-store", login="admin", password="secret", schema="datadb", port=None
    )

    def connect(*arguments: object, silence: float | None) -> Database:
        assert arguments == ("mysql-data-store", "admin", "secret", "datadb", 3306)
        database.silence = silence
        return database

    monkeypatch.setattr(BaseHook, "get_connection", lambda name: {"mysql_default": known}[name])
    monkeypatch.setattr(tables, "connect", connect)
    return database


def call(dag: DAG, name: str, **arguments: object) -> Any:
    task: Any = dag.get_task(name)
    return task.python_callable(**arguments)


def raising(error: Exception) -> Any:
    def step(*_: object, **__: object) -> None:
        raise error

    return step


TAKEN: dict[str, Any] = {"ledger": 2, "rows": 9, "fingerprint": "abc"}
EVALUATED = {"taken": TAKEN, "mlflow_run": "r"}
ROLLBACK = {"action": "rollback"}
APPROVE = {"action": "approve", "version": 3}


@pytest.mark.parametrize(
    ("task", "arguments", "step", "error", "becomes"),
    [
        ("ingest", {}, "ingest", source.SourceExhausted("all ten"), AirflowSkipException),
        ("ingest", {}, "ingest", source.SourceError("422"), AirflowFailException),
        ("ingest", {}, "ingest", source.SourceUnavailable("503"), source.SourceUnavailable),
        ("ingest", {}, "ingest", tables.LockTimeout("held"), tables.LockTimeout),
        ("prepare", {}, "take_snapshot", steps.NothingNew("no new rows"), AirflowSkipException),
        ("train", {"taken": TAKEN}, "learn", train.NotEnoughData("3 rows"), AirflowFailException),
        ("evaluate", EVALUATED, "assess", BrokenModel("NaN"), AirflowFailException),
        ("evaluate", EVALUATED, "assess", artifact.ArtifactError("damaged"), AirflowFailException),
        (
            "promote",
            {"taken": None, "version": None, "params": ROLLBACK},
            "rollback",
            registry.RegistryError("nothing before"),
            AirflowFailException,
        ),
        (
            "promote",
            {"taken": None, "version": None, "params": APPROVE},
            "approve",
            steps.NotWaiting("refused"),
            AirflowFailException,
        ),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(
    monkeypatch: pytest.MonkeyPatch,
    dag: DAG,
    opened: Database,
    task: str,
    arguments: dict[str, Any],
    step: str,
    error: Exception,
    becomes: type,
) -> None:
    monkeypatch.setattr(steps, step, raising(error))
    with pytest.raises(becomes, match=str(error)):
        call(dag, task, **arguments)
    assert opened.closed


@pytest.mark.parametrize("params", [ROLLBACK, APPROVE])
@pytest.mark.parametrize("task", ["ingest", "prepare"])
def test_nothing_is_learnt_for_another_action(dag: DAG, task: str, params: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        call(dag, task, params=params)


def test_promote_skips_without_a_model_and_asks_for_the_version(dag: DAG, opened: Database) -> None:
    with pytest.raises(AirflowSkipException, match="no new model"):
        call(dag, "promote", taken=None, version=None)
    with pytest.raises(AirflowFailException, match="Name the version"):
        call(dag, "promote", taken=None, version=None, params={"action": "approve"})


def test_the_tasks_hand_on_references_only(
    monkeypatch: pytest.MonkeyPatch, dag: DAG, opened: Database
) -> None:
    receipt = tables.Receipt(batch_id=7, group_number=1, batch_number=2, rows_received=10, rows_new=9)
    promotion = tables.Promotion(4, "abc", {"test_f1": 0.9}, None, None, True, "the first", "promoted", "m")
    called: list[Any] = []

    def step(answer: object) -> Any:
        def run(_connection: object, _settings: object, *arguments: object, **options: object) -> object:
            called.append((*arguments, *options.values()))
            return answer

        return run

    for name, answer in {
        "ingest": receipt,
        "take_snapshot": Snapshot(**TAKEN),
        "learn": "mlflow run",
        "assess": None,
        "register": 4,
        "decide": promotion,
        "rollback": promotion,
        "approve": promotion,
    }.items():
        monkeypatch.setattr(steps, name, step(answer))

    assert call(dag, "ingest", run_id="m") == asdict(receipt)
    assert call(dag, "prepare", params={"force": True}) == TAKEN
    assert call(dag, "train", taken=TAKEN, run_id="m") == "mlflow run"
    assert call(dag, "evaluate", taken=TAKEN, mlflow_run="mlflow run") == "mlflow run"
    assert call(dag, "register", mlflow_run="mlflow run") == 4
    decided = {"version": 4, "decision": "promoted", "reason": "the first"}
    assert call(dag, "promote", taken=TAKEN, version=4) == decided
    assert call(dag, "promote", taken=None, version=None, params=ROLLBACK, run_id="m") == decided
    assert call(dag, "promote", taken=None, version=None, params=APPROVE, run_id="m") == decided
    taken = Snapshot(**TAKEN)
    assert called == [
        ("m",),
        (True,),
        (taken, "m", False),
        (taken, "mlflow run"),
        ("mlflow run",),
        (taken, 4),
        ("m",),
        (3, "m"),
    ]


def context_of(
    dag: DAG, task: str, number: int = 1, exception: BaseException | None = None
) -> dict[str, Any]:
    instance = SimpleNamespace(dag_id=dag.dag_id, run_id="manual 1", task_id=task, try_number=number)
    return {"ti": instance, "task": dag.get_task(task), "exception": exception}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, opened: Database) -> list[tuple[Any, ...]]:
    """What the tasks write down about themselves."""
    lines: list[tuple[Any, ...]] = []
    monkeypatch.setattr(trace, "begin", lambda _, attempt: lines.append((attempt,)))
    monkeypatch.setattr(trace, "end", lambda _, *line: lines.append(line))
    return lines


def test_every_task_writes_down_how_it_stands(
    dag: DAG, opened: Database, written: list[tuple[Any, ...]]
) -> None:
    error = ValueError("broken")
    for task in dag.tasks:
        for callbacks, exception in (
            (task.on_execute_callback, None),
            (task.on_success_callback, None),
            (task.on_retry_callback, error),
            (task.on_failure_callback, error),
        ):
            (callback,) = callbacks
            callback(context_of(dag, task.task_id, 2, exception))
    assert opened.closed
    assert opened.silence is not None, "a frozen database holds a task up for ever"
    assert opened.silence <= 10
    attempts = [
        trace.Attempt("DAG_p2", "manual 1", task.task_id, 2, 3_600, is_last=task.task_id == "promote")
        for task in dag.tasks
    ]
    assert written == [
        line
        for attempt in attempts
        for line in (
            (attempt,),
            (attempt, "success", None),
            (attempt, "up_for_retry", error),
            (attempt, "failed", error),
        )
    ]


def test_why_a_task_was_skipped_is_written_down(
    monkeypatch: pytest.MonkeyPatch, dag: DAG, written: list[tuple[Any, ...]]
) -> None:
    exhausted = source.SourceExhausted("all ten")
    monkeypatch.setattr(steps, "ingest", raising(exhausted))
    with pytest.raises(AirflowSkipException) as skipped:
        call(dag, "ingest")
    (callback,) = dag.get_task("ingest").on_skipped_callback
    callback(context_of(dag, "ingest"))  # Airflow does not say why
    ((_, state, error),) = written
    assert (state, error) == ("skipped", skipped.value)
    assert error.__cause__ is exhausted
