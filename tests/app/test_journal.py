"""What was answered waits in files: bounded, in order, and not lost with the process that wrote it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from model_api.journal import Journal
from model_api.main import create_app

from .conftest import FakeRegistry, quick, wait_until

WRITER = """
import sys, time
from pathlib import Path
from model_api.journal import Journal
journal = Journal(Path(sys.argv[1]), 10_000)
assert journal.append(b"first") and journal.append(b"second")
print("written", flush=True)
time.sleep(600)
"""


def lines(journal: Journal) -> list[bytes]:
    """All that is ready, as a delivery would take it."""
    found: list[bytes] = []
    while True:
        with journal.take() as segment:
            if segment is None:
                return found
            found += segment.read_bytes().splitlines()
            journal.remove(segment)


def test_lines_come_out_once_in_their_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10_000)
    for number in range(5):
        assert journal.append(b"line %d" % number)
        if number == 2:
            journal.seal()
    assert lines(journal) == [b"line 0", b"line 1", b"line 2"]
    journal.seal()
    assert lines(journal) == [b"line 3", b"line 4"]
    assert list(tmp_path.iterdir()) == []
    assert journal.size == 0


def test_a_full_journal_takes_no_more_and_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 100)
    assert journal.append(b"x" * 60)
    assert not journal.append(b"y" * 60)
    journal.seal()
    assert not journal.append(b"y" * 60), "what is sealed waits too"
    assert lines(journal) == [b"x" * 60]
    assert journal.append(b"y" * 60)


def test_a_folder_that_cannot_be_written_loses_the_line_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    assert not Journal(tmp_path / "taken", 100).append(b"line")


def test_what_a_killed_process_wrote_is_delivered_and_a_living_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        journal = Journal(tmp_path, 10_000)
        journal.seal()
        assert lines(journal) == [], "its process still writes"
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=10)
    journal.seal()
    assert lines(journal) == [b"first", b"second"]


def test_two_do_not_deliver_the_same_segment(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, 10_000), Journal(tmp_path, 10_000)
    one.append(b"line")
    one.seal()
    with one.take() as mine, other.take() as theirs:
        assert mine is not None
        assert theirs is None


@pytest.mark.parametrize("call", ["/predict", "/predict/batch"])
def test_answers_wait_while_the_database_is_away(registry: FakeRegistry, tmp_path: Path, call: str) -> None:
    # Nothing listens on the port of TCP's discard service.
    password = tmp_path / "password"
    password.write_text("none")
    away: dict[str, Any] = {"mysql_host": "127.0.0.1", "mysql_port": 9, "mysql_password_file": password}
    settings = quick(tmp_path).model_copy(update={**away, "deliver_seconds": 0.02, "flush_seconds": 1})
    registry.production = 1
    record = dict(contract.EXAMPLE)
    with TestClient(create_app(registry, Settings(), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        answer = client.post(call, json=record if call == "/predict" else {"records": [record]})
        assert answer.status_code == 200
        told = client.post("/feedback", json={"prediction_id": "0" * 36, "cover_type": 1})
        assert (told.status_code, told.json()) == (
            503,
            {"detail": "the database of predictions does not answer"},
        )
    text = b"".join(path.read_bytes() for path in (tmp_path / "journal").iterdir()).decode()
    body = answer.json()
    identity = body["prediction_id"] if call == "/predict" else body["predictions"][0]["prediction_id"]
    assert text.count("\n") == 1
    assert identity in text
    assert '"Elevation":2596' in text
