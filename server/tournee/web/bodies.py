"""ASGI middleware for request bodies: limits and unpacks them, and makes sure that early answers arrive."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tournee.answers import coded

_PLAIN = frozenset({b"", b"identity"})
_GZIP = frozenset({b"gzip", b"x-gzip"})


class DrainMiddleware:
    """Makes sure that an answer arrives even if it is ready before the whole request was read.

    The operating system resets a connection that is closed with unread data in it, and the client then sees
    a broken connection instead of the answer. So the rest of the body is read first, up to `most` bytes
    and for at most `seconds`; after that the connection closes.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float = 60.0) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and announced_length(scope) != 0:
            exchange = _Exchange(self, scope, receive, send)
            receive, send = exchange.receive, exchange.send
        await self.app(scope, receive, send)


class _Exchange:
    """One request with a body, and its answer."""

    def __init__(self, bounds: DrainMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._bounds = bounds
        self._receive = receive
        self._send = send
        self._announced = announced_length(scope)
        # A client that sends `Expect` waits to be asked for its body.
        self._unsent = any(name == b"expect" for name, _ in scope["headers"])
        self._read = 0
        self._over = False
        self._lingers = False

    async def receive(self) -> Message:
        self._unsent = False
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._over = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if message["type"] == "http.response.start" and not self._over:
            message = await self._started(message)
        elif is_last and self._lingers:
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _started(self, start: Message) -> Message:
        """Read the rest of the body; if it is too large, announce that the connection closes."""
        if (self._announced or 0) > self._bounds.most:
            # Most clients stop sending when they see an answer.
            self._lingers = not self._unsent
        elif not self._unsent:
            await self._drain()
        if self._over:
            return start
        return {**start, "headers": [*start["headers"], (b"connection", b"close")]}

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.seconds):
                while not self._over and self._read < self._bounds.most:
                    await self.receive()


class _Unacceptable(Exception):
    """The body cannot be accepted; the answer says why."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        super().__init__()


class BodyMiddleware:
    """Unpacks a body in gzip and refuses one over the limit, announced or not, packed or not."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = announced_length(scope)
        coding = b", ".join(value for name, value in scope["headers"] if name == b"content-encoding").lower()
        if announced == 0:
            await self.app(scope, receive, send)
        elif announced is not None and announced > self.limit:
            await _too_large(self.limit)(scope, receive, send)
        elif coding in _PLAIN:
            await self._bounded(_Body(receive, send, self.limit), scope)
        elif coding in _GZIP:
            # The application gets the body as if it had been sent unpacked.
            scope["headers"] = [header for header in scope["headers"] if header[0] not in _OF_PACKED]
            await self._bounded(_Packed(receive, send, self.limit), scope)
        else:
            await _unsupported()(scope, receive, send)

    async def _bounded(self, body: _Body, scope: Scope) -> None:
        try:
            await self.app(scope, body.receive, body.send)
        except _Unacceptable:
            if body.answered:
                raise
        if body.refusal is not None and not body.answered:
            await body.refusal.answer(scope, body.receive, body.pass_on)


_OF_PACKED = frozenset({b"content-encoding", b"content-length"})


class _Body:
    """Counts the bytes received. `answered`: the application has begun its answer."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self.pass_on = send
        self._limit = self._left = limit
        self.answered = False
        self.refusal: _Unacceptable | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            try:
                message = self._accepted(message)
            except _Unacceptable as refusal:
                self.refusal = refusal
                raise
        return message

    def _accepted(self, message: Message) -> Message:
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _Unacceptable(_too_large(self._limit))
        return message

    async def send(self, message: Message) -> None:
        # If the application caught our exception, its own answer would be the wrong one: drop it.
        if self.answered or self.refusal is None:
            self.answered = True
            await self.pass_on(message)


class _Packed(_Body):
    """Unpacks piece by piece, up to the limit: a body that would unpack to gigabytes costs nothing."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        super().__init__(receive, send, limit)
        self._unpacker = zlib.decompressobj(wbits=31)
        self._left_unpacked = limit

    def _accepted(self, message: Message) -> Message:
        packed = super()._accepted(message)
        try:
            body = self._unpacker.decompress(packed.get("body", b""), self._left_unpacked + 1)
        except zlib.error:
            raise _Unacceptable(_malformed()) from None
        self._left_unpacked -= len(body)
        if self._left_unpacked < 0:
            raise _Unacceptable(_too_large(self._limit))
        ends = not packed.get("more_body", False)
        if self._unpacker.unused_data or (ends and not self._unpacker.eof):
            raise _Unacceptable(_malformed())
        return {**packed, "body": body}


def _too_large(limit: int) -> Response:
    return coded(
        413, "TOO_LARGE", f"A body may have at most {limit} bytes, packed and unpacked. Send less at once."
    )


def _malformed() -> Response:
    return coded(400, "MALFORMED", "The body is not gzip, though Content-Encoding says so.")


def _unsupported() -> Response:
    message = "Send the body uncompressed, or with Content-Encoding: gzip."
    return coded(415, "UNSUPPORTED_ENCODING", message, headers={"Accept-Encoding": "gzip"})


def announced_length(scope: Scope) -> int | None:
    """Return the body's announced length: None if it comes in chunks, 0 if there is no body."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length
