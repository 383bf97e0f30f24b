"""One stack from nothing to a prediction, in the order in which a user meets it.

The tests share the stack and build on one another; each states a promise of the README or of the contract.
"""

import re
import subprocess
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from . import live
from .conftest import ARTEFACTS, PROJECT, Stack, wait_until

SERVICES = {
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-db",
    "airflow-scheduler",
    "data-api",
    "minio",
    "mlflow",
    "model-api",
    "mysql-data-store",
    "mysql-mlflow",
    "ui",
}
JOBS = {
    "airflow-migrate",
    "minio-bucket",
    "mlflow-migrate",
    "mysql-data-store-model-api",
    "mysql-data-store-schema",
    "mysql-mlflow-schema",
}


def production(stack: Stack) -> dict:
    """The version that is in Production, as the model API's list of the registry has it."""
    versions = httpx.get(f"{stack.url('model-api')}/models", timeout=30).raise_for_status().json()
    (version,) = [version for version in versions if version["stage"] == "Production"]
    return version


def test_a_taken_port_is_named_before_anything_is_made(stack: Stack) -> None:
    with socket_on(int(stack.variables["MLFLOW_PORT"])):
        done = stack.make("up")
    assert done.returncode != 0
    assert f"Port {stack.variables['MLFLOW_PORT']} of 127.0.0.1 is taken" in done.stdout
    assert not stack.labelled("container")
    assert not stack.labelled("volume")


def test_make_up_reaches_a_prediction(stack: Stack) -> None:
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-3000:]
    for service in ("ui", "model-api", "airflow", "mlflow", "minio-console", "data-api"):
        assert stack.url(service) in done.stdout
    assert re.search(r"Prediction of a real row by modelo_covertype_vf version 1 \(Production\)", done.stdout)


def test_every_service_is_healthy_and_every_job_ended_well(stack: Stack) -> None:
    containers = stack.inspect()
    assert set(containers) == SERVICES | JOBS
    assert {name: containers[name]["State"]["Health"]["Status"] for name in SERVICES} == dict.fromkeys(
        SERVICES, "healthy"
    )
    assert {name: containers[name]["State"]["ExitCode"] for name in JOBS} == dict.fromkeys(JOBS, 0)


def test_migrations_ran_on_mysql(stack: Stack) -> None:
    log = subprocess.run(
        ["docker", "logs", f"{stack.name}-mlflow-migrate"],
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout
    assert "Context impl MySQLImpl" in log
    assert log.count("Running upgrade") > 10


def test_the_connection_is_in_airflow_and_the_dag_is_on(stack: Stack) -> None:
    with stack.airflow() as airflow:
        connection = airflow.get("/connections/mysql_default").raise_for_status().json()
        dag = airflow.get("/dags/DAG_p2").raise_for_status().json()
    assert (connection["conn_type"], connection["host"], connection["login"]) == (
        "mysql",
        "mysql-data-store",
        "admin",
    )
    assert dag["is_paused"] is False


def test_mlflow_has_the_experiment_the_artifacts_and_the_alias(stack: Stack) -> None:
    version = production(stack)
    assert version["name"] == "modelo_covertype_vf"
    assert "champion" in version["aliases"]
    mlflow = f"{stack.url('mlflow')}/api/2.0/mlflow"
    experiment = (
        httpx.get(
            f"{mlflow}/experiments/get-by-name",
            params={"experiment_name": "covertype_training_experiment"},
            timeout=30,
        )
        .raise_for_status()
        .json()["experiment"]
    )
    found = (
        httpx.post(
            f"{mlflow}/runs/search",
            json={"experiment_ids": [experiment["experiment_id"]], "max_results": 100},
            timeout=30,
        )
        .raise_for_status()
        .json()["runs"]
    )
    serving = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()
    assert serving["version"] == version["version"]
    (run,) = [run for run in found if run["info"]["run_id"] == serving["run_id"]]
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    for name in ("test_accuracy", "test_precision", "test_recall", "test_f1"):
        assert 0.5 < metrics[name] <= 1, name
    bucket = stack.docker(
        "exec", f"{stack.name}-minio", "find", "/data/mlflows3", "-name", "MLmodel", "-maxdepth", "8"
    )
    assert "MLmodel" in bucket


def test_make_verify_holds_and_status_names_everything(stack: Stack) -> None:
    assert stack.make("verify").returncode == 0
    status = stack.make("status").stdout
    for service in SERVICES:
        assert service in status
    assert "Production: modelo_covertype_vf version 1" in status


def test_credentials_are_shown_on_request(stack: Stack) -> None:
    value = (stack.secrets / "values" / "airflow-airflow").read_text(encoding="utf-8").strip()
    done = subprocess.run(
        ["bin/credentials"],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin", "STACK_NAME": stack.name},
        text=True,
        capture_output=True,
        check=True,
    )
    assert re.search(rf"^Airflow +airflow +{re.escape(value)} +http://127", done.stdout, re.MULTILINE)


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    volumes = stack.docker("volume", "ls", "--quiet")
    done = stack.make("up")
    assert stack.docker("volume", "ls", "--quiet") == volumes, "a check leaves nothing behind either"
    assert done.returncode == 0, done.stdout[-3000:]
    assert "no changes" in done.stdout
    assert "changed:" not in done.stdout
    recap = max((PROJECT / ".stack" / "logs").glob(f"{stack.name}-*-site.log")).read_text(encoding="utf-8")
    assert re.search(r"changed=0 +unreachable=0 +failed=0", recap)


def test_a_first_run_that_ended_between_two_looks_is_not_repeated(stack: Stack) -> None:
    """The run that unpausing starts may end after `make up` found no model, and before it looks for runs."""
    done = stack.playbook("first_run", "-e", "first_run_reason='the registry has no Production version'")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "no changes" in done.stdout
    assert stack.mysql("SELECT COUNT(*) FROM raw_batches") == [["1"]]


@pytest.mark.parametrize("root", ["external", "stack"])
def test_terraform_typed_by_hand_agrees(stack: Stack, root: str) -> None:
    plan = stack.terraform(root, "plan", "-no-color", "-detailed-exitcode", "-input=false")
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_a_second_batch_trains_and_promotes_a_better_model(stack: Stack) -> None:
    run = stack.run_dag()
    assert run["state"] == "success", run
    ledger = stack.mysql(
        "SELECT batch, rows_received, rows_new, dag_run_id FROM raw_batches ORDER BY received_at"
    )
    assert [row[0] for row in ledger] == ["1", "2"]
    assert len({row[3] for row in ledger}) == 2
    ((stored,),) = stack.mysql("SELECT COUNT(*) FROM raw_observations")
    assert int(stored) == sum(int(row[2]) for row in ledger) == 5810 + 5810
    decisions = stack.mysql("SELECT candidate, champion, promoted FROM promotions ORDER BY at")
    assert decisions == [["1", "NULL", "1"], ["2", "1", "1"]]
    assert str(production(stack)["version"]) == "2"
    model = wait_until(
        lambda: httpx.get(f"{stack.url('model-api')}/model", timeout=30).json(),
        lambda model: str(model["version"]) == "2",
        seconds=60,
    )
    assert model["name"] == "modelo_covertype_vf"


def test_learning_holds_on_the_real_servers(stack: Stack, tmp_path: Path) -> None:
    done = live.run(stack, tmp_path)
    assert done.returncode == 0, done.stdout


def test_predictions_over_http_are_right_and_labelled(stack: Stack) -> None:
    api = stack.url("model-api")
    # Rows of the second tenth, which the model has seen a sample of: far better than chance on the rest.
    table = pq.read_table(PROJECT / "external" / "data" / "covertype.parquet").slice(58_101, 58_101)
    rows = table.take(list(range(0, 58_000, 58))).to_pylist()
    truth = [row.pop("Cover_Type") for row in rows]
    answer = httpx.post(f"{api}/predict/batch", json={"records": rows}, timeout=60).raise_for_status().json()
    right = sum(
        prediction["prediction"] == int(true)
        for prediction, true in zip(answer["predictions"], truth, strict=True)
    )
    assert right / len(rows) > 0.75
    assert answer["model_version"] == "2"

    one = httpx.post(f"{api}/predict", json=rows[0] | {"model": "modelo_covertype_vf"}, timeout=30)
    body = one.raise_for_status().json()
    assert body["label"] == max(body["probabilities"], key=body["probabilities"].get)
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert body["model_version"] == "2"

    wrong = httpx.post(f"{api}/predict", json=rows[0] | {"Slope": -1, "Soil_Type": "C0000"}, timeout=30)
    assert wrong.status_code == 422
    assert {error["loc"][-1] for error in wrong.json()["detail"]} == {"Slope", "Soil_Type"}
    assert httpx.post(f"{api}/predict", json=rows[0] | {"model": "another"}, timeout=30).status_code == 404
    assert httpx.get(f"{api}/listar_modelos", timeout=30).json() == {
        "modelos_disponibles": ["modelo_covertype_vf"]
    }


def test_a_person_sees_the_connection_and_the_run_in_airflow(stack: Stack, browser_page: object) -> None:
    page, base = browser_page, stack.url("airflow")
    page.goto(f"{base}/auth/login/")
    page.locator("input[name=username]").fill("airflow")
    page.locator("input[name=password]").fill(
        (stack.secrets / "values" / "airflow-airflow").read_text(encoding="utf-8").strip()
    )
    page.locator("input[type=submit], button[type=submit]").first.click()
    page.wait_for_url(re.compile(re.escape(base) + "/?(\\?.*)?$"))
    page.goto(f"{base}/connections")
    page.get_by_text("mysql_default").first.wait_for()
    page.screenshot(path=ARTEFACTS / "airflow-connections.png")
    page.goto(f"{base}/dags/DAG_p2")
    page.get_by_text("DAG_p2").first.wait_for()
    page.get_by_text("promote").first.wait_for()
    page.screenshot(path=ARTEFACTS / "airflow-dag.png")


def test_a_person_sees_the_model_in_mlflow(stack: Stack, browser_page: object) -> None:
    page, base = browser_page, stack.url("mlflow")
    page.goto(f"{base}/#/models/modelo_covertype_vf")
    page.get_by_text("champion").first.wait_for()
    page.screenshot(path=ARTEFACTS / "mlflow-model.png")


def test_rollback_puts_the_version_before_back(stack: Stack) -> None:
    done = stack.make("rollback")
    assert done.returncode == 0, done.stdout
    assert "version 1 is Production again" in done.stdout
    assert str(production(stack)["version"]) == "1"
    wait_until(
        lambda: httpx.get(f"{stack.url('model-api')}/model", timeout=30).json(),
        lambda model: str(model["version"]) == "1",
        seconds=60,
    )


def socket_on(port: int):
    """Something that listens on a port, as another program would."""
    import socket

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener
