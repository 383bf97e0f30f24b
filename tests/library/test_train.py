import json
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from covertype import artifact, contract, train
from covertype.prepare import TerrainFeatures, is_test_row
from covertype.settings import Settings

FEATURES = list(contract.FEATURES)


@pytest.fixture
def run(run_id: str, settings: Settings) -> mlflow.entities.Run:
    return mlflow.MlflowClient(settings.tracking_uri).get_run(run_id)


@pytest.fixture
def uri(run: mlflow.entities.Run) -> str:
    (model,) = run.outputs.model_outputs
    return f"models:/{model.model_id}"


def test_no_test_row_is_ever_fitted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, observations: pd.DataFrame
) -> None:
    fitted: list[pd.DataFrame] = []

    def spy(of: type) -> None:
        original = of.fit

        def fit(self: object, X: pd.DataFrame, y: pd.Series, **others: object) -> object:
            fitted.append(X)
            return original(self, X, y, **others)

        monkeypatch.setattr(of, "fit", fit)

    spy(Pipeline)
    spy(GridSearchCV)
    train.train(settings, observations, "leak test")
    seen = pd.concat(fitted).index.unique()
    assert not observations.loc[seen, "row_key"].map(is_test_row).any()
    # Not less than all training rows either: the final fit leaves none out.
    assert len(seen) == (~observations["row_key"].map(is_test_row)).sum()


def test_a_repeated_task_trains_once(settings: Settings, observations: pd.DataFrame, run_id: str) -> None:
    assert train.train(settings, observations, "scheduled__it's the first") == run_id


def test_a_failed_run_does_not_count(settings: Settings) -> None:
    mlflow.set_tracking_uri(settings.tracking_uri)
    experiment = mlflow.set_experiment(settings.experiment)
    with pytest.raises(KeyboardInterrupt), mlflow.start_run(tags={"dag_run_id": "killed"}):
        raise KeyboardInterrupt
    assert train.finished_run(experiment.experiment_id, "killed") is None


def test_the_run_says_what_it_learnt_from_and_how_good_it_is(
    run: mlflow.entities.Run, observations: pd.DataFrame
) -> None:
    assert {"test_accuracy", "test_precision", "test_recall", "test_f1"} <= run.data.metrics.keys()
    params = run.data.params
    assert params["data_rows"] == "900"
    assert int(params["data_train_rows"]) + int(params["data_test_rows"]) == 900
    assert params["data_batches"] == "1"
    assert params["data_fingerprint"] == train.fingerprint(observations)


def test_the_search_is_autologged(run: mlflow.entities.Run, run_id: str, settings: Settings) -> None:
    client = mlflow.MlflowClient(settings.tracking_uri)
    assert "best_cv_score" in run.data.metrics
    assert "cv_results.csv" in {file.path for file in client.list_artifacts(run_id)}
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == 3


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


def test_too_little_data_is_said(settings: Settings, observations: pd.DataFrame) -> None:
    for few in (observations.head(0), observations[observations["row_key"].map(is_test_row)]):
        with pytest.raises(train.NotEnoughData):
            train.train(settings, few, "few")


def test_the_fingerprint_knows_the_rows_but_not_their_order(observations: pd.DataFrame) -> None:
    shuffled = observations.sample(frac=1, random_state=2)
    assert train.fingerprint(shuffled) == train.fingerprint(observations)
    assert train.fingerprint(observations.iloc[1:]) != train.fingerprint(observations)
