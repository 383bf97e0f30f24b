"""A client that writes ready-made requests to plain sockets, so that little of what is measured is its own.

    python client.py <port> <connections> <requests a second, 0: all it can> <seconds>

sends the rows of standard input (a JSON list) to the model API, one a request, and prints what became of
them as JSON. It needs nothing but Python, so it runs inside images and on the host.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from typing import Any


def request(port: int, path: str, body: Any) -> bytes:
    """A whole request."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def ask(
    port: int, requests: Sequence[bytes], until: float, times: list[float], interval: float = 0
) -> None:
    """Send requests in turn over one connection, one an interval, or one after the other; raise for an answer
    that is not good. Of intervals that pass while an answer is waited for none is made up for.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.perf_counter()
    for data in itertools.cycle(requests):
        if interval:
            due = max(due + interval, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())
        if (started := time.perf_counter()) >= until:
            break
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"port {port}: {head[:200]!r} {await reader.read(300)!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        times.append(time.perf_counter() - started)
    writer.close()


async def follow(
    port: int, requests: Sequence[bytes], until: float, times: list[float], interval: float
) -> list[str]:
    """As `ask`, and go on with another connection after what went wrong; returns what did."""
    errors = []
    while time.perf_counter() < until:
        try:
            await ask(port, requests, until, times, interval)
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            errors.append(repr(error))
            await asyncio.sleep(0.1)  # not a flood of refused connections
    return errors


async def load(port: int, rows: list[Any], connections: int, rate: float, seconds: float) -> dict[str, Any]:
    """Ask for so long, at so many requests a second in all; what became of it."""
    requests = [request(port, "/predict", row) for row in rows]
    times: list[float] = []
    started = time.perf_counter()
    interval = connections / rate if rate else 0
    errors = await asyncio.gather(
        *(follow(port, requests, started + seconds, times, interval) for _ in range(connections))
    )
    took = time.perf_counter() - started
    times.sort()
    return {
        "answers": len(times),
        "errors": list(itertools.chain(*errors)),
        "rate": len(times) / took,
        "p50": 1_000 * times[len(times) // 2],
        "p99": 1_000 * times[len(times) * 99 // 100],
    }


if __name__ == "__main__":
    where, how_many, how_often, how_long = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(
                load(int(where), json.load(sys.stdin), int(how_many), float(how_often), float(how_long))
            )
        )
    )
