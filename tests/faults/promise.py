"""What a stack owes whatever happens to it, and how soon.

After at most three minutes without anyone's hand all services are healthy; every row that the ledger
acknowledges is stored, once; no run, version or promotion is half-made; and the API has answered throughout,
except while it was itself down.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.stack.conftest import VARIABLES, Stack, wait_until
from tests.stack.load import Load
from tests.stack.test_end_to_end import SERVICES
from tests.stack.test_ingest_faults import books

RECOVERY = 180  # seconds
MODEL, EXPERIMENT = "modelo_covertype_vf", "covertype_training_experiment"
TASKS = ("ingest", "prepare", "train", "evaluate", "register", "promote")


@dataclass
class Figures:
    """A line for each figure: what was done, and the seconds until all was well."""

    file: Path
    began: float = field(default_factory=time.time)

    def note(self, what: str, seconds: float, more: str = "") -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%F %T')}\t{what}\t{seconds:.0f} s\t{more}\n")
        print(f"{what}: {seconds:.0f} s {more}")


class Learning:
    """A run of DAG_p2 that trains, whatever the source has: followed by its tasks, also while Airflow is
    away.
    """

    def __init__(self, stack: Stack) -> None:
        self._airflow = stack.airflow()
        if stack.name == VARIABLES["STACK_NAME"]:
            # There is a batch to ingest. Of a stack that people use the source is left where it is.
            restart = f"{stack.url('data-api')}/restart_data_generation"
            httpx.get(restart, params={"group_number": 1}, timeout=30).raise_for_status()
        # A tenth of the rows is enough: what is tested is whether a run ends, not what it learns.
        asked = {"logical_date": None, "conf": {"force": True, "fraction": 0.1}}
        run = self._airflow.post("/dags/DAG_p2/dagRuns", json=asked).raise_for_status().json()
        self.id: str = run["dag_run_id"]
        self._path = f"/dags/DAG_p2/dagRuns/{self.id}"

    def tasks(self) -> dict[str, str]:
        """State of each task; none while Airflow does not answer."""
        with suppress(httpx.HTTPError):
            found = self._airflow.get(f"{self._path}/taskInstances").raise_for_status().json()
            return {task["task_id"]: task["state"] for task in found["task_instances"]}
        return {}

    def wait_for(self, task: str) -> None:
        """Until a task is at work; a short one may have ended meanwhile."""
        wait_until(self.tasks, lambda tasks: tasks.get(task) in {"running", "success"}, 300)

    def wait_for_success(self) -> None:
        """Until the run has ended by itself, by its retries."""
        wait_until(self._state, lambda state: state in {"success", "failed"}, 900)
        assert self._state() == "success", self.tasks()

    def _state(self) -> str:
        with suppress(httpx.HTTPError):
            return str(self._airflow.get(self._path).raise_for_status().json()["state"])
        return "unknown"

    def give_up(self) -> None:
        """End it; a run that has ended stays as it is."""
        if self._state() not in {"success", "failed"}:
            self._airflow.patch(self._path, json={"state": "failed"})


@contextmanager
def learning(stack: Stack) -> Iterator[Learning]:
    """A run for the block."""
    run = Learning(stack)
    try:
        yield run
    finally:
        run.give_up()


def health(stack: Stack) -> dict[str, str]:
    """How each service is; none while the engine does not answer."""
    with suppress(subprocess.CalledProcessError):
        found = stack.inspect()
        return {
            name: found[name]["State"].get("Health", {}).get("Status", "none")
            if found[name]["State"]["Running"]
            else found[name]["State"]["Status"]
            for name in SERVICES & found.keys()
        }
    return {}


def answers(stack: Stack) -> bool:
    """Whether the API has a model and says so."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{stack.url('model-api')}/ready", timeout=5).status_code == 200
    return False


def require_healthy(stack: Stack) -> float:
    """All services are healthy in time; returns the seconds that it took."""
    began = time.monotonic()
    wait_until(lambda: health(stack), lambda found: found == dict.fromkeys(SERVICES, "healthy"), RECOVERY)
    return time.monotonic() - began


def require_answers(load: Load, *down: tuple[float, float]) -> None:
    """Every request had a good answer, but those of spans in which the API itself was down."""
    assert load.answers, "nobody asked"
    unexcused = [
        failure
        for failure in load.failures
        # A request that was under way when the API died has no answer either.
        if not any(began - 1 <= failure.at <= ended for began, ended in down)
    ]
    assert unexcused == []


def require_recorded(stack: Stack, load: Load) -> None:
    """What was answered is in the database, or comes there from the journal in time."""
    answered = {answer["prediction_id"] for _, answer in load.answers}

    def missing() -> int:
        with suppress(subprocess.CalledProcessError):
            known = {identity for (identity,) in stack.mysql("SELECT prediction_id FROM predictions")}
            return len(answered - known)
        return len(answered)

    wait_until(missing, lambda count: count == 0, RECOVERY)


def require_whole(stack: Stack, run: Learning) -> None:
    """Rows, runs, versions and promotions: none lost, doubled or half-made."""
    rows, acknowledged, keys = books(stack)
    assert rows == acknowledged == keys
    mlflow = f"{stack.url('mlflow')}/api/2.0/mlflow"

    def ask(method: str, path: str, **asked: Any) -> dict[str, Any]:
        return httpx.request(method, f"{mlflow}/{path}", timeout=60, **asked).raise_for_status().json()

    experiment = ask("GET", "experiments/get-by-name", params={"experiment_name": EXPERIMENT})
    search = {"experiment_ids": [experiment["experiment"]["experiment_id"]], "max_results": 1000}
    runs = {one["info"]["run_id"]: one for one in ask("POST", "runs/search", json=search).get("runs", [])}
    assert [one["info"]["run_name"] for one in runs.values() if one["info"]["status"] == "RUNNING"] == []

    found = ask("GET", "model-versions/search", params={"filter": f"name = '{MODEL}'", "max_results": 1000})
    versions = found["model_versions"]
    for version in versions:
        tags = {tag["key"]: tag["value"] for tag in version["tags"]}
        of = runs[version["run_id"]]
        assert (version["status"], of["info"]["status"]) == ("READY", "FINISHED"), version
        assert tags["test_f1"], version
        assert {"test_f1", "test_accuracy"} <= {metric["key"] for metric in of["data"]["metrics"]}, version
    assert len({version["run_id"] for version in versions}) == len(versions)
    production = [one["version"] for one in versions if one["current_stage"] == "Production"]
    champion = ask("GET", "registered-models/alias", params={"name": MODEL, "alias": "champion"})
    assert production == [champion["model_version"]["version"]]

    # The run that was attacked has one line in the ledger, unless the source had no batch left, and one
    # decision, which was carried out.
    lines = stack.mysql(f"SELECT COUNT(*) FROM raw_batches WHERE dag_run_id = '{run.id}'")
    assert lines == [["0" if run.tasks()["ingest"] == "skipped" else "1"]]
    ((candidate, decision),) = stack.mysql(
        f"SELECT candidate, decision FROM promotions WHERE request = '{run.id}'"
    )
    (decided,) = [one for one in versions if one["version"] == candidate]
    assert {"key": "decision", "value": decision} in decided["tags"]
    if decision == "promoted":
        assert production == [candidate]


def require_promise(stack: Stack, run: Learning, load: Load, *down: tuple[float, float]) -> float:
    """All of it; returns the seconds until all services were healthy."""
    seconds = require_healthy(stack)
    run.wait_for_success()
    require_whole(stack, run)
    require_answers(load, *down)
    require_recorded(stack, load)
    return seconds
