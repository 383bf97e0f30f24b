"""What every role has: defaults, specs of its entry points, a README made of them, a scenario of its own."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults_of(role: str) -> dict[str, Any]:
    return load(PROJECT / "roles" / role / "defaults/main.yml") or {}


def specs_of(role: str) -> dict[str, Any]:
    return load(PROJECT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]


def options_of(role: str) -> dict[str, Any]:
    """Options of all entry points."""
    return {name: option for spec in specs_of(role).values() for name, option in spec["options"].items()}


def nested(options: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield name, option
        yield from nested(option.get("options", {}))


def tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a playbook or a task file: plays, blocks, tasks."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from tasks_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from tasks_in(value)


def entry_points_used() -> set[tuple[str, str]]:
    """Role and entry point of each use in the playbooks."""
    used = set()
    for file in (PROJECT / "ansible").rglob("*.yml"):
        for task in tasks_in(load(file)):
            for key in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                if key not in task:
                    continue
                entry = task[key].get("tasks_from", "main")
                if "item" in entry:
                    entries = task["loop"]
                elif "{{" in entry:
                    entries = re.findall(r"'(\w+)'", entry)
                else:
                    entries = [entry]
                used |= {(task[key]["name"], entry) for entry in entries}
    return used


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_specs(role: str) -> None:
    defaults, options = defaults_of(role), options_of(role)
    assert set(defaults) <= {name for name, option in options.items() if not option.get("required")}
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == {name: defaults.get(name) for name in stated}


@pytest.mark.parametrize("role", ROLES)
def test_options_that_hold_secrets_are_not_logged(role: str) -> None:
    for name, option in nested(options_of(role)):
        if re.search(r"(password|token)$", name):
            assert option.get("no_log") is True, name


@pytest.mark.parametrize(("role", "entry"), sorted(entry_points_used()))
def test_an_entry_point_has_a_spec(role: str, entry: str) -> None:
    assert entry in specs_of(role)
    assert (PROJECT / "roles" / role / "tasks" / f"{entry}.yml").is_file()


@pytest.mark.parametrize("role", ROLES)
def test_a_scenario_runs_the_role_alone(role: str) -> None:
    scenario = PROJECT / "roles" / role / "molecule/default"
    # Molecule would pass over a missing verify.yml.
    for file in ("molecule.yml", "converge.yml", "verify.yml"):
        assert (scenario / file).is_file(), file


def test_the_readmes_say_what_the_specs_say() -> None:
    done = subprocess.run(
        [".venv-dev/bin/python", "bin/role-readmes", "--check"],
        cwd=PROJECT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
