"""The virtual machine, as Vagrant itself understands the Vagrantfile; no machine is started."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from .conftest import PROJECT

ADDRESS = "127.0.0.1"


def vagrant(*command: str, **variables: str) -> str:
    """What a command prints that reads the Vagrantfile with these variables and no others of ours."""
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    done = subprocess.run(
        command, cwd=PROJECT, env=kept | variables, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def config(provider: str, **variables: str) -> dict[str, Any]:
    return json.loads(vagrant("ruby", "tests/iac/vagrantfile.rb", provider, **variables))


def test_the_vagrantfile_is_valid() -> None:
    assert "validated successfully" in vagrant("vagrant", "validate", "--ignore-provider")


def test_defaults_are_a_public_box_and_the_provider_that_is_there() -> None:
    made = config("libvirt")
    assert (made["box"], made["box_url"], made["default_provider"]) == ("cloud-image/debian-13", None, None)
    assert (made["driver"], made["cpus"], made["memory"]) == ("kvm", 2, 8192)


def test_everything_that_differs_between_hosts_is_a_variable() -> None:
    made = config(
        "libvirt",
        VM_BOX="mine",
        VM_BOX_URL="build/mine.box",
        VM_CPUS="3",
        VM_LIBVIRT_DRIVER="qemu",
        VM_MEMORY_MB="6000",
        VM_PROVIDER="libvirt",
    )
    assert (made["box"], made["box_url"], made["default_provider"]) == ("mine", ["build/mine.box"], "libvirt")
    assert (made["driver"], made["cpus"], made["memory"]) == ("qemu", 3, 6000)


def test_an_empty_variable_is_the_default() -> None:
    assert config("libvirt", VM_BOX="", VM_BOX_URL="", VM_CPUS="", VM_PROVIDER="") == config("libvirt")


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_every_port_of_the_stack_is_forwarded_on_loopback(provider: str) -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    wanted = {name: 20_000 + i for i, name in enumerate(re.findall(r"^#(\w+_PORT)=", example, re.MULTILINE))}
    assert wanted
    made = config(provider, **{name: str(port) for name, port in wanted.items()})
    ports = {port["id"]: port for port in made["ports"] if port["id"] != "ssh"}
    assert {name: (port["guest"], port["host"], port["host_ip"]) for name, port in ports.items()} == {
        name: (port, port, ADDRESS) for name, port in wanted.items()
    }
    # Where the stack listens in the machine: on loopback, or on the card to which VirtualBox forwards.
    listens = {"libvirt": {ADDRESS}, "virtualbox": {None}}
    assert {port.get("guest_ip") for port in ports.values()} == listens[provider]


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_a_machine_is_provisioned_once_by_the_same_playbook(provider: str) -> None:
    made = config(provider)
    assert made["provisioners"] == 1
    assert (made["playbook"], made["ansible_config"]) == ("ansible/site.yml", "ansible.cfg")
    assert os.access(PROJECT / made["command"], os.X_OK)
    assert made["folders"]["/vagrant"]["disabled"] is True


def test_virtualbox_reaches_the_card_and_shows_loopback() -> None:
    variables = config("virtualbox")["host_vars"]
    assert variables["ansible_become"] == "true"
    assert variables["stack_bind_address"] != ADDRESS
    assert variables["stack_open_address"] == ADDRESS
    assert "stack_bind_address" not in config("libvirt")["host_vars"]
