"""What the tests of the infrastructure code share: Terraform, and secret files for it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    str(file.parent.relative_to(PROJECT / "terraform"))
    for file in (PROJECT / "terraform").rglob("terraform.tf")
)


@pytest.fixture(scope="session")
def secret_files() -> dict:
    """Defaults of the role that makes the secret files."""
    text = (PROJECT / "roles" / "secret_files" / "defaults" / "main.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.fixture(scope="session")
def state_dir(secret_files: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one that Ansible keeps for a stack; each secret file holds a word of its own."""
    folder = tmp_path_factory.mktemp("state")
    for item in secret_files["secret_files_mounted"]:
        file = folder / "secrets" / item["file"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"value-of-{item['file'].replace('/', '-')}", encoding="utf-8")
    for name in ("certificate", "key"):
        file = folder / "secrets" / "edge" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"value-of-edge-{name}", encoding="utf-8")
    return folder


def run_terraform(module: str | Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Terraform in a folder of terraform/, in the workspace `default`."""
    return subprocess.run(
        ["terraform", f"-chdir={PROJECT / 'terraform' / module}", *arguments],
        cwd=PROJECT,
        env={**os.environ, "TF_WORKSPACE": "default", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="session")
def terraform_test(state_dir: Path) -> Callable[[str], list[dict]]:
    """Run a module's own tests, once, and give the messages that Terraform writes of them."""

    @cache
    def test(module: str) -> list[dict]:
        done = run_terraform(module, "init", "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr
        variables = [f"-var=state_dir={state_dir}"] if module == "stack" else []
        done = run_terraform(module, "test", "-json", "-verbose", *variables)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return test


def resources(module: dict) -> Iterator[dict]:
    """Every resource of a state or plan as Terraform writes it, whatever module it stands in."""
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources(child)
