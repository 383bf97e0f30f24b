"""The inventory names another machine: the same commands raise the stack there, and leave nothing here.

That machine is a container with SSH and sudo. Its engine is the tests' own, so its project stands at a path
that means the same in both, and it shares the host's network.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import httpx
import pytest
import yaml

from .conftest import PROJECT, VARIABLES, Stack

NAME = "covertype-elsewhere"
SSH_PORT = "18022"
PORTS = {key: str(int(value) + 10_000) for key, value in VARIABLES.items() if key.endswith("_PORT")}
MACHINE = PROJECT / "tests" / "stack" / "machine"
# The root module `external` alone has all that differs elsewhere, and is raised within a minute or two.
DATA_SOURCE = ("--extra-vars", '{"platform_targets": ["external:module.data_api"]}')
PLUGINS = Path.home() / ".terraform.d" / "plugins"


def run(*command: str, **options: object) -> str:
    return subprocess.run(command, text=True, capture_output=True, check=True, timeout=600, **options).stdout


def on_machine(*command: str) -> str:
    return run("docker", "exec", NAME, *command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the machine for the project, and beside it the keys by which both sides know each other."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "keys").mkdir()
    for key in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "keys" / key))
    user, host = ((folder / "keys" / f"{key}.pub").read_text(encoding="utf-8") for key in ("user", "host"))
    (folder / "keys" / "authorized_keys").write_text(user, encoding="utf-8")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{SSH_PORT} {host}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def inventory(folder: Path) -> Path:
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": int(SSH_PORT),
        "ansible_user": "deploy",
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(folder / "keys" / "user"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={folder / 'known_hosts'}",
        "stack_project_dir": str(folder / "covertype"),
    }
    file = folder / "hosts.yml"
    file.write_text(yaml.safe_dump({"all": {"hosts": {"elsewhere": host}}}), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[str]:
    image = run("docker", "build", "--quiet", "--label", f"stack={NAME}-machine", str(MACHINE))
    mounts = {
        "/var/run/docker.sock": "/var/run/docker.sock",
        "/usr/local/bin/terraform": "/usr/local/bin/terraform:ro",
        PLUGINS: "/root/.terraform.d/plugins:ro",
        folder / "keys": "/keys:ro",
        folder / "covertype": folder / "covertype",
    }
    (folder / "covertype").mkdir()
    run(
        *("docker", "run", "--detach", "--name", NAME, "--network", "host"),
        *(f"--volume={source}:{target}" for source, target in mounts.items()),
        *(image.strip(), "-p", SSH_PORT),
    )
    yield NAME
    run("docker", "rm", "--force", "--volumes", NAME)
    run("docker", "rmi", "--force", image.strip())


@pytest.fixture(scope="module")
def remote(machine: str, inventory: Path) -> Iterator[Stack]:
    """The stack there, as its user here meets it."""
    remote = Stack(VARIABLES | PORTS | {"STACK_NAME": NAME, "ANSIBLE_INVENTORY": str(inventory)})
    yield remote
    if remote.labelled("container") or remote.labelled("volume"):
        remote.make("destroy", YES="1")


def attempt(remote: Stack, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a part of `make up` there, well or not."""
    return subprocess.run(
        ["bin/playbook", name, *arguments],
        cwd=PROJECT,
        env=os.environ | remote.variables | variables,
        text=True,
        capture_output=True,
        check=False,
        timeout=900,
    )


def playbook(remote: Stack, name: str, *arguments: str, **variables: str) -> list[str]:
    """Run a part of `make up` there; the lines that people see."""
    done = attempt(remote, name, *arguments, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_data_source_is_raised_there(remote: Stack) -> None:
    """Files, secrets, a certificate, an image that is built, and Terraform's apply: all at the other end."""
    assert "Have the edge's certificate" in "\n".join(playbook(remote, "prepare_host", EDGE_TLS="true"))
    playbook(remote, "deploy_platform", *DATA_SOURCE)
    assert set(remote.inspect()) == {"data-api"}
    assert httpx.get(f"{remote.url('data-api')}/health", timeout=30).status_code == 200
    assert re.search(r"^data-api +running +Up .*healthy", remote.make("status").stdout, re.MULTILINE)


def test_a_second_run_and_a_plan_change_nothing(remote: Stack) -> None:
    before = remote.inspect()["data-api"]["Id"]
    for arguments in ([], ["--check", "--diff"]):
        assert playbook(remote, "prepare_host", *arguments)[-1].endswith("no changes")
        assert playbook(remote, "deploy_platform", *DATA_SOURCE, *arguments)[-1].endswith("no changes")
    assert remote.inspect()["data-api"]["Id"] == before


def test_the_project_is_there_and_its_secrets_are_nowhere_else(remote: Stack, folder: Path) -> None:
    there = set(on_machine("ls", "-A", str(folder / "covertype")).split())
    assert {"terraform", "images", ".stack"} <= there
    assert not there & {".git", ".env", ".venv", "ansible", "build", "roles", "tests"}
    secrets = folder / "covertype" / ".stack" / NAME / "secrets"
    for name in ("values", "authority"):
        assert on_machine("stat", "--format", "%U %a", f"{secrets}/{name}").split() == ["root", "700"]
    assert not (PROJECT / ".stack" / NAME).exists()
    assert not (PROJECT / "terraform/stack/terraform.tfstate.d" / NAME).exists()


def test_credentials_are_read_there_and_logged_nowhere(remote: Stack, folder: Path) -> None:
    password = on_machine("cat", f"{folder}/covertype/.stack/{NAME}/secrets/values/airflow-airflow").strip()
    assert password in remote.make("credentials").stdout
    logs = list((PROJECT / ".stack/logs").glob(f"{NAME}-*.log"))
    assert logs
    assert not [log for log in logs if password in log.read_text(encoding="utf-8")]


def test_verify_names_what_differs_there_and_the_next_run_puts_it_right(remote: Stack, folder: Path) -> None:
    there = folder / "covertype"
    on_machine("touch", f"{there}/terraform/stack/stale.tf")
    on_machine("chmod", "0644", f"{there}/.stack/{NAME}/secrets/values/minio-admin")
    verify = remote.make("verify")
    assert verify.returncode != 0
    assert "terraform/stack/stale.tf" in verify.stdout
    assert "values/minio-admin" in verify.stdout
    changed = "\n".join(playbook(remote, "prepare_host"))
    assert "Copy the project's files" in changed
    assert "values/minio-admin" in changed
    assert "stale.tf" not in on_machine("ls", f"{there}/terraform/stack")


@pytest.fixture
def bundle(remote: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small bundle for that machine, whose engine has the one image that it names."""
    monkeypatch.syspath_prepend(PROJECT / "bin")
    loader = SourceFileLoader("bundle", str(PROJECT / "bin/bundle"))
    spec = spec_from_loader("bundle", loader)
    assert spec is not None
    program = module_from_spec(spec)
    loader.exec_module(program)
    monkeypatch.setenv("STACK_NAME", remote.name)
    facts = (
        "import platform, sys; release = platform.freedesktop_os_release(); "
        "print(release['ID'], release['VERSION_CODENAME']); print(*sys.version_info[:2], sep='.')"
    )
    host, python = on_machine("python3", "-c", facts).splitlines()

    folder = tmp_path / "bundle"
    folder.mkdir()
    files = {}
    for name in ("images.tar.gz", "terraform"):
        (folder / name).write_text(f"{name} as it was written\n", encoding="utf-8")
        content = (folder / name).read_bytes()
        files[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {
        "format": program.FORMAT,
        "made_for": program.made_for() | {"host": host, "python": python},
        "images": ["debian:trixie-slim"],
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    yield folder
    on_machine("rm", "-rf", str(folder))


def test_a_bundle_is_brought_and_what_was_damaged_there_is_put_right(remote: Stack, bundle: Path) -> None:
    assert "Copy the bundle" in "\n".join(playbook(remote, "prepare_host", BUNDLE=str(bundle)))
    assert playbook(remote, "prepare_host", BUNDLE=str(bundle))[-1].endswith("no changes")

    # Of the same size and time: only what is in it tells.
    terraform = bundle / "terraform"
    spoil = (
        'touch --reference "$0" /tmp/time; sed --in-place s/written/WRITTEN/ "$0"; '
        'touch --reference /tmp/time "$0"'
    )
    on_machine("sh", "-c", spoil, str(terraform))
    assert "Copy the bundle" in "\n".join(playbook(remote, "prepare_host", BUNDLE=str(bundle)))
    assert on_machine("cat", str(terraform)) == terraform.read_text(encoding="utf-8")


def test_a_bundle_is_checked_there(remote: Stack, bundle: Path) -> None:
    """The one here would not do for this machine, which is of another release."""
    (bundle / "terraform").write_text("terraform as it was WRITTEN\n", encoding="utf-8")
    done = attempt(remote, "prepare_host", BUNDLE=str(bundle))
    assert done.returncode != 0
    assert f"The bundle {bundle} cannot be used: terraform is damaged" in done.stdout

    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["made_for"]["host"] = "example 1"
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    done = attempt(remote, "prepare_host", BUNDLE=str(bundle))
    assert done.returncode != 0
    assert "its packages are for example 1 and this host is debian trixie" in done.stdout


def test_destroy_leaves_nothing_there(remote: Stack, folder: Path) -> None:
    done = remote.make("destroy", YES="1")
    assert done.returncode == 0, done.stdout[-3000:]
    for kind in ("container", "volume", "network", "image"):
        assert not remote.labelled(kind), kind
    assert not (folder / "covertype" / ".stack" / NAME).exists()
