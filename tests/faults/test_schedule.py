"""The host's cron writes a backup by itself."""

import subprocess
import time
from pathlib import Path

import pytest
from tests.faults.promise import Figures
from tests.stack.conftest import Stack, wait_until


@pytest.mark.exhaustive
def test_cron_writes_a_set(stack: Stack, figures: Figures, tmp_path: Path) -> None:
    """Promise: with BACKUP_SCHEDULE sets come without anyone's hand, and no more when it is empty."""
    done = stack.make("up", BACKUP_SCHEDULE="* * * * *", TO=str(tmp_path))
    began = time.monotonic()
    try:
        assert done.returncode == 0, done.stdout[-3000:]
        wait_until(lambda: list(tmp_path.glob("*Z")), lambda sets: len(sets) >= 2, 300)
        figures.note("a backup each minute: until the second one", time.monotonic() - began)
    finally:
        done = stack.make("up")
    assert done.returncode == 0, done.stdout[-3000:]
    assert not (Path("/etc/cron.d") / f"{stack.name}-backup").exists()
    # One may have waited for the command to end.
    at_work = ["pgrep", "--full", f"bin/backup write {tmp_path}"]
    wait_until(
        lambda: subprocess.run(at_work, capture_output=True, check=False).returncode,
        lambda code: code == 1,
        300,
    )
