"""The GraphQL endpoint on real sockets, with a minimal sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from tests.support.house import House
from tournee.api.app import graphql_app
from tournee.auth.tokens import TokenRefused
from tournee.engine.lanes import Lane
from tournee.kernel.actor import Actor
from tournee.settings import Settings
from tournee.sync.http.wake import Wake


@dataclass
class Door:
    """Accepts known names as tokens of their actors and refuses all others."""

    house: House
    app: Any
    tokens: dict[str, Actor] = field(default_factory=dict)

    async def authenticate(self, token: str) -> Actor:
        if token not in self.tokens:
            raise TokenRefused("TOKEN_EXPIRED", "This token has run out.")
        return self.tokens[token]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["authenticate"] = self.authenticate
        headers = dict(scope.get("headers", ()))
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        scope["actor"] = self.tokens.get(token)
        await self.app(scope, receive, send)


def door(house: House, wake: Wake | None = None, **settings: Any) -> Door:
    """Return the endpoint, with `manager` and `technician` as tokens of the organisation's people."""
    app = graphql_app(house.kernel, Settings(heartbeat_seconds=0.2, **settings), wake)
    return Door(
        house, app, {role: house.actor(role.upper()) for role in ("manager", "dispatcher", "technician")}
    )


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve the application and yield the address of its GraphQL endpoint."""
    async with listening(app) as host:
        yield f"{host}/graphql"


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serve the application on a free port and yield `host:port`."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", http="httptools")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def saturated(*lanes: Lane) -> AsyncIterator[None]:
    """Fill every place and the whole line of these lanes inside the block."""
    async with AsyncExitStack() as stack:
        standing = []
        for lane in lanes:
            for _ in range(lane.running):
                await stack.enter_async_context(lane.turn(None))
            standing += [asyncio.create_task(lane.acquire()) for _ in range(lane.waiting)]
        await asyncio.sleep(0)
        yield
        for task in standing:
            task.cancel()
        await asyncio.gather(*standing, return_exceptions=True)
