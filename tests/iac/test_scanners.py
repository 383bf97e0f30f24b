"""What others know to be wrong in Terraform, Ansible and Dockerfiles, and what must not be in any commit."""

import subprocess

import pytest

from .conftest import MODULES, PROJECT


def scan(*command: str) -> None:
    """Run a scanner in the project's folder; its findings are what the failure shows."""
    done = subprocess.run(command, cwd=PROJECT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", [*(f"terraform/{module}" for module in MODULES), "tests/iac/engine"])
def test_tflint_finds_nothing(folder: str) -> None:
    scan("bin/go-tool", "tflint", f"--chdir={folder}", f"--config={PROJECT}/.tflint.hcl", "--format=compact")


def test_checkov_finds_nothing() -> None:
    scan(".venv-scan/bin/checkov")


def test_no_commit_holds_a_secret() -> None:
    scan("bin/go-tool", "gitleaks", "git", "--no-banner", "--redact", "--verbose")
