"""Logs as JSON, one object a line, with the id of the request that they belong to."""

import json
import logging
import re
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

_GIVEN_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
# The API has no pages but /docs: nothing may frame it, guess its types or keep its answers.
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_REFUSED = 400


class JsonFormatter(logging.Formatter):
    """One line a record."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None})


def configure() -> None:
    """Write all logs as JSON; does nothing where logging is set up already."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class Identified:
    """Gives each request an id, the client's own if it sends a sensible one, and each answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; what is refused is logged, what is answered is counted elsewhere."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        identity = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        REQUEST_ID.set(identity)
        started = time.perf_counter()

        async def send_identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *_HEADERS,
                    (b"x-request-id", identity.encode()),
                ]
                if message["status"] >= _REFUSED:
                    # As JSON escapes it: a client cannot forge a line of the log by its path.
                    seconds = time.perf_counter() - started
                    request = f"{scope['method']} {scope['path']}"
                    log.info("%s: %d in %.3f s", request, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, send_identified)
