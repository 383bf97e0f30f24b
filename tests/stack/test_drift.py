"""What is undone behind the project: plan and verify name it, `make up` puts it right and loses no data."""

import re

import httpx

from .conftest import PROJECT, Stack


def mysql(stack: Stack, service: str, statement: str) -> None:
    """Run a statement as root of one of the MySQL servers."""
    shell = 'MYSQL_PWD="$(cat /run/secrets/root-password)" exec mysql --user=root --execute="$1"'
    stack.docker("exec", f"{stack.name}-{service}", "sh", "-c", shell, "sh", statement)


def minio(stack: Stack, *command: str) -> str:
    """What a command of MinIO's client prints, as its root, inside its container."""
    shell = (
        'printf "admin\\n%s\\n" "$(cat /run/secrets/root-password)"'
        " | minio-client alias set --quiet stack http://127.0.0.1:9000 >/dev/null"
        ' && exec minio-client "$@"'
    )
    return stack.docker("exec", f"{stack.name}-minio", "sh", "-c", shell, "sh", *command)


def put_right(stack: Stack, drifts: list[str]) -> None:
    """Plan and verify name each drift and change nothing; up names it and puts it right."""
    for target in ("plan", "verify"):
        done = stack.make(target)
        assert done.returncode != 0, done.stdout[-3000:]
        missing = [drift for drift in drifts if not re.search(drift, done.stdout)]
        assert not missing, f"{target} does not name {missing}:\n{done.stdout}"
        if target == "plan":
            assert re.search(r"^changes: [1-9]\d*$", done.stdout, re.MULTILINE)
    up = stack.make("up")
    assert up.returncode == 0, up.stdout[-5000:]
    assert not [drift for drift in drifts if not re.search(drift, up.stdout)], up.stdout


def require_no_drift(stack: Stack) -> None:
    """Plan and verify are content."""
    assert stack.make("verify").returncode == 0
    plan = stack.make("plan")
    assert plan.returncode == 0, plan.stdout[-3000:]
    assert plan.stdout.splitlines()[-1] == "no changes"


def test_what_was_undone_is_named_and_put_right(stack: Stack) -> None:
    """Everything that loses no data, at once."""
    rows = stack.mysql("SELECT COUNT(*) FROM raw_observations")
    model = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()

    # Containers, a network and a volume.
    stack.docker("rm", "--force", f"{stack.name}-ui", f"{stack.name}-data-api")
    stack.docker("stop", f"{stack.name}-mlflow")
    stack.docker("volume", "rm", f"{stack.name}-data-api")
    stack.docker("network", "disconnect", "--force", f"{stack.name}-serving", f"{stack.name}-model-api")
    stack.docker("network", "rm", f"{stack.name}-serving")
    # Inside the databases and the object store.
    mysql(stack, "mysql-data-store", "REVOKE DELETE ON datadb.* FROM admin; GRANT DROP ON datadb.* TO admin")
    mysql(stack, "mysql-mlflow", "ALTER USER mlflow IDENTIFIED BY 'another'")
    minio(stack, "version", "suspend", "stack/mlflows3")
    minio(stack, "admin", "user", "remove", "stack", "mlflow")
    # In Airflow.
    with stack.airflow() as airflow:
        airflow.patch(
            "/connections/mysql_default?update_mask=host",
            json={"connection_id": "mysql_default", "conn_type": "mysql", "host": "elsewhere"},
        ).raise_for_status()
        airflow.patch("/dags/DAG_p2?update_mask=is_paused", json={"is_paused": True}).raise_for_status()
    # On the host.
    deployed = PROJECT / ".stack" / stack.name / "dags" / "modeling_covertype.py"
    deployed.write_text(deployed.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    (stack.secrets / "values" / "minio-admin").chmod(0o644)

    put_right(
        stack,
        [
            r"\bui\b",
            r"module\.data_api\.docker_container\.this will be created",
            r"docker_volume\.data_api will be created",
            r"docker_network\.this\[\"serving\"\] will be created",
            r"module\.mlflow\.docker_container\.this must be replaced",
            r"mysql-data-store-schema: DELETE ON `datadb`.* is not granted any more",
            r"mysql-data-store-schema: DROP ON `datadb`.* is granted, and was not",
            r"mysql-mlflow-schema: the user mlflow cannot sign in",
            r"minio-bucket: the bucket mlflows3 has no versioning",
            r"minio-bucket: the user mlflow is not there",
            r"mysql_default",
            r"DAG file|modeling_covertype\.py is not the one of the project",
            r"DAG_p2 is paused|Unpause the DAG",
            r"values/minio-admin",
        ],
    )
    assert stack.mysql("SELECT COUNT(*) FROM raw_observations") == rows
    after = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()
    assert (after["version"], after["run_id"]) == (model["version"], model["run_id"])
    with stack.airflow() as airflow:
        assert airflow.get("/connections/mysql_default").json()["host"] == "mysql-data-store"
        assert airflow.get("/dags/DAG_p2").json()["is_paused"] is False


def test_what_was_lost_is_made_anew_up_to_a_model(stack: Stack) -> None:
    """MLflow's schema and bucket with runs and models in them, and the password of Airflow's user."""
    rows = int(stack.mysql("SELECT COUNT(*) FROM raw_observations")[0][0])
    lost = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()
    mysql(stack, "mysql-mlflow", "DROP SCHEMA mlflow")
    minio(stack, "rb", "--force", "stack/mlflows3")
    stack.docker(
        *("exec", f"{stack.name}-airflow-db", "psql", "--username=airflow", "--command"),
        "UPDATE ab_user SET password = 'scrypt:32768:8:1$none$00' WHERE username = 'airflow'",
    )
    # A model can be trained as long as the source gives rows.
    httpx.get(
        f"{stack.url('data-api')}/restart_data_generation", params={"group_number": 1}, timeout=30
    ).raise_for_status()

    put_right(
        stack,
        [
            r"mysql-mlflow-schema: the schema mlflow is not there",
            r"mlflow-migrate: the schema mlflow has no tables",
            r"minio-bucket: the bucket mlflows3 is not there",
            r"airflow-migrate: the password of Airflow's user airflow",
        ],
    )
    assert int(stack.mysql("SELECT COUNT(*) FROM raw_observations")[0][0]) >= rows
    require_no_drift(stack)
    made = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()
    assert made["run_id"] != lost["run_id"]
