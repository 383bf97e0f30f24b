"""Questions to other services: on threads of their own and with an end, so that no prediction waits."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime

# An answer that is shown again and again costs at most this part of the time that it takes to find out.
_SHARE = 20


class Away(Exception):
    """Who was asked does not answer, or not in time; the message says who."""


class Desk:
    """So many threads that ask one service. Nobody waits longer than the deadline, whatever hangs."""

    def __init__(self, service: str, threads: int, seconds: float) -> None:
        """Begin nothing yet."""
        self._service = service
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(threads, f"ask-{service}")

    async def ask[T](self, question: Callable[[], T]) -> T:
        """Give the answer. Raises Away when there is none in time; it may come for the next who asks."""
        asked = self._threads.submit(copy_context().run, question)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), self._seconds)
        except TimeoutError as error:
            raise Away(f"{self._service} has not answered within {self._seconds:g} s") from error

    def close(self) -> None:
        """Forget what waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Remembered[T]:
    """An answer, or that there was none, for a while: the longer it took, the longer. One asks at a time."""

    def __init__(self, question: Callable[[], T], least_seconds: float) -> None:
        """Ask nothing yet."""
        self._question = question
        self._least = least_seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self._found: T | Away = Away("nothing was asked yet")
        self._answered_at: datetime | None = None

    @property
    def answered_at(self) -> datetime | None:
        """When there was last an answer; None while there never was."""
        return self._answered_at

    def __call__(self) -> T:
        """Give what is remembered, or ask. Raises Away."""
        with self._lock:
            started = time.monotonic()
            if started >= self._until:
                try:
                    self._found = self._question()
                    self._answered_at = datetime.now(UTC)
                except Away as away:
                    self._found = away
                ended = time.monotonic()
                self._until = ended + max(self._least, _SHARE * (ended - started))
            if isinstance(self._found, Away):
                raise Away(str(self._found))
            return self._found
