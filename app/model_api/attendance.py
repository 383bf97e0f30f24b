"""What every request gets, whatever becomes of it: an id, headers, its place in metrics and log."""

import logging
import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_api.boundary import header
from model_api.logs import REQUEST_ID
from model_api.metrics import DURATION, REQUESTS, labelled

log = logging.getLogger(__name__)

_GIVEN_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
# The API has no pages but /docs: nothing may frame it, guess its types or keep its answers.
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_REFUSED = 400
# Whatever a client calls its method or path, the number of time series is bounded.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Attended:
    """Outermost, so that what other layers refuse counts too, and has its id."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        # The client's own id, if it sends a sensible one.
        given = header(scope, b"x-request-id").decode("latin-1")
        identity = given if _GIVEN_ID.fullmatch(given) else os.urandom(16).hex()
        REQUEST_ID.set(identity)

        async def send_attended(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *_HEADERS,
                    (b"x-request-id", identity.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_attended)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            labelled(REQUESTS, method, route, status).inc()
            labelled(DURATION, route).observe(seconds)
            if status >= _REFUSED:
                # As JSON escapes it: a client cannot forge a line of the log by its path.
                log.info("%s: %d in %.3f s", f"{scope['method']} {scope['path']}", status, seconds)
