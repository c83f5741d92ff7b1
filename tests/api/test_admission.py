"""The limits on simultaneous GraphQL sockets, subscriptions and queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.house import House
from tests.support.serving import saturated, served
from tests.support.sockets import hear, say, subscribe
from tournee.kernel.actor import Actor

Bearer = Callable[[Actor], dict[str, str]]
PROTOCOLS: Any = ["graphql-transport-ws"]


async def opened(socket: Any, headers: dict[str, str]) -> None:
    await say(socket, type="connection_init", payload=headers)
    assert (await hear(socket))["type"] == "connection_ack"


async def test_a_socket_over_the_limit_is_closed_with_a_time_to_retry(
    app: Starlette, house: House, bearer: Bearer
) -> None:
    me, lane = bearer(await house.account("MANAGER")), app.state.lanes.streams
    async with served(app) as address:
        async with saturated(lane):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{address}", subprotocols=PROTOCOLS)
            assert refused.value.response.status_code == 503
            assert orjson.loads(refused.value.response.body)["error"]["code"] == "OVERLOADED"
            assert int(refused.value.response.headers["Retry-After"]) >= 1
        async with connect(f"ws://{address}", subprotocols=PROTOCOLS) as socket, saturated(lane):
            await say(socket, type="connection_init", payload=me)
            with pytest.raises(ConnectionClosed):
                await hear(socket)
            assert (socket.close_code, str(socket.close_reason)[:10]) == (1013, "OVERLOADED")
        async with connect(f"ws://{address}", subprotocols=PROTOCOLS) as socket:
            await opened(socket, me)


async def test_a_closed_socket_frees_its_place(app: Starlette, house: House, bearer: Bearer) -> None:
    me, lane = bearer(await house.account("MANAGER")), app.state.lanes.streams
    lane.each = 1
    async with served(app) as address:
        async with connect(f"ws://{address}", subprotocols=PROTOCOLS) as first:
            await opened(first, me)
            async with connect(f"ws://{address}", subprotocols=PROTOCOLS) as second:
                await say(second, type="connection_init", payload=me)
                with pytest.raises(ConnectionClosed):
                    await hear(second)
                assert second.close_code == 1013
        async with connect(f"ws://{address}", subprotocols=PROTOCOLS) as third:
            await opened(third, me)


async def test_a_query_over_a_socket_waits_in_line_and_a_subscription_does_not(
    app: Starlette, house: House, bearer: Bearer
) -> None:
    me = bearer(await house.account("MANAGER"))
    async with served(app) as address, connect(f"ws://{address}", subprotocols=PROTOCOLS) as socket:
        await opened(socket, me)
        await subscribe(socket, id="changes")
        async with saturated(app.state.lanes.queries):
            await say(socket, type="subscribe", id="1", payload={"query": "{me{role}}"})
            told = await hear(socket)
            assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "OVERLOADED")
            assert told["payload"][0]["extensions"]["retryAfter"] >= 1
        await say(socket, type="subscribe", id="1", payload={"query": "{me{role}}"})
        assert (await hear(socket))["payload"] == {"data": {"me": {"role": "MANAGER"}}}
        assert (await hear(socket))["type"] == "complete"


async def test_an_event_stream_counts_towards_the_limits(
    app: Starlette, client: httpx2.AsyncClient, house: House, bearer: Bearer
) -> None:
    headers = {**bearer(await house.account("MANAGER")), "Accept": "text/event-stream"}
    asked = {"query": "{me{role}}"}
    for lane in (app.state.lanes.streams, app.state.lanes.queries):
        async with saturated(lane):
            refused = await client.post("/graphql", json=asked, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "OVERLOADED")
        assert int(refused.headers["Retry-After"]) >= 1
        answer = await client.post("/graphql", json=asked, headers=headers)
        assert (answer.status_code, "MANAGER" in answer.text) == (200, True)
