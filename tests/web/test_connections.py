"""How long a slow or silent client may hold a connection, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from starlette.types import Receive, Scope, Send

from tournee.web.connections import Connection, Patience

SHORT = Patience(head=0.4, head_bytes=4096, body=1.5, bytes_a_second=1000, pause=0.4, linger=0.3)
# More than the system buffers for a client that does not read.
LARGE = 16 * 1024 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Any]


class App:
    """Reads the body, after a delay at `/late`; answers `/large` with more than any buffer holds.

    At `/begun` it starts its answer and continues on demand.
    """

    def __init__(self) -> None:
        self.disconnected = asyncio.Event()
        self.answered = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await asyncio.sleep(1)
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.set()
                return
            length += len(message["body"])
            more = message["more_body"]
        body = b"x" * LARGE if scope["path"] == "/large" else str(length).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/begun":
            await self.may_go_on.wait()
        # More than one chunk, so that the second waits until the first is sent.
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})
        self.answered.set()


@asynccontextmanager
async def serving(app: App, patience: Patience = SHORT) -> AsyncIterator[uvicorn.Server]:
    class Short(Connection):
        pass

    Short.patience = patience
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=Short)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@pytest_asyncio.fixture
async def app() -> App:
    return App()


@pytest_asyncio.fixture
async def connect(app: App) -> AsyncIterator[Connect]:
    """Open a connection to the application."""
    opened: list[asyncio.StreamWriter] = []

    async def opening() -> Streams:
        streams = await connected(server)
        opened.append(streams[1])
        return streams

    async with serving(app) as server:
        yield opening
        for writer in opened:
            writer.close()


async def connected(server: uvicorn.Server) -> Streams:
    port = server.servers[0].sockets[0].getsockname()[1]
    return await asyncio.open_connection("127.0.0.1", port)


def head(path: str = "/", length: int = 0, *more: str) -> bytes:
    return "\r\n".join(
        (f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {length}", *more, "", "")
    ).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def refusal(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Return the status and code of an answer after which the connection closes."""
    status, headers, body = await answer(reader)
    assert headers["connection"] == "close"
    assert await reader.read() == b""
    return status, json.loads(body)["error"]["code"]


async def dribble(writer: asyncio.StreamWriter, piece: bytes, every: float, times: int) -> None:
    for _ in range(times):
        if writer.is_closing():
            return
        writer.write(piece)
        await asyncio.sleep(every)


async def test_a_silent_connection_is_closed_without_an_answer(connect: Connect) -> None:
    reader, _ = await connect()
    async with asyncio.timeout(5):
        assert await reader.read() == b""


async def test_an_incomplete_head_has_a_deadline(connect: Connect) -> None:
    for sent, pieces in ((b"POST / HTTP/1.1\r\nHost", 0), (b"POST / HTTP/1.1\r\n", 100)):
        reader, writer = await connect()
        writer.write(sent)
        async with asyncio.timeout(5):
            slowly = asyncio.create_task(dribble(writer, b"X-Slow: 1\r\n", 0.05, pieces))
            assert await refusal(reader) == (408, "TOO_SLOW")
        slowly.cancel()


async def test_the_head_of_a_later_request_has_a_deadline_too(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(head())
    assert (await answer(reader))[0] == 200
    writer.write(b"POST / HT")
    async with asyncio.timeout(5):
        assert await refusal(reader) == (408, "TOO_SLOW")


async def test_a_head_has_a_maximum_size(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\n")
    await asyncio.sleep(0.05)
    # An endless header name, so that no header is ever complete.
    writer.write(b"x" * (SHORT.head_bytes + 1))
    assert await refusal(reader) == (431, "TOO_LARGE")


async def test_a_stalled_body_is_abandoned_and_the_application_notified(connect: Connect, app: App) -> None:
    reader, writer = await connect()
    writer.write(head(length=100) + b"x" * 50)
    async with asyncio.timeout(5):
        assert await refusal(reader) == (408, "TOO_SLOW")
        await app.disconnected.wait()


async def test_a_body_has_a_minimum_rate(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(head(length=1000))
    async with asyncio.timeout(1.2):
        slowly = asyncio.create_task(dribble(writer, b"x", 0.05, 100))
        assert await refusal(reader) == (408, "TOO_SLOW")
    slowly.cancel()


async def test_a_body_that_keeps_the_rate_is_accepted_despite_pauses(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(head(length=1500) + b"x" * 500)
    await dribble(writer, b"x" * 250, 0.2, 4)
    async with asyncio.timeout(5):
        assert (await answer(reader))[::2] == (200, b"1500")


async def test_a_body_that_keeps_the_rate_still_has_a_deadline(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(head(length=10**6))
    async with asyncio.timeout(5):
        slowly = asyncio.create_task(dribble(writer, b"x" * 200, 0.1, 100))
        assert await refusal(reader) == (408, "TOO_SLOW")
    slowly.cancel()


@pytest.mark.parametrize("more", [(), ("Expect: 100-continue",)], ids=["unread", "not asked for"])
async def test_the_applications_own_delay_is_not_counted(connect: Connect, more: tuple[str, ...]) -> None:
    """The application reads late: the body is buffered, or not sent before 100 Continue."""
    reader, writer = await connect()
    length = 4 * 1024 * 1024
    writer.write(head("/late", length, *more))
    if more:
        await reader.readuntil(b"100 Continue\r\n\r\n")
    writer.write(b"x" * length)
    async with asyncio.timeout(10):
        assert (await answer(reader))[::2] == (200, str(length).encode())


async def test_an_unread_answer_is_abandoned(connect: Connect, app: App) -> None:
    reader, writer = await connect()
    writer.transport.pause_reading()
    writer.write(head("/large"))
    async with asyncio.timeout(10):
        await app.answered.wait()
    writer.transport.resume_reading()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await answer(reader)


async def test_a_slowly_read_answer_arrives(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(head("/large"))
    await reader.readuntil(b"\r\n\r\n")
    left = LARGE
    async with asyncio.timeout(20):
        while left:
            left -= len(await reader.readexactly(min(left, LARGE // 16)))
            await asyncio.sleep(SHORT.pause / 5)


async def test_a_request_that_is_not_http_is_refused_with_a_code(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"\x16\x03\x01\r\n\r\n")
    assert await refusal(reader) == (400, "MALFORMED")


async def test_a_stopping_server_answers_requests_on_open_connections(app: App) -> None:
    """It does so on an idle connection, on one with a running request, and on a new one."""
    async with serving(app) as server:
        (waiting, to_waiting), (busy, to_busy), (new, to_new) = [await connected(server) for _ in range(3)]
        to_waiting.write(head())
        assert "connection" not in (await answer(waiting))[1]
        to_busy.write(head("/late"))
        await asyncio.sleep(0.05)
        server.should_exit = True
        while server.servers[0].sockets:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        to_waiting.write(head(length=3) + b"abc")
        to_new.write(head(length=2) + b"ab")
        for reader, body in ((waiting, b"3"), (new, b"2"), (busy, b"0")):
            status, headers, got = await answer(reader)
            assert (status, headers["connection"], got) == (200, "close", body)
            assert await reader.read() == b""
        for writer in (to_waiting, to_busy, to_new):
            writer.close()


async def stopped(server: uvicorn.Server) -> None:
    """Stop the server and wait until its connections know."""
    server.should_exit = True
    while not all(connection._stopping for connection in server.server_state.connections):  # noqa: ASYNC110 - the same
        await asyncio.sleep(0.01)


async def test_an_answer_already_begun_at_the_stop_is_followed_by_one_more(app: App) -> None:
    """It has already promised to keep the connection open."""
    async with serving(app) as server:
        reader, writer = await connected(server)
        writer.write(head("/begun"))
        await reader.readuntil(b"\r\n\r\n")
        await stopped(server)
        app.may_go_on.set()
        assert await reader.readexactly(1) == b"0"
        writer.write(head(length=1) + b"a")
        status, headers, body = await answer(reader)
        assert (status, headers["connection"], body) == (200, "close", b"1")
        writer.close()


async def test_a_request_half_received_at_the_stop_is_answered(app: App) -> None:
    async with serving(app, replace(SHORT, head=10)) as server:
        reader, writer = await connected(server)
        writer.write(head(length=1)[:-4])
        await asyncio.sleep(0.05)
        await stopped(server)
        await asyncio.sleep(SHORT.linger + 0.05)
        writer.write(head(length=1)[-4:] + b"a")
        assert (await answer(reader))[::2] == (200, b"1")
        writer.close()


async def test_a_stopping_server_opens_no_websocket(app: App) -> None:
    async with serving(app) as server:
        reader, writer = await connected(server)
        await asyncio.sleep(0.05)
        await stopped(server)
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        writer.write(head("/", 0, *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
        assert await refusal(reader) == (503, "OVERLOADED")
        writer.close()


async def test_a_stopping_server_closes_silent_connections(app: App) -> None:
    async with serving(app) as server:
        reader, writer = await connected(server)
        await asyncio.sleep(0.05)
        server.should_exit = True
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
