"""Who may ask: with a key where one is set, and nobody for another caller's sake more often than allowed."""

import asyncio
import hmac
import math
import socket
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from model_api.boundary import refusal

HEADER = "X-API-Key"
# What probes, scrapers and readers of the documentation ask, none of whom has a key.
OPEN = frozenset(
    {
        "/health",
        "/ready",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
        "/docs",
        "/redoc",
        "/openapi.json",
    }
)
_EDGE_SECONDS = 5  # for which its addresses are believed
_DETAIL = f"This call needs the key of this API in the header {HEADER}"


def read_key(file: Path) -> bytes:
    """The key in a file; an empty one would let everybody in, and is an error."""
    if not (key := file.read_bytes().strip()):
        raise ValueError(f"{file} holds no key")
    return key


class KeyRequired:
    """Refuse what comes without the key, its body unread."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        """Wrap `app`."""
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open, and what has the key."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = next((value for name, value in scope["headers"] if name == b"x-api-key"), b"")
            # In the same time whatever is given: how much of it is right does not show.
            if not hmac.compare_digest(given, self._key):
                refused = refusal(scope["path"], _DETAIL, 401, {"www-authenticate": "ApiKey"})
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Callers:
    """Tells callers apart by their address; behind the edge, by the one that it tells, and it alone."""

    def __init__(self, edge: str) -> None:
        """Take the host name of the edge; empty, and there is none."""
        self._edge = edge
        self._addresses: frozenset[str] = frozenset()
        self._known_until = 0.0

    async def address(self, scope: Scope) -> str:
        """Where a request comes from."""
        peer: str = scope["client"][0] if scope["client"] else ""
        if not self._edge or peer not in await self._edge_addresses():
            return peer
        told = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return told[0].decode("latin-1") if told else peer

    async def _edge_addresses(self) -> frozenset[str]:
        """Those that its name has now: a container that is made anew may have another."""
        if time.monotonic() >= self._known_until:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(
                    self._edge, None, type=socket.SOCK_STREAM
                )
            except socket.gaierror:
                found = []
            self._addresses = frozenset(str(address[0]) for *_, address in found)
            self._known_until = time.monotonic() + _EDGE_SECONDS
        return self._addresses


class RateLimit:
    """Refuse what one address asks more often than allowed; each process counts for itself."""

    def __init__(self, app: ASGIApp, limit: RateLimitItem, callers: Callers) -> None:
        """Wrap `app`."""
        self._app = app
        self._limit = limit
        self._callers = callers
        self._window = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open, and what is not too often."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            caller = await self._callers.address(scope)
            if not self._window.hit(self._limit, caller):
                free = self._window.get_window_stats(self._limit, caller).reset_time
                seconds = max(1, math.ceil(free - time.time()))
                detail = f"More than {self._limit}; try again in {seconds} s"
                refused = refusal(scope["path"], detail, 429, {"retry-after": str(seconds)})
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


def describe_key(app: FastAPI) -> None:
    """Say in the OpenAPI document which calls need the key, and what comes without it."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "apiKey", "in": "header", "name": HEADER}
        for path, operations in document["paths"].items():
            for operation in operations.values() if path not in OPEN else ():
                operation["security"] = [{"key": []}]
                operation["responses"]["401"] = {"description": "The key is missing, or another one"}
        return document

    app.openapi = described  # type: ignore[method-assign]
