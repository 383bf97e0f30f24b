"""Which version answers, while the registry changes, fails and comes back."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from fastapi.testclient import TestClient
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from covertype import artifact, contract
from covertype import registry as library
from covertype.settings import Settings
from model_api.main import create_app
from model_api.serving import ModelHolder, NoModel

from .conftest import Always, FakeRegistry, quick, random_observations, tiny_pipeline, wait_until

RECORD = dict(contract.EXAMPLE)


def serving(client: TestClient) -> str | None:
    answer = client.get("/model")
    return str(answer.json()["version"]) if answer.status_code == 200 else None


def wait_for(client: TestClient, version: int) -> None:
    wait_until(lambda: serving(client) == str(version), f"version {version} is served")


def test_the_first_model_is_taken_up_by_itself(empty_client: TestClient, registry: FakeRegistry) -> None:
    assert empty_client.get("/ready").status_code == 503
    registry.production = 3
    wait_for(empty_client, 3)
    assert empty_client.post("/predict", json=RECORD).json()["prediction"] == 3


def test_promotion_and_rollback_swap_the_model(client: TestClient, registry: FakeRegistry) -> None:
    registry.production = 2
    wait_for(client, 2)
    registry.production = 1
    wait_for(client, 1)
    assert registry.loads == [1, 2, 1]


def test_the_same_number_of_a_registry_that_was_made_anew_is_another_model(
    client: TestClient, registry: FakeRegistry
) -> None:
    registry.runs = "anew"
    wait_until(lambda: client.get("/model").json()["run_id"] == "anew-1", "the new version 1 is served")
    assert registry.loads == [1, 1]


def test_swaps_under_load_fail_no_request_and_never_mislabel(
    client: TestClient, registry: FakeRegistry
) -> None:
    over = threading.Event()
    seen: list[tuple[str, int]] = []
    failures: list[str] = []

    def ask() -> None:
        while not over.is_set():
            answer = client.post("/predict/batch", json={"records": [RECORD] * 3})
            if answer.status_code != 200:
                failures.append(answer.text)
                continue
            body = answer.json()
            seen.extend((item["model_version"], item["prediction"]) for item in body["predictions"])
            assert {item["model_version"] for item in body["predictions"]} == {body["model_version"]}

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for version in (2, 3, 4, 5, 6, 5):
            registry.production = version
            wait_for(client, version)
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert {version for version, _ in seen} >= {"1", "6"}
    assert all(prediction == int(version) % 7 for version, prediction in seen)


def test_a_version_that_does_not_load_leaves_the_old_one_serving(
    client: TestClient, registry: FakeRegistry
) -> None:
    registry.broken = {2}
    registry.production = 2
    wait_until(lambda: client.get("/model").json()["problem"] is not None, "the failure shows")
    model = client.get("/model").json()
    assert model["version"] == "1"
    assert "version 2 cannot be served: OSError: artifact of version 2 is damaged" in model["problem"]
    assert client.get("/ready").status_code == 200
    registry.broken = set()
    wait_for(client, 2)
    assert client.get("/model").json()["problem"] is None


@pytest.mark.parametrize(
    "unfit", [Always(1, total=0.5), Always(1, total=float("nan")), Always(1, classes=(0, 1, 9))], ids=repr
)
def test_a_version_that_answers_nonsense_is_never_served(
    client: TestClient, registry: FakeRegistry, unfit: Always
) -> None:
    registry.pipelines[2] = unfit
    registry.production = 2
    wait_until(lambda: "UnfitModel" in (client.get("/model").json()["problem"] or ""), "the failure shows")
    assert client.post("/predict", json=RECORD).json()["model_version"] == "1"


def test_a_broken_version_is_not_fetched_at_every_look(registry: FakeRegistry) -> None:
    registry.production, registry.broken = 2, {2}
    holder = ModelHolder(registry, poll_seconds=1_000, retry_seconds=1_000)
    for _ in range(5):
        holder.refresh()
    assert registry.loads == [2]
    registry.production = 1
    holder.refresh()
    assert holder.current().registered.version == 1, "another version must not wait for the broken one"


def test_the_api_serves_on_while_the_registry_is_away(client: TestClient, registry: FakeRegistry) -> None:
    registry.down = True
    wait_until(lambda: client.get("/model").json()["problem"] is not None, "the failure shows")
    assert client.get("/model").json()["problem"] == (
        "the model registry cannot be asked: ConnectionError: no route to mlflow:5000"
    )
    assert client.get("/ready").status_code == 200
    assert client.post("/predict", json=RECORD).status_code == 200
    assert client.get("/listar_modelos").json()["modelos_disponibles"] != []
    models = client.get("/models")
    assert (models.status_code, models.json()) == (503, {"detail": "the model registry does not answer"})
    registry.down, registry.production = False, 2
    wait_for(client, 2)


def test_the_api_serves_on_when_no_version_is_in_production_any_more(
    client: TestClient, registry: FakeRegistry
) -> None:
    registry.production = None
    wait_until(
        lambda: client.get("/listar_modelos").json()["modelos_disponibles"] == [], "the change is noticed"
    )
    assert client.post("/predict", json=RECORD).json()["model_version"] == "1"
    assert client.get("/model").json()["problem"] == "the registry has no Production version"


def test_a_holder_that_has_asked_nothing_says_so(registry: FakeRegistry) -> None:
    with pytest.raises(NoModel, match="has not been asked yet"):
        ModelHolder(registry).current()


# Nothing listens on the port of TCP's discard service.
NOWHERE = Settings(tracking_uri="http://127.0.0.1:9")


def test_the_api_starts_without_mlflow(tmp_path: Path) -> None:
    with TestClient(create_app(settings=NOWHERE, api_settings=quick(tmp_path))) as client:
        assert client.get("/health").status_code == 200
        wait_until(lambda: "cannot be asked" in client.get("/ready").json()["detail"], "the reason shows")
        for answer in (client.get("/ready"), client.post("/predict", json=RECORD), client.get("/models")):
            assert answer.status_code == 503


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow, as the stack runs it; the tests have models of their own in it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = ["mlflow", "server", "--port", url.rpartition(":")[2], "--workers", "1", "--serve-artifacts"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}",
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True) as server:
        try:
            wait_until(lambda: answers(f"{url}/health"), "MLflow answers", seconds=300)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def mlflow_settings(mlflow_server: str, request: pytest.FixtureRequest) -> Settings:
    return Settings(tracking_uri=mlflow_server, model_name=request.node.name, experiment=request.node.name)


def registered(settings: Settings, seed: int, model: Any = None) -> int:
    """Log and register a real model, as the DAG does; give its version."""
    pipeline = tiny_pipeline(seed)
    if model is not None:
        rows = random_observations(100, seed)
        pipeline.set_params(model=model).fit(rows[list(contract.FEATURES)], rows[contract.TARGET])
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment(settings.experiment)
    with mlflow.start_run() as run:
        mlflow.log_metric("test_f1", seed / 10)
        artifact.log_pipeline(pipeline, random_observations(3, seed))
    return library.register(settings, run.info.run_id).version


def test_with_a_real_registry(mlflow_settings: Settings, tmp_path: Path) -> None:
    first, second = (registered(mlflow_settings, seed) for seed in (1, 2))
    rows = random_observations(200, 9)
    records = rows[list(contract.FEATURES)].to_dict("records")

    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_until(
            lambda: "no Production version" in client.get("/ready").json()["detail"], "the registry was asked"
        )
        for version, seed in ((first, 1), (second, 2), (first, 1)):
            library.set_production(mlflow_settings, version)
            wait_for(client, version)
            answer = client.post("/predict/batch", json={"records": records}).json()
            assert answer["model_version"] == str(version)
            predictions = [item["prediction"] for item in answer["predictions"]]
            expected = tiny_pipeline(seed).predict(rows[list(contract.FEATURES)])
            assert predictions == expected.tolist(), "the API and the pipeline that was logged disagree"
            one = client.post("/predict", json=records[0]).json()
            assert one["probabilities"] == pytest.approx(answer["predictions"][0]["probabilities"])

        assert client.get("/model").json()["metrics"] == {"test_f1": 0.1}
        listed = {item["version"]: item for item in client.get("/models").json()}
        assert (listed["1"]["stage"], listed["1"]["aliases"]) == ("Production", ["champion"])
        assert (listed["2"]["stage"], listed["2"]["aliases"]) == ("Archived", ["previous"])
        assert listed["2"]["metrics"] == {"test_f1": 0.2}
        assert client.get("/listar_modelos").json() == {"modelos_disponibles": [mlflow_settings.model_name]}


def test_the_last_good_model_is_served_from_the_volume_without_mlflow(
    mlflow_settings: Settings, tmp_path: Path
) -> None:
    first, second, third = (registered(mlflow_settings, seed) for seed in (1, 2, 3))
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        for version in (first, second, third):
            library.set_production(mlflow_settings, version)
            wait_for(client, version)
    models = tmp_path / "models"
    assert len([path for path in models.iterdir() if path.is_dir()]) == 2, "the last good and the one before"

    with TestClient(create_app(settings=NOWHERE, api_settings=quick(tmp_path))) as client:
        wait_for(client, third)
        wait_until(lambda: client.get("/model").json()["problem"] is not None, "MLflow is missed")
        model = client.get("/model").json()
        assert (model["engine"], model["metrics"]) == ("compact forest", {"test_f1": 0.3})
        assert "cannot be asked" in model["problem"]
        expected = tiny_pipeline(3).predict_proba(contract.features_frame([RECORD]))[0]
        found = client.post("/predict", json=RECORD).json()["probabilities"]
        assert list(found.values()) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("damaged", ["*.skops", "forest.npz", "proof.json"])
def test_a_damaged_copy_on_the_volume_is_made_anew(
    mlflow_settings: Settings, tmp_path: Path, damaged: str
) -> None:
    version = registered(mlflow_settings, 1)
    library.set_production(mlflow_settings, version)
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, version)
    (copy,) = (tmp_path / "models").rglob(damaged)
    copy.write_bytes(b"damaged")
    # What was made of the registry's files is enough to serve, and is made again from them.
    if damaged == "*.skops":
        (copy.parents[1] / "proof.json").unlink()
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, version)
        wait_until(lambda: client.get("/model").json()["problem"] is None, "the registry has been asked")
        assert client.get("/model").json()["engine"] == "compact forest"
    assert copy.stat().st_size > 500


def test_an_answer_that_is_not_that_of_the_check_is_not_served_from_the_volume(
    mlflow_settings: Settings, tmp_path: Path
) -> None:
    version = registered(mlflow_settings, 1)
    library.set_production(mlflow_settings, version)
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, version)
    (proof,) = (tmp_path / "models").rglob("proof.json")
    told = json.loads(proof.read_text())
    told["probabilities"][3].reverse()
    proof.write_text(json.dumps(told))
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, version)
    assert json.loads(proof.read_text())["probabilities"] != told["probabilities"], "it was checked anew"


def test_what_is_no_forest_is_served_by_scikit_learn(mlflow_settings: Settings, tmp_path: Path) -> None:
    version = registered(mlflow_settings, 1, model=DecisionTreeClassifier(max_depth=3))
    library.set_production(mlflow_settings, version)
    for _ in ("fetched", "from the volume"):
        with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
            wait_for(client, version)
            model = client.get("/model").json()
            assert (model["engine"], model["engine_note"]) == (
                "scikit-learn",
                "DecisionTreeClassifier is no forest",
            )
            assert client.post("/predict", json=RECORD).status_code == 200


def test_a_model_that_this_project_did_not_write_is_refused(
    mlflow_settings: Settings, tmp_path: Path
) -> None:
    first = registered(mlflow_settings, 1)
    library.set_production(mlflow_settings, first)
    with mlflow.start_run() as run:
        mlflow.log_metric("test_f1", 1)
        mlflow.sklearn.log_model(
            DummyClassifier().fit([[1]], [1]), name="model", serialization_format="pickle"
        )
    foreign = library.register(mlflow_settings, run.info.run_id).version
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, first)
        library.set_production(mlflow_settings, foreign)
        wait_until(lambda: client.get("/model").json()["problem"] is not None, "the refusal shows")
        model = client.get("/model").json()
        assert model["version"] == str(first)
        assert "not in the skops format" in model["problem"]


@pytest.mark.parametrize("kind", [None, DecisionTreeClassifier(max_depth=3)], ids=["forest", "no forest"])
def test_a_model_that_was_changed_in_the_bucket_is_refused_and_the_last_good_goes_on(
    mlflow_settings: Settings, tmp_path: Path, kind: Any
) -> None:
    first, second = (registered(mlflow_settings, seed, model=kind) for seed in (1, 2))
    library.set_production(mlflow_settings, first)
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, first)
        change_description(mlflow_settings, second)
        library.set_production(mlflow_settings, second)
        wait_until(lambda: client.get("/model").json()["problem"] is not None, "the refusal shows")
        assert "version 2 is not what was registered" in client.get("/model").json()["problem"]
        assert client.post("/predict", json=RECORD).json()["model_version"] == str(first)

    # Of the copy on the volume too: what was made of it is gone, and it has to be read again.
    (description,) = (tmp_path / "models").rglob("MLmodel")
    (description.parents[1] / "proof.json").unlink()
    description.write_text(description.read_text() + "# harmless\n")
    library.set_production(mlflow_settings, first)
    with TestClient(create_app(settings=mlflow_settings, api_settings=quick(tmp_path))) as client:
        wait_for(client, first)
    assert "# harmless" not in description.read_text(), "it was fetched anew"


def change_description(settings: Settings, version: int) -> None:
    """Change a model's files as somebody who may write into the bucket does."""
    client = mlflow.MlflowClient(settings.tracking_uri)
    run = client.get_run(library.get(settings, version).run_id)
    location = client.get_logged_model(artifact.model_id(run)).artifact_location
    path = location.removeprefix("mlflow-artifacts:/").strip("/")
    url = f"{settings.tracking_uri}/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel"
    text = httpx.get(url).raise_for_status().text
    httpx.put(url, content=text + "# harmless\n").raise_for_status()


def test_serving_loads_neither_mlflow_nor_scikit_learn(tmp_path: Path) -> None:
    # Of what is loaded depends the memory of each worker, and how soon it is ready.
    script = "import sys, model_api.main; print({'mlflow', 'sklearn', 'skops'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "set()"
