"""Answers that go on: server-sent events, and the multipart answers that Apollo's clients ask for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from tournee.answers import SlowReader, patiently
from tournee.api.requests import EVENTS, MULTIPART

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Framing:
    """How results become the bytes of an answer."""

    media_type: str
    opening: bytes
    heartbeat: bytes
    closing: bytes
    frame: Callable[[bytes], bytes]


def _part(json: bytes) -> bytes:
    """Return a part with the boundary after it: only then do clients read the part."""
    return b"\r\nContent-Type: application/json\r\n\r\n" + json + b"\r\n--graphql"


FRAMINGS = {
    EVENTS: Framing(
        EVENTS,
        b": connected\n\n",
        b": heartbeat\n\n",
        b"event: complete\ndata: \n\n",
        lambda body: b"event: next\ndata: " + body + b"\n\n",
    ),
    MULTIPART: Framing(
        f'{MULTIPART}; boundary="graphql"; subscriptionSpec=1.0',
        b"\r\n--graphql",
        _part(b"{}"),
        b"--\r\n",
        lambda body: _part(b'{"payload":' + body + b"}"),
    ),
}


class Stream(StreamingResponse):
    """Results as they come; it holds these turns while it sends."""

    def __init__(
        self,
        framing: Framing,
        pieces: AsyncIterator[bytes],
        turns: Sequence[AbstractAsyncContextManager[None]],
    ) -> None:
        super().__init__(pieces, media_type=framing.media_type, headers=_HEADERS)
        self.turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patient(message: Message) -> None:
            await patiently(send(message))

        async with contextlib.AsyncExitStack() as held:
            for turn in self.turns:
                await held.enter_async_context(turn)
            # What a slow reader has not read yet is lost with the connection.
            with contextlib.suppress(ClientDisconnect, SlowReader):
                await super().__call__(scope, receive, patient)


async def pieces(
    framing: Framing,
    source: AsyncGenerator[Any, None],
    body: Callable[[Any], dict[str, Any]],
    heartbeat_seconds: float,
) -> AsyncIterator[bytes]:
    """Yield the results in this framing, and a heartbeat from time to time if nothing happens."""
    pending = asyncio.ensure_future(anext(source, None))
    try:
        yield framing.opening
        while True:
            done, _ = await asyncio.wait({pending}, timeout=heartbeat_seconds)
            if not done:
                yield framing.heartbeat
                continue
            result = pending.result()
            if result is None:
                break
            yield framing.frame(orjson.dumps(body(result)))
            pending = asyncio.ensure_future(anext(source, None))
        yield framing.closing
    finally:
        pending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await pending
        await source.aclose()
