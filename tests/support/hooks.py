"""A receiver of webhooks: a real HTTP server that checks signatures, with answers that a test chooses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.support.serving import listening

KEY = b"demo demo demo demo demo"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass
class Receiver:
    """Keeps every delivery, and answers with what `answers` returns for its content."""

    answers: Callable[[dict[str, Any]], int] = lambda _data: 204
    seconds: float = 0
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        assert headers["webhook-signature"] == self._signature(headers, body)
        delivery = headers["webhook-id"], orjson.loads(body)["data"]
        self.got.append(delivery)
        await asyncio.sleep(self.seconds)
        status = self.answers(delivery[1])
        if 200 <= status < 300:
            self.accepted.append(delivery)
        redirect = [(b"location", self.url.encode() + b"/elsewhere")] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": redirect})
        await send({"type": "http.response.body", "body": b""})

    def _signature(self, headers: dict[str, str], body: bytes) -> str:
        signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
        return "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()

    async def until(self, count: int) -> None:
        """Wait until so many deliveries were accepted."""
        async with asyncio.timeout(10):
            while len(self.accepted) < count:  # noqa: ASYNC110 - a server has no event for it
                await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    async with listening(receiver) as host:
        receiver.url = f"http://{host}"
        yield receiver
