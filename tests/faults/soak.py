"""`make soak`: predictions at 80 % of what the API can, for minutes, while runs of the DAG, promotions and
backups go on. Prints what was promised and what was found, and ends by that.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.faults.promise import RECOVERY, learning
from tests.faults.under_test import stack_under_test
from tests.stack.conftest import PROJECT, Stack, wait_until
from tests.stack.load import real_rows
from tests.stack.test_end_to_end import SERVICES
from tests.stack.test_model_api import NAME, serving, total

CLIENT = PROJECT / "bench" / "serving" / "client.py"
CONNECTIONS = 16
SHARE = 0.8
IDLE_RATE = 50  # requests a second that leave the API idle
LOOK_SECONDS = 10
PROMOTE_SECONDS = 20
BACKUP_SECONDS = 120
# A model that is swapped is there twice for a moment, and memory is given back in portions.
LEEWAY_MB, LEEWAY = 16, 1.15


class Use(NamedTuple):
    """What a service used at a moment: seconds, MiB of its own memory, open files."""

    at: float
    megabytes: float
    files: int


def client(stack: Stack, connections: int, rate: float, seconds: float) -> dict[str, Any]:
    """A process that asks, so that nothing of this one is in the figures."""
    port = stack.variables["MODEL_API_PORT"]
    done = subprocess.run(
        [sys.executable, CLIENT, port, str(connections), str(rate), str(seconds)],
        input=json.dumps(real_rows()),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return dict(json.loads(done.stdout))


def use(stack: Stack, service: str, began: float) -> Use:
    """Of all processes of a service together; one that ends meanwhile counts for nothing."""
    megabytes, files = 0.0, 0
    for pid in stack.docker("top", f"{stack.name}-{service}", "-eo", "pid").split()[1:]:
        process = Path("/proc") / pid
        try:
            status = (process / "status").read_text(encoding="utf-8")
            files += len(list((process / "fd").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            continue
        megabytes += sum(
            int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon:")
        )
    return Use(time.monotonic() - began, megabytes, files)


@contextmanager
def meanwhile(*works: Callable[[threading.Event], None]) -> Iterator[list[str]]:
    """Do each work again and again in a thread of its own for the block; gives what went wrong in them."""
    over, wrong = threading.Event(), list[str]()

    def repeat(work: Callable[[threading.Event], None]) -> None:
        while not over.is_set():
            try:
                work(over)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, it is a finding
                wrong.append(f"{work.__name__}: {error!r}"[:500])
                over.wait(5)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Soak:
    """The works that go on under the load, and what they count."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.began = time.monotonic()
        self.done: dict[str, int] = defaultdict(int)
        self.uses: dict[str, list[Use]] = defaultdict(list)
        self._backups = tempfile.TemporaryDirectory(prefix="covertype-soak-")

    def learn(self, over: threading.Event) -> None:
        """A run of the DAG."""
        with learning(self.stack) as run:
            run.wait_for_success()
        self.done["runs"] += 1

    def promote(self, over: threading.Event) -> None:
        """Another version becomes champion, and after a while the next one."""
        listed = httpx.get(f"{self.stack.url('model-api')}/models", timeout=60).raise_for_status().json()
        now = serving(self.stack)["version"]
        other = next((one["version"] for one in listed if one["version"] != now), None)
        if other is not None:
            champion(self.stack, other)
            wait_until(lambda: serving(self.stack), lambda model: model["version"] != now, RECOVERY)
            self.done["promotions"] += 1
        over.wait(PROMOTE_SECONDS)

    def back_up(self, over: threading.Event) -> None:
        """A set, of which the last stays until the end."""
        done = self.stack.make("backup", TO=self._backups.name, BACKUP_KEEP="1")
        if done.returncode != 0:
            raise RuntimeError(done.stdout[-300:])
        self.done["backups"] += 1
        over.wait(BACKUP_SECONDS)

    def look(self, over: threading.Event) -> None:
        """What each service uses."""
        for service in SERVICES:
            self.uses[service].append(use(self.stack, service, self.began))
        over.wait(LOOK_SECONDS)


def champion(stack: Stack, version: str) -> None:
    """Name another champion, as the registry is told of it."""
    told = {"name": NAME, "alias": "champion", "version": version}
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    httpx.post(url, json=told, timeout=60).raise_for_status()


def slope(uses: list[Use]) -> float:
    """MiB a minute, over the second half: the first one fills caches."""
    half = uses[len(uses) // 2 :]
    if len(half) < 2:
        return 0.0
    return statistics.linear_regression([one.at for one in half], [one.megabytes for one in half]).slope * 60


def thirds(values: list[float]) -> tuple[float, float]:
    """The medians of the second and of the last third."""
    third = max(1, len(values) // 3)
    return statistics.median(values[third : 2 * third] or values), statistics.median(values[-third:])


def recorded(stack: Stack) -> int:
    """Predictions in the database."""
    return int(stack.mysql("SELECT COUNT(*) FROM predictions")[0][0])


def journal_is_empty(stack: Stack) -> bool:
    """Whether nothing waits to be recorded."""
    text = httpx.get(f"{stack.url('model-api')}/metrics", timeout=30).raise_for_status().text
    return total(text, "model_api_journal_bytes") == 0


def main() -> int:
    """Measure idle and peak, load, look, compare; returns the exit code."""
    minutes = float(os.environ.get("MINUTES") or 10)
    with stack_under_test() as stack:
        original = serving(stack)["version"]
        client(stack, CONNECTIONS, 0, 3)  # warms it up
        idle = client(stack, 1, IDLE_RATE, 20)
        peak = client(stack, CONNECTIONS, 0, 10)
        wait_until(lambda: journal_is_empty(stack), lambda empty: empty, RECOVERY)
        before = recorded(stack)
        rate = SHARE * peak["rate"]
        print(f"idle: p99 {idle['p99']:.2f} ms. peak: {peak['rate']:,.0f}/s, p99 {peak['p99']:.1f} ms.")
        print(f"{minutes:g} min of {rate:,.0f} predictions/s, with runs, promotions and backups", flush=True)
        soak = Soak(stack)
        try:
            with meanwhile(soak.learn, soak.promote, soak.back_up, soak.look) as wrong:
                loaded = client(stack, CONNECTIONS, rate, minutes * 60)
        finally:
            champion(stack, original)
        wait_until(lambda: journal_is_empty(stack), lambda empty: empty, RECOVERY)
        logged = recorded(stack) - before
    return report(soak, idle, rate, loaded, logged, wrong)


def report(
    soak: Soak, idle: dict[str, Any], rate: float, loaded: dict[str, Any], logged: int, wrong: list[str]
) -> int:
    """Print the table; returns 0 when every promise was kept."""
    api = soak.uses["model-api"]
    middle, last = thirds([one.megabytes for one in api])
    files = thirds([one.files for one in api])
    factor = loaded["p99"] / idle["p99"]
    count = len(loaded["errors"])
    lines = [
        ("errors", "0", f"{count} of {loaded['answers'] + count:,}", count == 0),
        ("p99", "at most 5 times the idle p99", f"{factor:.1f} times, {loaded['p99']:.1f} ms", factor <= 5),
        ("rate", f"{rate:,.0f}/s", f"{loaded['rate']:,.0f}/s", loaded["rate"] >= 0.95 * rate),
        ("logged", f"{loaded['answers']:,} answered", f"{logged:,}", logged == loaded["answers"]),
        (
            "memory of model-api",
            f"at most {middle * LEEWAY + LEEWAY_MB:.0f} MiB",
            f"{last:.0f} MiB, {slope(api):+.2f} MiB/min",
            last <= middle * LEEWAY + LEEWAY_MB,
        ),
        ("its open files", f"at most {files[0] + 4:.0f}", f"{files[1]:.0f}", files[1] <= files[0] + 4),
        ("runs, promotions, backups", "no failure", "; ".join(wrong) or "none", not wrong),
    ]
    for name, wanted, found, kept in lines:
        print(f"{'kept' if kept else 'BROKEN':7} {name:26} {wanted:32} {found}")
    print("done meanwhile: " + ", ".join(f"{number} {what}" for what, number in sorted(soak.done.items())))
    for service, uses in sorted(soak.uses.items()):
        first, final = thirds([one.megabytes for one in uses])
        opened = thirds([one.files for one in uses])
        print(
            f"        {service:26} {first:6.0f} to {final:5.0f} MiB, {slope(uses):+6.2f} MiB/min; "
            f"{opened[0]:.0f} to {opened[1]:.0f} files"
        )
    broken = sum(not kept for *_, kept in lines)
    print(f"soak: {len(lines) - broken} passed, {broken} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
