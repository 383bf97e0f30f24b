"""The network of a service is cut, as by a pulled cable, and rejoined."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from tests.faults.promise import Figures, learning, require_promise
from tests.stack.conftest import Stack
from tests.stack.load import Load
from tests.stack.test_end_to_end import SERVICES

SECONDS = 20


def cables(stack: Stack, service: str) -> list[str]:
    """The host's ends of a container's network interfaces. Taken down, they are a cable that was pulled:
    nothing of the container's configuration changes, as `docker network disconnect` would.
    """
    show = "cat /sys/class/net/eth*/iflink"
    ends = set(stack.docker("exec", f"{stack.name}-{service}", "sh", "-c", show).split())
    files = Path("/sys/class/net").glob("*/ifindex")
    return [file.parent.name for file in files if file.read_text(encoding="utf-8").strip() in ends]


@contextmanager
def cut_off(stack: Stack, service: str) -> Iterator[None]:
    """A service without any network for the block."""
    pulled = cables(stack, service)
    networks = stack.inspect()[service]["NetworkSettings"]["Networks"]
    assert len(pulled) == len(networks)
    try:
        for cable in pulled:
            subprocess.run(["ip", "link", "set", cable, "down"], check=True)
        yield
    finally:
        for cable in pulled:
            subprocess.run(["ip", "link", "set", cable, "up"], check=True)


def cut_and_look(stack: Stack, load: Load, service: str) -> float:
    """Cut a service off while a run trains; returns the seconds from its end until all were healthy."""
    with learning(stack) as run:
        run.wait_for("train")
        began, before = time.monotonic(), len(load.answers)
        with cut_off(stack, service):
            Event().wait(SECONDS)
            assert service == "model-api" or len(load.answers) > before, "the API stood still with it"
        # What was under way to the API is lost, and a connection notices it late.
        down = [(began, time.monotonic() + 10)] if service == "model-api" else []
        return require_promise(stack, run, load, *down)


@pytest.mark.exhaustive
def test_mlflow_is_cut_off(stack: Stack, load: Load, figures: Figures) -> None:
    """Promise: without MLflow the API answers on from its last model, and the run ends well afterwards."""
    took = cut_and_look(stack, load, "mlflow")
    figures.note(f"mlflow cut off for {SECONDS} s: until all were healthy", took)


@pytest.mark.exhaustive
@pytest.mark.parametrize("service", sorted(SERVICES - {"mlflow"}))
def test_a_service_is_cut_off(stack: Stack, load: Load, figures: Figures, service: str) -> None:
    """Promise: as above, for every other service."""
    took = cut_and_look(stack, load, service)
    figures.note(f"{service} cut off for {SECONDS} s: until all were healthy", took)
