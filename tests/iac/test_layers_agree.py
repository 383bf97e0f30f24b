"""Terraform, Ansible and the images share names, ports and users: written once a layer, the same in each."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = ("external", "stack")
PLAYBOOKS = sorted(path.name for path in (PROJECT / "ansible").glob("*.yml") if path.name != "inventory.yml")


def terraform_defaults() -> dict[str, str]:
    """Default of each scalar variable of the root modules, as text."""
    defaults: dict[str, str] = {}
    for root in ROOTS:
        text = (PROJECT / "terraform" / root / "variables.tf").read_text(encoding="utf-8")
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
            scalar = re.search(r'^  default     = (?:"(.*)"|([\d.]+))$', body, re.MULTILINE)
            if scalar:
                value = scalar[1] if scalar[1] is not None else scalar[2]
                assert defaults.setdefault(name, value) == value, f"{name} differs between the root modules"
    return defaults


def secret_files_defaults() -> dict:
    """Defaults of the role that makes the secret files."""
    text = (PROJECT / "roles" / "secret_files" / "defaults" / "main.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


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


def test_secret_files_belong_to_the_users_of_the_containers() -> None:
    text = (PROJECT / "terraform/stack/locals.tf").read_text(encoding="utf-8")
    users = {name: int(uid) for name, uid in re.findall(r'^\s+(\w+)\s+= "(\d+):\d+"$', text, re.MULTILINE)}
    defaults = secret_files_defaults()
    container_user = {
        "airflow": "airflow",
        "airflow-db": "postgres",
        "minio": "minio",
        "mlflow": "mlflow",
        "mysql-data-store": "mysql",
        "mysql-mlflow": "mysql",
    }
    for item in defaults["secret_files_mounted"]:
        service = item["file"].split("/")[0]
        assert item["owner"] == users[container_user[service]], item["file"]
        assert item["value"] in defaults["secret_files_values"], item["file"]


def test_images_run_as_the_users_that_terraform_names() -> None:
    text = (PROJECT / "terraform/stack/locals.tf").read_text(encoding="utf-8")
    for name, uid in re.findall(r'^\s+(airflow|minio|mlflow)\s+= "(\d+):\d+"$', text, re.MULTILINE):
        dockerfile = (PROJECT / "images" / name / "Dockerfile").read_text(encoding="utf-8")
        assert f"\nUSER {uid}\n" in dockerfile, name


@pytest.mark.parametrize("module", ["external", "modules/service", "stack"])
def test_terraform_keeps_its_promises(module: str, tmp_path: Path) -> None:
    """The module's own tests, with a mock in the engine's place and empty files in the secrets'."""
    for item in secret_files_defaults()["secret_files_mounted"]:
        file = tmp_path / "secrets" / item["file"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    environment = {**os.environ, "TF_WORKSPACE": "default"}
    variables = [f"-var=state_dir={tmp_path}"] if module == "stack" else []
    for command in (["init", "-no-color", "-input=false"], ["test", "-no-color", *variables]):
        done = subprocess.run(
            ["terraform", f"-chdir=terraform/{module}", *command],
            cwd=PROJECT,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


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
