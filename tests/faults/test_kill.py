"""Containers die as the kernel's out-of-memory killer or a power cut has them die; the engine starts them."""

import os
import signal
import time
from typing import Any

import pytest
from tests.faults.promise import TASKS, Figures, answers, learning, require_promise, require_recorded
from tests.stack.conftest import Stack, wait_until
from tests.stack.load import Load
from tests.stack.test_end_to_end import SERVICES


def kill(stack: Stack, *services: str) -> None:
    """SIGKILL to the first process, from the host: to the engine it died by itself. `docker kill` would tell
    the engine that it is meant to be dead.
    """
    before = stack.inspect()
    for service in services:
        os.kill(before[service]["State"]["Pid"], signal.SIGKILL)
    wait_until(
        stack.inspect,
        lambda found: all(
            found[service]["State"]["StartedAt"] != before[service]["State"]["StartedAt"]
            for service in services
        ),
        60,
    )


def kill_and_look(stack: Stack, moment: str, load: Load, *services: str) -> float:
    """Kill services while a task of a run is at work, and require what is promised."""
    down = []
    with learning(stack) as run:
        run.wait_for(moment)
        began = time.monotonic()
        kill(stack, *services)
        if "model-api" in services:
            wait_until(lambda: answers(stack), lambda good: good, 60)
            down = [(began, time.monotonic())]
        require_promise(stack, run, load, *down)
        return time.monotonic() - began


def test_all_containers_are_killed_at_once(stack: Stack, load: Load, figures: Figures) -> None:
    """Promise: all services killed in one moment come back by themselves, in whatever order, and the run that
    was training ends well.
    """
    took = kill_and_look(stack, "train", load, *SERVICES)
    figures.note("all killed while a run trains: until the run had ended well", took)


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", TASKS)
@pytest.mark.parametrize("service", sorted(SERVICES))
def test_one_container_is_killed(
    stack: Stack, load: Load, figures: Figures, service: str, moment: str
) -> None:
    """Promise: whatever service dies, and whichever task is at work, it comes back, the run ends well, and
    the API answers throughout, unless it was the one that died.
    """
    took = kill_and_look(stack, moment, load, service)
    figures.note(f"{service} killed while {moment} is at work: until the run had ended well", took)


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", [task for task in TASKS if task != "train"])
def test_all_containers_are_killed_at_other_moments(
    stack: Stack, load: Load, figures: Figures, moment: str
) -> None:
    """Promise: as above, whichever task is at work."""
    took = kill_and_look(stack, moment, load, *SERVICES)
    figures.note(f"all killed while {moment} is at work: until the run had ended well", took)


@pytest.mark.exhaustive
def test_a_process_of_the_api_that_dies_loses_no_answer_that_it_gave(
    stack: Stack, rows: list[dict[str, Any]], figures: Figures
) -> None:
    """Promise: what the API had answered when it was killed is recorded after its next start."""
    load = Load(stack, rows)
    began = time.monotonic()
    with load.running():
        wait_until(lambda: len(load.answers), lambda count: count > 100, 60)
        kill(stack, "model-api")
        wait_until(lambda: answers(stack), lambda good: good, 60)
    took = time.monotonic() - began
    require_recorded(stack, load)
    figures.note(
        "model-api killed: until it answers again", took, f"{len(load.answers)} answers, all recorded"
    )
