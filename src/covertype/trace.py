"""What the tasks of a DAG did: the table `dag_tasks`, which they write themselves and people read.

Airflow's own history is out of reach for those who show it (docs/decisions/0041).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from covertype.tables import MySQL, ask, delete_before

RUNNING, SUCCESS, FAILED, SKIPPED, UP_FOR_RETRY = "running", "success", "failed", "skipped", "up_for_retry"
UNKNOWN = "unknown"

_DETAIL = 500  # characters
_TABLE = f"""CREATE TABLE IF NOT EXISTS dag_tasks (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  dag_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  run_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  task_id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  attempt SMALLINT UNSIGNED NOT NULL COMMENT 'the first is 1',
  timeout INT UNSIGNED NOT NULL COMMENT 'seconds after which no end is to be expected',
  is_last BOOLEAN NOT NULL COMMENT 'nothing follows it in its run',
  state VARCHAR(16) NOT NULL COMMENT 'running, success, failed, skipped or up_for_retry',
  started_at DATETIME(6) NOT NULL COMMENT 'UTC',
  ended_at DATETIME(6) NULL COMMENT 'UTC; a killed task has none',
  error VARCHAR(100) NOT NULL COMMENT 'kind of what ended it early',
  detail VARCHAR({_DETAIL}) NOT NULL COMMENT 'its message, cut short',
  UNIQUE KEY once (dag_id, run_id, task_id, attempt),
  KEY started_at (started_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""


@dataclass(frozen=True)
class Attempt:
    """One try of a task of a run; `timeout` is in seconds, and `is_last` says that nothing follows it."""

    dag_id: str
    run_id: str
    task_id: str
    number: int
    timeout: int
    is_last: bool


@dataclass(frozen=True)
class TaskTrace:
    """How the latest try of a task went."""

    task_id: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    detail: str


@dataclass(frozen=True)
class RunTrace:
    """A run by its tasks, those that began, in their order."""

    dag_id: str
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    state: str
    tasks: Sequence[TaskTrace]


@dataclass(frozen=True)
class End:
    """How a try of a task ended; `error` names the kind of what ended it early, empty when nothing did."""

    state: str
    error: str
    detail: str
    at: datetime


@dataclass(frozen=True)
class _Line:
    """The latest try of a task; overdue: nothing was heard for longer than it may take."""

    task: TaskTrace
    is_last: bool
    overdue: bool


def begin(connection: MySQL, attempt: Attempt) -> None:
    """Write down that a task begins."""
    _write(connection, attempt, RUNNING, None)


def end(connection: MySQL, attempt: Attempt, state: str, error: BaseException | None = None) -> None:
    """Write down how a task ended, also one whose beginning could not be written down."""
    _write(connection, attempt, state, error)


def _write(connection: MySQL, attempt: Attempt, state: str, error: BaseException | None) -> None:
    # What runs a task wraps what the library raised: the cause says more than the wrapping.
    kind = "" if error is None else type(error.__cause__ or error).__name__
    ended = "NULL" if state == RUNNING else "UTC_TIMESTAMP(6)"
    # The same try may begin again, after its process was lost.
    again = "started_at = new.started_at," if state == RUNNING else ""
    with connection.cursor() as cursor:
        cursor.execute(_TABLE)
        cursor.execute(
            "INSERT INTO dag_tasks (dag_id, run_id, task_id, attempt, timeout, is_last, state, error, "  # noqa: S608 - our own
            "detail, started_at, ended_at) "
            f"VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6), {ended}) "
            f"AS new ON DUPLICATE KEY UPDATE {again} state = new.state, ended_at = new.ended_at, "
            "error = new.error, detail = new.detail",
            (
                attempt.dag_id,
                attempt.run_id,
                attempt.task_id,
                attempt.number,
                attempt.timeout,
                attempt.is_last,
                state,
                kind[:100],
                "" if error is None else str(error)[:_DETAIL],
            ),
        )


def delete(connection: MySQL, before: datetime) -> int:
    """Delete what began before a time (UTC). Returns how many lines."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLE)
    return delete_before(connection, "dag_tasks", "started_at", before)


def runs(connection: MySQL, most: int = 20) -> list[RunTrace]:
    """The last runs, the newest first. A task that is overdue, and a run with one, is `unknown`."""
    lines = ask(
        connection,
        "SELECT dag_id, run_id, task_id, state, started_at, ended_at, detail, is_last, "
        "COALESCE(ended_at, started_at) + INTERVAL timeout SECOND < UTC_TIMESTAMP(6) "
        "FROM dag_tasks JOIN (SELECT dag_id, run_id, MIN(id) AS first FROM dag_tasks "
        "GROUP BY dag_id, run_id ORDER BY first DESC LIMIT %s) AS newest USING (dag_id, run_id) "
        "ORDER BY first DESC, attempt, id",
        most,
    )
    return [_run(list(tasks)) for _, tasks in groupby(lines, key=lambda line: line[:2])]


def last_ends(connection: MySQL, dag_id: str, task_id: str, most: int = 20) -> list[End]:
    """How the last tries of a task ended, the newest first."""
    lines = ask(
        connection,
        "SELECT state, error, detail, ended_at FROM dag_tasks "
        "WHERE dag_id = %s AND task_id = %s AND ended_at IS NOT NULL "
        "ORDER BY ended_at DESC, id DESC LIMIT %s",
        dag_id,
        task_id,
        most,
    )
    return [End(state, error, detail, _utc(at)) for state, error, detail, at in lines]


def _run(found: Sequence[tuple[Any, ...]]) -> RunTrace:
    lines = {line[2]: _line(line[2:]) for line in found}  # the latest try of each task comes last
    latest = sorted(lines.values(), key=lambda line: line.task.started_at)
    state = _state(latest)
    ends = [line.task.ended_at for line in latest if line.task.ended_at is not None]
    return RunTrace(
        dag_id=found[0][0],
        run_id=found[0][1],
        started_at=min(_utc(line[4]) for line in found),
        ended_at=max(ends) if state in {SUCCESS, FAILED, SKIPPED} else None,
        state=state,
        tasks=[line.task for line in latest],
    )


def _line(found: tuple[Any, ...]) -> _Line:
    task_id, state, started_at, ended_at, detail, is_last, overdue = found
    if overdue and state in {RUNNING, UP_FOR_RETRY}:
        state = UNKNOWN
    ended = None if ended_at is None else _utc(ended_at)
    return _Line(TaskTrace(task_id, state, _utc(started_at), ended, detail), bool(is_last), bool(overdue))


def _state(lines: Sequence[_Line]) -> str:
    """Of a run, by the latest tries of its tasks.

    A task that Airflow skips or gives up for an earlier one's sake never begins, and is not among them.
    """
    states = {line.task.state for line in lines}
    if UNKNOWN in states:
        return UNKNOWN
    if states & {RUNNING, UP_FOR_RETRY}:
        return RUNNING
    if FAILED in states:
        return FAILED
    last = {line.task.state for line in lines if line.is_last}
    if last:
        return SKIPPED if last == {SKIPPED} else SUCCESS
    # Between two tasks, unless that takes longer than a task.
    return UNKNOWN if all(line.overdue for line in lines) else RUNNING


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)
