"""The upkeep on the real servers: each task does its work, and nothing that is young goes."""

import httpx

from .conftest import Stack, wait_until

DAG = "/dags/covertype_upkeep"


def versions(stack: Stack) -> list[dict]:
    return httpx.get(f"{stack.url('model-api')}/models", timeout=30).raise_for_status().json()


def test_the_upkeep_runs_and_keeps_what_is_young(stack: Stack) -> None:
    before = versions(stack)
    with stack.airflow() as airflow:
        assert airflow.get(DAG).raise_for_status().json()["is_paused"] is False
        learning = airflow.get("/dags/DAG_p2/dagRuns").raise_for_status().json()["total_entries"]
        asked = {"logical_date": None, "conf": {"retention_days": 1}}
        run = airflow.post(f"{DAG}/dagRuns", json=asked).raise_for_status().json()
        path = f"{DAG}/dagRuns/{run['dag_run_id']}"
        run = wait_until(
            lambda: airflow.get(path).raise_for_status().json(),
            lambda run: run["state"] in {"success", "failed"},
            seconds=300,
        )
        tasks = airflow.get(f"{path}/taskInstances").raise_for_status().json()["task_instances"]
        assert {task["task_id"]: task["state"] for task in tasks} == dict.fromkeys(
            ("prune_answers", "prune_history", "prune_logs", "prune_mlflow", "prune_traces"), "success"
        )
        assert airflow.get("/dags/DAG_p2/dagRuns").raise_for_status().json()["total_entries"] == learning
    assert versions(stack) == before
