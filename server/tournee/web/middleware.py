"""Pure ASGI middleware: naming, logging and counting requests, bounding bodies."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tournee.answers import coded
from tournee.web.metrics import count
from tournee.web.overload import come_back, overload_of

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}")


@dataclass
class _Seen:
    """What was sent so far."""

    status: int = 0
    is_stream: bool = False


class RequestMiddleware:
    """Names each request, logs and counts it, and masks what breaks in it.

    The id comes from `X-Request-Id` where that is sane, goes back in the same header and stands in
    every line logged meanwhile, so that an error somebody reports can be found.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        id = scope["request_id"] = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=id)
        if scope["type"] == "websocket":
            return await self.app(scope, receive, send)
        seen = _Seen()
        started = time.perf_counter()

        async def named_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                seen.is_stream = _is_stream(message)
                message = {**message, "headers": [*message["headers"], (b"x-request-id", id.encode())]}
            await send(message)

        try:
            await self._masked(scope, receive, named_send, seen)
        finally:
            self._account_for(scope, seen, time.perf_counter() - started)

    async def _masked(self, scope: Scope, receive: Receive, send: Send, seen: _Seen) -> None:
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            self.log.info("client_disconnected")
        except Exception as error:
            overloaded = overload_of(error)
            if overloaded is not None and not seen.status:
                await come_back(overloaded)(scope, receive, send)
                return
            self.log.exception("request_failed", method=scope["method"], path=scope["path"])
            if seen.status:
                # Half an answer is out: only breaking the connection tells that it is no whole one.
                raise
            message = "Something went wrong on our side; it was logged under this request id."
            answer = coded(500, "INTERNAL", message, requestId=scope["request_id"])
            await answer(scope, receive, send)

    def _account_for(self, scope: Scope, seen: _Seen, seconds: float) -> None:
        route = _route(scope)
        count(route, scope["method"], seen.status, None if seen.is_stream else seconds)
        if route in _QUIET and seen.status < 400:
            return
        actor = scope.get("actor")
        self.log.info(
            "request",
            method=scope["method"],
            route=route,
            path=scope["path"],
            status=seen.status,
            milliseconds=round(seconds * 1000, 1),
            account=str(actor.id) if actor else None,
        )


# Asked every few seconds by machines.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(16)


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "") or "unmatched")


_STREAMS = (b"text/event-stream", b"multipart/mixed")


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_STREAMS) for name, value in start["headers"]
    )


class _TooLarge(Exception):
    """The body went over the limit."""


class BodyLimitMiddleware:
    """Refuses a body over the limit, announced or not, in the form of our other errors."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = _announced(scope)
        if announced == 0:
            await self.app(scope, receive, send)
        elif announced is not None and announced > self.limit:
            await self._refuse(scope, receive, send)
        else:
            await self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, send, self.limit)
        try:
            await self.app(scope, body.receive, body.send)
        except _TooLarge:
            if body.answered:
                raise
        if body.is_too_large and not body.answered:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The rest of the body stays unread, so the connection is of no further use.
        headers = {"Connection": "close"}
        answer = coded(413, "TOO_LARGE", f"A body has at most {self.limit} bytes.", headers=headers)
        await answer(scope, receive, send)


class _Body:
    """Counts what comes in. `answered`: the application has begun its answer."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self.answered = False

    @property
    def is_too_large(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self.is_too_large:
                raise _TooLarge
        return message

    async def send(self, message: Message) -> None:
        # Whoever caught our exception has an answer of its own, which would be the wrong one.
        if self.answered or not self.is_too_large:
            self.answered = True
            await self._send(message)


def _announced(scope: Scope) -> int | None:
    """How long the body is said to be; None where it comes in pieces. Without either there is none."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length
