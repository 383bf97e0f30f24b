import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

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
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Script)
        self.server.asked.append(self.path)
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
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


def test_a_batch_arrives_typed_and_in_order(script: Script, rows: list[list[str]]) -> None:
    script.answers = [(200, payload(rows))]
    batch = source.fetch_batch(settings_for(script))
    assert (batch.group_number, batch.batch_number) == (1, 2)
    assert batch.rows.astype("str").to_numpy().tolist() == rows
    assert str(batch.rows["Cover_Type"].dtype) == "int64"
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
        (b'{"group_number": 1, "data": [["1"]]}', "not a batch"),
        (b'{"group_number": 2, "batch_number": 1, "data": [["1"]]}', "group 2, asked was group 1"),
    ],
)
def test_what_is_not_a_batch_is_refused(answer: bytes, message: str) -> None:
    with pytest.raises(source.SourceError, match=message):
        source.parse_batch(answer, 1)


def test_rows_of_another_shape_are_refused(rows: list[list[str]]) -> None:
    for broken in (rows[0][:-1], [*rows[0], "1"], "text", [1, *rows[0][1:]], [None, *rows[0][1:]]):
        with pytest.raises(source.SourceError, match="Row 1 of batch 2 is not a list of 13 strings"):
            source.parse_batch(payload([rows[0], broken]), 1)


def test_one_bad_value_refuses_the_batch_and_is_named(rows: list[list[str]]) -> None:
    rows[7][contract.COLUMNS.index("Slope")] = "67"
    rows[9][contract.COLUMNS.index("Soil_Type")] = "C0000"
    with pytest.raises(
        source.SourceError, match=r"2 of 50 rows.*row 7: Slope = '67'.*row 9: Soil_Type = 'C0000'"
    ):
        source.parse_batch(payload(rows), 1)
