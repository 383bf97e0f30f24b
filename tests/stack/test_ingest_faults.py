"""The source, the task and MySQL are killed in the middle of one ingest, one after the other.

The run ends well by its own retries, and every row that the ledger acknowledges is there once.

The tests follow one run of the DAG. Whatever it waits for is a condition that can be seen from outside.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Stack, wait_until

ESTABLISHED = "01"  # as /proc/net/tcp has it


def connected_to(stack: Stack, port: int) -> list[int]:
    """Processes of the scheduler's container, by their numbers on this host, that talk to a port.

    A task is known by whom it talks to: Airflow's processes are hard to tell apart by their names. Airflow
    keeps other processes of its user from looking into a task, so root of the host looks.
    """
    container = f"{stack.name}-airflow-scheduler"
    processes = [Path("/proc") / pid for pid in stack.docker("top", container, "-eo", "pid").split()[1:]]
    lines = [line.split() for line in (processes[0] / "net/tcp").read_text().splitlines()[1:]]
    sockets = {
        f"socket:[{line[9]}]" for line in lines if line[2].endswith(f":{port:04X}") and line[3] == ESTABLISHED
    }
    return [int(process.name) for process in processes if sockets & opened_by(process)]


def opened_by(process: Path) -> set[str]:
    """What a process has open; nothing, when it has ended meanwhile."""
    try:
        return {str(file.readlink()) for file in (process / "fd").iterdir()}
    except FileNotFoundError:
        return set()


def books(stack: Stack) -> tuple[int, int, int]:
    """Rows stored, those that the ledger acknowledges, and how many keys there are."""
    ((rows, keys),) = stack.mysql("SELECT COUNT(*), COUNT(DISTINCT row_key) FROM raw_observations")
    ((acknowledged,),) = stack.mysql("SELECT COALESCE(SUM(rows_new), 0) FROM raw_batches")
    return int(rows), int(acknowledged), int(keys)


@contextmanager
def rows_locked(stack: Stack) -> Iterator[None]:
    """Hold the table of rows, so that an ingest stops in the middle of its transaction: the ledger's line is
    written, the rows are not.
    """
    shell = 'MYSQL_PWD="$(cat /run/secrets/root-password)" exec mysql --user=root --unbuffered datadb'
    command = ["docker", "exec", "--interactive", f"{stack.name}-mysql-data-store", "sh", "-c", shell]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        print("LOCK TABLES raw_observations READ; SELECT 'held';", file=holder.stdin, flush=True)
        assert holder.stdout.readline().strip() == "held"
        yield
        holder.stdin.close()  # its end is the lock's end; where MySQL was killed, both have ended already


def wait_for_the_ingest_to_meet_the_lock(stack: Stack) -> None:
    wait_until(
        lambda: stack.mysql(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'admin' "
            "AND state LIKE 'Waiting for table%lock' AND info LIKE 'INSERT %INTO raw_observations%'"
        ),
        lambda answer: answer == [["1"]],
        seconds=120,
    )


class Run:
    """One run of DAG_p2, seen by its task `ingest`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        with stack.airflow() as airflow:
            run = airflow.post("/dags/DAG_p2/dagRuns", json={"logical_date": None}).raise_for_status().json()
        self.id = run["dag_run_id"]

    def ingest(self) -> dict[str, Any]:
        path = f"/dags/DAG_p2/dagRuns/{self.id}/taskInstances/ingest"
        with self.stack.airflow() as airflow:
            return airflow.get(path).raise_for_status().json()

    def wait_for_try(self, number: int, *states: str) -> None:
        wait_until(
            self.ingest,
            lambda task: task["try_number"] >= number and task["state"] in states,
            seconds=180,
        )

    def give_up(self) -> None:
        with self.stack.airflow() as airflow:
            airflow.patch(f"/dags/DAG_p2/dagRuns/{self.id}", json={"state": "failed"}).raise_for_status()


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[Run]:
    """A run whose source is frozen as it begins, with batches left to give."""
    httpx.get(
        f"{stack.url('data-api')}/restart_data_generation", params={"group_number": 1}, timeout=30
    ).raise_for_status()
    # The service below the init process, which would not stop.
    freeze = "kill -STOP $(cat /proc/1/task/1/children)"
    stack.docker("exec", f"{stack.name}-data-api", "sh", "-c", freeze)
    started = Run(stack)
    yield started
    started.give_up()  # the training of this run is no matter here


def test_a_source_that_is_killed_while_it_is_asked(stack: Stack, run: Run) -> None:
    before = books(stack)
    wait_until(lambda: connected_to(stack, 8000), lambda processes: len(processes) == 1, seconds=120)
    with rows_locked(stack):
        stack.docker("kill", "--signal", "KILL", f"{stack.name}-data-api")
        assert books(stack) == before
        stack.docker("start", f"{stack.name}-data-api")
        # The same try has asked again, and is in the middle of storing when its process is killed.
        wait_for_the_ingest_to_meet_the_lock(stack)
        assert run.ingest()["try_number"] == 1
        (task,) = connected_to(stack, 3306)
        os.kill(task, signal.SIGKILL)
        run.wait_for_try(1, "up_for_retry")
    assert books(stack) == before


def test_a_task_and_a_mysql_that_are_killed_while_they_store(stack: Stack, run: Run) -> None:
    before = books(stack)
    with rows_locked(stack):
        run.wait_for_try(2, "running")
        wait_for_the_ingest_to_meet_the_lock(stack)
        stack.docker("kill", "--signal", "KILL", f"{stack.name}-mysql-data-store")
    stack.docker("start", f"{stack.name}-mysql-data-store")
    run.wait_for_try(2, "up_for_retry")
    wait_until(
        lambda: stack.inspect()["mysql-data-store"]["State"]["Health"]["Status"],
        lambda health: health == "healthy",
        seconds=120,
    )
    assert books(stack) == before


def test_the_ingest_ends_well_by_itself(stack: Stack, run: Run) -> None:
    rows, _, _ = books(stack)
    run.wait_for_try(3, "success")
    assert run.ingest()["try_number"] == 3
    lines = stack.mysql(f"SELECT rows_received, rows_new FROM raw_batches WHERE dag_run_id = '{run.id}'")
    ((received, new),) = lines
    assert int(received) == 5810
    assert books(stack) == (rows + int(new),) * 3
