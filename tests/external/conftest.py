"""A small data set whose Elevation is the row number, and a clock that the tests turn."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from data_api.dataset import COLUMNS
from data_api.main import create_app
from data_api.settings import Settings

ROWS = 1005
REAL_DATA = Path(__file__).parents[2] / "external" / "data" / "covertype.parquet"


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        for spelled in (name, name.upper()):
            if spelled in os.environ:
                monkeypatch.delenv(spelled)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns: dict[str, list[int] | list[str]] = {name: [7] * ROWS for name in COLUMNS}
    columns |= {
        "Elevation": list(range(ROWS)),
        "Wilderness_Area": ["Rawah"] * ROWS,
        "Soil_Type": ["C2702"] * ROWS,
    }
    path = tmp_path_factory.mktemp("data") / "small.parquet"
    # The file's own order of columns must not matter.
    pq.write_table(pa.table({name: columns[name] for name in reversed(COLUMNS)}), path)
    return path


@pytest.fixture
def settings(data_file: Path, tmp_path: Path) -> Settings:
    return Settings(data_file=data_file, state_dir=tmp_path, min_update_time=300, batch_fraction=0.1)


@pytest.fixture
def start(settings: Settings, clock: Clock) -> Callable[[], TestClient]:
    """Start the service; called twice, it is a restart on the same volume."""
    return lambda: TestClient(create_app(settings, clock))


@pytest.fixture
def client(start: Callable[[], TestClient]) -> TestClient:
    return start()
