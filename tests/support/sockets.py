"""A socket that subscribes to changes, and helpers to use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from tests.support.ask import ask
from tests.support.house import House
from tournee.sync.http.wake import Wake

CHANGES = """subscription ($since: String, $entities: [String!]) {
  changes(since: $since, entities: $entities) { seq cursor entity id recordId removed command record } }"""


@asynccontextmanager
async def connected(
    address: str, token: str | None = "manager", **init: Any
) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{address}", subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        if token is not None:
            payload = init or {"Authorization": f"Bearer {token}"}
            await say(socket, type="connection_init", payload=payload)
            assert (await hear(socket))["type"] == "connection_ack"
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(orjson.dumps(message).decode())


async def hear(socket: ClientConnection) -> Any:
    text = await asyncio.wait_for(socket.recv(), 5)
    assert isinstance(text, str)
    return orjson.loads(text)


async def subscribe(socket: ClientConnection, id: str = "1", **variables: Any) -> None:
    await say(socket, type="subscribe", id=id, payload={"query": CHANGES, "variables": variables})


async def change(socket: ClientConnection) -> Any:
    message = await hear(socket)
    assert message["type"] == "next", message
    assert "errors" not in message["payload"], message
    return message["payload"]["data"]["changes"]


@asynccontextmanager
async def waking(house: House) -> AsyncIterator[Wake]:
    wake = Wake(house.database)
    await wake.start()
    try:
        yield wake
    finally:
        await wake.stop()


async def settle(house: House) -> str:
    """Return a cursor at the end of the log."""
    found = await ask(house, "{changes(last:1){nodes{cursor}}}")
    cursor: str = found["changes"]["nodes"][0]["cursor"]
    return cursor
