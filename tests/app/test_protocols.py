"""The same model by the Open Inference Protocol and by MLflow's `/invocations`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from model_api.main import create_app

from .conftest import NAME, FakeRegistry, quick, random_observations, tiny_pipeline, wait_until

FEATURES = list(contract.FEATURES)


@pytest.fixture
def rows() -> pd.DataFrame:
    return random_observations(40, 5)[FEATURES]


@pytest.fixture
def api(registry: FakeRegistry, tmp_path: Path) -> Iterator[TestClient]:
    """The API with a tiny real model."""
    registry.pipelines[1] = tiny_pipeline(1)
    registry.production = 1
    with TestClient(create_app(registry, Settings(), quick(tmp_path))) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        yield client


def tensors(rows: pd.DataFrame, *, nested: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [len(rows), 1] if nested else [len(rows)],
            "datatype": "BYTES" if name in contract.CATEGORIES else "INT64",
            "data": [[value] for value in rows[name].tolist()] if nested else rows[name].tolist(),
        }
        for name in FEATURES
    ]


@pytest.mark.parametrize("form", ["dataframe_records", "dataframe_split"])
def test_invocations_answer_as_the_pipeline_does(api: TestClient, rows: pd.DataFrame, form: str) -> None:
    orient = {"dataframe_records": "records", "dataframe_split": "split"}[form]
    # Columns in another order: they go by their names.
    body = {form: rows[FEATURES[::-1]].to_dict(orient)}
    answer = api.post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": tiny_pipeline(1).predict(rows).tolist()}


@pytest.mark.parametrize("nested", [False, True])
def test_the_inference_protocol_answers_as_the_pipeline_does(
    api: TestClient, rows: pd.DataFrame, nested: bool
) -> None:
    body = {"id": "mine", "inputs": tensors(rows, nested=nested)}
    answer = api.post(f"/v2/models/{NAME}/infer", json=body).raise_for_status().json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (NAME, "1", "mine")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["Cover_Type"]["data"] == tiny_pipeline(1).predict(rows).tolist()
    assert outputs["probabilities"]["shape"] == [40, 7]
    expected = tiny_pipeline(1).predict_proba(rows).ravel().tolist()
    assert outputs["probabilities"]["data"] == pytest.approx(expected)
    assert len(set(outputs["prediction_id"]["data"])) == 40


def test_a_body_without_a_type_is_json_as_the_client_of_triton_sends_it(
    api: TestClient, rows: pd.DataFrame
) -> None:
    # As tritonclient 2.73.0 wrote it with binary_data=False.
    outputs = [{"name": "Cover_Type", "parameters": {"binary_data": False}}]
    body = json.dumps({"inputs": tensors(rows), "outputs": outputs}).encode()
    request = api.build_request("POST", f"/v2/models/{NAME}/infer", content=body)
    request.headers.pop("content-type", None)
    answer = api.send(request).raise_for_status().json()
    assert answer["outputs"][0]["data"] == tiny_pipeline(1).predict(rows).tolist()
    refused = api.build_request("POST", "/predict", content=body)
    assert api.send(refused).status_code == 422, "elsewhere a type is asked for"


def test_only_the_outputs_that_are_asked_for_come(api: TestClient, rows: pd.DataFrame) -> None:
    body = {"inputs": tensors(rows), "outputs": [{"name": "Cover_Type"}]}
    answer = api.post(f"/v2/models/{NAME}/infer", json=body).raise_for_status().json()
    assert [output["name"] for output in answer["outputs"]] == ["Cover_Type"]
    body["outputs"] = [{"name": "another"}]
    assert api.post(f"/v2/models/{NAME}/infer", json=body).status_code == 400


def test_the_protocol_tells_what_is_here(api: TestClient) -> None:
    assert api.get("/v2/health/live").json() == {"live": True}
    assert api.get("/v2/health/ready").json() == {"ready": True}
    assert api.get(f"/v2/models/{NAME}/ready").json() == {"name": NAME, "ready": True}
    model = api.get(f"/v2/models/{NAME}").json()
    assert (model["name"], model["versions"], model["platform"]) == (NAME, ["1"], "compact forest")
    assert [one["name"] for one in model["inputs"]] == FEATURES
    for path in ("another", "another/ready"):
        refused = api.get(f"/v2/models/{path}")
        assert (refused.status_code, list(refused.json())) == (404, ["error"])


def test_without_a_model_the_protocols_say_so(empty_client: TestClient, rows: pd.DataFrame) -> None:
    assert empty_client.get("/v2/health/live").status_code == 200
    assert empty_client.get("/v2/health/ready").status_code == 503
    assert empty_client.post(f"/v2/models/{NAME}/infer", json={"inputs": tensors(rows)}).status_code == 503
    assert empty_client.post("/invocations", json={"dataframe_records": [{}]}).status_code == 503


def test_what_breaks_the_contract_is_named_by_row_and_field(api: TestClient, rows: pd.DataFrame) -> None:
    rows.loc[3, "Slope"] = 67
    rows.loc[7, "Soil_Type"] = "C7744"
    bodies = {
        "/invocations": {"dataframe_split": rows.to_dict("split")},
        f"/v2/models/{NAME}/infer": {"inputs": tensors(rows)},
    }
    answers = {path: api.post(path, json=body) for path, body in bodies.items()}
    assert {answer.status_code for answer in answers.values()} == {422}
    listed = answers["/invocations"].json()["detail"]
    assert [error["loc"][-2:] for error in listed] == [[3, "Slope"], [7, "Soil_Type"]]
    told = answers[f"/v2/models/{NAME}/infer"].json()["error"].split("; ")
    assert [error.partition(": ")[0] for error in told] == ["body.inputs.3.Slope", "body.inputs.7.Soil_Type"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"shape": [41]}, "shape"),
        ({"shape": [20, 2]}, "shape"),
        ({"name": "Slope"}, "name"),
        ({"shape": [1], "data": [2596]}, "inputs"),
        ({"name": "Height"}, "Height"),
    ],
)
def test_tensors_that_do_not_fit_are_422(
    api: TestClient, rows: pd.DataFrame, change: dict[str, Any], place: str
) -> None:
    inputs = tensors(rows)[::-1]
    inputs[-1] |= change  # Elevation
    answer = api.post(f"/v2/models/{NAME}/infer", json={"inputs": inputs})
    assert answer.status_code == 422
    assert f"{place}: " in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dataframe_records": [], "dataframe_split": None},
        {"dataframe_split": {"columns": ["Slope", "Slope"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["Slope"], "data": [[1, 2]]}},
        {"inputs": [[1]]},
    ],
)
def test_invocations_that_make_no_frame_are_422(api: TestClient, body: dict[str, Any]) -> None:
    assert api.post("/invocations", json=body).status_code == 422


def test_the_inference_protocol_has_its_own_shape_for_errors_and_other_calls_theirs(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of this test", encoding="utf-8")
    settings = quick(tmp_path).model_copy(
        update={"key_file": tmp_path / "key", "rate_limit": "100/hour", "body_limit": 100}
    )
    key = {"x-api-key": "of this test"}

    def refused(path: str, headers: dict[str, str], **request: Any) -> tuple[int, list[str]]:
        answer = client.request(request.pop("method", "POST"), path, headers=headers, **request)
        ((shape, text),) = answer.json().items()
        assert text
        return answer.status_code, [shape, type(text).__name__]

    with TestClient(create_app(FakeRegistry(), Settings(), settings)) as client:
        for path, shape in ((f"/v2/models/{NAME}/infer", "error"), ("/predict", "detail")):
            assert refused(path, {}) == (401, [shape, "str"])
            assert refused(path, key, content=b" " * 101) == (413, [shape, "str"])
            assert refused(path, key, content=iter([b" " * 60] * 2)) == (413, [shape, "str"])
            assert refused(path, key, json=[]) == (422, [shape, "str" if shape == "error" else "list"])
            assert refused(path, key, method="DELETE") == (405, [shape, "str"])
        assert refused("/v2/models/another/ready", key, method="GET") == (404, ["error", "str"])
        assert refused(f"/v2/models/{NAME}/ready", key, method="GET") == (503, ["error", "str"])
        assert refused("/v2/nothing", key, method="GET") == (404, ["error", "str"])
        while (answer := client.get(f"/v2/models/{NAME}", headers=key)).status_code != 429:
            assert answer.status_code == 503
        assert list(answer.json()) == ["error"]
