"""The stack that is attacked, and the clients that ask it for predictions meanwhile."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.faults.promise import Figures
from tests.stack.conftest import ARTEFACTS, PROJECT, VARIABLES, Stack
from tests.stack.load import Load, real_rows


def variables() -> dict[str, str]:
    """Of the stack that ON names, as its `.env` or what is typed has them; else of the tests' own stack."""
    if not (name := os.environ.get("ON")):
        return dict(VARIABLES)
    example = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    defaults = dict(line[1:].split("=", 1) for line in example if line.startswith("#") and "PORT=" in line)
    return {key: os.environ.get(key, value) for key, value in defaults.items()} | {"STACK_NAME": name}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack that is up. One that is there stays; where there is none it is raised, and destroyed at the
    end.
    """
    stack = Stack(variables())
    raised = not stack.labelled("container")
    if raised:
        done = stack.make("up")
        assert done.returncode == 0, done.stdout[-3000:]
    yield stack
    if raised:
        stack.make("destroy", YES="1")


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    return real_rows()


@pytest.fixture
def load(stack: Stack, rows: list[dict[str, Any]]) -> Iterator[Load]:
    """Some fifty predictions a second: what is tested is whether they are answered, not how many can be."""
    with Load(stack, rows, pause=0.05).running() as load:
        yield load


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Where each test leaves the figure of its promise: build/e2e/promises.tsv."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return Figures(ARTEFACTS / "promises.tsv")
