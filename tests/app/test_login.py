"""How the API shows MLflow who asks."""

from pathlib import Path

import httpx
import pytest

from covertype.settings import Settings
from model_api.login import Login
from model_api.registry import MlflowRegistry
from model_api.reports import MlflowReports
from model_api.shelf import Shelf


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file would be; there is none yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".mlflow" / "credentials"


def written(file: Path, password: str) -> str:
    """Write the file; returns the header that comes of it."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f"[mlflow]\nmlflow_tracking_username = model-api\nmlflow_tracking_password = {password}\n"
    )
    request = httpx.Request("GET", "http://mlflow:5000/")
    header: str = next(httpx.BasicAuth("model-api", password).auth_flow(request)).headers["authorization"]
    return header


class Listener:
    """An MLflow that notes who asks."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.told.append(request.headers.get("authorization"))
        return httpx.Response(200, json={})


def test_without_a_file_nobody_is_named(credentials: Path) -> None:
    listener = Listener()
    with httpx.Client(transport=httpx.MockTransport(listener), auth=Login()) as client:
        client.get("http://mlflow:5000/")
    assert not credentials.exists()
    assert listener.told == [None]


def test_the_file_is_read_each_time_as_it_may_be_replaced(credentials: Path) -> None:
    listener, expected = Listener(), []
    with httpx.Client(transport=httpx.MockTransport(listener), auth=Login()) as client:
        for password in ("100%first", "second"):
            expected.append(written(credentials, password))
            client.get("http://mlflow:5000/")
    assert listener.told == expected


def test_the_registry_and_the_reports_are_asked_by_name(credentials: Path, tmp_path: Path) -> None:
    listener, expected = Listener(), written(credentials, "correct horse")
    transport = httpx.MockTransport(listener)
    reports = MlflowReports(Settings(), transport)
    reports.check()
    reports.check_store()
    MlflowRegistry(Settings(), Shelf(tmp_path), transport).list_versions()
    assert len(listener.told) == 4
    assert set(listener.told) == {expected}
