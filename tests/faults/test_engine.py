"""The engine stops and starts again, as when the host reboots. It carries every other container too: ENGINE=1
says that it is ours to restart.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.faults.promise import Figures, answers, learning, require_promise
from tests.stack.conftest import Stack, wait_until
from tests.stack.load import Load

PID = Path("/var/run/docker.pid")

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(os.environ.get("ENGINE") != "1", reason="ENGINE=1 allows to restart the engine"),
]


def restart_engine(how: signal.Signals) -> None:
    """Stop the engine by a signal and start it as it was started; systemd starts it where it rules."""
    process = Path("/proc") / PID.read_text(encoding="utf-8").strip()
    command = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
    os.kill(int(process.name), how)
    wait_until(process.exists, lambda alive: not alive, 120)
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=True)
        return
    with Path("/var/log/dockerd.log").open("ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_engine_is_restarted(stack: Stack, load: Load, figures: Figures, how: signal.Signals) -> None:
    """Promise: when the engine comes back, so do all services by themselves, and the run ends well."""
    with learning(stack) as run:
        run.wait_for("train")
        began = time.monotonic()
        restart_engine(how)
        wait_until(lambda: answers(stack), lambda good: good, 180)
        down = (began, time.monotonic())
        took = require_promise(stack, run, load, down)
    figures.note(f"engine restarted after {how.name}: until all were healthy", down[1] - began + took)
