"""The modules applied for real: what they promise is asked of the engine and of the running process."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import PROJECT

SECRET = "word"
WORD = "a-word-that-is-nowhere-to-be-seen"
Terraform = Callable[..., subprocess.CompletedProcess[str]]


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The engine's client."""
    return subprocess.run(["docker", *arguments], text=True, capture_output=True, check=check, timeout=120)


def labelled(kind: str, stack_name: str) -> list[str]:
    """Ids of the containers, networks, volumes or images that carry the stack's label."""
    everything = ["--all"] if kind == "container" else []
    return docker(kind, "ls", *everything, "--quiet", "--filter", f"label=stack={stack_name}").stdout.split()


@pytest.fixture(scope="module")
def stack_name() -> Iterator[str]:
    """A name of its own, and nothing of it left whatever happens in between."""
    name = f"iac-{os.getpid()}"
    yield name
    for kind in ("container", "network", "volume", "image"):
        left = labelled(kind, name)
        if left:
            docker(kind, "rm", *(["--force"] if kind in {"container", "image"} else []), *left)


@pytest.fixture(scope="module")
def port() -> int:
    """A port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Terraform's state, in a folder of its own."""
    return tmp_path_factory.mktemp("engine") / "terraform.tfstate"


@pytest.fixture(scope="module")
def terraform(stack_name: str, port: int, state_file: Path) -> Terraform:
    """Terraform in tests/iac/engine, applied once, with its state and its working folder elsewhere."""
    folder = state_file.parent
    secret = folder / SECRET
    secret.write_text(WORD, encoding="utf-8")
    secret.chmod(0o666)  # so that only the mount keeps it from being written
    variables = {
        "debian_image": os.environ.get("DEBIAN_IMAGE", "debian:trixie-slim"),
        "port": str(port),
        "secrets_dir": str(folder),
        "stack_name": stack_name,
    }
    environment = {
        **os.environ,
        **{f"TF_VAR_{name}": value for name, value in variables.items()},
        "TF_DATA_DIR": str(folder / "working"),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "TF_WORKSPACE": "default",
    }

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        state = [] if command == "init" else [f"-state={state_file}"]
        return subprocess.run(
            ["terraform", "-chdir=tests/iac/engine", command, "-no-color", *state, *arguments],
            cwd=PROJECT,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
        )

    for done in (run("init"), run("apply", "-auto-approve")):
        assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture
def service(terraform: Terraform, stack_name: str) -> str:
    """Name of the service's container, which is there."""
    return f"{stack_name}-greeter"


def test_the_service_answers_on_loopback_alone(service: str, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        assert int(connection.makefile().readline()) == len(WORD)
    host = json.loads(docker("inspect", service).stdout)[0]["HostConfig"]
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}


def test_the_process_has_no_rights(service: str) -> None:
    status = docker("exec", service, "cat", "/proc/1/status").stdout
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    assert found["Uid"].split() == ["10001"] * 4
    assert found["Gid"].split() == ["10001"] * 4
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert found["NoNewPrivs"] == "1"
    for path in ("/file", "/run/secrets/word"):
        done = docker("exec", "--user", "0", service, "sh", "-c", f"echo x >>{path}", check=False)
        assert "Read-only file system" in done.stderr, path


def test_the_engine_holds_its_limits_and_watches_it(service: str, stack_name: str) -> None:
    found = json.loads(docker("inspect", service).stdout)[0]
    assert found["State"]["Health"]["Status"] == "healthy", "the apply did not wait for it"
    assert found["HostConfig"]["Memory"] == found["HostConfig"]["MemorySwap"] == 64 * 1024 * 1024
    assert found["Config"]["StopTimeout"] == 10
    assert {mount["Destination"]: mount["Type"] for mount in found["Mounts"]} == {
        "/data": "volume",
        "/run/secrets/word": "bind",
    }
    assert set(found["NetworkSettings"]["Networks"]) == {f"{stack_name}-front"}


def test_a_second_plan_is_empty(terraform: Terraform) -> None:
    plan = terraform("plan", "-detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_no_secret_is_to_be_seen(service: str, state_file: Path) -> None:
    state = state_file.read_text(encoding="utf-8")
    assert f"/run/secrets/{SECRET}" in state
    assert WORD not in state
    assert WORD not in docker("inspect", service).stdout


def test_a_job_that_fails_fails_the_apply_and_is_named(terraform: Terraform, stack_name: str) -> None:
    done = terraform("apply", "-auto-approve", "-var=exit_code=3")
    assert done.returncode != 0
    assert f"docker logs {stack_name}-greeter-job" in " ".join(done.stderr.split())


def test_destroy_leaves_the_image_alone(terraform: Terraform, stack_name: str) -> None:
    done = terraform("destroy", "-auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {
        kind: len(labelled(kind, stack_name)) for kind in ("container", "network", "volume", "image")
    } == {
        "container": 0,
        "network": 0,
        "volume": 0,
        "image": 1,  # Ansible sweeps those that nobody runs
    }
