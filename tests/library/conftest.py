"""Real rows for the library's tests, and a model trained on them in an MLflow store of its own."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from covertype import contract, report, tables, train
from covertype.settings import Settings
from covertype.snapshot import Snapshot, fingerprint

DATA = Path(__file__).parents[2] / "external" / "data" / "covertype.parquet"


@pytest.fixture(scope="session")
def forest() -> pd.DataFrame:
    """The whole real data set."""
    return pd.read_parquet(DATA)


@pytest.fixture(scope="session")
def observations(forest: pd.DataFrame) -> pd.DataFrame:
    """900 real rows of two batches as `tables.load_observations` returns them."""
    rows = contract.as_typed(forest.sample(900, random_state=7).reset_index(drop=True))
    rows.insert(
        0,
        "row_key",
        [tables.row_key(row) for row in rows[list(contract.COLUMNS)].astype("str").to_numpy().tolist()],
    )
    rows.insert(1, "batch_id", [1] * 500 + [2] * 400)
    rows.insert(2, "batch", rows["batch_id"])
    return rows.sort_values("row_key", ignore_index=True)


def settings_in(folder: Path) -> Settings:
    return Settings(
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        trees=5,
        least_trees=1,
        search_trees=10,  # enough of them for a forest to win
        search_rows=600,
        importance_rows=50,
        promote_samples=200,
        jobs=1,
        source_backoff=0,
    )


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Small and quick settings, with an MLflow store in a folder of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    own = settings_in(folder)
    mlflow.set_tracking_uri(own.tracking_uri)
    mlflow.create_experiment(own.experiment, artifact_location=(folder / "artifacts").as_uri())
    yield own
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def taken(observations: pd.DataFrame) -> Snapshot:
    """The snapshot of the observations."""
    return Snapshot(2, len(observations), fingerprint(list(observations["row_key"])))


@pytest.fixture(scope="session")
def run_id(settings: Settings, observations: pd.DataFrame, taken: Snapshot) -> str:
    """An MLflow run that has trained on the observations and been evaluated."""
    before = {"before_f1": 0.25, "before_accuracy": 0.5}
    trained = train.train(settings, taken, observations, "scheduled__it's the first", before)
    report.publish(settings, observations, trained)
    return trained
