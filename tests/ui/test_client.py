"""Each way in which an API can fail has its own name, and none escapes."""

from collections.abc import Callable
from typing import Any

import pytest
from stub_api import EXAMPLE, NAME, StubApi

import client
from client import ApiError, Kind, ModelApi, Problem


def problem_of(ask: Callable[[], object]) -> Problem:
    with pytest.raises(ApiError) as caught:
        ask()
    return caught.value.problem


def test_good_answers_become_values(stub: StubApi) -> None:
    api = ModelApi(stub.url)
    assert api.serving().version == "3"
    assert api.model_names() == (NAME,)
    assert {version.stage for version in api.versions()} == {"Production", "Archived", "None"}
    prediction = api.predict(EXAMPLE, NAME)
    assert (prediction.cover_type, prediction.label, prediction.model_version) == (4, "Aspen", "3")
    assert stub.posted == [{**EXAMPLE, "model": NAME}]
    api.predict(EXAMPLE, None)
    assert stub.posted[-1] == EXAMPLE
    first, second = api.predict_all([EXAMPLE, EXAMPLE | {"Elevation": 3000}])
    assert (first.prediction_id, second.prediction_id) == ("at-2596", "at-3000")
    api.feedback(prediction.prediction_id, 4)
    assert stub.posted[-1] == {"prediction_id": prediction.prediction_id, "cover_type": 4}


def test_an_api_that_is_away(stub: StubApi) -> None:
    api = ModelApi(stub.url)
    stub.stop()
    assert problem_of(api.serving) == Problem(Kind.UNREACHABLE, "GET /model", stub.url)
    assert problem_of(ModelApi("http://no such host").serving).kind is Kind.UNREACHABLE


def test_an_api_that_does_not_answer_in_time(stub: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    stub.silent.add("GET /schema")
    problem = problem_of(ModelApi(stub.url).form)
    assert (problem.kind, problem.call, problem.seconds) == (Kind.SLOW, "GET /schema", 0.2)


@pytest.mark.parametrize(
    ("status", "body", "kind", "detail"),
    [
        (503, {"detail": "no Production model yet"}, Kind.NOT_READY, "no Production model yet"),
        (404, {"detail": "there is no model"}, Kind.REFUSED, "there is no model"),
        (500, b"Internal Server Error", Kind.FAILED, "HTTP 500"),
        (302, b"", Kind.NONSENSE, "HTTP 302"),
    ],
)
def test_refusals_keep_the_reason(stub: StubApi, status: int, body: Any, kind: Kind, detail: str) -> None:
    stub.answers["POST /predict"] = (status, body)
    problem = problem_of(lambda: ModelApi(stub.url).predict(EXAMPLE, None))
    assert (problem.kind, problem.detail) == (kind, detail)


def test_feedback_that_was_not_stored_is_a_problem(stub: StubApi) -> None:
    stub.answers["POST /feedback"] = (404, {"detail": "There is no prediction 'x'"})
    problem = problem_of(lambda: ModelApi(stub.url).feedback("x", 4))
    assert (problem.kind, problem.status) == (Kind.REFUSED, 404)
    stub.answers["POST /feedback"] = (200, {})
    assert problem_of(lambda: ModelApi(stub.url).feedback("x", 4)).kind is Kind.NONSENSE


def test_a_refused_value_is_named(stub: StubApi) -> None:
    said = [{"type": "less_than_equal", "loc": ["body", "Slope"], "msg": "Input should be less than 60"}]
    stub.answers["POST /predict"] = (422, {"detail": said})
    assert problem_of(lambda: ModelApi(stub.url).predict(EXAMPLE, None)).fields == {
        "Slope": "Input should be less than 60"
    }


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"\xff\xfe", b"null", b"[]", b"{}", b"3", b'{"name": []}', b"[" * 100_000]
)
@pytest.mark.parametrize("call", ["form", "serving", "model_names", "predict"])
def test_nonsense_is_called_nonsense(stub: StubApi, call: str, body: bytes) -> None:
    stub.answers = dict.fromkeys(stub.answers, (200, body))
    api = ModelApi(stub.url)
    ask = (lambda: api.predict(EXAMPLE, None)) if call == "predict" else getattr(api, call)
    assert problem_of(ask).kind is Kind.NONSENSE


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": {"Aspen": float("nan")}},
        {"probabilities": {"Aspen": 7}},
        {"label": "Oak"},
        {"prediction": None},
    ],
)
def test_a_prediction_that_contradicts_itself_is_nonsense(stub: StubApi, change: dict[str, Any]) -> None:
    status, body = stub.answers["POST /predict"]
    stub.answers["POST /predict"] = (status, {**body, **change})
    assert problem_of(lambda: ModelApi(stub.url).predict(EXAMPLE, None)).kind is Kind.NONSENSE


@pytest.mark.parametrize("body", [{}, None, [{}], [3], "text"])
def test_versions_that_make_no_sense(stub: StubApi, body: Any) -> None:
    stub.answers["GET /models"] = (200, body)
    assert problem_of(ModelApi(stub.url).versions).kind is Kind.NONSENSE
