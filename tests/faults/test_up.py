"""`make up` is interrupted by Ctrl-C, and typed twice at once."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.promise import Figures, health, require_answers, require_healthy
from tests.stack.conftest import PROJECT, Stack, wait_until
from tests.stack.load import Load
from tests.stack.test_ingest_faults import books

TIMES = 10
WHOLE = 120  # seconds that `make up` takes at most after `make down`


class Typed:
    """`make up` as typed on a terminal: a process group of its own, which Ctrl-C reaches as a whole."""

    def __init__(self, stack: Stack, log: Path) -> None:
        self.log = log
        with log.open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                ["make", "--no-print-directory", "up"],
                cwd=PROJECT,
                env={**os.environ, **stack.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(timeout=60)

    def ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def test_up_is_interrupted_while_it_makes_a_container(
    stack: Stack, load: Load, figures: Figures, tmp_path: Path
) -> None:
    """Promise: after Ctrl-C in the middle of `make up` one more `make up` is enough, and the API answers all
    the time.
    """
    stack.docker("rm", "--force", f"{stack.name}-mlflow")
    typed = Typed(stack, tmp_path / "interrupted")
    # It is made and not healthy yet: Terraform waits for it.
    wait_until(lambda: health(stack).get("mlflow"), lambda how: how == "starting", 120)
    typed.interrupt()
    began = time.monotonic()
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Prediction of a real row" in done.stdout
    figures.note("make up interrupted, and run again", time.monotonic() - began)
    require_healthy(stack)
    require_answers(load)


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
def test_up_is_interrupted_at_any_moment(stack: Stack, figures: Figures, tmp_path: Path, number: int) -> None:
    """Promise: whenever Ctrl-C comes in a `make up` that has everything to start, one more `make up` is
    enough: it ends with a prediction, and leaves nothing to change.
    """
    done = stack.make("down")
    assert done.returncode == 0, done.stdout[-3000:]
    moment = random.Random(f"moment {number}").uniform(1, WHOLE)  # the same ten each time
    typed = Typed(stack, tmp_path / "interrupted")
    if not typed.ends_within(moment):
        typed.interrupt()
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
