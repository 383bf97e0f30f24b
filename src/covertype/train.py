"""Find the best family of models on a small honest search, train it on every training row, and log all of it
to MLflow.
"""

import hashlib
import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow.entities import Run, RunStatus
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from covertype import artifact, contract
from covertype.prepare import TerrainFeatures, share, split
from covertype.settings import Settings
from covertype.snapshot import Snapshot

log = logging.getLogger(__name__)

DAG_RUN_TAG = "dag_run_id"
LEDGER_PARAM = "data_ledger"
FINGERPRINT_TAG = "data_fingerprint"
FRACTION_TAG = "data_fraction"

_EXAMPLE_ROWS = 3
# Searched for in place of the id itself, which may hold quotes: MLflow's filters have no way to escape them.
_KEY_TAG = "dag_run_sha256"
_ENVIRONMENT = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")


class NotEnoughData(RuntimeError):
    """The observations gathered so far cannot train and test a model; the message says what is missing."""


def train(
    settings: Settings,
    snapshot: Snapshot,
    observations: pd.DataFrame,
    dag_run_id: str,
    before: Mapping[str, float],
) -> str:
    """Train on the training rows of a snapshot's observations; returns the id of the MLflow run. One at a
    time: whoever calls holds the lock.

    `before` are figures that were taken before the training, to be logged with it, each at the number of the
    newest batch.
    """
    trains, tests = split(observations)
    if tests.empty or trains[contract.TARGET].nunique() <= 1:
        raise NotEnoughData(
            f"{len(trains)} rows to train and {len(tests)} to test on are too few for a model. Let the DAG "
            "gather another batch."
        )
    learnt = share(trains, settings.fraction)
    if learnt[contract.TARGET].nunique() <= 1:
        raise NotEnoughData(
            f"A fraction of {settings.fraction} leaves {len(learnt)} rows of one class to train on. Choose a "
            "greater one."
        )
    features = list(contract.FEATURES)
    newest = int(observations.loc[observations["batch_id"].idxmax(), "batch"])
    tags = {
        DAG_RUN_TAG: dag_run_id,
        _KEY_TAG: _key(dag_run_id),
        FINGERPRINT_TAG: snapshot.fingerprint,
        FRACTION_TAG: repr(settings.fraction),
        "batch": str(newest),
        "code_sha256": code_sha256(),
    }
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment(settings.experiment)
    end_interrupted(settings)
    with mlflow.start_run(run_name=dag_run_id, tags=tags) as run:
        mlflow.log_metrics(dict(before), step=newest)
        mlflow.log_params(data_summary(snapshot, observations, learnt, tests) | environment())
        best = search(settings, learnt)
        pipeline = clone(best)
        if "n_estimators" in pipeline["model"].get_params():
            trees = trees_for(settings, len(learnt))
            pipeline.set_params(model__n_estimators=trees)
            mlflow.log_param("final_trees", trees)
        if "n_jobs" in pipeline["model"].get_params():
            pipeline.set_params(model__n_jobs=settings.jobs)
        pipeline.fit(learnt[features], learnt[contract.TARGET])
        if "n_jobs" in pipeline["model"].get_params():
            # Threads pay in training; a server answers one row, and chooses its own.
            pipeline.set_params(model__n_jobs=None)
        artifact.log_pipeline(pipeline, learnt[features].head(_EXAMPLE_ROWS))
        log.info("Trained %s on %d rows.", pipeline["model"], len(learnt))
        return str(run.info.run_id)


def trees_for(settings: Settings, rows: int) -> int:
    """How many trees a model of so many rows gets: fewer where each is larger, so that its size holds."""
    return max(settings.least_trees, min(settings.trees, settings.tree_rows // max(rows, 1)))


def search(settings: Settings, trains: pd.DataFrame) -> Pipeline:
    """The best pipeline of the grid by cross-validated macro-F1 on a stratified sample of the training rows,
    autologged to the active run.
    """
    sample = stratified_sample(trains, settings.search_rows, settings.search_folds, settings.seed)
    shared = {"n_estimators": settings.search_trees, "random_state": settings.seed, "n_jobs": settings.jobs}
    grid = [
        {"model": [ExtraTreesClassifier(**shared)], "model__max_features": [None, 0.5]},
        {"model": [RandomForestClassifier(**shared)], "model__max_features": ["sqrt"]},
        {"model": [make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-2))]},
    ]
    finder = GridSearchCV(
        Pipeline([("prepare", TerrainFeatures()), ("model", ExtraTreesClassifier(**shared))]),
        grid,
        # Each class counts the same, however rare: the trees keep the true proportions (docs/experiments.md).
        scoring="f1_macro",
        cv=StratifiedKFold(settings.search_folds, shuffle=True, random_state=settings.seed),
        # The trees use the cores; processes on top of them would only multiply the memory.
        n_jobs=1,
        # What is refitted is the final model, on all rows.
        refit=True,
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


def data_summary(
    snapshot: Snapshot, observations: pd.DataFrame, learnt: pd.DataFrame, tests: pd.DataFrame
) -> dict[str, object]:
    """What a run learnt from, as MLflow parameters: counts, and a fingerprint that does not depend on the
    order of rows.
    """
    return {
        "data_batches": observations["batch_id"].nunique(),
        LEDGER_PARAM: snapshot.ledger,
        "data_rows": len(observations),
        "data_train_rows": len(learnt),
        "data_test_rows": len(tests),
        "data_fingerprint": snapshot.fingerprint,
    }


def environment() -> dict[str, str]:
    """The versions that decide what a run gives, as MLflow parameters."""
    return {"env_python": platform.python_version()} | {
        f"env_{name.replace('-', '_')}": version(name) for name in _ENVIRONMENT
    }


def code_sha256() -> str:
    """Digest of this library's source files: the version of the code that trained."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def run_of(settings: Settings, dag_run_id: str) -> str | None:
    """The id of the newest MLflow run that has ended well for a DAG run, or None."""
    return _finished(settings, f"tags.{_KEY_TAG} = '{_key(dag_run_id)}'")


def run_on(settings: Settings, snapshot: Snapshot) -> str | None:
    """The id of the newest MLflow run that has ended well on exactly these rows, and this share of them."""
    return _finished(
        settings,
        f"tags.{FINGERPRINT_TAG} = '{snapshot.fingerprint}' "
        f"AND tags.{FRACTION_TAG} = '{settings.fraction!r}'",
    )


def end_interrupted(settings: Settings) -> None:
    """Say of runs whose process was killed that they were: MLflow would show them as running for ever. To be
    called while nothing trains.
    """
    client = mlflow.MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return
    ours = f"tags.{_KEY_TAG} LIKE '%' AND attributes.status = '{RunStatus.to_string(RunStatus.RUNNING)}'"
    for run in client.search_runs([experiment.experiment_id], filter_string=ours):
        log.warning("Run %s was interrupted.", run.info.run_id)
        client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _finished(settings: Settings, filter_string: str) -> str | None:
    client = mlflow.MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return None
    finished = RunStatus.to_string(RunStatus.FINISHED)
    found: list[Run] = client.search_runs(
        [experiment.experiment_id],
        filter_string=f"{filter_string} AND attributes.status = '{finished}'",
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
