"""The edge towards clients: how a body is read, and how what is wrong with it is said."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException as HTTPError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_api import metrics

_INFERENCE_PROTOCOL = "/v2/"
# A batch can be wrong in 120,000 places; an answer that lists them all would help nobody and cost much.
MOST_ERRORS = 1_000


def refusal(path: str, reason: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Say why a request gets nothing: in FastAPI's shape, or in that of the Open Inference Protocol."""
    name = "error" if path.startswith(_INFERENCE_PROTOCOL) else "detail"
    return JSONResponse({name: reason}, status, headers)


def header(scope: Scope, name: bytes) -> bytes:
    """The first of a request's headers of that name, which is in lower case; empty when there is none."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for given, value in headers:
        if given == name:
            return value
    return b""


def parse(body: bytes) -> Any:
    """Strictly: no NaN, no infinities, bounded depth; faster than the standard library. Raises ValueError."""
    return from_json(body, allow_inf_nan=False)


class _JsonRequest(Request):
    async def json(self) -> Any:
        """See Request."""
        try:
            return parse(await self.body())
        except ValueError as error:
            # The kind of error that FastAPI answers with 422.
            raise json.JSONDecodeError(str(error), "", 0) from error


class JsonRoute(APIRoute):
    """A route whose JSON body is parsed strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the usual handler."""
        handle = super().get_route_handler()

        # The Open Inference Protocol is JSON without a word: Triton's own client names no type.
        untyped_is_json = self.path.startswith(_INFERENCE_PROTOCOL)

        async def handle_strictly(request: Request) -> Response:
            if untyped_is_json and "content-type" not in request.headers:
                headers = [*request.scope["headers"], (b"content-type", b"application/json")]
                request.scope["headers"] = headers
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_strictly


class BodyLimit:
    """Refuse a body that is too long, unread when its declared length says so, or that comes too slowly."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        """Wrap `app`; `limit` is in bytes, `seconds` for the whole body."""
        self._app = app
        self._limit = limit
        self._seconds = seconds
        self._detail = f"The body is larger than {limit} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is short enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared) > self._limit:
            await refusal(scope["path"], self._detail, 413)(scope, receive, send)
            return
        received = 0
        coming = True
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def receive_counted() -> Message:
            nonlocal received, coming
            if not coming:
                return await receive()
            try:
                message = await _by(deadline, receive)
            except TimeoutError as error:
                raise HTTPException(
                    408, f"The body did not come within {self._seconds:g} seconds", {"connection": "close"}
                ) from error
            received += len(message.get("body", b""))
            coming = message.get("more_body", False)
            if received > self._limit:
                raise HTTPException(413, self._detail)
            return message

        await self._app(scope, receive_counted, send)


async def _by(deadline: float, receive: Receive) -> Message:
    """The next message; raises TimeoutError when it has not come by then."""
    # Most often it is there already: then no clock has to be set.
    coming = asyncio.Task(_message(receive), loop=asyncio.get_running_loop(), eager_start=True)
    if not coming.done():
        async with asyncio.timeout_at(deadline):
            await coming
    return coming.result()


async def _message(receive: Receive) -> Message:
    return await receive()  # a task takes a coroutine, no other awaitable


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer an HTTPException."""
    if not isinstance(error, HTTPError):
        raise error
    return refusal(request.scope["path"], error.detail, error.status_code, error.headers)


async def refuse_away(request: Request, error: Exception) -> JSONResponse:
    """Answer an Away: what would have to be asked for the answer is not there."""
    return refusal(request.scope["path"], str(error), 503)


async def refuse_invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer a RequestValidationError, every wrong field with what is allowed: a list in FastAPI's shape,
    a text in that of the Open Inference Protocol.
    """
    if not isinstance(error, RequestValidationError):
        raise error
    metrics.count_violations(list(error.errors()))
    # Without the refused value: it may be huge, or something that JSON cannot say.
    found = [{key: item[key] for key in ("type", "loc", "msg")} for item in error.errors()]
    rest = len(found) - MOST_ERRORS
    if rest > 0:
        found[MOST_ERRORS:] = [{"type": "too_many_errors", "loc": ["body"], "msg": f"{rest} more errors"}]
    if request.scope["path"].startswith(_INFERENCE_PROTOCOL):
        places = [".".join(map(str, item["loc"])) for item in found]
        text = "; ".join(f"{place}: {item['msg']}" for place, item in zip(places, found, strict=True))
        return JSONResponse({"error": text}, 422)
    return JSONResponse({"detail": found}, 422)
