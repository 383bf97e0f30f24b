"""Services that neither answer nor die: frozen, as on a host that swaps or a disk that hangs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from tests.faults.promise import Figures, learning, require_promise
from tests.stack.conftest import Stack
from tests.stack.load import Load

SHORT, LONG = 20, 60  # seconds
FROZEN = ("mysql-data-store", "minio", "mlflow", "data-api")
# In which task a run needs each of them.
NEEDED = {"mysql-data-store": "train", "minio": "register", "mlflow": "train", "data-api": "ingest"}


@contextmanager
def frozen(stack: Stack, service: str) -> Iterator[None]:
    """Stop all processes of a service for the block."""
    container = f"{stack.name}-{service}"
    stack.docker("pause", container)
    try:
        yield
    finally:
        stack.docker("unpause", container)


def freeze_and_look(stack: Stack, load: Load, service: str, seconds: float) -> float:
    """Freeze a service while a run needs it, for a time that is the fault itself; require what is promised.
    Returns the seconds from its end until all services were healthy.
    """
    with learning(stack) as run:
        run.wait_for(NEEDED[service])
        before = len(load.answers)
        with frozen(stack, service):
            Event().wait(seconds)
            assert len(load.answers) > before, "the API stood still with it"
        return require_promise(stack, run, load)


def test_mysql_is_frozen(stack: Stack, load: Load, figures: Figures) -> None:
    """Promise: while MySQL does not answer, predictions do, and are recorded later; the run ends well."""
    began = time.monotonic()
    took = freeze_and_look(stack, load, "mysql-data-store", SHORT)
    more = f"until the run had ended well: {time.monotonic() - began:.0f} s"
    figures.note(f"mysql-data-store frozen for {SHORT} s: until all were healthy", took, more)


@pytest.mark.exhaustive
@pytest.mark.parametrize("service", FROZEN)
def test_a_service_is_frozen_for_a_minute(stack: Stack, load: Load, figures: Figures, service: str) -> None:
    """Promise: as above, for each service that a run or the API needs, for a minute."""
    took = freeze_and_look(stack, load, service, LONG)
    figures.note(f"{service} frozen for {LONG} s: until all were healthy", took)
