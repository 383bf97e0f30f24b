"""The registry as MLflow's REST API gives it."""

from pathlib import Path

import httpx
import pytest

from covertype.settings import Settings
from model_api.registry import MlflowRegistry
from model_api.shelf import Shelf

API = "/api/2.0/mlflow/"


class GuardedMlflow:
    """An MLflow behind its login: what is not there is forbidden, and a search leaves it out."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = Settings().model_name
        match request.url.path.removeprefix(API):
            case "registered-models/search":
                assert request.url.params["filter"] == f"name = '{name}'"
                return httpx.Response(200, json={"registered_models": [{"name": one} for one in self.models]})
            case "model-versions/search":
                return httpx.Response(200, json={})
        return httpx.Response(403, text="Permission denied")


@pytest.fixture
def mlflow() -> GuardedMlflow:
    return GuardedMlflow()


@pytest.fixture
def registry(mlflow: GuardedMlflow, tmp_path: Path) -> MlflowRegistry:
    """The registry in that MLflow."""
    return MlflowRegistry(Settings(), Shelf(tmp_path), httpx.MockTransport(mlflow))


def test_a_model_that_is_not_there_yet_has_no_versions(registry: MlflowRegistry) -> None:
    assert registry.find("champion") is None
    assert registry.get(1) is None
    assert registry.list_versions() == []


def test_what_is_there_and_forbidden_is_an_error(registry: MlflowRegistry, mlflow: GuardedMlflow) -> None:
    mlflow.models.append(Settings().model_name)
    for ask in (lambda: registry.find("champion"), lambda: registry.get(1), registry.list_versions):
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            ask()
