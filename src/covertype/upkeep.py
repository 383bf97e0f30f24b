"""What a stack that runs for months has to lose: old MLflow runs, answers, traces of tasks and log files."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, LoggedModel, Run, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from covertype import tables, trace
from covertype.settings import Settings
from covertype.tables import MySQL

log = logging.getLogger(__name__)

# On a deleted run whose artifacts are gone: it need not be looked at again.
PRUNED_TAG = "artifacts_pruned"
_PARENT_TAG = "mlflow.parentRunId"


@dataclass(frozen=True)
class Pruned:
    """How many runs and logged models were deleted, with their artifacts."""

    runs: int
    models: int


def prune_mlflow(settings: Settings, before: datetime) -> Pruned:
    """Delete the experiment's runs and logged models from before a time, never those of a registered version.

    Artifacts go first, then the record is marked as deleted, so that a call that was cut short is simply made
    again. The record itself stays in MLflow's database, a few kilobytes a run: only `mlflow gc`, which needs
    that database, takes it away. Runs that a person has deleted lose their artifacts the same way, and so do
    those of deleted versions, since nothing registered refers to them any more.
    """
    # Artifact repositories take the address of MLflow's proxy from here.
    mlflow.set_tracking_uri(settings.tracking_uri)
    client = MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return Pruned(0, 0)

    limit = before.timestamp() * 1000
    runs: list[Run] = list(
        _pages(
            lambda token: client.search_runs(
                [experiment.experiment_id], run_view_type=ViewType.ALL, max_results=1_000, page_token=token
            )
        )
    )
    models: list[LoggedModel] = list(
        _pages(lambda token: client.search_logged_models([experiment.experiment_id], page_token=token))
    )
    # Read last: what was registered meanwhile is kept.
    versions = list(_pages(lambda token: client.search_model_versions("", page_token=token)))
    # A search tells a version's model by its source alone. A version may have no run, nor a model.
    sources = {version.source for version in versions}
    registered = [
        model for model in models if {f"models:/{model.model_id}", model.artifact_location} & sources
    ]
    kept_runs = {version.run_id for version in versions} | {model.source_run_id for model in registered}
    kept_runs -= {None, ""}

    old_models = [
        model
        for model in models
        if model.creation_timestamp < limit
        and model not in registered
        and model.source_run_id not in kept_runs
    ]
    for model in old_models:
        _delete_artifacts(model.artifact_location)
        client.delete_logged_model(model.model_id)

    old_runs = [
        run
        for run in runs
        if run.info.start_time < limit
        and not (PRUNED_TAG in run.data.tags and run.info.lifecycle_stage == LifecycleStage.DELETED)
        and not {run.info.run_id, run.data.tags.get(_PARENT_TAG)} & kept_runs
    ]
    for run in old_runs:
        _delete_artifacts(run.info.artifact_uri)
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_run(run.info.run_id)  # a deleted run takes no tag
        client.set_tag(run.info.run_id, PRUNED_TAG, "true")
        client.delete_run(run.info.run_id)
    pruned = Pruned(len(old_runs), len(old_models))
    log.info("Before %s: %s; %d registered versions are kept.", before.isoformat(), pruned, len(versions))
    return pruned


def prune_answers(connection: MySQL, before: datetime) -> dict[str, int]:
    """Delete what the model API answered before a time, and feedback as old. Returns how many of each."""
    deleted = tables.delete_answers(connection, _utc(before))
    log.info("Before %s: %s are gone.", before.isoformat(), deleted)
    return deleted


def prune_traces(connection: MySQL, before: datetime) -> int:
    """Delete what the tasks of a DAG wrote down before a time. Returns how many of its lines."""
    deleted = trace.delete(connection, _utc(before))
    log.info("Before %s: %d lines of tasks are gone.", before.isoformat(), deleted)
    return deleted


def prune_files(folder: Path, before: datetime) -> int:
    """Delete the files below a folder that were last written before a time, and empty folders as old as that.

    Returns how many files.
    """
    count = 0
    for parent, folders, files in folder.walk(top_down=False):
        for name in files:
            file = parent / name
            if file.lstat().st_mtime < before.timestamp():
                file.unlink()
                count += 1
        for name in folders:
            below = parent / name
            if below.lstat().st_mtime < before.timestamp() and not any(below.iterdir()):
                below.rmdir()
    log.info("%d files below %s from before %s are gone.", count, folder, before.isoformat())
    return count


def _utc(at: datetime) -> datetime:
    """A moment as the tables have it: of UTC, without a zone."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _delete_artifacts(uri: str) -> None:
    repository = get_artifact_repository(uri)
    if repository.list_artifacts():
        repository.delete_artifacts()


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return
