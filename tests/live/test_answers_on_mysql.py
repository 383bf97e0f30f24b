"""What the model API answers, in a real MySQL: recorded once, and gone when it is old."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from covertype import contract, tables, upkeep

from .database import ask, emptied

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)


@pytest.fixture
def db() -> Iterator[tables.MySQL]:
    """A connection to the tables, which are empty."""
    with emptied() as connection:
        yield connection


def answer(connection: tables.MySQL, days: int, count: int = 1) -> None:
    """So many predictions of so many days ago, each with its feedback."""
    at = (NOW - timedelta(days=days)).replace(tzinfo=None)
    identities = [f"{days:04d}-{number:031d}" for number in range(count)]
    features = list(contract.EXAMPLE.values())
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO predictions VALUES (%s, 1, 'run', {', '.join(['%s'] * 12)}, 1, '[]', 0.1, %s)",
            [(identity, *features, at) for identity in identities],
        )
        cursor.executemany("INSERT INTO feedback VALUES (%s, 1, %s)", [(one, at) for one in identities])


def kept(connection: tables.MySQL, table: str) -> list[tuple[object, ...]]:
    return list(ask(connection, f"SELECT LEFT(prediction_id, 4) FROM {table} ORDER BY 1"))


def test_what_is_older_goes_in_parts_and_what_is_younger_stays(
    db: tables.MySQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_DELETED_AT_ONCE", 3)
    assert upkeep.prune_answers(db, NOW) == {"feedback": 0, "predictions": 0}, "before anything was answered"
    answer(db, 40, 10)
    answer(db, 31)
    answer(db, 29)
    answer(db, 0)
    assert upkeep.prune_answers(db, NOW - timedelta(days=30)) == {"feedback": 11, "predictions": 11}
    for table in ("predictions", "feedback"):
        assert kept(db, table) == [("0000",), ("0029",)]


def test_the_time_is_that_of_utc(db: tables.MySQL) -> None:
    answer(db, 0)
    elsewhere = datetime.fromisoformat("2026-11-23T05:30:00+02:00")  # the same moment
    assert upkeep.prune_answers(db, elsewhere) == {"feedback": 0, "predictions": 0}
    assert upkeep.prune_answers(db, elsewhere + timedelta(seconds=1)) == {"feedback": 1, "predictions": 1}


def test_the_feedback_of_an_earlier_version_gets_its_index(db: tables.MySQL) -> None:
    ask(db, "ALTER TABLE feedback DROP KEY at")
    for _ in range(2):
        upkeep.prune_answers(db, NOW)
        assert len(ask(db, "SHOW INDEX FROM feedback WHERE Key_name = 'at'")) == 1
