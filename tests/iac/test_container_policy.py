"""The policy for a container stands twice: Terraform's module `service`, Ansible's role `service_container`.

Both make a container of the same inputs, and the engine has the same of each.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
STACK = "policy-test"
NAMES = {"terraform": "by-terraform", "ansible": "by-ansible"}
ADDRESSES = {"terraform": "127.0.0.2", "ansible": "127.0.0.3"}  # so that both can publish the same port
CONFIGURED = (
    "Cmd",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Hostname",
    "Image",
    "Labels",
    "StopTimeout",
    "User",
)


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], text=True, capture_output=True, check=True, timeout=120
    ).stdout


def clear() -> None:
    """Remove what is there of this test's containers, networks and volumes."""
    for kind in ("container", "network", "volume"):
        everything, force = (["--all"], ["--force"]) if kind == "container" else ([], [])
        found = docker(kind, "ls", *everything, "--quiet", f"--filter=label=stack={STACK}").split()
        if found:
            docker(kind, "rm", *force, *found)


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What both are told; with names of a network and a volume that are there, and a secret file."""
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    clear()  # a run that was killed left what it had made
    label = f"--label=stack={STACK}"
    docker("network", "create", label, f"{STACK}-one")
    docker("network", "create", label, f"{STACK}-two")
    docker("volume", "create", label, f"{STACK}-data")
    yield {
        "stack_name": STACK,
        "image": "debian:trixie-slim",
        "user": "10009:10009",
        "memory_mb": 64,
        "grace_seconds": 1,
        "command": ["sleep", "infinity"],
        "environment": {"COLOUR": "blue"},
        "healthcheck": ["true"],
        "patience": 7,
        "networks": [f"{STACK}-one", f"{STACK}-two"],
        "ports": {"8000": 28000},
        "tmpfs": {"/run": "rw,noexec,nosuid,nodev,size=1m"},
        "volumes": {f"{STACK}-data": "/data"},
        "secrets_dir": str(tmp_path),
        "secrets": ["password"],
    }
    clear()


def by_terraform(inputs: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    source = os.path.relpath(PROJECT / "terraform" / "modules" / "service", folder)
    (folder / "main.tf.json").write_text(json.dumps({"module": {"service": {"source": source, **inputs}}}))
    return subprocess.Popen(
        ["sh", "-c", "terraform init -input=false && terraform apply -input=false -auto-approve"],
        cwd=folder,
        env={**os.environ, "TF_WORKSPACE": "default"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def by_ansible(inputs: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    variables = {f"service_container_{name}": value for name, value in inputs.items()}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": [{"role": "service_container", **variables}],
    }
    (folder / "play.json").write_text(json.dumps([play]))
    return subprocess.Popen(
        [".venv-dev/bin/ansible-playbook", str(folder / "play.json")],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def engine_has(maker: str) -> dict[str, Any]:
    """What the engine says of the container; names and addresses as if both were one."""
    text = docker("inspect", f"{STACK}-{NAMES[maker]}")
    (record,) = json.loads(text.replace(NAMES[maker], "sample").replace(ADDRESSES[maker], "<address>"))
    host = record["HostConfig"]
    mounts = [
        {key: mount[key] for key in ("Type", "Source", "Destination", "RW")} for mount in record["Mounts"]
    ]
    return {
        "Config": {key: record["Config"].get(key) for key in CONFIGURED},
        # An empty list and none at all are the same to the engine.
        "HostConfig": {
            key: value for key, value in host.items() if value and key not in {"Mounts", "NetworkMode"}
        },
        "Mounts": sorted(mounts, key=lambda mount: mount["Destination"]),
        "Networks": {
            name: sorted(set(network["Aliases"]) - {record["Id"][:12]})
            for name, network in record["NetworkSettings"]["Networks"].items()
        },
    }


def test_terraform_and_ansible_run_a_container_alike(inputs: dict[str, Any], tmp_path: Path) -> None:
    makers = {"terraform": by_terraform, "ansible": by_ansible}
    running = {
        maker: make({**inputs, "name": NAMES[maker], "bind_address": ADDRESSES[maker]}, tmp_path)
        for maker, make in makers.items()
    }
    outputs = {maker: process.communicate(timeout=300)[0] for maker, process in running.items()}
    for maker, process in running.items():
        assert process.returncode == 0, outputs[maker]

    assert engine_has("ansible") == engine_has("terraform")
