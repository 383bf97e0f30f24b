"""The stack that is attacked, and the clients that ask it for predictions meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.faults.promise import Figures
from tests.faults.under_test import stack_under_test
from tests.stack.conftest import ARTEFACTS, Stack
from tests.stack.load import Load, real_rows


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The one under test."""
    with stack_under_test() as stack:
        yield stack


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
