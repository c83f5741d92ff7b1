"""The story that every client tells: pages both ways, a mutation and a refusal, changes across a cut."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.links import Link, linked
from tests.support.serving import listening
from tests.support.sockets import settle

UPDATE = "mutation ($input: UpdateCustomerInput!) { updateCustomer(input: $input) { __typename } }"
FOLDER = Path(__file__).parent
TOLD = {
    "created": ["E"],
    "refused": [{"code": "INVALID", "errors": [{"field": "parentId"}, {"field": "billingCustomerId"}]}],
    "forward": ["AB", "ABCD", "ABCDE"],
    "backward": ["DE", "BCDE", "ABCDE"],
    "heard": ["first", "missed", "last"],
    "cached": [4],
    "complained": ["", 0],
}


@dataclass
class Story:
    """A server behind a link, an organisation with four customers, and what a client has said so far."""

    url: str
    link: Link
    headers: dict[str, str]
    since: str
    update: Callable[[str], Any]
    told: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    async def hear(self, line: dict[str, Any]) -> None:
        """Note what a client says. At the first change the link is cut, and the next happens meanwhile."""
        for name, value in line.items():
            self.told[name].append(value)
        if line == {"heard": "first"}:
            assert self.link.cut()
            await self.update("missed")
            self.link.mend()
        elif line == {"heard": "missed"}:
            await self.update("last")

    async def play(self, script: str) -> dict[str, list[Any]]:
        """Run a script; return what it said."""
        environment = {
            **os.environ,
            "GRAPHQL_URL": self.url,
            "AUTHORIZATION": self.headers["Authorization"],
            "SINCE": self.since,
        }
        client = await asyncio.create_subprocess_exec(
            "node", FOLDER / "scripts" / script, env=environment, stdout=-1, stderr=-1
        )
        assert client.stdout is not None
        assert client.stderr is not None
        complaints = asyncio.create_task(client.stderr.read())
        try:
            async with asyncio.timeout(60):
                async for line in client.stdout:
                    await self.hear(orjson.loads(line))
                self.told["complained"] = [(await complaints).decode(), await client.wait()]
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()
        return self.told


@asynccontextmanager
async def story(
    app: Starlette, house: House, headers: dict[str, str], client: httpx2.AsyncClient
) -> AsyncIterator[Story]:
    first, *_ = [await house.run("createCustomer", name=name) for name in "ABCD"]
    since = await settle(house)

    async def update(key: str) -> None:
        """Through the server, which then wakes its subscribers at once."""
        variables = {"input": {"customerId": str(first.id), "externalKey": key}}
        answer = await client.post(
            "/graphql", json={"query": UPDATE, "variables": variables}, headers=headers
        )
        assert answer.json() == {"data": {"updateCustomer": {"__typename": "Customer"}}}

    await update("first")
    async with listening(app) as host, linked(host) as link:
        yield Story(f"http://127.0.0.1:{link.port}/graphql", link, headers, since, update)
