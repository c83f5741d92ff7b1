"""Answers in the form that all endpoints share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

# How long a subscriber may leave messages unread. Then its stream is closed; its last cursor resumes it.
PATIENCE_SECONDS = 30.0


class SlowReader(OSError):
    """A subscriber does not read what was sent to it."""


async def patiently(sending: Awaitable[None]) -> None:
    """Wait for a message to be sent. Raises SlowReader if the client leaves it unread for too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await sending
    except TimeoutError:
        raise SlowReader from None


class Json(Response):
    """An answer in JSON, encoded by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def coded(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Json:
    """Return an error that a program can act on: `{"error": {"code": …, "message": …}}`."""
    return Json({"error": {"code": code, "message": message, **more}}, status, headers=headers)


async def answer_instead(answer: Response, scope: Scope, receive: Receive, send: Send, close: int) -> None:
    """Send the answer, also to a WebSocket handshake if the server can; else close that with the code."""
    if scope["type"] == "http":
        await answer(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await WebSocket(scope, receive, send).send_denial_response(answer)
    else:
        await WebSocket(scope, receive, send).close(close)
