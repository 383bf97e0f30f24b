"""The contract of the data source, call by call."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from data_api.dataset import COLUMNS
from data_api.main import create_app
from data_api.settings import Settings

from .conftest import REAL_DATA, ROWS, Clock

EXHAUSTED = {"detail": "Ya se recolectó toda la información minima necesaria"}


def batch_of(client: TestClient, group: int = 1) -> int:
    answer = client.get("/data", params={"group_number": group})
    assert answer.status_code == 200, answer.text
    number = answer.json()["batch_number"]
    assert isinstance(number, int)
    return number


def test_root_and_health_answer_json(client: TestClient) -> None:
    assert client.get("/").json()["rows"] == ROWS
    assert client.get("/health").json() == {"status": "ok"}


def test_an_answer_has_the_shape_of_the_contract(client: TestClient) -> None:
    answer = client.get("/data", params={"group_number": 3}).json()
    assert list(answer) == ["group_number", "batch_number", "data"]
    assert (answer["group_number"], answer["batch_number"]) == (3, 1)
    assert len(answer["data"]) == 10
    for row in answer["data"]:
        assert len(row) == 13
        assert all(isinstance(value, str) for value in row)
        assert row[1:] == ["7"] * 9 + ["Rawah", "C2702", "7"]


def test_ten_batches_come_in_the_order_of_the_file_and_then_the_end(client: TestClient, clock: Clock) -> None:
    for batch in range(1, 11):
        answer = client.get("/data", params={"group_number": 1}).json()
        assert answer["batch_number"] == batch
        rows = [int(row[0]) for row in answer["data"]]
        assert len(set(rows)) == len(rows) == 10, "a sample repeats a row"
        assert all(ROWS * (batch - 1) // 10 <= row < ROWS * batch // 10 for row in rows), (
            f"batch {batch} strays"
        )
        clock.advance(300.1)
    for _ in range(3):
        end = client.get("/data", params={"group_number": 1})
        assert (end.status_code, end.json()) == (400, EXHAUSTED)
        clock.advance(10_000)


def test_within_the_window_the_same_batch_comes_with_another_sample(client: TestClient, clock: Clock) -> None:
    first = client.get("/data", params={"group_number": 1}).json()
    clock.advance(300)  # not *more* than the window yet
    second = client.get("/data", params={"group_number": 1}).json()
    assert first["batch_number"] == second["batch_number"] == 1
    assert first["data"] != second["data"]
    clock.advance(0.1)
    assert batch_of(client) == 2


def test_the_window_counts_from_the_last_advance_not_from_the_last_request(
    client: TestClient, clock: Clock
) -> None:
    assert batch_of(client) == 1
    for _ in range(4):
        clock.advance(100)
        last = batch_of(client)
    assert last == 2


def test_a_long_pause_skips_no_batch(client: TestClient, clock: Clock) -> None:
    assert batch_of(client) == 1
    clock.advance(1_000_000)
    assert [batch_of(client), batch_of(client)] == [2, 2]


def test_the_last_batch_too_stays_for_its_window(client: TestClient, clock: Clock) -> None:
    for _ in range(9):
        batch_of(client)
        clock.advance(301)
    assert [batch_of(client), batch_of(client)] == [10, 10]


def test_a_clock_set_back_holds_a_batch_for_one_window_at_most(client: TestClient, clock: Clock) -> None:
    assert batch_of(client) == 1
    clock.advance(-86_400)
    assert batch_of(client) == 1
    clock.advance(301)
    assert batch_of(client) == 2


def test_groups_advance_apart(client: TestClient, clock: Clock) -> None:
    assert batch_of(client, 1) == 1
    clock.advance(301)
    assert batch_of(client, 1) == 2
    assert batch_of(client, 10) == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?group_number=0",
        "?group_number=11",
        "?group_number=-1",
        "?group_number=a",
        "?group_number=1.5",
        "?group_number=",
        "?group_number=99999999999999999999999",
    ],
)
@pytest.mark.parametrize("path", ["/data", "/restart_data_generation"])
def test_any_other_group_is_refused(client: TestClient, path: str, query: str) -> None:
    answer = client.get(path + query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "group_number"]


def test_restart_begins_one_group_again(client: TestClient, clock: Clock) -> None:
    for group in (1, 2):
        batch_of(client, group)
    clock.advance(301)
    assert [batch_of(client, 1), batch_of(client, 2)] == [2, 2]
    answer = client.get("/restart_data_generation", params={"group_number": 1})
    assert (answer.status_code, answer.json()) == (200, ["ok"])
    assert [batch_of(client, 1), batch_of(client, 2)] == [1, 2]


def test_restart_works_after_the_end(client: TestClient, clock: Clock) -> None:
    for _ in range(10):
        batch_of(client)
        clock.advance(301)
    assert client.get("/data", params={"group_number": 1}).status_code == 400
    client.get("/restart_data_generation", params={"group_number": 1})
    assert batch_of(client) == 1


def test_progress_survives_a_restart(start: Callable[[], TestClient], clock: Clock) -> None:
    first = start()
    assert batch_of(first) == 1
    clock.advance(301)
    assert batch_of(first) == 2
    second = start()
    clock.advance(299)
    assert batch_of(second) == 2, "the window goes on while the process is away"
    clock.advance(2)
    assert batch_of(second) == 3


def test_damaged_progress_stops_the_start_and_names_the_file(
    start: Callable[[], TestClient], settings: Settings
) -> None:
    start()
    (settings.state_dir / "groups.json").write_text('{"1": {"batch": 99, "advanced_at": 0}}')
    with pytest.raises(ValueError, match=r"groups\.json"):
        start()


def test_requests_at_once_see_one_advance(client: TestClient, clock: Clock) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(batch_of, [client] * 48)) == {1}
        clock.advance(301)
        assert set(pool.map(batch_of, [client] * 48)) == {2}


def test_two_processes_share_the_progress_without_losing_or_doubling_a_batch(settings: Settings) -> None:
    ticks = count(1_000_000)
    quick = settings.model_copy(update={"min_update_time": 0})
    # Two applications on one volume stand for two worker processes: nothing but the file is shared.
    clients = [TestClient(create_app(quick, lambda: float(next(ticks)))) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: clients[i % 2].get("/data", params={"group_number": 5}), range(25)))
    given = sorted(answer.json()["batch_number"] for answer in answers if answer.status_code == 200)
    assert given == list(range(1, 11))
    assert [answer.status_code for answer in answers].count(400) == 15


def test_a_seed_makes_samples_repeatable_and_still_different_from_one_another(
    settings: Settings, clock: Clock
) -> None:
    def samples(seed: int | None) -> list[list[list[str]]]:
        client = TestClient(create_app(settings.model_copy(update={"sample_seed": seed}), clock))
        return [client.get("/data", params={"group_number": 1}).json()["data"] for _ in range(2)]

    first, second = samples(7)
    assert first != second
    assert samples(7) == [first, second]
    assert samples(8)[0] != first
    assert samples(None) != samples(None)


@pytest.mark.parametrize(
    "wrong", [{"min_update_time": -1}, {"batch_fraction": 0}, {"batch_fraction": 1.1}, {"sample_seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIN_UPDATE_TIME", "5")
    monkeypatch.setenv("BATCH_FRACTION", "0.5")
    monkeypatch.setenv("SAMPLE_SEED", "3")
    assert (Settings().min_update_time, Settings().batch_fraction, Settings().sample_seed) == (5, 0.5, 3)


def test_a_file_without_a_column_is_refused(data_file: Path, settings: Settings, tmp_path: Path) -> None:
    lame = tmp_path / "lame.parquet"
    pq.write_table(pq.read_table(data_file).drop_columns(["Soil_Type"]), lame)
    with pytest.raises(ValueError, match="Soil_Type"):
        create_app(settings.model_copy(update={"data_file": lame}))


def test_any_text_stays_what_it_is(data_file: Path, settings: Settings, tmp_path: Path) -> None:
    text, other = 'a "b"\\ñ\n, "],["', tmp_path / "other.parquet"
    table = pq.read_table(data_file)
    position = table.column_names.index("Soil_Type")
    pq.write_table(table.set_column(position, "Soil_Type", pa.array([text] * len(table))), other)
    client = TestClient(create_app(settings.model_copy(update={"data_file": other})))
    assert {row[11] for row in client.get("/data", params={"group_number": 1}).json()["data"]} == {text}


def test_a_file_with_a_missing_value_is_refused(data_file: Path, settings: Settings, tmp_path: Path) -> None:
    lame, table = tmp_path / "lame.parquet", pq.read_table(data_file)
    position = table.column_names.index("Slope")
    pq.write_table(table.set_column(position, "Slope", pa.array([None, *[7] * (len(table) - 1)])), lame)
    with pytest.raises(ValueError, match="Slope has 1 missing values"):
        create_app(settings.model_copy(update={"data_file": lame}))


def test_real_batches_are_true_rows_of_their_tenth_and_drift(settings: Settings, clock: Clock) -> None:
    client = TestClient(create_app(settings.model_copy(update={"data_file": REAL_DATA}), clock))
    table = pq.read_table(REAL_DATA, columns=list(COLUMNS))
    assert table.num_rows == 581_012
    elevation = {}
    for batch in range(1, 11):
        rows = [tuple(row) for row in client.get("/data", params={"group_number": 1}).json()["data"]]
        assert len(rows) == len(set(rows)) == 5810
        elevation[batch] = sum(int(row[0]) for row in rows) / len(rows)
        if batch in (1, 10):
            first, last = table.num_rows * (batch - 1) // 10, table.num_rows * batch // 10
            part = table.slice(first, last - first).to_pydict().values()
            assert set(rows) <= {tuple(map(str, row)) for row in zip(*part, strict=True)}
        clock.advance(301)
    assert client.get("/data", params={"group_number": 1}).status_code == 400
    assert max(elevation.values()) - min(elevation.values()) > 100, (
        "the tenths no longer differ: is the order kept?"
    )
