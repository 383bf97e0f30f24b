import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pandas as pd
import pytest

from covertype import contract, source
from covertype.settings import Settings


@pytest.fixture
def rows(forest: pd.DataFrame) -> list[list[str]]:
    return forest.sample(50, random_state=3).astype("str").to_numpy().tolist()


def payload(rows: object, batch: int = 2, group: int = 1) -> bytes:
    return json.dumps({"group_number": group, "batch_number": batch, "data": rows}).encode()


class Script(HTTPServer):
    """A real HTTP server that gives prepared answers one after the other and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers: list[tuple[Any, ...]] = []
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Script)
        self.server.asked.append(self.path)
        status, body, *headers = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(*headers)).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked may have hung up
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def settings_for(script: Script, attempts: int = 3) -> Settings:
    url = f"http://127.0.0.1:{script.server_port}"
    return Settings(source_url=url, source_attempts=attempts, source_backoff=0, source_timeout=5)


def test_a_batch_arrives_as_it_was_sent(script: Script, rows: list[list[str]]) -> None:
    script.answers = [(200, payload(rows))]
    batch = source.fetch_batch(settings_for(script))
    assert (batch.group_number, batch.batch_number) == (1, 2)
    assert batch.rows == rows
    assert script.asked == ["/data?group_number=1"]


@pytest.mark.parametrize("bad", [(503, b"busy"), (500, b""), (200, b'{"group_number": 1, "da'), (200, b"")])
def test_an_unavailable_source_is_asked_again(
    script: Script, rows: list[list[str]], bad: tuple[int, bytes]
) -> None:
    script.answers = [bad, bad, (200, payload(rows))]
    assert source.fetch_batch(settings_for(script)).batch_number == 2
    assert len(script.asked) == 3


def test_attempts_are_bounded(script: Script) -> None:
    script.answers = [(503, b"busy")] * 5
    with pytest.raises(source.SourceUnavailable, match="503: busy"):
        source.fetch_batch(settings_for(script, attempts=2))
    assert len(script.asked) == 2


def test_no_server_is_unavailable(script: Script) -> None:
    settings = settings_for(script, attempts=2)
    script.server_close()
    with pytest.raises(source.SourceUnavailable, match="does not answer"):
        source.fetch_batch(settings)


@pytest.mark.parametrize("status", [400, 404, 422, 302])
def test_a_refusal_is_final(script: Script, status: int) -> None:
    script.answers = [(status, b'{"detail": "no such group"}')] * 3
    with pytest.raises(source.SourceError, match=f"{status}.*no such group") as caught:
        source.fetch_batch(settings_for(script))
    assert not isinstance(caught.value, source.SourceUnavailable)
    assert len(script.asked) == 1


def test_the_end_of_the_data_is_no_error_of_the_source(script: Script) -> None:
    detail = "Ya se recolectó toda la información minima necesaria"
    script.answers = [(400, json.dumps({"detail": detail}).encode())] * 3
    with pytest.raises(source.SourceExhausted, match="Ya se recolectó"):
        source.fetch_batch(settings_for(script))
    assert len(script.asked) == 1


def test_a_redirection_is_not_followed(script: Script) -> None:
    script.answers = [(302, b"elsewhere", {"Location": f"http://127.0.0.1:{script.server_port}/other"})]
    with pytest.raises(source.SourceError, match="refused the request with 302: elsewhere"):
        source.fetch_batch(settings_for(script))
    assert script.asked == ["/data?group_number=1"]


def test_a_large_answer_is_given_up_before_it_is_read(script: Script) -> None:
    settings = settings_for(script).model_copy(update={"source_max_bytes": 100_000})
    script.answers = [(200, b"x" * 10_000_000)]
    with pytest.raises(source.SourceError, match="more than 100000 bytes") as caught:
        source.fetch_batch(settings)
    assert not isinstance(caught.value, source.SourceUnavailable)


def test_an_answer_that_takes_too_long_is_given_up(script: Script) -> None:
    settings = settings_for(script, attempts=1).model_copy(update={"source_deadline": 1e-9})
    script.answers = [(200, b" " * 1_000_000)]
    with pytest.raises(source.SourceUnavailable, match="not whole after 1e-09 s"):
        source.fetch_batch(settings)


def test_an_answer_cut_short_is_asked_for_again(script: Script, rows: list[list[str]]) -> None:
    script.answers = [(200, payload(rows)[:-10], {"Content-Length": str(len(payload(rows)))})]
    script.answers += [(200, payload(rows))]
    assert source.fetch_batch(settings_for(script)).batch_number == 2


def test_compression_that_was_not_asked_for_is_refused(script: Script, rows: list[list[str]]) -> None:
    script.answers = [(200, gzip.compress(payload(rows)), {"Content-Encoding": "gzip"})]
    with pytest.raises(source.SourceError, match=r"compressed \(gzip\)"):
        source.fetch_batch(settings_for(script))


def test_equal_payloads_have_equal_digests(rows: list[list[str]]) -> None:
    first = source.parse_batch(payload(rows), 1)
    assert first.sha256 == source.parse_batch(payload(rows), 1).sha256
    assert first.sha256 != source.parse_batch(payload(rows[1:]), 1).sha256


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"[]", "not a batch"),
        (b'{"group_number": 1, "batch_number": 1, "data": []}', "not a batch"),
        (b'{"group_number": 1, "batch_number": "one", "data": [["1"]]}', "not a batch"),
        (b'{"group_number": true, "batch_number": 1, "data": [["1"]]}', "not a batch"),
        (b'{"group_number": 1, "batch_number": true, "data": [["1"]]}', "not a batch"),
        (b'{"group_number": 1, "batch_number": 11, "data": [["1"]]}', "not a batch"),
        (b'{"group_number": 1, "batch_number": 1, "data": {"1": ["1"]}}', "not a batch"),
        (b'{"group_number": 1, "data": [["1"]]}', "not a batch"),
        (b'{"group_number": 2, "batch_number": 1, "data": [["1"]]}', "group 2, asked was group 1"),
        (b"[" * 1_000_000, "nested too deeply"),
    ],
)
def test_what_is_not_a_batch_is_refused(answer: bytes, message: str) -> None:
    with pytest.raises(source.SourceError, match=message):
        source.parse_batch(answer, 1)


def test_bad_rows_are_told_from_good_ones(rows: list[list[str]]) -> None:
    rows[7][contract.COLUMNS.index("Slope")] = "67"
    sent: list[object] = [*rows[:20], ["short"], *rows[20:]]
    batch = source.parse_batch(payload(sent), 1)
    assert (batch.rows_received, len(batch.rows), batch.rows_bad) == (51, 49, 2)
    assert batch.rows == rows[:7] + rows[8:]
    assert [(bad.position, len(bad.reasons)) for bad in batch.refusals] == [(7, 1), (20, 1)]


def test_half_a_surrogate_pair_is_one_row_s_matter(rows: list[list[str]]) -> None:
    sent = [[*rows[0][:-1], "\ud800"], *rows[1:]]
    batch = source.parse_batch(payload(sent), 1)
    assert (batch.rows, batch.rows_bad) == (rows[1:], 1)


def test_of_endless_bad_rows_the_first_are_described_and_all_are_counted() -> None:
    batch = source.parse_batch(payload([1] * 100_000), 1)
    assert (len(batch.rows), batch.rows_bad, len(batch.refusals)) == (0, 100_000, 10_000)
