"""ASGI middleware: name, log and count requests."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Iterable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tournee.answers import answer_instead, coded
from tournee.kernel.outages import outage_of
from tournee.logs import REQUEST_ID
from tournee.web.metrics import count
from tournee.web.overload import come_back

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}")


class _Answer:
    """Sends an answer with its request's id, and remembers its status."""

    __slots__ = ("_id", "_send", "is_stream", "status")

    def __init__(self, id: str, send: Send) -> None:
        self._id = id
        self._send = send
        self.status = 0
        self.is_stream = False

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_stream = _is_stream(message)
            message = {**message, "headers": _hardened(message["headers"], self._id)}
        return self._send(message)


class RequestMiddleware:
    """Names each request, logs and counts it, and masks its errors.

    The id comes from `X-Request-Id` if that is usable. It goes back in the same header and is in every line
    logged for the request, so that a reported error can be found.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        id = scope["request_id"] = _request_id(scope)
        REQUEST_ID.set(id)
        if scope["type"] == "websocket":
            return await self._socket(scope, receive, send)
        answer = _Answer(id, send)
        started = time.perf_counter()
        try:
            await self.app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - every error is masked
            await self._mask(error, scope, receive, answer)
        finally:
            self._account_for(scope, answer, time.perf_counter() - started)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def noting_send(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "websocket.http.response.start":
                message = {**message, "headers": _hardened(message["headers"], scope["request_id"])}
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except Exception as error:
            outage = outage_of(error)
            if outage is None or answered:
                raise
            await answer_instead(come_back(outage), scope, receive, send, close=1013)

    async def _mask(self, error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if isinstance(error, ClientDisconnect):
            self.log.info("client_disconnected")
            return
        outage = outage_of(error)
        if outage is not None and not answer.status:
            if outage is not error:
                self.log.warning("outage", code=outage.code, path=scope["path"], error=repr(error)[:300])
            await come_back(outage)(scope, receive, answer.send)
            return
        self.log.error("request_failed", method=scope["method"], path=scope["path"], exc_info=error)
        if answer.status:
            # Part of the answer is sent: only a broken connection shows that it is incomplete.
            raise error
        message = "Something went wrong on our side; it was logged under this request id."
        instead = coded(500, "INTERNAL", message, requestId=scope["request_id"])
        await instead(scope, receive, answer.send)

    def _account_for(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route = _route(scope)
        count(route, scope["method"], answer.status, None if answer.is_stream else seconds)
        if route in _QUIET and answer.status < 400:
            return
        actor = scope.get("actor")
        self.log.info(
            "request",
            method=scope["method"],
            route=route,
            path=scope["path"],
            status=answer.status,
            milliseconds=round(seconds * 1000, 1),
            account=str(actor.id) if actor else None,
        )


_Headers = Iterable[tuple[bytes, bytes]]

# By default a browser may load nothing from an answer; our own pages set a wider policy.
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_GUESSING = (b"x-content-type-options", b"nosniff")


def _hardened(headers: _Headers, id: str) -> _Headers:
    """Return the headers of an answer with its request's id and the headers that restrict browsers."""
    headers = [*headers, (b"x-request-id", id.encode())]
    names = {name for name, _ in headers}
    headers += [header for header in (_POLICY, _NO_GUESSING) if header[0] not in names]
    return headers


# Machines call these every few seconds.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value.decode())
    return f"{random.getrandbits(128):032x}"


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "") or "unmatched")


_STREAMS = (b"text/event-stream", b"multipart/mixed")


def _is_stream(start: Message) -> bool:
    for name, value in start["headers"]:
        if name == b"content-type":
            return bool(value.startswith(_STREAMS))
    return False
