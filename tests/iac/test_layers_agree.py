"""Terraform, Ansible and the images share names, ports and users: written once a layer, the same in each."""

import json
import os
import re
import subprocess

import pytest
import yaml

from .conftest import PROJECT

ROOTS = ("external", "stack")
PLAYBOOKS = sorted(
    path.name for path in (PROJECT / "ansible").glob("*.yml") if not path.name.startswith("inventory.")
)


def terraform_defaults() -> dict[str, str]:
    """Default of each scalar variable of the root modules, as text."""
    defaults: dict[str, str] = {}
    for root in ROOTS:
        text = (PROJECT / "terraform" / root / "variables.tf").read_text(encoding="utf-8")
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
            scalar = re.search(r'^  default     = (?:"(.*)"|([\d.]+|true|false))$', body, re.MULTILINE)
            if scalar:
                value = scalar[1] if scalar[1] is not None else scalar[2]
                assert defaults.setdefault(name, value) == value, f"{name} differs between the root modules"
    return defaults


@pytest.fixture(scope="module")
def ansible_variables() -> dict:
    """Variables of the host as Ansible resolves them in an empty environment."""
    shown = subprocess.run(
        [
            ".venv-dev/bin/ansible",
            "stack-host",
            "-m",
            "ansible.builtin.debug",
            "-a",
            "var=platform_variables",
        ],
        cwd=PROJECT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": os.environ["HOME"],
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        },
        text=True,
        capture_output=True,
        check=True,
    )
    host = json.loads(shown.stdout)["plays"][0]["tasks"][0]["hosts"]["stack-host"]
    return host["platform_variables"]


def test_ansible_passes_the_defaults_of_terraform(ansible_variables: dict) -> None:
    """So that `terraform apply` typed by hand gives what `make up` gives."""
    defaults = terraform_defaults()
    assert {name: str(value) for name, value in ansible_variables.items()} == {
        name: defaults[name] for name in ansible_variables
    }


def test_secret_files_belong_to_the_users_of_the_containers(secret_files: dict) -> None:
    text = (PROJECT / "terraform/stack/locals.tf").read_text(encoding="utf-8")
    users = {name: int(uid) for name, uid in re.findall(r'^\s+(\w+)\s+= "(\d+):\d+"$', text, re.MULTILINE)}
    container_user = {
        "airflow": "airflow",
        "airflow-db": "postgres",
        "minio": "minio",
        "mlflow": "mlflow",
        "mysql-data-store": "mysql",
        "mysql-mlflow": "mysql",
    }
    for service in ("model-api", "ui"):
        role = (PROJECT / f"roles/{service.replace('-', '_')}/tasks/main.yml").read_text(encoding="utf-8")
        (own,) = re.findall(r'service_container_user: "(\d+):\d+"', role)
        users[service], container_user[service] = int(own), service
    for item in secret_files["secret_files_mounted"]:
        service = item["file"].split("/")[0]
        assert item["owner"] == users[container_user[service]], item["file"]
        assert item["value"] in secret_files["secret_files_values"], item["file"]


def test_images_run_as_the_users_that_terraform_names() -> None:
    text = (PROJECT / "terraform/stack/locals.tf").read_text(encoding="utf-8")
    for name, uid in re.findall(r'^\s+(airflow|edge|minio|mlflow)\s+= "(\d+):\d+"$', text, re.MULTILINE):
        dockerfile = (PROJECT / "images" / name / "Dockerfile").read_text(encoding="utf-8")
        assert f"\nUSER {uid}\n" in dockerfile, name


def test_the_provider_has_one_version() -> None:
    texts = [
        file.read_text(encoding="utf-8")
        for folder in ("terraform", "tests/iac")
        for file in (PROJECT / folder).rglob("*.tf")
    ]
    pinned = {
        version for text in texts for version in re.findall(r'kreuzwerker/docker"\s+version = "(.+)"', text)
    }
    role = (PROJECT / "roles/platform/defaults/main.yml").read_text(encoding="utf-8")
    assert pinned == {yaml.safe_load(role)["platform_provider_version"]}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_is_valid(playbook: str) -> None:
    done = subprocess.run(
        [".venv-dev/bin/ansible-playbook", "--syntax-check", f"ansible/{playbook}"],
        cwd=PROJECT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
