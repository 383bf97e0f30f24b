"""The model registry as serving needs it: questions by MLflow's REST API, loading in a process of its own."""

import json
import logging
import subprocess
import sys
import threading
from collections import defaultdict
from http import HTTPStatus
from typing import Any, Protocol

import httpx

from covertype.settings import Settings
from covertype.version import CHAMPION, ModelVersion
from model_api.engine import PipelineEngine
from model_api.login import Login
from model_api.model import ServingModel, UnfitModel
from model_api.shelf import NotReady, Shelf

log = logging.getLogger(__name__)

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model, no such alias
_TIMEOUT = 15
_CONVERSION_SECONDS = 900


class Registry(Protocol):
    """The part of the model registry that serving needs; each call raises what its client raises."""

    def find(self, alias: str) -> ModelVersion | None:
        """Give the version with an alias, None when it has none; one cheap request."""

    def get(self, number: int) -> ModelVersion | None:
        """Give a version by its number, None when there is none; one cheap request."""

    def load(self, version: ModelVersion) -> ServingModel:
        """Give a version that was checked; raise UnfitModel with the reason otherwise."""

    def keep(self, version: ModelVersion, role: str) -> None:
        """Note that a loaded version serves well in a role."""

    def last_good(self) -> ServingModel | None:
        """Load the version that served last, without asking anybody else; None when there was none."""

    def list_versions(self) -> list[ModelVersion]:
        """Give every version, the newest first."""


class MlflowRegistry:
    """The registry of the library's settings, and a shelf for what was fetched from it."""

    def __init__(
        self, settings: Settings, shelf: Shelf, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Ask nothing yet: the registry may be away."""
        self._settings = settings
        self._shelf = shelf
        self._client = httpx.Client(
            base_url=f"{settings.tracking_uri}/api/2.0/mlflow/",
            auth=Login(),
            timeout=_TIMEOUT,
            transport=transport,
        )
        self._converting = threading.Lock()

    def find(self, alias: str) -> ModelVersion | None:
        """See Registry."""
        found = self._get("registered-models/alias", name=self._settings.model_name, alias=alias)
        return None if found is None else _version(found["model_version"])

    def get(self, number: int) -> ModelVersion | None:
        """See Registry."""
        found = self._get("model-versions/get", name=self._settings.model_name, version=str(number))
        return None if found is None else _version(found["model_version"])

    def load(self, version: ModelVersion) -> ServingModel:
        """See Registry."""
        try:
            return self._from_shelf(version)
        except NotReady as error:
            log.info("To be converted: %s", error)
        with self._converting:  # one at a time: champion and challenger together would take twice the memory
            self._convert(version)
        return self._from_shelf(version)

    def keep(self, version: ModelVersion, role: str) -> None:
        """See Registry."""
        self._shelf.keep(version, role)

    def last_good(self) -> ServingModel | None:
        """See Registry."""
        version = self._shelf.kept(CHAMPION)
        return None if version is None else self.load(version)

    def list_versions(self) -> list[ModelVersion]:
        """See Registry."""
        name = self._settings.model_name
        model = self._get("registered-models/get", name=name)
        found = self._get("model-versions/search", filter=f"name = '{name}'", max_results="1000")
        aliases: dict[str, list[str]] = defaultdict(list)
        # A search leaves the aliases out.
        for one in model["registered_model"].get("aliases", []) if model else []:
            aliases[str(one["version"])].append(one["alias"])
        versions = found.get("model_versions", []) if found else []
        listed = [_version(one | {"aliases": aliases[str(one["version"])]}) for one in versions]
        return sorted(listed, key=lambda version: version.version, reverse=True)

    def _get(self, path: str, **asked: str) -> dict[str, Any] | None:
        answer = self._client.get(path, params=asked)
        if answer.is_client_error and _error_code(answer) in _ABSENT:
            return None
        # Behind its login MLflow forbids to ask for a model that is not there.
        if answer.status_code == HTTPStatus.FORBIDDEN and not self._is_there():
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def _is_there(self) -> bool:
        """Whether the model was ever registered: a search leaves out what is forbidden."""
        asked = {"filter": f"name = '{self._settings.model_name}'", "max_results": "1"}
        found = self._client.get("registered-models/search", params=asked).raise_for_status().json()
        return bool(found.get("registered_models"))

    def _from_shelf(self, version: ModelVersion) -> ServingModel:
        engine, note = self._shelf.engine(version)
        if engine is None:
            # Only such a version brings scikit-learn into this process.
            from covertype import artifact  # noqa: PLC0415

            files = self._shelf.files(version)
            if files is None:
                raise NotReady(f"version {version.version} has gone from the volume")
            try:
                artifact.verify(files, version)
                engine = PipelineEngine(artifact.read(files, f"version {version.version}").pipeline)
            except artifact.ArtifactError as error:
                raise NotReady(str(error)) from error
        return ServingModel(version, engine, note)

    def _convert(self, version: ModelVersion) -> None:
        described = {
            "name": version.name,
            "version": version.version,
            "run_id": version.run_id,
            "creation_timestamp": version.created.timestamp() * 1_000,
            "tags": dict(version.tags),
        }
        asked = {
            "settings": self._settings.model_dump(mode="json"),
            "shelf": str(self._shelf.folder),
            "version": described,
        }
        done = subprocess.run(
            [sys.executable, "-m", "model_api.conversion"],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_CONVERSION_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise UnfitModel(done.stdout.strip() or f"its conversion ended with {done.returncode}")


def _error_code(answer: httpx.Response) -> str | None:
    try:
        code: str | None = answer.json().get("error_code")
    except (ValueError, AttributeError):
        return None
    return code


def _version(found: dict[str, Any]) -> ModelVersion:
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    return ModelVersion.of(found, tags, tuple(found.get("aliases", [])))
