"""The registered model in MLflow: its versions, and which of them is in Production."""

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    ErrorCode,
)

from covertype import artifact
from covertype.settings import Settings
from covertype.version import CHALLENGER, CHAMPION, CHECKSUM_TAG, METRIC_PREFIX, PREVIOUS, ModelVersion

PRODUCTION = "Production"
# On a version that was promoted: the number of the one that it replaced. Rolling back follows these.
PREVIOUS_TAG = "previous_production"
# On a version that was taken out again: nothing but a person may put it back.
ROLLED_BACK_TAG = "rolled_back_at"
_EVALUATED = "test_f1"


class RegistryError(RuntimeError):
    """The registry is not in a state that allows what was asked; the message says why."""


@dataclass(frozen=True)
class LoadedModel:
    """A version together with its fitted pipeline and input example."""

    version: ModelVersion
    artifact: artifact.Artifact


def register(settings: Settings, run_id: str) -> ModelVersion:
    """Register the model that a run has logged, with the checksum of its files; the same run gives the same
    version however often it is asked.
    """
    client = _client(settings)
    with _unless(RESOURCE_ALREADY_EXISTS):
        client.create_registered_model(settings.model_name)
    if known := client.search_model_versions(f"name = '{settings.model_name}' AND run_id = '{run_id}'"):
        return get(settings, min(int(version.version) for version in known))

    run = client.get_run(run_id)
    if _EVALUATED not in run.data.metrics:
        raise RegistryError(
            f"Run {run_id} has not been evaluated: clear the task `evaluate` and what follows it."
        )
    metrics = {
        name: repr(value) for name, value in run.data.metrics.items() if name.startswith(METRIC_PREFIX)
    }
    model_id = artifact.model_id(run)
    source = f"models:/{model_id}"
    mlflow.set_tracking_uri(settings.tracking_uri)
    with tempfile.TemporaryDirectory(prefix="covertype-model-") as folder:
        checksum = artifact.checksum(artifact.download(source, folder))
    # In one request: no version is without its tags, whatever is killed.
    created = client.create_model_version(
        settings.model_name,
        source=source,
        run_id=run_id,
        model_id=model_id,
        tags={**metrics, CHECKSUM_TAG: checksum},
    )
    return get(settings, int(created.version))


def list_versions(settings: Settings) -> list[ModelVersion]:
    """Every version of the model, the newest first; none is an empty list."""
    client = _client(settings)
    aliases: dict[int, list[str]] = defaultdict(list)
    if _is_there(settings):
        # A search leaves the aliases out.
        for alias, number in client.get_registered_model(settings.model_name).aliases.items():
            aliases[int(number)].append(alias)
    found = client.search_model_versions(f"name = '{settings.model_name}'", max_results=1_000)
    versions = [replace(_version(one), aliases=tuple(aliases[int(one.version)])) for one in found]
    return sorted(versions, key=lambda version: version.version, reverse=True)


def get(settings: Settings, version: int) -> ModelVersion:
    """One version; raises MlflowException when there is none of that number."""
    return _version(_client(settings).get_model_version(settings.model_name, str(version)))


def champion(settings: Settings) -> ModelVersion | None:
    """The version in Production, by its alias (stages move in two steps, the alias in one), or None while
    there is none.
    """
    if _is_there(settings):
        with _unless(INVALID_PARAMETER_VALUE):  # no such alias
            return _version(_client(settings).get_model_version_by_alias(settings.model_name, CHAMPION))
    return None


def set_production(settings: Settings, version: int) -> ModelVersion:
    """Put a version in Production: its stage, then the alias; the one before is archived, remembered and gets
    the alias `previous`. Repeating it changes nothing.
    """
    current = champion(settings)
    if current is not None and current.version != version:
        tag(settings, version, {PREVIOUS_TAG: str(current.version)})
    return _move(settings, version)


def set_challenger(settings: Settings, version: int) -> None:
    """Give a version the alias of the one that waits for a person's word."""
    _client(settings).set_registered_model_alias(settings.model_name, CHALLENGER, str(version))


def tag(settings: Settings, version: int, tags: Mapping[str, str]) -> None:
    """Write tags on a version."""
    for name, value in tags.items():
        _client(settings).set_model_version_tag(settings.model_name, str(version), name, value)


def before_champion(settings: Settings) -> tuple[ModelVersion, ModelVersion]:
    """The version that the current one replaced, and the current one.

    Raises RegistryError when there is nothing to go back to.
    """
    current = champion(settings)
    if current is None:
        raise RegistryError(
            f"{settings.model_name} has no version in Production: there is nothing to roll back."
        )
    previous = current.tags.get(PREVIOUS_TAG)
    if previous is None:
        raise RegistryError(
            f"{settings.model_name}: version {current.version} is the first that was in Production: "
            "there is nothing before it."
        )
    return get(settings, int(previous)), current


def put_back(settings: Settings, previous: int, current: int) -> ModelVersion:
    """Put the version before back in Production, and note on the current one that it was taken out."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tag(settings, current, {ROLLED_BACK_TAG: now})
    return _move(settings, previous)


def load(settings: Settings, version: ModelVersion) -> LoadedModel:
    """Load a version; raises artifact.ArtifactError when it is not a model of this project, or not the one
    that was registered.
    """
    with tempfile.TemporaryDirectory(prefix="covertype-model-") as folder:
        files = fetch(settings, version, folder)
        return LoadedModel(version, artifact.read(files, f"version {version.version}"))


def fetch(settings: Settings, version: ModelVersion, folder: str) -> Path:
    """The files of a version, somewhere in a folder; raises artifact.ArtifactError when there are none, or
    others than those that were registered.
    """
    mlflow.set_tracking_uri(settings.tracking_uri)
    files = artifact.download(f"models:/{version.name}/{version.version}", folder)
    artifact.verify(files, version)
    return files


def _client(settings: Settings) -> MlflowClient:
    return MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)


def _is_there(settings: Settings) -> bool:
    """Whether the model was ever registered. Behind its login MLflow forbids to ask for one that was not, and
    only a search tells that from what is forbidden.
    """
    return bool(_client(settings).search_registered_models(f"name = '{settings.model_name}'"))


def _move(settings: Settings, version: int) -> ModelVersion:
    client = _client(settings)
    with warnings.catch_warnings():
        # Stages are deprecated, and part of this project's contract.
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*stage")
        client.transition_model_version_stage(
            settings.model_name, str(version), PRODUCTION, archive_existing_versions=True
        )
    # Last: whoever serves follows the alias, and a move that was cut short before it is simply made again.
    client.set_registered_model_alias(settings.model_name, CHAMPION, str(version))
    moved = _version(client.get_model_version(settings.model_name, str(version)))
    if (previous := moved.tags.get(PREVIOUS_TAG)) is not None:
        client.set_registered_model_alias(settings.model_name, PREVIOUS, previous)
    else:
        client.delete_registered_model_alias(settings.model_name, PREVIOUS)
    if CHALLENGER in moved.aliases:
        client.delete_registered_model_alias(settings.model_name, CHALLENGER)
    return get(settings, version)


def _version(found: MlflowVersion) -> ModelVersion:
    return ModelVersion.of(dict(found), found.tags, tuple(found.aliases))


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Let MLflow's answer with one of these codes pass, and nothing else."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in map(ErrorCode.Name, codes):
            raise
