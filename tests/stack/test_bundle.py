"""An offline bundle of the stack: whatever `make up` would fetch comes from it, where there is no network.

The stack itself is raised from it in test_backup.py, in the place of the one that was destroyed. What needs
no service of the stack runs in a network namespace of its own, where even the loopback is down; the engine is
met on its socket.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .conftest import PROJECT, Stack

ROOTS = ("external", "stack")


def offline(stack: Stack, *command: str | Path, **variables: str) -> str:
    """What a command prints that must succeed without a network."""
    done = subprocess.run(
        ["unshare", "--net", *command],
        cwd=PROJECT,
        env={**os.environ, **stack.variables, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def image_ids(stack: Stack) -> dict[str, str]:
    """Id of each image that the stack built, by its name."""
    listed = stack.docker(
        *("image", "ls", "--no-trunc", f"--filter=label=stack={stack.name}"),
        "--format={{.Repository}}:{{.Tag}} {{.ID}}",
    )
    return dict(line.split() for line in listed.splitlines() if "<none>" not in line)


def terraform_images(stack: Stack, root: str) -> dict[str, dict]:
    """Images that Terraform knows of a root module, by their addresses."""
    shown = json.loads(stack.terraform(root, "show", "-json").stdout)
    modules = shown["values"]["root_module"].get("child_modules", [])
    found = [resource for module in modules for resource in module["resources"]]
    return {image["address"]: image["values"] for image in found if image["type"] == "docker_image"}


def raise_from(stack: Stack, bundle: Path) -> None:
    """`make up` of a stack of which not even images are there: the bundle's are loaded, and none is built."""
    assert image_ids(stack) == {}
    shown = offline(stack, "bin/playbook", "images", BUNDLE=str(bundle))
    assert "changed: Load the images of the bundle" in shown
    known = [image for root in ROOTS for image in terraform_images(stack, root).values()]
    assert known
    assert not [image["name"] for image in known if image["build"]]
    up = stack.make("up", BUNDLE=str(bundle))
    assert up.returncode == 0, up.stdout[-3000:]


def test_it_is_accepted_and_a_damaged_one_is_not(stack: Stack, bundle: Path) -> None:
    offline(stack, "bin/bundle", "check", bundle)
    provider = next(bundle.glob("provider/**/terraform-provider-docker_*"))
    whole = provider.read_bytes()
    provider.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    done = stack.make("plan", BUNDLE=str(bundle))
    provider.write_bytes(whole)
    assert done.returncode != 0
    assert f"{provider.name} is damaged: its checksum is another. Copy it again." in done.stdout


def test_the_tools_install_without_a_network(stack: Stack, bundle: Path, tmp_path: Path) -> None:
    offline(stack, "bin/bootstrap", tmp_path / ".venv", "requirements/control.txt", BUNDLE=str(bundle))
    shown = offline(stack, tmp_path / ".venv/bin/ansible", "--version")
    assert f"python version = {sys.version_info.major}." in shown

    ignored = shutil.ignore_patterns(".terraform*", "terraform.tfstate*")
    shutil.copytree(PROJECT / "terraform", tmp_path / "terraform", ignore=ignored)
    for root in ROOTS:
        where = f"-chdir={tmp_path}/terraform/{root}"
        offline(stack, bundle / "terraform", where, "init", f"-plugin-dir={bundle}/provider")


def test_the_engine_installs_without_a_network(stack: Stack, bundle: Path, tmp_path: Path) -> None:
    """On a machine without any package: apt has only the bundle, and checks what it would unpack."""
    for name in ("lists/partial", "archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{bundle}/packages ./\n", encoding="utf-8")
    options = {
        "APT::Sandbox::User": "root",
        "Dir::Cache::Archives": tmp_path / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::SourceList": tmp_path / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": tmp_path / "lists",
        "Dir::State::status": tmp_path / "status",
    }
    apt = ["apt-get", "--yes", *(f"-o={name}={value}" for name, value in options.items())]
    offline(stack, *apt, "update")
    shown = offline(stack, *apt, "--download-only", "install", "docker.io", "python3-venv")
    assert " docker.io " in shown
