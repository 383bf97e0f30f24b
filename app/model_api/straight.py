"""The short way of what is asked most: from the body to the endpoint, past FastAPI's machinery (0033)."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as HTTPError
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_api.boundary import header, parse, refuse

_JSON = b"application/json"


class StraightWay:
    """Innermost of the layers: a good body for one route goes straight to its endpoint, which is a coroutine
    that takes this body and nothing else, and gives a finished response.

    What is good is not decided here: the body is read by the routes' own parser and judged by the route's own
    field. Whatever does not pass is FastAPI's: it judges again, and says what is wrong.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        """Wrap `app`, which has the route."""
        self._app = app
        self._route = route
        (self._field,) = route.dependant.body_params

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a good body; pass on all else."""
        if not self._is_for_route(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            message = await receive()
            body = self._good_body(message)
            response = None if body is None else await self._route.endpoint(body)
        except HTTPError as error:
            response = await refuse(Request(scope), error)
        if response is None:
            await self._app(scope, _again(message, receive), send)
        else:
            await response(scope, receive, send)

    def _is_for_route(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["path"] == self._route.path
            and scope["method"] in (self._route.methods or ())
            and header(scope, b"content-type") == _JSON
        )

    def _good_body(self, message: Message) -> Any | None:
        """What the endpoint takes; None when this message is not all of a good body."""
        if message.get("more_body", False) or not message.get("body"):
            return None
        try:
            found = parse(message["body"])
        except ValueError:
            return None
        return self._field.validate(found)[0]


def add_straight_way(app: FastAPI, path: str) -> None:
    """Let a route, which is there already, have the short way too."""
    (route,) = (route for route in app.routes if isinstance(route, APIRoute) and route.path == path)
    app.user_middleware.append(Middleware(StraightWay, route=route))


def _again(message: Message, receive: Receive) -> Receive:
    """Give this message first, then those that are still to come."""
    waiting = [message]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
