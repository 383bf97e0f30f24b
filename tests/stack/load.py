"""Clients of the model API that ask all the time, and what became of each request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pyarrow.parquet as pq

from .conftest import PROJECT, Stack


class Failure(NamedTuple):
    """A request that had no good answer: when it was sent, by the monotonic clock, and why."""

    at: float
    why: str


def real_rows() -> list[dict[str, Any]]:
    """Real rows from all over the forest, without their class."""
    table = pq.read_table(PROJECT / "external" / "data" / "covertype.parquet")
    return table.drop_columns("Cover_Type").take(list(range(0, 581_000, 29_050))).to_pylist()


class Load:
    """Three clients that ask all the time, each with a pause between two requests, and all that they were
    answered.
    """

    def __init__(self, stack: Stack, rows: list[dict[str, Any]], pause: float = 0) -> None:
        self.failures: list[Failure] = []
        self.answers: list[tuple[int, dict[str, Any]]] = []  # number of the row, answer
        self._url = f"{stack.url('model-api')}/predict"
        self._rows = rows
        self._pause = pause
        self._over = threading.Event()

    def ask(self, start: int) -> None:
        number = start
        with httpx.Client(timeout=30) as client:
            while not self._over.wait(self._pause):
                number = (number + 1) % len(self._rows)
                sent = time.monotonic()
                try:
                    answer = client.post(self._url, json=self._rows[number])
                except httpx.HTTPError as error:
                    self.failures.append(Failure(sent, repr(error)))
                    continue
                if answer.status_code == 200:
                    self.answers.append((number, answer.json()))
                else:
                    self.failures.append(Failure(sent, answer.text))

    @contextmanager
    def running(self) -> Iterator["Load"]:
        clients = [threading.Thread(target=self.ask, args=(start,)) for start in range(3)]
        for client in clients:
            client.start()
        try:
            yield self
        finally:
            self._over.set()
            for client in clients:
                client.join()
