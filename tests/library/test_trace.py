"""What the lines of `dag_tasks` say of a run. The statements themselves are tried by tests/live."""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest

from covertype import trace

BEGAN = datetime(2026, 11, 28, 12, 0)  # noqa: DTZ001 - as MySQL gives it
ORDER = ["ingest", "prepare", "train", "promote"]


class Table:
    """Stands for a connection to a table with these lines."""

    def __init__(self, *lines: tuple[str, str, bool]) -> None:
        """Each is a task, its state, and whether it is overdue; they begin a minute apart."""
        self._lines = []
        for number, (task, state, overdue) in enumerate(lines):
            at = BEGAN + timedelta(minutes=number)
            ended = None if state == "running" else at + timedelta(seconds=30)
            line = ("DAG_p2", "run", task, state, at, ended, "", task == "promote", overdue)
            self._lines.append(line)

    def cursor(self) -> "Table":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, *_: object) -> None:
        pass

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._lines


def run_of(*lines: tuple[str, str, bool]) -> trace.RunTrace:
    table: Any = Table(*lines)
    (run,) = trace.runs(table)
    return run


@pytest.mark.parametrize(
    ("states", "overdue", "state"),
    [
        (["running"], False, "running"),
        (["running"], True, "unknown"),
        (["up_for_retry"], False, "running"),
        (["up_for_retry"], True, "unknown"),
        (["failed"], True, "failed"),
        (["success", "success"], False, "running"),  # the next task has not begun yet
        (["success", "success"], True, "unknown"),  # and never will
        (["success", "success", "success", "success"], True, "success"),
        (["skipped", "skipped"], False, "running"),
        (["success", "success", "failed"], False, "failed"),
        (["failed", "running"], False, "running"),
    ],
)
def test_the_state_of_a_run_by_its_tasks(states: list[str], overdue: bool, state: str) -> None:
    run = run_of(*((task, one, overdue) for task, one in zip(ORDER, states, strict=False)))
    assert run.state == state
    assert (run.ended_at is not None) == (state in {"success", "failed", "skipped"})
    assert run.started_at == BEGAN.replace(tzinfo=UTC)


def test_a_run_that_its_last_task_skips_is_skipped_and_one_that_it_ends_is_not() -> None:
    skipped = ("ingest", "skipped", False), ("prepare", "skipped", False)
    assert run_of(*skipped, ("promote", "skipped", False)).state == "skipped"
    rolled_back = run_of(*skipped, ("promote", "success", False))
    assert (rolled_back.state, rolled_back.ended_at) == ("success", rolled_back.tasks[-1].ended_at)


def test_the_latest_try_of_a_task_counts_and_a_run_begins_with_its_first() -> None:
    run = run_of(("ingest", "up_for_retry", True), ("ingest", "failed", False))
    assert (run.state, [task.state for task in run.tasks]) == ("failed", ["failed"])
    assert run.started_at < run.tasks[0].started_at
