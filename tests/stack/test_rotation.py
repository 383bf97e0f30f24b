"""`make rotate-secrets`: new passwords in files and services, the old ones refused, all data there."""

import os
import signal
import subprocess

import httpx

from .conftest import PROJECT, Stack, wait_until


def values(stack: Stack) -> dict[str, str]:
    """Each secret by its name."""
    return {
        file.name: file.read_text(encoding="utf-8").strip() for file in (stack.secrets / "values").iterdir()
    }


def accepted(stack: Stack, secrets: dict[str, str]) -> dict[str, bool]:
    """Whether each service takes the password given for it. Passwords travel on standard input."""

    def ask(service: str, script: str, name: str) -> bool:
        done = subprocess.run(
            ["docker", "exec", "--interactive", f"{stack.name}-{service}", "bash", "-c", script],
            input=secrets[name],
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode == 0

    def mysql(user: str) -> str:
        return (
            f"mysql --defaults-extra-file=<(printf '[client]\\nuser={user}\\npassword=%s\\n' \"$(cat)\")"
            " --host=127.0.0.1 --protocol=tcp --execute='SELECT 1'"
        )

    def minio(user: str) -> str:
        return (
            f"printf '{user}\\n%s\\n' \"$(cat)\""
            " | minio-client --config-dir /tmp/rotation alias set --quiet asked http://127.0.0.1:9000"
        )

    # From a container on its network, since on its own host a PostgreSQL may trust everybody.
    postgres = (
        "umask 077; printf 'airflow-db:5432:airflow:airflow:%s' \"$(cat)\" >/tmp/asked;"
        " python -c 'import psycopg2; psycopg2.connect(\"postgresql://airflow@airflow-db/airflow?passfile=/tmp/asked\")'"
    )
    sign_in = httpx.post(
        f"{stack.url('airflow')}/auth/token",
        json={"username": "airflow", "password": secrets["airflow-airflow"]},
        timeout=30,
    )
    return {
        "airflow-airflow": sign_in.status_code == 201,
        "airflow-db-airflow": ask("airflow-scheduler", postgres, "airflow-db-airflow"),
        "minio-admin": ask("minio", minio("admin"), "minio-admin"),
        "minio-mlflow": ask("minio", minio("mlflow"), "minio-mlflow"),
        "mysql-data-store-admin": ask("mysql-data-store", mysql("admin"), "mysql-data-store-admin"),
        "mysql-data-store-model-api": ask(
            "mysql-data-store", mysql("model-api"), "mysql-data-store-model-api"
        ),
        "mysql-data-store-root": ask("mysql-data-store", mysql("root"), "mysql-data-store-root"),
        "mysql-mlflow-mlflow": ask("mysql-mlflow", mysql("mlflow"), "mysql-mlflow-mlflow"),
        "mysql-mlflow-root": ask("mysql-mlflow", mysql("root"), "mysql-mlflow-root"),
    }


def test_an_unknown_secret_is_refused_with_the_list(stack: Stack) -> None:
    before = values(stack)
    done = stack.make("rotate-secrets", SECRET="mysql")
    assert done.returncode != 0
    assert "There is no secret mysql" in done.stdout
    assert all(name in done.stdout for name in before)
    assert values(stack) == before


def test_all_secrets_are_rotated_even_when_it_is_killed_first(stack: Stack) -> None:
    old, rows = values(stack), stack.mysql("SELECT COUNT(*) FROM raw_observations")
    model = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()

    # Killed as soon as new values are in files and the services still have the old ones.
    killed = subprocess.Popen(
        ["make", "--no-print-directory", "rotate-secrets"],
        cwd=PROJECT,
        env={**os.environ, **stack.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: values(stack), lambda new: new != old, seconds=600)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=60)
    verify = stack.make("verify")
    assert verify.returncode != 0
    assert "A rotation was begun and not finished" in verify.stdout

    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-5000:]
    new = values(stack)
    assert new.keys() == old.keys()
    assert not [name for name in old if new[name] == old[name]]
    assert not [name for name, taken in accepted(stack, old).items() if taken], "old passwords still hold"
    assert not [name for name, taken in accepted(stack, new).items() if not taken], "new ones do not hold"

    logs = [
        log.read_text(encoding="utf-8") for log in (PROJECT / ".stack" / "logs").glob(f"{stack.name}-*.log")
    ]
    assert not [name for name in old for log in logs if old[name] in log or new[name] in log]

    assert stack.make("verify").returncode == 0
    plan = stack.make("plan")
    assert plan.returncode == 0, plan.stdout[-3000:]
    assert stack.mysql("SELECT COUNT(*) FROM raw_observations") == rows
    after = httpx.get(f"{stack.url('model-api')}/model", timeout=30).raise_for_status().json()
    assert (after["version"], after["run_id"]) == (model["version"], model["run_id"])


def test_one_secret_is_rotated_by_its_name(stack: Stack) -> None:
    old = values(stack)
    started = {name: record["State"]["StartedAt"] for name, record in stack.inspect().items()}
    done = stack.make("rotate-secrets", SECRET="mysql-data-store-admin")
    assert done.returncode == 0, done.stdout[-5000:]
    new = values(stack)
    assert [name for name in old if new[name] != old[name]] == ["mysql-data-store-admin"]
    assert not accepted(stack, old)["mysql-data-store-admin"]
    assert accepted(stack, new)["mysql-data-store-admin"]
    # Nothing but the job that sets it has run anew.
    again = {name: record["State"]["StartedAt"] for name, record in stack.inspect().items()}
    assert {name for name in again if again[name] != started[name]} == {"mysql-data-store-schema"}
    # What runs with it: the tasks of the DAG, by Airflow's connection.
    assert stack.make("verify").returncode == 0
