"""Which stack is attacked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.stack.conftest import PROJECT, VARIABLES, Stack


def variables() -> dict[str, str]:
    """Of the stack that ON names, as its `.env` or what is typed has them; else of the tests' own stack."""
    if not (name := os.environ.get("ON")):
        return dict(VARIABLES)
    example = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    defaults = dict(line[1:].split("=", 1) for line in example if line.startswith("#") and "PORT=" in line)
    return {key: os.environ.get(key, value) for key, value in defaults.items()} | {"STACK_NAME": name}


@contextmanager
def stack_under_test() -> Iterator[Stack]:
    """A stack that is up. One that is there stays; where there is none it is raised, and destroyed at the
    end.
    """
    stack = Stack(variables())
    raised = not stack.labelled("container")
    if not raised and not stack.secrets.is_dir():
        # Looked at first: half of a test is worse than none where somebody works.
        raise RuntimeError(f"{stack.name} was made by another checkout: there is no {stack.secrets}.")
    if raised and os.environ.get("ON"):
        raise RuntimeError(f"The stack {stack.name} that ON names is not up.")
    if raised:
        done = stack.make("up")
        assert done.returncode == 0, done.stdout[-3000:]
    try:
        yield stack
    finally:
        if raised:
            stack.make("destroy", YES="1")
