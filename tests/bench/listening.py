"""The clients of the stream benchmark, in their own process: python -m tests.bench.listening PORT FILE.

FILE has a bearer header and a cursor per line. Prints `ready` once all are connected, and at the end of
its input, as JSON, the second at which each tick arrived at each client.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import partial
from pathlib import Path

_TICK = re.compile(rb"tick-(\d+)")


class Listener(asyncio.Protocol):
    """One stream."""

    def __init__(self, arrived: list[tuple[int, float]], request: bytes) -> None:
        self.arrived = arrived
        self.request = request
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self.arrived += [(int(tick), at) for tick in _TICK.findall(data)]
        if b": connected" in data and not self.connected.done():
            self.connected.set_result(None)


async def main(port: int, lines: list[str]) -> None:
    loop = asyncio.get_running_loop()
    arrived: list[tuple[int, float]] = []
    listeners = []
    for line in lines:
        bearer, cursor = line.split(",")
        target = f"GET /sync/stream?cursor={cursor} HTTP/1.1"
        request = f"{target}\r\nHost: bench\r\nAuthorization: {bearer}\r\n\r\n".encode()
        _, listener = await loop.create_connection(partial(Listener, arrived, request), "127.0.0.1", port)
        listeners.append(listener)
        if len(listeners) % 20 == 0:
            await asyncio.gather(*(one.connected for one in listeners[-20:]))
    await asyncio.gather(*(one.connected for one in listeners))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(arrived), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8").splitlines()))
