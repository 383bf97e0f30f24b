"""What was answered, line by line in files, until it is in the database: a queue that a kill cannot empty."""

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPEN, _READY = ".open", ".ready"


class Journal:
    """Segments in a folder. One is open and takes lines; sealed ones are ready to be delivered and removed.

    A line is in the hands of the operating system when `append` returns, so a killed process loses none.
    Several processes may share the folder: each has an open segment of its own, locked, and any may deliver a
    sealed one.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Hold at most about `limit` bytes."""
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._path = folder
        self._size = 0
        self._sealed = 0

    def append(self, line: bytes) -> bool:
        """Add a line, which has no line break; False when the journal is full or the disk refuses it."""
        data = line + b"\n"
        with self._lock:
            if self._sealed + self._size + len(data) > self._limit:
                return False
            try:
                if self._descriptor is None:
                    self._open()
                return self._write(data)
            except OSError:
                return False

    def seal(self) -> None:
        """End the open segment, and those that dead processes have left: all of them are ready then."""
        with self._lock:
            if self._descriptor is not None and self._size:
                self._path.rename(self._path.with_suffix(_READY))
                os.close(self._descriptor)
                self._descriptor, self._size = None, 0
            self._sealed = sum(size for _, size in self._ready())
        for path in self._folder.glob(f"*{_OPEN}"):
            with _locked(path) as alone:
                if alone:
                    path.rename(path.with_suffix(_READY))

    @contextmanager
    def take(self) -> Iterator[Path | None]:
        """The oldest ready segment that nobody else delivers, for the block; None when there is none."""
        for path, _ in self._ready():
            with _locked(path) as alone:
                if alone and path.exists():
                    yield path
                    return
        yield None

    def remove(self, path: Path) -> None:
        """Forget a segment: it is delivered."""
        path.unlink(missing_ok=True)
        with self._lock:
            self._sealed = sum(size for _, size in self._ready())

    @property
    def size(self) -> int:
        """Bytes that wait, as far as this process knows."""
        return self._sealed + self._size

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # By time, so that what was answered first is delivered first. Locked before it is seen as open.
        path = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.new"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._path = path.rename(path.with_suffix(_OPEN))
        self._descriptor = descriptor

    def _write(self, data: bytes) -> bool:
        if self._descriptor is None:
            return False
        written = os.write(self._descriptor, data)
        if written < len(data):
            os.ftruncate(self._descriptor, self._size)  # a full disk: half a line helps nobody
            return False
        self._size += written
        return True

    def _ready(self) -> list[tuple[Path, int]]:
        found = []
        for path in sorted(self._folder.glob(f"*{_READY}")):
            try:
                found.append((path, path.stat().st_size))
            except FileNotFoundError:
                continue  # another process has just delivered it
        return found


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock of a file is ours for the block: then no living process holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
