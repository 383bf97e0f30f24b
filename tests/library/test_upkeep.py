import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, ViewType

from covertype import upkeep
from covertype.settings import Settings

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Settings:
    """An empty experiment and a model without versions."""
    name = f"upkeep_{uuid.uuid4().hex}"
    own = settings.model_copy(update={"experiment": name, "model_name": name})
    client = client_of(own)
    client.create_experiment(name, artifact_location=tmp_path.as_uri())
    client.create_registered_model(name)
    return own


def client_of(store: Settings) -> MlflowClient:
    return MlflowClient(tracking_uri=store.tracking_uri, registry_uri=store.tracking_uri)


def new_run(store: Settings, parent: str | None = None) -> str:
    """A run with an artifact."""
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    tags = {"mlflow.parentRunId": parent} if parent else {}
    run = client.create_run(experiment.experiment_id, tags=tags)
    client.log_text(run.info.run_id, "evidence", "note.txt")
    return str(run.info.run_id)


def artifacts(store: Settings, run: str) -> list[str]:
    return [file.path for file in client_of(store).list_artifacts(run)]


def alive(store: Settings) -> set[str]:
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    return {run.info.run_id for run in client.search_runs([experiment.experiment_id])}


def test_old_runs_go_and_those_of_versions_stay(store: Settings) -> None:
    client = client_of(store)
    registered, other = new_run(store), new_run(store)
    child = new_run(store, parent=registered)
    client.create_model_version(store.model_name, source=f"runs:/{registered}/model", run_id=registered)
    assert upkeep.prune_mlflow(store, NOW - timedelta(days=1)) == upkeep.Pruned(0, 0)
    assert alive(store) == {registered, child, other}

    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(1, 0)
    assert alive(store) == {registered, child}
    assert (artifacts(store, registered), artifacts(store, child), artifacts(store, other)) == (
        ["note.txt"],
        ["note.txt"],
        [],
    )
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(0, 0)


def test_a_deleted_version_no_longer_keeps_its_run(store: Settings) -> None:
    run = new_run(store)
    client = client_of(store)
    version = client.create_model_version(store.model_name, source=f"runs:/{run}/model", run_id=run)
    client.delete_model_version(store.model_name, version.version)
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(1, 0)
    assert artifacts(store, run) == []


def test_a_run_that_a_person_deleted_loses_its_artifacts(store: Settings) -> None:
    run = new_run(store)
    client_of(store).delete_run(run)
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(1, 0)
    assert artifacts(store, run) == []
    assert client_of(store).get_run(run).info.lifecycle_stage == LifecycleStage.DELETED
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(0, 0)


def test_logged_models_go_unless_they_are_registered(store: Settings) -> None:
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    kept, other = (client.create_logged_model(experiment.experiment_id) for _ in range(2))
    for model in (kept, other):
        folder = Path(model.artifact_location.removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "MLmodel").touch()
    client.create_model_version(store.model_name, source=f"models:/{kept.model_id}", model_id=kept.model_id)
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(0, 1)
    assert Path(kept.artifact_location.removeprefix("file://"), "MLmodel").exists()
    assert not Path(other.artifact_location.removeprefix("file://"), "MLmodel").exists()
    left = client.search_logged_models([experiment.experiment_id])
    assert [model.model_id for model in left] == [kept.model_id]
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(0, 0)


def test_a_call_that_was_cut_short_is_made_again(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(store)

    def cut_short(*_: object) -> None:
        raise ConnectionError("cut short")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_run", cut_short)
        with pytest.raises(ConnectionError):
            upkeep.prune_mlflow(store, LATER)
    assert alive(store) == {run}
    assert upkeep.prune_mlflow(store, LATER) == upkeep.Pruned(1, 0)
    experiment = client_of(store).get_experiment_by_name(store.experiment)
    assert experiment is not None
    deleted = client_of(store).search_runs([experiment.experiment_id], run_view_type=ViewType.DELETED_ONLY)
    assert [one.info.run_id for one in deleted] == [run]


def test_no_experiment_is_no_work(store: Settings) -> None:
    absent = store.model_copy(update={"experiment": "absent"})
    assert upkeep.prune_mlflow(absent, LATER) == upkeep.Pruned(0, 0)


def test_old_files_and_the_folders_they_leave_go(tmp_path: Path) -> None:
    for name in ("dag_id=a/run_id=1/attempt=1.log", "dag_id=a/run_id=2/attempt=1.log", "scheduler/new.log"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "scheduler" / "latest").symlink_to("absent")
    old = (NOW - timedelta(days=31)).timestamp()
    for name in ("dag_id=a/run_id=1/attempt=1.log", "dag_id=a/run_id=1", "dag_id=a"):
        os.utime(tmp_path / name, (old, old))
    assert upkeep.prune_files(tmp_path, NOW - timedelta(days=30)) == 1
    assert not (tmp_path / "dag_id=a/run_id=1/attempt=1.log").exists()
    assert (tmp_path / "dag_id=a/run_id=2/attempt=1.log").exists()
    assert (tmp_path / "scheduler/latest").is_symlink()
