"""How far each group has come. Lives in a file, so that it survives the process."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from data_api.dataset import BATCHES


class AllBatchesServed(Exception):
    """The group has had its last batch for a whole window: there is nothing more to give."""


class GroupProgress(BaseModel):
    """The batch a group is at and when (seconds since the epoch) it got there."""

    batch: int = Field(ge=1, le=BATCHES)
    advanced_at: float


_STATE = TypeAdapter(dict[int, GroupProgress])


class Progress:
    """Counts the batches of every group.

    The clock is the wall clock: a window goes on while the process is down.
    """

    def __init__(
        self, directory: Path, min_update_time: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Use a writable `directory`; raise OSError or ValueError when its state cannot be used."""
        self._file = directory / "groups.json"
        self._lock_file = directory / "groups.lock"
        self._window = min_update_time
        self._clock = clock
        with self._locked():
            self._save(self._load())

    def batch_for(self, group: int) -> int:
        """Give the batch that `group` gets now, moving on when the window of the last one has passed.

        Raises AllBatchesServed when the window of batch 10 has passed too.
        """
        with self._locked():
            state, now = self._load(), self._clock()
            at = state.get(group)
            if at is None:
                batch = 1
            elif now < at.advanced_at:
                # The clock was set back: the window begins again, or it could last for ever.
                batch = at.batch
            elif now - at.advanced_at <= self._window:
                return at.batch
            elif at.batch == BATCHES:
                raise AllBatchesServed
            else:
                batch = at.batch + 1
            state[group] = GroupProgress(batch=batch, advanced_at=now)
            self._save(state)
            return batch

    def restart(self, group: int) -> None:
        """Forget `group`: its next request gets batch 1."""
        with self._locked():
            state = self._load()
            state.pop(group, None)
            self._save(state)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A lock on a freshly opened file keeps threads apart as well as processes.
        with self._lock_file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _load(self) -> dict[int, GroupProgress]:
        if not self._file.exists():
            return {}
        try:
            return _STATE.validate_json(self._file.read_bytes())
        except ValidationError as error:
            raise ValueError(f"{self._file} does not hold the progress of the groups: {error}") from error

    def _save(self, state: dict[int, GroupProgress]) -> None:
        # Written beside and renamed: a crash leaves the old state or the new one, never half of one.
        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as handle:
            handle.write(_STATE.dump_json(state))
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(self._file)
