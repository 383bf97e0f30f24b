"""Runs tests/live inside the stack's Airflow image, on its MySQL and its MLflow."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import PROJECT, Stack

NAME = "learning_test"
AIRFLOW_USER = 50_000
TOOLS = PROJECT / "build" / "test-tools"
DROP = f"DROP SCHEMA IF EXISTS {NAME}; DROP USER IF EXISTS {NAME};"


def run(stack: Stack, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests with a password file in a folder; gives pytest's exit code and output."""
    password_file = folder / "password"
    with schema(stack, password_file), container(stack, password_file) as name:
        return subprocess.run(
            ["docker", "start", "--attach", name],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=1200,
        )


@contextmanager
def schema(stack: Stack, password_file: Path) -> Iterator[None]:
    """A schema and its user, who may do there what `admin` may do in datadb."""
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    os.chown(password_file, AIRFLOW_USER, AIRFLOW_USER)
    # Asked of the server, so that it is what terraform/stack/variables.tf has made there.
    (grant,) = [line for (line,) in stack.mysql("SHOW GRANTS FOR admin") if " ON `datadb`.* " in line]
    grant = grant.replace("`datadb`", f"`{NAME}`").replace("`admin`", f"`{NAME}`")
    try:
        stack.mysql(f"{DROP} CREATE SCHEMA {NAME}; CREATE USER {NAME} IDENTIFIED BY '{password}'; {grant};")
        yield
    finally:
        stack.mysql(DROP)


@contextmanager
def container(stack: Stack, password_file: Path) -> Iterator[str]:
    """A container that is not started yet; it has no name, lest it be taken for a part of the stack."""
    environment = {
        "LIVE_MYSQL_HOST": "mysql-data-store",
        "LIVE_MYSQL_PASSWORD_FILE": "/run/secrets/password",
        "LIVE_MYSQL_SCHEMA": NAME,
        "LIVE_MYSQL_USER": NAME,
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
        "HOME": "/tmp",
        # The library as the image has it.
        "PYTHONPATH": "/opt/covertype:/tools",
    }
    volumes = {PROJECT: "/project", TOOLS: "/tools", password_file: "/run/secrets/password"}
    name = stack.docker(
        *("create", "--rm", "--network", f"{stack.name}-data", "--user", f"{AIRFLOW_USER}:{AIRFLOW_USER}"),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--memory", "2g", "--workdir", "/project"),
        *(f"--env={key}={value}" for key, value in environment.items()),
        *(f"--volume={path}:{target}:ro" for path, target in volumes.items()),
        stack.inspect()["airflow-scheduler"]["Image"],
        # Short tracebacks: the long ones show a function's arguments, such as a password.
        *("python", "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "/project/tests/live"),
    ).strip()
    try:
        stack.docker("network", "connect", f"{stack.name}-tracking", name)
        yield name
    finally:
        # It goes by itself when it ends; this is for one that was never started or did not end.
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False, timeout=60)
