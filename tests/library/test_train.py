import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from covertype import artifact, contract, evaluate, report, train
from covertype.prepare import TerrainFeatures, is_test_row
from covertype.settings import Settings
from covertype.snapshot import Snapshot, fingerprint

FEATURES = list(contract.FEATURES)


@pytest.fixture
def run(run_id: str, settings: Settings) -> mlflow.entities.Run:
    return mlflow.MlflowClient(settings.tracking_uri).get_run(run_id)


@pytest.fixture
def uri(run: mlflow.entities.Run) -> str:
    (model,) = run.outputs.model_outputs
    return f"models:/{model.model_id}"


def test_no_test_row_is_ever_fitted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, observations: pd.DataFrame, taken: Snapshot
) -> None:
    fitted: list[pd.DataFrame] = []

    def spy(of: type) -> None:
        original = of.fit

        def fit(self: object, X: pd.DataFrame, y: pd.Series, **others: object) -> object:
            # A pipeline inside the pipeline gets numbers made of what this one got.
            if isinstance(X, pd.DataFrame):
                fitted.append(X)
            return original(self, X, y, **others)

        monkeypatch.setattr(of, "fit", fit)

    spy(Pipeline)
    spy(GridSearchCV)
    train.train(settings, taken, observations, "leak test", {})
    seen = pd.concat(fitted).index.unique()
    assert not observations.loc[seen, "row_key"].map(is_test_row).any()
    # Not less than all training rows either: the final fit leaves none out.
    assert len(seen) == (~observations["row_key"].map(is_test_row)).sum()


def test_a_run_is_found_by_its_dag_run_and_by_its_rows(
    settings: Settings, taken: Snapshot, run_id: str
) -> None:
    assert train.run_of(settings, "scheduled__it's the first") == run_id
    assert train.run_of(settings, "another") is None
    assert train.run_on(settings, taken) is not None
    assert train.run_on(settings, replace(taken, fingerprint="0" * 64)) is None
    assert train.run_on(settings.model_copy(update={"fraction": 0.5}), taken) is None
    assert train.run_of(settings.model_copy(update={"experiment": "none"}), "another") is None


def test_a_run_that_failed_is_not_found(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, observations: pd.DataFrame, taken: Snapshot
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "search", killed)
    with pytest.raises(KeyboardInterrupt):
        train.train(settings, taken, observations, "killed", {})
    assert train.run_of(settings, "killed") is None


def test_a_run_whose_process_was_killed_does_not_stay_running(
    settings: Settings, observations: pd.DataFrame, taken: Snapshot
) -> None:
    client = mlflow.MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    ours, another = (
        client.create_run(experiment.experiment_id, tags=tags).info.run_id
        for tags in ({"dag_run_sha256": "0" * 64}, {})
    )
    train.end_interrupted(settings)
    assert client.get_run(ours).info.status == "KILLED"
    assert client.get_run(another).info.status == "RUNNING", "a person's own run is left alone"
    client.delete_run(another)


def test_a_fraction_is_a_share_of_the_training_rows_alone(
    settings: Settings, observations: pd.DataFrame, taken: Snapshot, run: mlflow.entities.Run
) -> None:
    half = settings.model_copy(update={"fraction": 0.5})
    data = mlflow.get_run(train.train(half, taken, observations, "half", {})).data
    assert data.params["data_test_rows"] == run.data.params["data_test_rows"]
    share = int(data.params["data_train_rows"]) / int(run.data.params["data_train_rows"])
    assert share == pytest.approx(0.5, abs=0.05)


def test_larger_data_get_fewer_trees() -> None:
    settings = Settings()
    assert train.trees_for(settings, 0) == train.trees_for(settings, 46_480) == settings.trees
    assert train.trees_for(settings, 10**9) == settings.least_trees


def test_the_run_says_what_it_learnt_from_and_how_good_it_is(
    run: mlflow.entities.Run, observations: pd.DataFrame
) -> None:
    assert {"test_accuracy", "test_precision", "test_recall", "test_f1"} <= run.data.metrics.keys()
    params = run.data.params
    assert params["data_rows"] == "900"
    assert int(params["data_train_rows"]) + int(params["data_test_rows"]) == 900
    assert params["data_batches"] == "2"
    assert params["data_fingerprint"] == fingerprint(list(observations["row_key"]))
    assert params["env_scikit_learn"]
    assert run.data.tags["code_sha256"] == train.code_sha256()


def test_the_run_carries_the_whole_evaluation(
    run: mlflow.entities.Run, run_id: str, settings: Settings, observations: pd.DataFrame, tmp_path: Path
) -> None:
    metrics = run.data.metrics
    assert {"test_balanced_accuracy", "test_log_loss", "calibration_error"} <= metrics.keys()
    assert metrics["baseline_f1"] < metrics["test_f1"]
    assert metrics["before_f1"] == 0.25
    assert metrics["class_1_f1"] > 0.5
    client = mlflow.MlflowClient(settings.tracking_uri)
    tests = observations[observations["row_key"].map(is_test_row)]
    pipeline = artifact.load_pipeline(f"models:/{artifact.model_id(run)}").pipeline
    for name in ("batch_accuracy", "batch_f1", "batch_log_loss"):
        curve = {point.step: point.value for point in client.get_metric_history(run_id, name)}
        assert curve == {
            number: pytest.approx(
                evaluate.score(evaluate.ask(pipeline, rows))[name.replace("batch_", "test_")]
            )
            for number, rows in tests.groupby("batch")
        }
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="report"))
    pictures = {"calibration", "confusion_matrix", "importance", "per_batch", "per_class"}
    assert {file.stem for file in folder.glob("*.png")} == pictures
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.glob("*.png"))
    confusion = pd.read_csv(folder / "confusion_matrix.csv", index_col="true")
    assert list(confusion.index) == list(confusion.columns) == list(contract.CLASSES.values())
    assert confusion.to_numpy().tolist() == evaluate.confusion(evaluate.ask(pipeline, tests)).tolist()
    card = (folder / report.CARD).read_text()
    assert f"{metrics['test_f1']:.4f}" in card
    assert "accuracy 0.5000, macro-F1 0.2500" in card
    assert run.data.params["data_fingerprint"] in card
    assert all(label in card for label in pd.read_csv(folder / "per_class.csv")["label"])


def test_an_evaluation_may_be_repeated(
    run: mlflow.entities.Run, run_id: str, settings: Settings, observations: pd.DataFrame
) -> None:
    report.publish(settings, observations, run_id)
    again = mlflow.MlflowClient(settings.tracking_uri).get_run(run_id)
    assert again.data.metrics == run.data.metrics
    assert again.info.status == "FINISHED"


def test_the_search_is_autologged(run: mlflow.entities.Run, run_id: str, settings: Settings) -> None:
    client = mlflow.MlflowClient(settings.tracking_uri)
    assert "best_cv_score" in run.data.metrics
    assert "cv_results.csv" in {file.path for file in client.list_artifacts(run_id)}
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == 4


def test_the_model_carries_its_description_and_no_pickle(uri: str, observations: pd.DataFrame) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert "model.skops" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]
    inputs = {column.name: column.type.name for column in artifact.signature().inputs}
    assert set(inputs) == set(FEATURES)
    assert {name for name, kind in inputs.items() if kind == "long"} == set(contract.NUMERIC_FEATURES)
    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert {line.split("==")[0] for line in requirements} >= {"scikit-learn", "skops", "mlflow"}


def test_a_loaded_model_predicts_what_the_trained_one_did(uri: str, observations: pd.DataFrame) -> None:
    loaded = artifact.load_pipeline(uri)
    tests = observations[observations["row_key"].map(is_test_row)]
    accuracy = (loaded.pipeline.predict(tests[FEATURES]) == tests[contract.TARGET]).mean()
    assert accuracy == pytest.approx(mlflow.get_run(_run_of(uri)).data.metrics["test_accuracy"])
    assert tuple(loaded.example.columns) == contract.FEATURES
    assert {str(loaded.example[name].dtype) for name in contract.NUMERIC_FEATURES} == {"int64"}
    assert loaded.pipeline["model"].n_jobs is None


def _run_of(uri: str) -> str:
    model = mlflow.get_logged_model(uri.removeprefix("models:/"))
    return str(model.source_run_id)


def test_plain_mlflow_loads_it_where_this_library_is_not(
    uri: str, settings: Settings, tmp_path: Path
) -> None:
    folder = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / "model"))
    program = f"""
        import json, sys, importlib.util, pandas
        assert importlib.util.find_spec("covertype") is None
        import mlflow
        model = mlflow.pyfunc.load_model({folder!r})
        frame = pandas.DataFrame([json.loads(sys.argv[1])])
        print(model.predict(frame).tolist())
    """
    answer = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", textwrap.dedent(program), json.dumps(contract.EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    (predicted,) = json.loads(answer.stdout)
    assert predicted in contract.CLASSES


def test_foreign_models_are_not_loaded(settings: Settings, observations: pd.DataFrame) -> None:
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment(settings.experiment)
    dummy = DummyClassifier().fit(observations[FEATURES], observations[contract.TARGET])
    example = observations[FEATURES].head(1)
    with mlflow.start_run():
        pickled = mlflow.sklearn.log_model(
            dummy,
            name="pickled",
            serialization_format="cloudpickle",
            signature=artifact.signature(),
            pip_requirements=[],
        )
        other = mlflow.sklearn.log_model(
            dummy,
            name="other",
            signature=mlflow.models.infer_signature(example[["Slope"]]),
            pip_requirements=[],
        )
    with pytest.raises(artifact.ArtifactError, match="not in the skops format"):
        artifact.load_pipeline(pickled.model_uri)
    with pytest.raises(artifact.ArtifactError, match="another signature"):
        artifact.load_pipeline(other.model_uri)


def test_a_model_whose_files_are_gone_or_damaged_says_so(
    settings: Settings, observations: pd.DataFrame, uri: str, tmp_path: Path
) -> None:
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment(settings.experiment)
    pipeline = artifact.load_pipeline(uri).pipeline
    with mlflow.start_run() as run:
        artifact.log_pipeline(pipeline, observations.head(1))
    own = artifact.model_id(mlflow.get_run(run.info.run_id))
    folder = Path(mlflow.get_logged_model(own).artifact_location.removeprefix("file://"))
    with (folder / "model.skops").open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(artifact.ArtifactError, match="damaged"):
        artifact.load_pipeline(f"models:/{own}")
    shutil.rmtree(folder)
    with pytest.raises(artifact.ArtifactError, match="no files any more"):
        artifact.load_pipeline(f"models:/{own}")


class Smuggled(TerrainFeatures):
    """A type that a model's own description could ask to be trusted."""


def test_a_model_cannot_extend_what_is_trusted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, observations: pd.DataFrame
) -> None:
    # skops finds a type by its module's name; this file's cannot be imported in pytest's importlib mode.
    monkeypatch.setitem(sys.modules, "smuggled", sys.modules[__name__])
    monkeypatch.setattr(Smuggled, "__module__", "smuggled")
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment(settings.experiment)
    pipeline = Pipeline([("prepare", Smuggled()), ("model", DummyClassifier())])
    pipeline.fit(observations[FEATURES], observations[contract.TARGET])
    monkeypatch.setattr(artifact, "TRUSTED_TYPES", [*artifact.TRUSTED_TYPES, "smuggled.Smuggled"])
    with mlflow.start_run() as run:
        artifact.log_pipeline(pipeline, observations.head(1))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "smuggled", sys.modules[__name__])
    (model,) = mlflow.get_run(run.info.run_id).outputs.model_outputs
    with pytest.raises(artifact.ArtifactError, match="not trusted"):
        artifact.load_pipeline(f"models:/{model.model_id}")


def test_the_sample_of_the_search_keeps_proportions_and_drops_what_cannot_be_folded() -> None:
    rows = pd.DataFrame({"Cover_Type": [0] * 600 + [1] * 300 + [2] * 2})
    sample = train.stratified_sample(rows, size=90, folds=3, seed=1)
    assert sample["Cover_Type"].value_counts().to_dict() == {0: 60, 1: 30}
    assert len(train.stratified_sample(rows, size=5_000, folds=2, seed=1)) == 902
    with pytest.raises(train.NotEnoughData):
        train.stratified_sample(rows[-2:], size=90, folds=3, seed=1)


def test_too_little_data_is_said(settings: Settings, observations: pd.DataFrame, taken: Snapshot) -> None:
    for few in (observations.head(0), observations[observations["row_key"].map(is_test_row)]):
        with pytest.raises(train.NotEnoughData):
            train.train(settings, taken, few, "few", {})


def test_the_fingerprint_knows_the_rows_but_not_their_order(observations: pd.DataFrame) -> None:
    shuffled = observations.sample(frac=1, random_state=2)
    keys = list(observations["row_key"])
    assert fingerprint(list(shuffled["row_key"])) == fingerprint(keys)
    assert fingerprint(keys[1:]) != fingerprint(keys)
