"""A stack of its own for the tests: another name, other ports, a source that moves on with every request."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[2]
ARTEFACTS = PROJECT / "build" / "e2e"

VARIABLES = {
    "STACK_NAME": "covertype-test",
    "BUNDLE": "",
    "AIRFLOW_PORT": "18081",
    "DATA_API_PORT": "18080",
    "MINIO_CONSOLE_PORT": "19001",
    "MINIO_PORT": "19000",
    "MLFLOW_PORT": "15000",
    "MODEL_API_PORT": "18989",
    "UI_PORT": "18503",
    "MIN_UPDATE_TIME": "0",
    "SAMPLE_SEED": "20261",  # the same rows in every run: a target reached is reached again
    "DAG_SCHEDULE": "0 0 1 1 *",  # runs are the tests' own
}


# The files share the stack, and each leaves it as the next one needs it.
ORDER = (
    "test_end_to_end",
    "test_ten_batches",
    "test_views",
    "test_model_api",
    "test_page",
    "test_edge",
    "test_variables",
    "test_security",
    "test_ingest_faults",
    # Those of tests/faults that are short.
    "test_tampering",
    "test_freeze",
    "test_network",
    "test_kill",
    "test_up",
    "test_disk_full",
    "test_engine",
    "test_schedule",
    "test_upkeep",
    "test_drift",
    "test_rotation",
    "test_bundle",
    "test_backup",
    "test_destroy",
    "test_remote_host",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """From nothing, through what may happen to a stack, to nothing."""
    items.sort(key=lambda item: ORDER.index(item.path.stem))


@dataclass
class Stack:
    """The stack under test, as its user meets it: commands, URLs, and the engine."""

    variables: dict[str, str] = field(default_factory=lambda: dict(VARIABLES))

    @property
    def name(self) -> str:
        return self.variables["STACK_NAME"]

    @property
    def secrets(self) -> Path:
        return PROJECT / ".stack" / self.name / "secrets"

    def url(self, service: str) -> str:
        scheme = "https" if self.variables.get("EDGE_TLS") == "true" and service != "data-api" else "http"
        return f"{scheme}://127.0.0.1:{self.variables[service.upper().replace('-', '_') + '_PORT']}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client trusts: the lab's own authority where there is one."""
        authority = self.secrets.parent / "ca.crt"
        return ssl.create_default_context(cafile=authority if authority.is_file() else None)

    def make(self, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project as a user types it."""
        return self.run("make", "--no-print-directory", target, **variables)

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one play of the project, with arguments of ansible-playbook."""
        return self.run("bin/playbook", name, *arguments)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command for this stack alone; what it prints is kept beside the screenshots."""
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env={**os.environ, **self.variables, **variables},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=3000,
            check=False,
        )
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        with (ARTEFACTS / "commands.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)} {variables or ''}\n{done.stdout}(exit {done.returncode})\n\n")
        return done

    def docker(self, *arguments: str) -> str:
        return subprocess.run(
            ["docker", *arguments], text=True, capture_output=True, check=True, timeout=300
        ).stdout

    def labelled(self, kind: str) -> list[str]:
        """Ids of the containers, networks, volumes or images that carry the stack's label."""
        everything = ["--all"] if kind == "container" else []
        return self.docker(kind, "ls", "--quiet", *everything, "--filter", f"label=stack={self.name}").split()

    def inspect(self) -> dict[str, Any]:
        """The engine's record of each container, by service."""
        records = json.loads(self.docker("inspect", *self.labelled("container")))
        return {record["Name"].removeprefix(f"/{self.name}-"): record for record in records}

    def terraform(self, root: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Terraform as typed by hand in a folder: the workspace is the stack, ports come from TF_VAR_…."""
        variables = {
            f"TF_VAR_{key.lower()}": value for key, value in self.variables.items() if key != "STACK_NAME"
        }
        return subprocess.run(
            ["terraform", f"-chdir=terraform/{root}", *arguments],
            cwd=PROJECT,
            env={**os.environ, **variables, "TF_WORKSPACE": self.name},
            text=True,
            capture_output=True,
            check=False,
            timeout=600,
        )

    def mysql(self, statement: str) -> list[list[str]]:
        """Rows that a statement gives in datadb, as root."""
        shell = (
            'MYSQL_PWD="$(cat /run/secrets/root-password)" '
            "exec mysql --user=root --batch --skip-column-names datadb"
        )
        done = subprocess.run(
            ["docker", "exec", "--interactive", f"{self.name}-mysql-data-store", "sh", "-c", shell],
            input=statement,
            text=True,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return [line.split("\t") for line in done.stdout.splitlines()]

    def airflow(self) -> httpx.Client:
        """A client of Airflow's REST API that has signed in."""
        base = self.url("airflow")
        password = (self.secrets / "values" / "airflow-airflow").read_text(encoding="utf-8").strip()
        answer = httpx.post(
            f"{base}/auth/token",
            json={"username": "airflow", "password": password},
            timeout=30,
            verify=self.trust,
        ).raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(
            base_url=f"{base}/api/v2",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            verify=self.trust,
        )

    def run_dag(self, **params: Any) -> dict[str, Any]:
        """Trigger DAG_p2, wait until the run has ended; returns the run with the states of its tasks."""
        with self.airflow() as airflow:
            asked = {"logical_date": None, "conf": params}
            run = airflow.post("/dags/DAG_p2/dagRuns", json=asked).raise_for_status().json()
            path = f"/dags/DAG_p2/dagRuns/{run['dag_run_id']}"
            run = wait_until(
                lambda: airflow.get(path).raise_for_status().json(),
                lambda run: run["state"] in {"success", "failed"},
                seconds=600,
            )
            tasks = airflow.get(f"{path}/taskInstances").raise_for_status().json()["task_instances"]
            return run | {"tasks": {task["task_id"]: task["state"] for task in tasks}}


def wait_until(ask: Any, holds: Any, seconds: float) -> Any:
    """What `ask` gives as soon as `holds` says yes of it; fails with the last answer otherwise."""
    import threading
    import time

    pause, deadline, answer = threading.Event(), time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        answer = ask()
        if holds(answer):
            return answer
        pause.wait(1)
    pytest.fail(f"not so after {seconds} s; the last answer: {answer}")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack, raised from nothing by `make up` (whose output a test reads) and destroyed at the end."""
    stack = Stack()
    (ARTEFACTS / "commands.log").unlink(missing_ok=True)
    yield stack
    if stack.labelled("container") or stack.labelled("volume"):
        stack.make("destroy", YES="1")


@pytest.fixture(scope="session")
def bundle(stack: Stack) -> Iterator[Path]:
    """An offline bundle, written by the stack as it runs."""
    done = stack.make("bundle")
    assert done.returncode == 0, done.stdout[-3000:]
    folder = PROJECT / "build" / "bundle" / stack.name
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser: Any) -> Any:
    """A page of that browser, in English."""
    page = browser.new_page(locale="en-GB", viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    return page
