"""The contract of the API, call by call, and what it says to what is wrong."""

import socket
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from model_api import schemas
from model_api.main import create_app

from .conftest import NAME, Always, FakeRegistry, listening, quick, wait_until

RECORD = dict(contract.EXAMPLE)
JSON = {"content-type": "application/json"}


def errors(client: TestClient, path: str, body: Any) -> dict[tuple[Any, ...], str]:
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    return {tuple(error["loc"]): error["msg"] for error in answer.json()["detail"]}


def check_prediction(answer: dict[str, Any], code: int, version: str) -> None:
    assert list(answer) == ["prediction", "label", "probabilities", "model_version", "prediction_id"]
    assert (answer["prediction"], answer["label"], answer["model_version"]) == (
        code,
        contract.CLASSES[code],
        version,
    )
    assert list(answer["probabilities"]) == list(contract.CLASSES.values())
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert uuid.UUID(answer["prediction_id"]).version == 4


def test_health_needs_no_model(empty_client: TestClient) -> None:
    assert empty_client.get("/health").json() == {"status": "ok"}


def test_ready_and_model(client: TestClient) -> None:
    assert client.get("/ready").status_code == 200
    model = client.get("/model").json()
    assert model.pop("loaded_at")
    assert model == {
        "name": NAME,
        "version": "1",
        "run_id": "run-1",
        "metrics": {"test_f1": 0.5},
        "engine": "scikit-learn",
        "live": None,
        "engine_note": "Always is no forest",
        "problem": None,
    }


def test_models_gives_every_version(client: TestClient) -> None:
    second, first = client.get("/models").json()
    assert first == {
        "name": NAME,
        "version": "1",
        "stage": "Production",
        "aliases": ["champion"],
        "metrics": {"test_f1": 0.5},
        "created": "2026-01-01T00:00:00Z",
    }
    assert (second["version"], second["stage"], second["aliases"]) == ("2", "None", [])


def test_listar_modelos_gives_names_with_a_production_version(client: TestClient) -> None:
    assert client.get("/listar_modelos").json() == {"modelos_disponibles": [NAME]}


def test_listar_modelos_is_empty_before_the_first_model(empty_client: TestClient) -> None:
    assert empty_client.get("/listar_modelos").json() == {"modelos_disponibles": []}


def test_schema_is_the_contract_and_so_is_what_predict_takes(client: TestClient) -> None:
    published = client.get("/schema").json()
    classes = published.pop("classes")
    assert {item["class"]: item["label"] for item in classes} == contract.CLASSES
    assert contract.all_valid([item["example"] for item in classes])
    assert published == contract.record_schema()
    accepted = schemas.Observation.model_json_schema()
    assert list(accepted["properties"]) == list(contract.FEATURES) == accepted["required"]
    assert accepted["additionalProperties"] is False
    for name, rule in accepted["properties"].items():
        for key in ("type", "minimum", "maximum", "enum", "description"):
            assert rule.get(key) == published["properties"][name].get(key), (name, key)


@pytest.mark.parametrize("extra", [{}, {"model": NAME}, {"model": None}])
def test_predict(client: TestClient, extra: dict[str, Any]) -> None:
    answer = client.post("/predict", json=RECORD | extra)
    assert answer.status_code == 200
    check_prediction(answer.json(), 1, "1")


def test_predict_with_an_unknown_model_is_404(client: TestClient) -> None:
    for path, body in (("/predict", RECORD), ("/predict/batch", {"records": [RECORD]})):
        answer = client.post(path, json=body | {"model": "another"})
        assert answer.status_code == 404
        assert "another" in answer.json()["detail"]


def test_batch_keeps_the_order_and_calls_the_model_once(client: TestClient, registry: FakeRegistry) -> None:
    registry.pipelines[1].calls.clear()
    answer = client.post("/predict/batch", json={"records": [RECORD] * 10_000})
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["predictions", "model_version"]
    assert body["model_version"] == "1"
    assert len({item["prediction_id"] for item in body["predictions"]}) == 10_000
    check_prediction(body["predictions"][-1], 1, "1")
    assert registry.pipelines[1].calls == [10_000]


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_1_to_10000_records(client: TestClient, count: int) -> None:
    assert list(errors(client, "/predict/batch", {"records": [RECORD] * count})) == [("body", "records")]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/ready", "/model"])
def test_without_a_model_503_with_the_reason(empty_client: TestClient, path: str) -> None:
    body = {"/predict": RECORD, "/predict/batch": {"records": [RECORD]}}.get(path)
    reason = "no model is loaded: the registry has no Production version"

    def answer() -> Any:
        return empty_client.post(path, json=body) if body else empty_client.get(path)

    wait_until(lambda: answer().json()["detail"] == reason, "the registry was asked")
    assert answer().status_code == 503


def test_every_wrong_field_is_named_at_once_with_what_is_allowed(client: TestClient) -> None:
    wrong: dict[str, Any] = RECORD | {
        "Elevation": 1858,
        "Slope": 67,
        "Wilderness_Area": "Yosemite",
        "Colour": "red",
    }
    del wrong["Aspect"]
    found = errors(client, "/predict", wrong)
    assert found[("body", "Elevation")] == "Input should be greater than or equal to 1859"
    assert found[("body", "Slope")] == "Input should be less than or equal to 66"
    assert all(area in found[("body", "Wilderness_Area")] for area in contract.WILDERNESS_AREAS)
    assert found[("body", "Aspect")] == "Field required"
    assert "Extra inputs" in found[("body", "Colour")]
    assert len(found) == 5


def test_a_wrong_record_of_a_batch_is_named_by_its_position(client: TestClient) -> None:
    found = errors(client, "/predict/batch", {"records": [RECORD, RECORD | {"Soil_Type": "C7744"}]})
    assert list(found) == [("body", "records", 1, "Soil_Type")]


@pytest.mark.parametrize("value", [True, "2596", 2596.5, None, [2596], {"a": 1}, 10**30, -(10**30)])
def test_only_integers_are_numbers(client: TestClient, value: Any) -> None:
    assert list(errors(client, "/predict", RECORD | {"Elevation": value})) == [("body", "Elevation")]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"Elevation": NaN}',
        b'{"Elevation": -Infinity}',
        b'{"Elevation": 1e400}',
        b'{"Elevation": ' + b"9" * 5_000 + b"}",
        b'{"Elevation": "\xff\xfe"}',
        b'{"\\ud800": 1}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\x00\x01",
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_whatever_bytes_come_the_answer_is_422(client: TestClient, path: str, raw: bytes) -> None:
    answer = client.post(path, content=raw, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "//"]
)
def test_another_content_type_is_422(client: TestClient, kind: str) -> None:
    answer = client.post("/predict", content=b"Elevation=3", headers={"content-type": kind})
    assert answer.status_code == 422


def test_a_batch_that_is_wrong_everywhere_gets_a_bounded_answer(client: TestClient) -> None:
    answer = client.post("/predict/batch", json={"records": [{}] * 10_000})
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert len(detail) == 1_001
    assert detail[-1]["msg"] == "119000 more errors"


def test_a_body_over_the_limit_is_413_by_its_header_and_by_its_bytes(client: TestClient) -> None:
    big = b" " * 5_000_001
    by_header = client.post("/predict", content=big, headers=JSON)
    by_bytes = client.post("/predict", content=iter([big[:3_000_000], big[3_000_000:]]), headers=JSON)
    for answer in (by_header, by_bytes):
        assert answer.status_code == 413
        assert answer.json() == {"detail": "The body is larger than 5000000 bytes"}


def test_a_body_that_does_not_come_is_408_and_others_are_answered_meanwhile(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.production = 1
    settings = quick(tmp_path).model_copy(update={"body_seconds": 0.5})
    head = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    )
    with (
        listening(create_app(registry, Settings(), settings)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as slow,
    ):
        slow.sendall(head + b"{")
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=20).status_code == 200
        answer = slow.makefile("rb").read()  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 0.5 seconds" in answer


def test_a_class_that_the_version_never_saw_has_probability_0(
    registry: FakeRegistry, empty_client: TestClient
) -> None:
    registry.pipelines[2] = Always(6, classes=(0, 1, 6))
    registry.production = 2
    wait_until(lambda: empty_client.get("/ready").status_code == 200, "version 2 is served")
    answer = empty_client.post("/predict", json=RECORD).json()
    check_prediction(answer, 6, "2")
    assert answer["probabilities"]["Aspen"] == 0


def test_the_documentation_has_an_example_that_works(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    named = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert list(named) == list(contract.CLASSES.values())
    for example in named.values():
        assert client.post("/predict", json=example["value"]).status_code == 200
    assert all(call["tags"] for path in document["paths"].values() for call in path.values())
    for path, name in (("/predict", "PredictRequest"), ("/predict/batch", "BatchRequest")):
        example = document["components"]["schemas"][name]["examples"][0]
        assert client.post(path, json=example).status_code == 200
        assert set(document["paths"][path]["post"]["responses"]) == {"200", "404", "408", "413", "422", "503"}
