"""A connection that can be cut: a TCP proxy in front of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Link:
    """Passes bytes on in both directions. `cut` ends all connections; none is accepted until `mend`."""

    def __init__(self, host: str) -> None:
        self._target = host.split(":")
        self._connected: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.port = 0

    def cut(self) -> int:
        """Return how many connections there were."""
        self._is_cut = True
        ended = len(self._connected)
        for writer in self._connected:
            writer.transport.abort()
        self._connected.clear()
        return ended

    def mend(self) -> None:
        self._is_cut = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        inner, outer = await asyncio.open_connection(*self._target)
        self._connected |= {writer, outer}
        await asyncio.gather(_pass(reader, outer), _pass(inner, writer))
        self._connected -= {writer, outer}


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def linked(host: str) -> AsyncIterator[Link]:
    """Yield a link to `host:port`; its own port is on 127.0.0.1."""
    link = Link(host)
    async with await asyncio.start_server(link.accept, "127.0.0.1", 0) as server:
        link.port = server.sockets[0].getsockname()[1]
        yield link
        link.cut()
