"""The short way of a good body: taken, and told apart from FastAPI's by nothing but its time."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from covertype import contract
from covertype.settings import Settings
from model_api import boundary
from model_api.main import create_app

from .conftest import NAME, FakeRegistry, quick, wait_until
from .test_operation import metric

RECORD = dict(contract.EXAMPLE)
BODY = json.dumps(RECORD).encode()
# The same to FastAPI; the short way is for those who say it in one word.
STRAIGHT, LONG = "application/json", "application/json; charset=utf-8"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The running API, serving version 1, for all examples."""
    registry = FakeRegistry()
    registry.production = 1
    # Looks once: Hypothesis minds whoever draws lots meanwhile, as the pauses between looks do.
    settings = quick(tmp_path_factory.mktemp("state")).model_copy(update={"poll_seconds": 600})
    with TestClient(create_app(registry, Settings(), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        yield client


def answer(client: TestClient, body: bytes, kind: str) -> tuple[int, Any, dict[str, str]]:
    """Status, content and headers, without what is another in each answer."""
    got = client.post("/predict", content=body, headers={"content-type": kind, "x-request-id": "same"})
    content = got.json()
    if got.status_code == 200:
        assert content.pop("prediction_id")
    return got.status_code, content, dict(got.headers)


def written(changes: dict[str, str]) -> bytes:
    """The example with texts of JSON in the place of its values, or on top of them."""
    values = {name: json.dumps(value) for name, value in RECORD.items()} | changes
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in values.items()) + "}").encode()


GOOD = {
    "example": BODY,
    "spaces": json.dumps(RECORD, indent=3).encode() + b"\r\n ",
    "other order": json.dumps(dict(reversed(RECORD.items()))).encode(),
    "model": written({"model": json.dumps(NAME)}),
    "no model": written({"model": "null"}),
    "escapes": written({"Wilderness_Area": '"\\u0052awah"'}),
    "minus zero": written({"Aspect": "-0"}),
    "the last of two": BODY[:-1] + b', "Slope": 66}',
}
BAD = {
    "nothing": b"",
    "null": b"null",
    "list": b"[" + BODY + b"]",
    "text": json.dumps(BODY.decode()).encode(),
    "empty": b"{}",
    "cut": BODY[:-1],
    "two": BODY + BODY,
    "byte order mark": b"\xef\xbb\xbf" + BODY,
    "utf-16": BODY.decode().encode("utf-16"),
    "not utf-8": written({"model": '"?"'}).replace(b"?", b"\xff"),
    "half a character": written({"model": '"\\ud800"'}),
    "another model": written({"model": '"another"'}),
    "model 7": written({"model": "7"}),
    "NaN": written({"Slope": "NaN"}),
    "infinite": written({"Slope": "1e999"}),
    "exponent": written({"Slope": "1e1"}),
    "whole float": written({"Slope": "10.0"}),
    "true": written({"Slope": "true"}),
    "text for a number": written({"Slope": '"10"'}),
    "number for a text": written({"Soil_Type": "7745"}),
    "huge": written({"Slope": "9" * 5_000}),
    "too much": written({"Slope": "67"}),
    "category": written({"Soil_Type": '"C7744"'}),
    "nested": written({"Slope": "[" * 500 + "]" * 500}),
    "unknown": written({"Colour": '"red"'}),
    "all wrong": json.dumps(dict.fromkeys(RECORD)).encode(),
    "the last of two": BODY[:-1] + b', "Slope": 67}',
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD.keys())
def test_a_good_body_gets_the_same_answer_on_either_way(serving: TestClient, body: bytes) -> None:
    status, content, headers = answer(serving, body, STRAIGHT)
    assert status == 200, content
    assert (status, content, headers) == answer(serving, body, LONG)


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_body_gets_the_same_refusal_on_either_way(serving: TestClient, body: bytes) -> None:
    status, content, headers = answer(serving, body, STRAIGHT)
    assert status in {404, 422}, content
    assert (status, content, headers) == answer(serving, body, LONG)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(-200, 8_000),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
CHANGES = st.dictionaries(
    st.sampled_from([*RECORD, "model"]) | st.text(max_size=5),
    JSON_VALUES | st.sampled_from([NAME, *contract.SOIL_TYPES[:2], *contract.WILDERNESS_AREAS]),
    max_size=3,
)


@examples(max_examples=300, deadline=None, derandomize=True)
@given(changes=CHANGES, missing=st.sets(st.sampled_from(list(RECORD)), max_size=1))
def test_whatever_is_changed_both_ways_agree(
    serving: TestClient, changes: dict[str, Any], missing: set[str]
) -> None:
    record = {name: value for name, value in RECORD.items() if name not in missing} | changes
    body = json.dumps(record).encode()
    assert answer(serving, body, STRAIGHT) == answer(serving, body, LONG)


def test_without_a_model_both_ways_say_why(empty_client: TestClient) -> None:
    reason = "no model is loaded: the registry has no Production version"
    wait_until(lambda: answer(empty_client, BODY, LONG)[1] == {"detail": reason}, "the registry was asked")
    straight = answer(empty_client, BODY, STRAIGHT)
    assert straight[:2] == (503, {"detail": reason})
    assert straight == answer(empty_client, BODY, LONG)


def test_a_good_body_meets_no_router_and_is_counted_all_the_same(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> float:
        return metric(serving, "model_api_requests_total", method="POST", route="/predict", status="200")

    before = count()

    async def refuse_all(*_: Any) -> None:
        raise AssertionError("it came to the route")

    with monkeypatch.context() as patch:
        patch.setattr(boundary.JsonRoute, "handle", refuse_all)
        assert serving.post("/predict", json=RECORD).status_code == 200
        with pytest.raises(AssertionError, match="it came to the route"):
            serving.post("/predict", json={})
    assert count() == before + 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_405(serving: TestClient, method: str) -> None:
    assert (
        serving.request(method, "/predict", content=BODY, headers={"content-type": STRAIGHT}).status_code
        == 405
    )


def test_a_body_over_the_limit_is_413_and_logged_with_its_route(
    serving: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="model_api.attendance")
    # Without a length: what is too much is seen when it has come.
    got = serving.post("/predict", content=iter([b" " * 5_000_001]), headers={"content-type": STRAIGHT})
    assert (got.status_code, got.json()) == (413, {"detail": "The body is larger than 5000000 bytes"})
    assert got.headers["x-request-id"]
    assert any(record.getMessage().startswith("POST /predict: 413") for record in caplog.records)


def exchange(client: TestClient, *messages: dict[str, Any]) -> tuple[int, Any]:
    """Status and content for a body that comes in these messages."""
    waiting, sent = list(messages), []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", STRAIGHT.encode())],
        "client": None,
        "server": None,
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    assert client.portal
    client.portal.call(client.app, scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    "pieces", [[BODY], [b"", BODY], [BODY[:40], BODY[40:]], [BODY, b""], [BODY[:9], b"", BODY[9:]]]
)
def test_a_body_in_pieces_is_a_body(serving: TestClient, pieces: list[bytes]) -> None:
    last = len(pieces) - 1
    status, content = exchange(
        serving,
        *({"type": "http.request", "body": piece, "more_body": at < last} for at, piece in enumerate(pieces)),
    )
    assert (status, content.get("model_version")) == (200, "1")


def test_a_caller_who_hangs_up_is_no_error_of_ours(serving: TestClient) -> None:
    assert exchange(serving, {"type": "http.disconnect"})[0] == 400
