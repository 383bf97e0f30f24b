"""One row and a thousand rows in a request, at 1 and at 16 connections, of three servers that take turns."""

import asyncio
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from typing import NamedTuple

import pandas as pd

from client import ask, request
from covertype import contract

SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PATIENCE = 300
API, FLOOR, MLFLOW = "model API", "floor", "mlflow models serve"


class Server(NamedTuple):
    """Where one of them answers, when it is ready, and its requests of one row and of a thousand."""

    port: int
    ready: str
    one: bytes
    many: bytes | None


class Outcome(NamedTuple):
    """Of one turn."""

    rate: float
    p50: float  # milliseconds


def servers() -> dict[str, Server]:
    """The three, each with the same rows in the form that is its fastest."""
    forest = contract.as_typed(pd.read_parquet("/project/external/data/covertype.parquet"))
    rows = forest.sample(1_000, random_state=2)[list(contract.FEATURES)]
    records = rows.to_dict("records")
    split = rows.to_dict("split", index=False)
    return {
        API: Server(
            8989,
            "/ready",
            request(8989, "/predict", records[0]),
            request(8989, "/predict/batch", {"records": records}),
        ),
        FLOOR: Server(8990, "/openapi.json", request(8990, "/predict", records[0]), None),
        MLFLOW: Server(
            8991,
            "/ping",
            request(8991, "/invocations", {"dataframe_records": records[:1]}),
            request(8991, "/invocations", {"dataframe_split": split}),
        ),
    }


def wait(server: Server) -> float:
    """Seconds until it is ready."""
    started = time.perf_counter()
    while time.perf_counter() - started < PATIENCE:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.ready}", timeout=5):
                return time.perf_counter() - started
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)  # the time to ready is what is measured
    raise TimeoutError(f"port {server.port} is not ready after {PATIENCE} s")


async def turn(server: Server, data: bytes, connections: int) -> Outcome:
    """A few seconds of one server."""
    times: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(ask(server.port, [data], started + SECONDS, times) for _ in range(connections)))
    return Outcome(len(times) / (time.perf_counter() - started), statistics.median(times) * 1_000)


def compare(name: str, found: dict[str, Server], many: bool, connections: int) -> dict[str, Outcome]:
    """All servers take turns; the median of the turns of each."""
    bodies = {key: server.many if many else server.one for key, server in found.items()}
    asked = {key: data for key, data in bodies.items() if data is not None}
    turns: dict[str, list[Outcome]] = {key: [] for key in asked}
    for number in range(ROUNDS + 1):
        for key, data in asked.items():
            outcome = asyncio.run(turn(found[key], data, connections))
            if number > 0:  # the first turn warms it up
                turns[key].append(outcome)
    print(name)
    medians = {
        key: Outcome(*(statistics.median(values) for values in zip(*outcomes, strict=True)))
        for key, outcomes in turns.items()
    }
    for key, outcome in medians.items():
        print(f"  {key:20} {outcome.rate:9,.1f} requests/s   p50 {outcome.p50:8.2f} ms")
    return medians


def main() -> None:
    """Wait for the model API alone, or compare the three."""
    found = servers()
    if sys.argv[1] == "wait":
        print(f"model API, from when this looked to ready, the model on the volume: {wait(found[API]):.1f} s")
        return
    for server in found.values():
        wait(server)
    names = ("mlflow", "scikit-learn", "fastapi", "uvicorn")
    print(", ".join(f"{name} {version(name)}" for name in names))
    for connections in (1, 16):
        medians = compare(f"1 row, {connections} connection(s)", found, many=False, connections=connections)
        ours, theirs, floor = medians[API], medians[MLFLOW], medians[FLOOR]
        print(
            f"  against mlflow: {ours.rate / theirs.rate:.1f} times the requests (the aim: 30), "
            f"p50 a {theirs.p50 / ours.p50:.1f}th (the aim: 15th); p50 {ours.p50 / floor.p50:.2f} times "
            "the floor's (the aim at 1 connection: 2)"
        )
    medians = compare("1,000 rows, 1 connection", found, many=True, connections=1)
    print(f"  against mlflow: {medians[API].rate / medians[MLFLOW].rate:.1f} times the requests (the aim: 2)")


if __name__ == "__main__":
    main()
