"""Find the better family of trees on a small honest search, train it on every training row, and log all of it
to MLflow.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow.entities import RunStatus
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline

from covertype import artifact, contract, evaluate
from covertype.prepare import TerrainFeatures, split
from covertype.settings import Settings

log = logging.getLogger(__name__)

_EXAMPLE_ROWS = 3
# Searched for in place of the id itself, which may hold quotes: MLflow's filters have no way to escape them.
_KEY_TAG = "dag_run_sha256"


class NotEnoughData(RuntimeError):
    """The observations gathered so far cannot train and test a model; the message says what is missing."""


def train(settings: Settings, observations: pd.DataFrame, dag_run_id: str) -> str:
    """Train on the training rows of all observations (columns of `tables.load_observations`) and return the
    id of the MLflow run.

    A run of the same DAG run that has ended well is returned as it is, so a retried task trains once.
    """
    mlflow.set_tracking_uri(settings.tracking_uri)
    experiment = mlflow.set_experiment(settings.experiment)
    if (known := finished_run(experiment.experiment_id, dag_run_id)) is not None:
        log.info("Run %s has trained for %s already.", known, dag_run_id)
        return known

    trains, tests = split(observations)
    if tests.empty or trains[contract.TARGET].nunique() <= 1:
        raise NotEnoughData(
            f"{len(trains)} rows to train and {len(tests)} to test on are too few for a model."
        )
    features = list(contract.FEATURES)
    with mlflow.start_run(
        run_name=dag_run_id, tags={"dag_run_id": dag_run_id, _KEY_TAG: _key(dag_run_id)}
    ) as run:
        mlflow.log_params(data_summary(observations, trains, tests))
        best = search(settings, trains)
        pipeline = clone(best).set_params(model__n_estimators=settings.trees, model__n_jobs=settings.jobs)
        pipeline.fit(trains[features], trains[contract.TARGET])
        metrics = evaluate.score(pipeline, tests)
        # Threads pay in training; a server answers one row, and chooses its own.
        pipeline.set_params(model__n_jobs=None)
        mlflow.log_metrics(metrics)
        mlflow.log_param("final_trees", settings.trees)
        artifact.log_pipeline(pipeline, trains[features].head(_EXAMPLE_ROWS))
        log.info("Trained %s: %s", type(pipeline["model"]).__name__, metrics)
        return str(run.info.run_id)


def search(settings: Settings, trains: pd.DataFrame) -> Pipeline:
    """The best pipeline of the grid by cross-validated macro-F1 on a stratified sample of the training rows,
    autologged to the active run.
    """
    sample = stratified_sample(trains, settings.search_rows, settings.search_folds, settings.seed)
    shared = {"n_estimators": settings.search_trees, "random_state": settings.seed, "n_jobs": settings.jobs}
    grid = [
        {"model": [ExtraTreesClassifier(**shared)], "model__max_features": [None, 0.5]},
        {"model": [RandomForestClassifier(**shared)], "model__max_features": ["sqrt"]},
    ]
    finder = GridSearchCV(
        Pipeline([("prepare", TerrainFeatures()), ("model", ExtraTreesClassifier(**shared))]),
        grid,
        scoring="f1_macro",
        cv=StratifiedKFold(settings.search_folds, shuffle=True, random_state=settings.seed),
        # The trees use the cores; processes on top of them would only multiply the memory.
        n_jobs=1,
        error_score="raise",
    )
    with _autologging():
        finder.fit(sample[list(contract.FEATURES)], sample[contract.TARGET])
    return finder.best_estimator_


def stratified_sample(rows: pd.DataFrame, size: int, folds: int, seed: int) -> pd.DataFrame:
    """At most `size` rows with the classes in their proportions, without classes that have fewer rows than
    folds.
    """
    counts = rows[contract.TARGET].value_counts()
    common = rows[rows[contract.TARGET].isin(counts[counts >= folds].index)]
    if common.empty:
        raise NotEnoughData(f"No class has {folds} training rows, as many as the search has folds.")
    if len(common) > size:
        common, _ = train_test_split(
            common, train_size=size, stratify=common[contract.TARGET], random_state=seed
        )
        # Of a rare class the draw may have left fewer rows than folds.
        counts = common[contract.TARGET].value_counts()
        common = common[common[contract.TARGET].isin(counts[counts >= folds].index)]
    return common


def data_summary(observations: pd.DataFrame, trains: pd.DataFrame, tests: pd.DataFrame) -> dict[str, object]:
    """What a run learnt from, as MLflow parameters: counts and a fingerprint that does not depend on the
    order of rows.
    """
    return {
        "data_batches": observations["batch_id"].nunique(),
        "data_rows": len(observations),
        "data_train_rows": len(trains),
        "data_test_rows": len(tests),
        "data_fingerprint": fingerprint(observations),
    }


def fingerprint(observations: pd.DataFrame) -> str:
    """SHA-256 in hex over the sorted keys of the rows: equal exactly when the sets of rows are."""
    return hashlib.sha256(b"".join(sorted(observations["row_key"]))).hexdigest()


def finished_run(experiment_id: str, dag_run_id: str) -> str | None:
    """The id of the newest MLflow run that has ended well for a DAG run, or None."""
    finished = RunStatus.to_string(RunStatus.FINISHED)
    found = mlflow.MlflowClient().search_runs(
        [experiment_id],
        filter_string=f"tags.{_KEY_TAG} = '{_key(dag_run_id)}' AND attributes.status = '{finished}'",
        max_results=1,
    )
    return str(found[0].info.run_id) if found else None


def _key(dag_run_id: str) -> str:
    return hashlib.sha256(dag_run_id.encode()).hexdigest()


@contextmanager
def _autologging() -> Iterator[None]:
    """Switch MLflow's autologging of scikit-learn on for the block.

    It logs parameters, results and the best candidates of the search. Models it would log as pickles, so
    those are logged by `artifact`.
    """
    options = {"log_models": False, "log_datasets": False, "log_post_training_metrics": False, "silent": True}
    mlflow.sklearn.autolog(**options)
    try:
        yield
    finally:
        # With the same options: a later call is judged by the first and the last of them.
        mlflow.sklearn.autolog(disable=True, **options)
