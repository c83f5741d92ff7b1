"""Answers that precede the end of the body arrive and cost a bounded amount, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.serving import listening
from tournee.web.admission import AdmissionMiddleware
from tournee.web.bodies import BodyMiddleware, DrainMiddleware
from tournee.web.middleware import RequestMiddleware

LIMIT = 1_000_000
MOST = 4 * LIMIT


async def early(_request: Request) -> Response:
    """Refuse before reading any of the body."""
    return PlainTextResponse("no", 401)


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


class FullLane:
    is_full = True

    def overloaded(self) -> Exception:
        from tournee.engine.lanes import Overloaded

        return Overloaded(7)


def application(seconds: float = 60.0) -> Starlette:
    return Starlette(
        routes=[Route("/early", early, methods=["POST"]), Route("/length", length, methods=["POST"])],
        middleware=[
            Middleware(DrainMiddleware, most=MOST, seconds=seconds),
            Middleware(RequestMiddleware),
            Middleware(BodyMiddleware, limit=LIMIT),
            Middleware(AdmissionMiddleware, path="/full", lane=FullLane()),
        ],
    )


Head = tuple[int, dict[str, str], bytes]


async def read_answer(reader: asyncio.StreamReader) -> Head:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(first.split(" ")[1]), headers, body


@asynccontextmanager
async def connected(host: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


EARLY = [
    ("POST", "/early", 401, LIMIT),
    ("POST", "/nothing", 404, LIMIT),
    ("PUT", "/length", 405, LIMIT),
    ("POST", "/full", 503, LIMIT),
    ("POST", "/length", 413, 3 * LIMIT),
]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
@pytest.mark.parametrize(("method", "path", "status", "size"), EARLY, ids=[str(row[2]) for row in EARLY])
async def test_an_early_answer_arrives_and_the_connection_stays_open(
    method: str, path: str, status: int, size: int, announced: bool
) -> None:
    """The client writes its whole body before it reads the answer, as most do."""
    body = b"x" * size
    framing = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
    async with listening(application()) as host, connected(host) as (reader, writer):
        writer.write(head(path, framing, method=method) + (body if announced else chunked(body)))
        await writer.drain()
        answered, headers, _ = await read_answer(reader)
        assert (answered, headers.get("connection")) == (status, None)
        writer.write(head("/length", "Content-Length: 3") + b"abc")
        assert (await read_answer(reader))[::2] == (200, b"3")


async def test_a_body_of_ten_gigabytes_is_not_read_to_its_end() -> None:
    """The answer comes at once, even to a client that keeps sending, and the connection closes."""
    async with listening(application()) as host, connected(host) as (reader, writer):
        writer.write(head("/length", "Content-Length: 10000000000"))
        answered, headers, body = await read_answer(reader)
        assert (answered, headers["connection"]) == (413, "close")
        assert b"TOO_LARGE" in body
        sent = await _send_until_refused(writer, 30 * MOST)
    # Data sent before it notices is still read, or else the answer might not reach it.
    assert 0.9 * MOST < sent < 10 * MOST


async def test_an_endless_chunked_body_is_cut_off() -> None:
    async with listening(application()) as host, connected(host) as (_, writer):
        writer.write(head("/early", "Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        sent = await _send_until_refused(writer, 30 * MOST, piece)
    assert sent < 10 * MOST


async def _send_until_refused(writer: asyncio.StreamWriter, most: int, piece: bytes = b"x" * 65536) -> int:
    sent = 0
    while sent < most:
        try:
            writer.write(piece)
            await writer.drain()
        except OSError:
            break
        sent += len(piece)
    return sent


async def test_a_missing_body_is_awaited_only_up_to_the_limit() -> None:
    async with listening(application(seconds=0.1)) as host, connected(host) as (reader, writer):
        writer.write(head("/early", "Content-Length: 1000") + b"x" * 10)
        answered, headers, _ = await asyncio.wait_for(read_answer(reader), 10)
        assert (answered, headers["connection"]) == (401, "close")
        assert await reader.read() == b""


async def test_a_client_expecting_100_continue_is_refused_without_its_body() -> None:
    async with listening(application()) as host, connected(host) as (reader, writer):
        writer.write(head("/early", "Content-Length: 1000", "Expect: 100-continue"))
        answered, headers, _ = await read_answer(reader)
        assert (answered, headers["connection"]) == (401, "close")
        assert await reader.read() == b""


async def test_a_client_expecting_100_continue_gets_it_when_its_body_is_needed() -> None:
    async with listening(application()) as host, connected(host) as (reader, writer):
        writer.write(head("/length", "Content-Length: 4", "Expect: 100-continue"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"body")
        assert (await read_answer(reader))[::2] == (200, b"4")


async def ask(path: str, *headers: str, content: bytes) -> Head:
    async with listening(application()) as host, connected(host) as (reader, writer):
        writer.write(head(path, f"Content-Length: {len(content)}", *headers) + content)
        return await read_answer(reader)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
@pytest.mark.parametrize("size", [0, 1, LIMIT])
async def test_a_gzip_body_is_unpacked(coding: str, size: int) -> None:
    packed = gzip.compress(b"x" * size)
    answer = await ask("/length", f"Content-Encoding: {coding}", content=packed)
    assert answer[::2] == (200, str(size).encode())


def bomb(size: int) -> bytes:
    """Return this many zeros, packed once and repeated, without the end, which nobody reads."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + again * (size // 1_000_000 - 1)


UNPACKABLE: list[tuple[Callable[[], bytes], int, bytes]] = [
    (lambda: gzip.compress(b"x" * (LIMIT + 1)), 413, b"TOO_LARGE"),
    (lambda: gzip.compress(b"x" * 100)[:-1], 400, b"MALFORMED"),
    (lambda: gzip.compress(b"x") + b"more", 400, b"MALFORMED"),
    (lambda: gzip.compress(b"x") * 2, 400, b"MALFORMED"),
    (lambda: b'{"device": 1}', 400, b"MALFORMED"),
]


@pytest.mark.parametrize(("content", "status", "code"), UNPACKABLE, ids=range(len(UNPACKABLE)))
async def test_a_damaged_gzip_body_is_refused(content: Callable[[], bytes], status: int, code: bytes) -> None:
    answered, _, body = await ask("/length", "Content-Encoding: gzip", content=content())
    assert answered == status
    assert code in body


async def test_a_body_that_unpacks_to_gigabytes_costs_no_more_than_the_limit() -> None:
    content = bomb(900_000_000)
    assert len(content) < LIMIT
    tracemalloc.start()
    answered, _, body = await ask("/length", "Content-Encoding: gzip", content=content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answered == 413
    assert b"TOO_LARGE" in body
    assert peak < 20 * LIMIT


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_another_content_encoding_is_refused_and_the_accepted_one_named(coding: str) -> None:
    answered, headers, body = await ask("/length", f"Content-Encoding: {coding}", content=b"abc")
    assert (answered, headers["accept-encoding"]) == (415, "gzip")
    assert b"UNSUPPORTED_ENCODING" in body


async def test_the_identity_encoding_is_accepted() -> None:
    assert (await ask("/length", "Content-Encoding: identity", content=b"abc"))[::2] == (200, b"3")
