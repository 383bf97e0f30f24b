"""`make up` is interrupted by Ctrl-C, and typed twice at once."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from tests.faults.promise import Figures, health, require_answers, require_healthy
from tests.stack.conftest import PROJECT, Stack, wait_until
from tests.stack.load import Load
from tests.stack.test_ingest_faults import books

TIMES = 10
WHOLE = 120  # seconds that `make up` takes at most after `make down`


@contextmanager
def up_until_interrupted(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """`make up` as typed on a terminal, and at the end of the block Ctrl-C, which reaches all of it."""
    process = subprocess.Popen(
        ["make", "--no-print-directory", "up"],
        cwd=PROJECT,
        env={**os.environ, **stack.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the command has a log of its own
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)


def test_up_is_interrupted_while_it_makes_a_container(stack: Stack, load: Load, figures: Figures) -> None:
    """Promise: after Ctrl-C in the middle of `make up` one more `make up` is enough, and the API answers all
    the time.
    """
    stack.docker("rm", "--force", f"{stack.name}-mlflow")
    with up_until_interrupted(stack):
        # It is made and not healthy yet: Terraform waits for it.
        wait_until(lambda: health(stack).get("mlflow"), lambda how: how == "starting", 600)
    began = time.monotonic()
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Prediction of a real row" in done.stdout
    figures.note("make up interrupted, and run again", time.monotonic() - began)
    require_healthy(stack)
    require_answers(load)


@pytest.mark.exhaustive
def test_two_ups_at_once(stack: Stack, load: Load, figures: Figures) -> None:
    """Promise: of two `make up` at once one says that it waits, and both end well."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: stack.make("up"), range(2)))
    assert [done.returncode for done in both] == [0, 0], [done.stdout[-2000:] for done in both]
    waiting = f"Another command works on the stack {stack.name}; waiting for it."
    assert sorted(waiting in done.stdout for done in both) == [False, True]
    figures.note("two make up at once: until both had ended", time.monotonic() - began)
    require_answers(load)


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(TIMES))
def test_up_is_interrupted_at_any_moment(stack: Stack, figures: Figures, number: int) -> None:
    """Promise: whenever Ctrl-C comes in a `make up` that has everything to start, one more `make up` is
    enough: it ends with a prediction, and leaves nothing to change.
    """
    done = stack.make("down")
    assert done.returncode == 0, done.stdout[-3000:]
    moment = random.Random(f"moment {number}").uniform(1, WHOLE)  # the same ten each time
    with up_until_interrupted(stack) as up, suppress(subprocess.TimeoutExpired):
        up.wait(timeout=moment)
    began = time.monotonic()
    done = stack.make("up")
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Prediction of a real row" in done.stdout
    require_healthy(stack)
    rows, acknowledged, keys = books(stack)
    assert rows == acknowledged == keys
    plan = stack.make("plan")
    assert plan.returncode == 0, plan.stdout[-3000:]
    figures.note(f"make up interrupted after {moment:.0f} s, and run again", took)
