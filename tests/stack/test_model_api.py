"""The model API on its real neighbours: swaps under load, records, and neighbours that die."""

import subprocess
from typing import Any

import httpx
import pytest

from .conftest import Stack, wait_until
from .load import Load, real_rows

NAME = "modelo_covertype_vf"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return real_rows()


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"{stack.url('model-api')}{path}", timeout=30)


def serving(stack: Stack) -> dict[str, Any]:
    return get(stack, "/model").raise_for_status().json()


def promote(stack: Stack, version: str) -> None:
    """Another champion, as the registry is told of it."""
    told = {"name": NAME, "alias": "champion", "version": version}
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    httpx.post(url, json=told, timeout=30).raise_for_status()
    wait_until(lambda: serving(stack), lambda model: model["version"] == version, seconds=60)


def test_ten_promotions_and_a_rollback_under_load_fail_nothing_and_mislabel_nothing(
    stack: Stack, rows: list[dict[str, Any]]
) -> None:
    before = serving(stack)
    assert (before["engine"], before["engine_note"], before["problem"]) == ("compact forest", None, None)
    other = next(
        one["version"] for one in get(stack, "/models").json() if one["version"] != before["version"]
    )
    expected = {}
    for version in (other, before["version"]):
        promote(stack, version)
        answer = httpx.post(f"{stack.url('model-api')}/predict/batch", json={"records": rows}, timeout=30)
        predictions = answer.raise_for_status().json()["predictions"]
        expected[version] = [prediction["probabilities"] for prediction in predictions]
    assert expected[other] != expected[before["version"]], "versions that cannot be told apart prove nothing"

    with Load(stack, rows).running() as load:
        for number in range(11):
            promote(stack, other if number % 2 == 0 else before["version"])
    promote(stack, before["version"])

    assert load.failures == []
    assert {answer["model_version"] for _, answer in load.answers} == set(expected)
    for number, answer in load.answers:
        assert answer["probabilities"] == pytest.approx(expected[answer["model_version"]][number], abs=1e-9)


def test_what_is_answered_is_recorded_and_feedback_tells_how_right_it_was(
    stack: Stack, rows: list[dict[str, Any]]
) -> None:
    api = stack.url("model-api")
    answer = httpx.post(f"{api}/predict", json=rows[0], timeout=30).raise_for_status().json()
    wrong = httpx.post(f"{api}/predict", json=rows[1], timeout=30).raise_for_status().json()
    for prediction, truth in ((answer, answer["prediction"]), (wrong, (wrong["prediction"] + 1) % 7)):
        told = {"prediction_id": prediction["prediction_id"], "cover_type": truth}
        assert httpx.post(f"{api}/feedback", json=told, timeout=30).status_code == 204
    unknown = {"prediction_id": "00000000-0000-4000-8000-000000000000", "cover_type": 1}
    assert httpx.post(f"{api}/feedback", json=unknown, timeout=30).status_code == 404

    ((elevation, soil, prediction, version, run_id, truth),) = stack.mysql(
        "SELECT Elevation, Soil_Type, prediction, model_version, run_id, cover_type FROM predictions "
        f"JOIN feedback USING (prediction_id) WHERE prediction_id = '{answer['prediction_id']}'"
    )
    model = serving(stack)
    assert (int(elevation), soil) == (rows[0]["Elevation"], rows[0]["Soil_Type"])
    assert (int(prediction), int(truth)) == (answer["prediction"], answer["prediction"])
    assert (version, run_id) == (model["version"], model["run_id"])

    live = wait_until(lambda: serving(stack)["live"], lambda live: live and live["known"] >= 2, seconds=30)
    assert 0 < live["accuracy"] < 1
    assert f'model_api_feedback{{version="{model["version"]}"}}' in get(stack, "/metrics").text


def test_a_client_of_the_open_inference_protocol_is_served(stack: Stack, rows: list[dict[str, Any]]) -> None:
    """Triton's, as it would be used with Triton, MLServer or KServe."""
    import numpy as np
    import tritonclient.http as triton

    host = stack.url("model-api").removeprefix("http://")
    with triton.InferenceServerClient(host) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NAME)
        inputs = []
        for tensor in client.get_model_metadata(NAME)["inputs"]:
            kind = object if tensor["datatype"] == "BYTES" else np.int64
            column = np.array([row[tensor["name"]] for row in rows], dtype=kind)
            inputs.append(triton.InferInput(tensor["name"], [len(rows)], tensor["datatype"]))
            inputs[-1].set_data_from_numpy(column, binary_data=False)
        outputs = [
            triton.InferRequestedOutput(name, binary_data=False) for name in ("Cover_Type", "probabilities")
        ]
        answer = client.infer(NAME, inputs, outputs=outputs)
    batch = httpx.post(f"{stack.url('model-api')}/predict/batch", json={"records": rows}, timeout=30)
    expected = batch.raise_for_status().json()
    assert answer.get_response()["model_version"] == expected["model_version"]
    classes = [prediction["prediction"] for prediction in expected["predictions"]]
    assert answer.as_numpy("Cover_Type").tolist() == classes
    probabilities = [list(prediction["probabilities"].values()) for prediction in expected["predictions"]]
    assert np.array_equal(answer.as_numpy("probabilities"), np.array(probabilities))


def test_the_api_tells_about_the_stack_and_its_pipeline(stack: Stack) -> None:
    state = get(stack, "/state").raise_for_status().json()
    up = {one["name"] for one in state["services"] if one["status"] == "up"}
    assert {"model-api", "mlflow", "minio", "mysql-data-store"} <= up, state["services"]
    assert state["model"]["version"] == serving(stack)["version"]
    assert state["predictions"]["total"] > 0
    succeeded = [run for run in state["runs"] if run["state"] == "success"]
    tasks = [task["task_id"] for task in succeeded[-1]["tasks"]]
    assert tasks == ["ingest", "prepare", "train", "evaluate", "register", "promote"]

    lines = get(stack, "/batches").raise_for_status().json()
    assert len(lines) == int(stack.mysql("SELECT COUNT(*) FROM raw_batches")[0][0])
    for column in ("Elevation", "Soil_Type", "Cover_Type"):
        counted = get(stack, f"/batches/distribution?column={column}").raise_for_status().json()
        counts = {batch["batch"]: sum(batch["counts"]) for batch in counted["batches"]}
        assert sum(counts.values()) == sum(line["rows_new"] for line in lines)
    decisions = get(stack, "/promotions").raise_for_status().json()
    assert len(decisions) == int(stack.mysql("SELECT COUNT(*) FROM promotions")[0][0])

    evaluation = get(stack, f"/models/{decisions[-1]['candidate']}/evaluation").raise_for_status().json()
    rows = {one["label"]: one["rows"] for one in evaluation["classes"]}
    confusion = evaluation["confusion"]
    assert [rows.get(label, 0) for label in confusion["labels"]] == [sum(row) for row in confusion["counts"]]
    assert {batch["batch"] for batch in evaluation["per_batch"]} <= {line["batch"] for line in lines}


def test_a_frozen_database_is_told_in_time_and_holds_up_no_prediction(
    stack: Stack, rows: list[dict[str, Any]]
) -> None:
    stack.docker("pause", f"{stack.name}-mysql-data-store")
    try:
        with Load(stack, rows).running() as load:
            for path in ("/batches", "/batches/distribution?column=Aspect", "/quarantine", "/promotions"):
                answer = get(stack, path)
                assert (answer.status_code, answer.elapsed.total_seconds() < 5) == (503, True), path
            answer = get(stack, "/state")
            state = answer.raise_for_status().json()
            assert answer.elapsed.total_seconds() < 5
            assert (state["predictions"], state["runs"]) == (None, None)
            states = {one["name"]: one["status"] for one in state["services"]}
            assert (states["mysql-data-store"], states["mlflow"]) == ("down", "up")
        assert load.failures == []
        assert load.answers
    finally:
        stack.docker("unpause", f"{stack.name}-mysql-data-store")
    wait_until(lambda: get(stack, "/batches").status_code, lambda status: status == 200, seconds=60)


def test_the_api_may_read_its_schema_and_write_two_tables(stack: Stack) -> None:
    grants = {line for (line,) in stack.mysql("SHOW GRANTS FOR 'model-api'@'%'")}
    assert grants == {
        "GRANT USAGE ON *.* TO `model-api`@`%`",
        "GRANT SELECT ON `datadb`.* TO `model-api`@`%`",
        "GRANT INSERT, CREATE ON `datadb`.`predictions` TO `model-api`@`%`",
        "GRANT INSERT, UPDATE, CREATE ON `datadb`.`feedback` TO `model-api`@`%`",
    }


def test_it_serves_and_starts_and_forgets_nothing_while_its_neighbours_are_dead(
    stack: Stack, rows: list[dict[str, Any]]
) -> None:
    neighbours = ("mlflow", "minio", "mysql-data-store")
    before = serving(stack)
    try:
        with Load(stack, rows).running() as load:
            for name in neighbours:
                stack.docker("kill", f"{stack.name}-{name}")
            wait_until(lambda: serving(stack)["problem"], lambda problem: problem is not None, seconds=60)
            assert get(stack, "/ready").status_code == 200
        assert load.failures == []

        # Killed, not stopped: what it had answered is in the journal. It starts from the volume alone.
        stack.docker("kill", f"{stack.name}-model-api")
        stack.docker("start", f"{stack.name}-model-api")
        wait_until(lambda: ready(stack), lambda answers: answers, seconds=60)
        again = serving(stack)
        assert (again["version"], again["run_id"]) == (before["version"], before["run_id"])
        last = httpx.post(f"{stack.url('model-api')}/predict", json=rows[0], timeout=30)
        load.answers.append((0, last.raise_for_status().json()))
    finally:
        for name in neighbours:
            stack.docker("start", f"{stack.name}-{name}")

    answered = {answer["prediction_id"] for _, answer in load.answers}
    wait_until(lambda: recorded(stack), lambda known: answered <= known, seconds=180)
    wait_until(lambda: serving(stack)["problem"], lambda problem: problem is None, seconds=180)
    assert "model_api_lost_total{" not in get(stack, "/metrics").text


def test_it_serves_on_while_the_object_store_alone_is_dead(stack: Stack, rows: list[dict[str, Any]]) -> None:
    before = serving(stack)
    other = next(
        one["version"] for one in get(stack, "/models").json() if one["version"] != before["version"]
    )
    # Not on the volume: it would have to be fetched.
    stack.docker(
        "exec", f"{stack.name}-model-api", "rm", "-rf", f"/var/lib/model-api/models/{run_of(stack, other)}"
    )
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    with Load(stack, rows).running() as load:
        stack.docker("kill", f"{stack.name}-minio")
        try:
            told = {"name": NAME, "alias": "champion", "version": other}
            httpx.post(url, json=told, timeout=30).raise_for_status()
            wait_until(
                lambda: serving(stack)["problem"],
                lambda problem: problem is not None and f"version {other} cannot be served" in problem,
                seconds=180,
            )
            assert serving(stack)["version"] == before["version"]
        finally:
            stack.docker("start", f"{stack.name}-minio")
        wait_until(lambda: serving(stack)["version"], lambda version: version == other, seconds=300)
        promote(stack, before["version"])
    assert load.failures == []
    assert {answer["model_version"] for _, answer in load.answers} == {before["version"], other}


def run_of(stack: Stack, version: str) -> str:
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/model-versions/get"
    found = httpx.get(url, params={"name": NAME, "version": version}, timeout=30).raise_for_status().json()
    return str(found["model_version"]["run_id"])


def ready(stack: Stack) -> bool:
    try:
        return get(stack, "/ready").status_code == 200
    except httpx.HTTPError:
        return False


def recorded(stack: Stack) -> set[str]:
    """Ids of the predictions in the database; none while it starts."""
    try:
        return {identity for (identity,) in stack.mysql("SELECT prediction_id FROM predictions")}
    except subprocess.CalledProcessError:
        return set()
