"""Transports for tests: one that loses requests, and one that reaches an application in this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

import httpx2

Message = dict[str, Any]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]


class Fault(StrEnum):
    """What happens to one request."""

    DELIVER = "deliver"
    DROP = "drop"  # it never arrives
    LOSE = "lose"  # it arrives and takes effect, but its answer does not come back
    REPEAT = "repeat"  # it arrives twice; the second answer comes back
    DELAY = "delay"  # it arrives late, after requests that were sent later
    CUT = "cut"  # half of the answer comes back
    BUSY = "busy"  # it is turned away with 503 and Retry-After


class FlakyTransport(httpx2.AsyncBaseTransport):
    """Applies the plan's faults to the requests to `inner`, one each; after the plan it delivers."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        plan: Iterable[Fault] = (),
        *,
        only: Callable[[httpx2.Request], bool] = lambda _: True,
        sleep: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0.01),
    ) -> None:
        self.inner = inner
        self.plan: Iterator[Fault] = iter(plan)
        self.history: list[tuple[Fault, str, str]] = []
        self._only = only
        self._sleep = sleep

    @classmethod
    def seeded(
        cls, inner: httpx2.AsyncBaseTransport, seed: int, odds: Mapping[Fault, float], **options: Any
    ) -> FlakyTransport:
        """Return a transport with random faults, each of its probability; one seed, one sequence."""
        dice = random.Random(seed)  # noqa: S311 - the same seed must bring the same faults
        return cls(inner, _draw(dice, odds), **options)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on with its fault."""
        fault = next(self.plan, Fault.DELIVER) if self._only(request) else Fault.DELIVER
        self.history.append((fault, request.method, request.url.path))
        match fault:
            case Fault.DROP:
                raise httpx2.ConnectError("the request was dropped", request=request)
            case Fault.BUSY:
                return httpx2.Response(503, headers={"Retry-After": "1"}, request=request)
            case Fault.LOSE:
                await self._discard(request)
                raise httpx2.ReadError("the answer was lost", request=request)
            case Fault.REPEAT:
                await self._discard(request)
            case Fault.DELAY:
                await self._sleep()
        response = await self.inner.handle_async_request(request)
        return await _cut(request, response) if fault is Fault.CUT else response

    async def _discard(self, request: httpx2.Request) -> None:
        # A body that was read can be sent twice.
        await request.aread()
        response = await self.inner.handle_async_request(request)
        await response.aread()
        await response.aclose()

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()


def _draw(dice: random.Random, odds: Mapping[Fault, float]) -> Iterator[Fault]:
    faults = [*odds, Fault.DELIVER]
    weights = [*odds.values(), max(0.0, 1.0 - sum(odds.values()))]
    while True:
        yield dice.choices(faults, weights)[0]


async def _cut(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    body = await response.aread()
    await response.aclose()
    return httpx2.Response(response.status_code, headers=response.headers, stream=_Torn(body, request))


class _Torn(httpx2.AsyncByteStream):
    def __init__(self, body: bytes, request: httpx2.Request) -> None:
        self._body = body
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx2.ReadError("the connection broke", request=self._request)


class StreamingASGITransport(httpx2.AsyncBaseTransport):
    """Calls an ASGI application in this process and, unlike httpx2's own transport, streams its answers."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Start the application and return when it has sent its headers."""
        exchange = _Exchange(await request.aread())
        exchange.start(self._app(_scope(request), exchange.receive, exchange.send))
        first = await exchange.next()
        if first is None:
            raise httpx2.RemoteProtocolError("the application sent no answer", request=request)
        return httpx2.Response(first["status"], headers=first.get("headers", []), stream=exchange)


class _Exchange(httpx2.AsyncByteStream):
    """One request's messages; the application runs as a task until it ends or the reader leaves."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, application: Awaitable[None]) -> None:
        self._task = asyncio.create_task(self._run(application))

    async def _run(self, application: Awaitable[None]) -> None:
        try:
            await application
        finally:
            self._sent.put_nowait(None)

    async def receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self._sent.put_nowait(message)

    async def next(self) -> Message | None:
        message = await self._sent.get()
        if message is None and self._task is not None:
            await self._task
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more and (message := await self.next()) is not None:
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def aclose(self) -> None:
        self._left.set()
        if self._task is not None:
            # An application that heeds the disconnect ends by itself; any other is stopped.
            await asyncio.wait([self._task], timeout=1.0)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def _scope(request: httpx2.Request) -> Message:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.split(b"?")[0],
        "query_string": url.query,
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 123),
        "root_path": "",
    }
