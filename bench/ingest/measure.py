"""A whole tenth of the data, from HTTP to committed rows, against LOAD DATA LOCAL INFILE of the same rows.

The two take turns with the same empty table, so that whatever else the machine does meets both.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pymysql
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from covertype import contract, steps, tables
from covertype.settings import Settings

SOURCE = "http://data-api:8000"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
FILE = Path("/tmp/rows.csv")


def connect(database: str | None = None) -> tables.MySQL:
    """A connection as the library makes it, but that may send a file."""
    password = Path("/run/secrets/root-password").read_text(encoding="utf-8").strip()
    return pymysql.connect(
        host="mysql", user="root", password=password, database=database, charset="utf8mb4", autocommit=True,
        local_infile=True,
    )  # fmt: skip


def wait_for_servers() -> None:
    """Until both answer."""
    waiting = Retrying(
        retry=retry_if_exception_type((pymysql.err.OperationalError, httpx.TransportError)),
        stop=stop_after_delay(300),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    waiting(lambda: connect().close())
    waiting(lambda: httpx.get(f"{SOURCE}/health").raise_for_status())


def empty_tables(connection: tables.MySQL) -> None:
    """New tables, and a source that begins again."""
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS bench")
        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        cursor.execute("USE bench")
    tables.create_tables(connection)
    httpx.get(f"{SOURCE}/restart_data_generation", params={"group_number": 1}).raise_for_status()


def write_file(connection: tables.MySQL) -> None:
    """The stored rows as text, by key: the order in which LOAD DATA is fastest."""
    with connection.cursor() as cursor, FILE.open("w", encoding="utf-8") as file:
        columns = ", ".join(contract.COLUMNS)
        cursor.execute(f"SELECT HEX(row_key), {columns} FROM raw_observations ORDER BY row_key")
        for line in cursor:
            file.write(",".join(map(str, line)) + "\n")


def load_file(connection: tables.MySQL) -> None:
    """LOAD DATA in a transaction with the ledger's line that its foreign key wants."""
    connection.begin()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO raw_batches "
            "(id, `group`, batch, dag_run_id, received_at, rows_received, rows_new, sha256) "
            "VALUES (1, 1, 1, 'load', UTC_TIMESTAMP(6), 0, 0, '')"
        )
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{FILE}' INTO TABLE raw_observations FIELDS TERMINATED BY ',' "
            f"(@row_key, {', '.join(contract.COLUMNS)}) SET row_key = UNHEX(@row_key), batch_id = 1"
        )
    connection.commit()


def count(connection: tables.MySQL) -> int:
    """Rows stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM raw_observations")
        ((rows,),) = cursor.fetchall()
    return int(rows)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Take turns, and report."""
    settings = Settings(source_url=SOURCE)
    wait_for_servers()
    with closing(connect()) as connection:
        ingested, loaded = [], []
        for number in range(ROUNDS + 1):
            empty_tables(connection)
            ingesting = seconds(lambda: steps.ingest(connection, settings, "bench"))
            rows = count(connection)
            write_file(connection)
            empty_tables(connection)
            loading = seconds(lambda: load_file(connection))
            if count(connection) != rows:
                raise RuntimeError(f"LOAD DATA stored {count(connection)} rows, ingest {rows}.")
            if number > 0:  # the first turn warms both up
                ingested.append(ingesting)
                loaded.append(loading)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows, {ROUNDS} turns; median and best")
    for name, times in (("HTTP to committed rows", ingested), ("LOAD DATA LOCAL INFILE", loaded)):
        median = statistics.median(times)
        print(f"{name}  {median:6.2f} s  {min(times):6.2f} s  {rows / median:8,.0f} rows/s")
    ratio = statistics.median(loaded) / statistics.median(ingested)
    print(
        f"ratio of the medians    {ratio:.0%} (the aim: 50 %), of the bests {min(loaded) / min(ingested):.0%}"
    )
    print(f"memory at the highest   {memory:.0f} MB, libraries included")


if __name__ == "__main__":
    main()
