"""Who may do what, tried from inside: networks, database users, keys, containers, secrets (docs/security.md).

What must fail is tried beside something that must work: a door that is broken does not count as locked.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from .conftest import PROJECT, Stack
from .test_end_to_end import JOBS, SERVICES

# The networks of each service: who shares one may meet, and nobody else.
NETWORKS = {
    "airflow-api-server": {"airflow", "airflow-db"},
    "airflow-dag-processor": {"airflow", "airflow-db"},
    "airflow-db": {"airflow-db"},
    "airflow-scheduler": {"airflow", "airflow-db", "data", "source", "tracking"},
    "data-api": {"source"},
    "minio": {"artifacts"},
    "mlflow": {"artifacts", "mlflow-db", "tracking"},
    "model-api": {"recording", "serving", "tracking"},
    "mysql-data-store": {"data", "recording"},
    "mysql-mlflow": {"mlflow-db"},
    "ui": {"serving"},
}
# Those that lead nowhere else: the databases'.
CLOSED = {"airflow-db", "data", "mlflow-db", "recording"}
# Where each one listens; the DAG processor does not.
PORTS = {
    "airflow-api-server": 8080,
    "airflow-db": 5432,
    "airflow-scheduler": 8974,
    "data-api": 8000,
    "minio": 9000,
    "mlflow": 5000,
    "model-api": 8989,
    "mysql-data-store": 3306,
    "mysql-mlflow": 3306,
    "ui": 8503,
}
# All at once: what is cut off does not answer, and each silence takes its time.
PROBE = """
while read -r name address port; do
  (timeout 8 bash -c "exec 3<>/dev/tcp/$address/$port" 2>/dev/null && echo "$name") &
done
wait
"""


def inside(stack: Stack, service: str, script: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script of bash in a container, as the user that the service runs as."""
    return subprocess.run(
        ["docker", "exec", "--interactive", f"{stack.name}-{service}", "bash", "-c", script],
        input=text,
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


def test_each_service_is_on_its_networks_alone(stack: Stack) -> None:
    containers = stack.inspect()
    found = {
        name: {network.removeprefix(f"{stack.name}-") for network in record["NetworkSettings"]["Networks"]}
        for name, record in containers.items()
        if name in SERVICES
    }
    assert found == NETWORKS


def test_networks_of_databases_lead_nowhere_else(stack: Stack) -> None:
    records = json.loads(stack.docker("network", "inspect", *stack.labelled("network")))
    closed = {record["Name"].removeprefix(f"{stack.name}-") for record in records if record["Internal"]}
    assert closed == CLOSED


def test_a_service_reaches_whom_it_shares_a_network_with_and_nobody_else(stack: Stack) -> None:
    """By each address of each service, as a name means nothing on another network, or by the host."""
    containers = stack.inspect()
    addresses = {
        name: [network["IPAddress"] for network in record["NetworkSettings"]["Networks"].values()]
        for name, record in containers.items()
        if name in SERVICES
    }
    published = [int(port) for key, port in stack.variables.items() if key.endswith("_PORT")]
    services = [f"{name} {address} {port}" for name, port in PORTS.items() for address in addresses[name]]

    def reached(service: str) -> set[str]:
        networks = containers[service]["NetworkSettings"]["Networks"].values()
        host = [f"host {network['Gateway']}" for network in networks if network["Gateway"]]
        targets = services + [f"{address} {port}" for address, port in product(host, published)]
        return set(inside(stack, service, PROBE, "\n".join(targets) + "\n").stdout.split()) - {service}

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(NETWORKS, pool.map(reached, NETWORKS), strict=True))
    assert found == {
        service: {name for name in PORTS if name != service and NETWORKS[name] & NETWORKS[service]}
        for service in NETWORKS
    }


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_process_has_the_least_that_it_needs(stack: Stack, service: str) -> None:
    """As the kernel has it, of the first process of the container."""
    status = dict(
        line.split(":\t", 1) for line in inside(stack, service, "cat /proc/1/status").stdout.splitlines()
    )
    assert set(status["Uid"].split()) & {"0"} == set()
    assert {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {
        "CapEff": 0,
        "CapPrm": 0,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert status["NoNewPrivs"] == "1"
    for folder in ("/", "/usr/local/bin", "/etc"):
        assert inside(stack, service, f"touch {folder}/probe").returncode != 0, folder
    assert inside(stack, service, "touch /tmp/probe && rm /tmp/probe").returncode == 0


def test_containers_run_with_the_least_they_need(stack: Stack) -> None:
    """As the engine has it, of services and jobs."""
    for name, container in stack.inspect().items():
        host = container["HostConfig"]
        assert container["Config"]["User"] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert not host["Devices"], name
        assert "host" not in {host["NetworkMode"], host["PidMode"], host["IpcMode"], host["UTSMode"]}, name
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), name
        assert not any("unconfined" in option for option in host["SecurityOpt"]), name
        assert host["Memory"] > 0, name
        assert host["MemorySwap"] == host["Memory"], name
        assert host["RestartPolicy"]["Name"] == ("no" if name in JOBS else "unless-stopped"), name
        bindings = [binding for bound in (host["PortBindings"] or {}).values() for binding in bound]
        assert {binding["HostIp"] for binding in bindings} <= {"127.0.0.1"}, name
        mounted = [mount for mount in container["Mounts"] if mount["Type"] == "bind"]
        assert not [mount for mount in mounted if mount["RW"] or mount["Source"].endswith(".sock")], name
        allowed = (str(stack.secrets), str(stack.secrets.parent / "dags"))
        assert not [mount["Source"] for mount in mounted if not mount["Source"].startswith(allowed)], name


# Server and secret of a user; a statement that it may run, and those that it must not.
USERS = {
    "admin": (
        ("mysql-data-store", "mysql-data-store-admin", "SELECT COUNT(*) FROM datadb.raw_observations"),
        (
            "SELECT User FROM mysql.user",
            "DROP DATABASE mysql",
            "DROP DATABASE datadb",
            "DROP TABLE datadb.promotions",
            "CREATE DATABASE another",
            "CREATE USER another IDENTIFIED BY 'x'",
            "GRANT SELECT ON datadb.* TO `model-api`",
            "SET GLOBAL max_connections = 1",
            "SHUTDOWN",
            "SELECT 1 INTO OUTFILE '/var/lib/mysql-files/probe'",
        ),
    ),
    "model-api": (
        (
            "mysql-data-store",
            "mysql-data-store-model-api",
            (
                "SELECT (SELECT COUNT(*) FROM datadb.predictions), "
                "(SELECT COUNT(*) FROM datadb.raw_batches), (SELECT COUNT(*) FROM datadb.quarantine), "
                "(SELECT COUNT(*) FROM datadb.promotions), "
                "(SELECT COUNT(*) FROM datadb.dag_tasks)"
            ),
        ),
        (
            *(
                statement.format(f"datadb.{table}")
                for table in ("raw_batches", "raw_observations", "quarantine", "promotions", "dag_tasks")
                for statement in (
                    "INSERT INTO {0} SELECT * FROM {0} WHERE FALSE",
                    "DELETE FROM {0} WHERE FALSE",
                    "TRUNCATE {0}",
                    "DROP TABLE {0}",
                    "ALTER TABLE {0} ADD COLUMN another INT",
                )
            ),
            "UPDATE datadb.promotions SET promoted = TRUE WHERE FALSE",
            "UPDATE datadb.raw_batches SET refused = TRUE WHERE FALSE",
            "DELETE FROM datadb.predictions WHERE FALSE",
            "UPDATE datadb.predictions SET prediction = 0 WHERE FALSE",
            "DELETE FROM datadb.feedback WHERE FALSE",
            "DROP TABLE datadb.predictions",
            "CREATE TABLE datadb.another (id INT)",
            "CREATE VIEW datadb.another AS SELECT 1",
            "CREATE DATABASE another",
            "SELECT User FROM mysql.user",
            "SELECT 1 INTO OUTFILE '/var/lib/mysql-files/probe'",
        ),
    ),
    "mlflow": (
        ("mysql-mlflow", "mysql-mlflow-mlflow", "SELECT COUNT(*) FROM mlflow.runs"),
        (
            "SELECT User FROM mysql.user",
            "DROP DATABASE mysql",
            "CREATE DATABASE another",
            "CREATE USER another IDENTIFIED BY 'x'",
            "SET GLOBAL max_connections = 1",
        ),
    ),
}
# Access to a schema, a server, a table or a privilege is denied.
DENIED = re.compile(r"ERROR (1044|1045|1142|1227|1410) ")
AS_USER = (
    "read -r user password; exec mysql --defaults-extra-file=<("
    'printf \'[client]\\nuser=%s\\npassword=%s\\n\' "$user" "$password")'
    " --host=127.0.0.1 --protocol=tcp --force --batch --skip-column-names"
)


def value(stack: Stack, name: str) -> str:
    return (stack.secrets / "values" / name).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("user", USERS)
def test_a_database_user_may_do_its_work_and_nothing_else(stack: Stack, user: str) -> None:
    (server, secret, work), forbidden = USERS[user]
    sign_in = f"{user} {value(stack, secret)}\n"
    done = inside(stack, server, AS_USER, sign_in + work + ";\n")
    assert done.returncode == 0, done.stderr
    for statement in forbidden:
        done = inside(stack, server, AS_USER, sign_in + statement + ";\n")
        assert DENIED.search(done.stderr), (statement, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("server", "user", "secret"),
    [
        ("mysql-data-store", "mlflow", "mysql-mlflow-mlflow"),
        ("mysql-mlflow", "admin", "mysql-data-store-admin"),
        ("mysql-mlflow", "root", "mysql-data-store-root"),
    ],
)
def test_a_user_of_one_server_is_none_of_the_other(stack: Stack, server: str, user: str, secret: str) -> None:
    done = inside(stack, server, AS_USER, f"{user} {value(stack, secret)}\nSELECT 1;\n")
    assert DENIED.search(done.stderr), done.stderr


# The key of MLflow: its own bucket's objects, and nothing else of MinIO.
AS_MLFLOW = (
    'set -e; export MC_CONFIG_DIR="$(mktemp -d)"; trap \'rm -rf "$MC_CONFIG_DIR"\' EXIT;'
    ' read -r password; printf "mlflow\\n%s\\n" "$password"'
    " | minio-client alias set --quiet key http://127.0.0.1:9000 >/dev/null; minio-client "
)


@pytest.mark.parametrize(
    "command",
    [
        "ls key/another-bucket",
        "mb key/another-bucket",
        "version suspend key/mlflows3",
        "anonymous set public key/mlflows3",
        "ilm rule ls key/mlflows3",
        "admin info key",
        "admin user ls key",
        "admin policy ls key",
    ],
)
def test_the_key_of_mlflow_opens_its_bucket_alone(stack: Stack, command: str) -> None:
    key = value(stack, "minio-mlflow") + "\n"
    done = inside(stack, "minio", AS_MLFLOW + "ls key/mlflows3", key)
    assert done.returncode == 0, done.stderr
    done = inside(stack, "minio", AS_MLFLOW + command, key)
    assert done.returncode != 0, done.stdout
    assert re.search(r"Access ?Denied|not allowed", done.stdout + done.stderr, re.IGNORECASE), done.stderr


def test_nobody_reads_the_bucket_without_a_key(stack: Stack) -> None:
    done = inside(stack, "minio", "curl --silent http://127.0.0.1:9000/mlflows3/")
    assert "AccessDenied" in done.stdout


def test_no_secret_is_to_be_seen(stack: Stack) -> None:
    """No value in Terraform's state, `docker inspect`, an image's history, a log, or the process list."""
    values = {
        file.name: file.read_text(encoding="utf-8").strip() for file in (stack.secrets / "values").iterdir()
    }
    assert len(values) >= 11
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 24 for value in values.values())

    places = {
        str(path): path.read_text(encoding="utf-8")
        for path in PROJECT.glob("terraform/*/terraform.tfstate.d/*/*")
    }
    assert len(places) >= 2
    for log in (PROJECT / ".stack" / "logs").glob(f"{stack.name}-*.log"):
        places[str(log)] = log.read_text(encoding="utf-8", errors="replace")
    for name, container in stack.inspect().items():
        places[f"inspect {name}"] = json.dumps(container)
        places[f"logs {name}"] = subprocess.run(
            ["docker", "logs", container["Id"]],
            text=True,
            check=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout
    for image in stack.labelled("image"):
        places[f"image {image}"] = stack.docker("history", "--no-trunc", image) + stack.docker(
            "inspect", image
        )
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ"):
            try:
                places[f"{process.name} {file}"] = (process / file).read_bytes().decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile
    airflow_logs = f"{stack.name}-airflow-scheduler"
    places["task logs"] = stack.docker("exec", airflow_logs, "grep", "-rh", "", "/opt/airflow/logs")
    found = [
        (name, place) for name, value in values.items() for place, text in places.items() if value in text
    ]
    assert not found


def test_secret_files_are_their_users_alone(stack: Stack) -> None:
    for file in stack.secrets.rglob("*"):
        if file.is_file():
            assert file.stat().st_mode & 0o077 == 0, file
    assert (stack.secrets / "values").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_container_sees_its_own_secrets_alone(stack: Stack, service: str) -> None:
    """Of all values, those in the files of its own folder, which it can read and not change."""
    listed = inside(stack, service, "ls /run/secrets 2>/dev/null").stdout.split()
    folder = stack.secrets / service.removesuffix("-api-server").removesuffix("-scheduler").removesuffix(
        "-dag-processor"
    )
    assert set(listed) <= ({file.name for file in folder.iterdir()} if folder.is_dir() else set())
    for name in listed:
        assert inside(stack, service, f"test -r /run/secrets/{name}").returncode == 0, name
        assert inside(stack, service, f": >>/run/secrets/{name}").returncode != 0, name
