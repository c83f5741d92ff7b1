"""`gql`, the GraphQL client for Python: its story is that of the clients for the web."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

from tests.clients.web.story import FOLDER, TOLD, Story

pytestmark = pytest.mark.prove_on("postgresql", "The same client tells the same story on SQLite.")


def request(name: str, **variables: Any) -> GraphQLRequest:
    document = (FOLDER / "documents" / f"{name}.graphql").read_text("utf-8")
    return GraphQLRequest(document, variable_values=variables)


def names(page: Any) -> str:
    return "".join(edge["node"]["name"] for edge in page["edges"])


async def page_through(session: Any, told: Story) -> None:
    for end, place, cursor, more, said in (
        ("first", "after", "endCursor", "hasNextPage", "forward"),
        ("last", "before", "startCursor", "hasPreviousPage", "backward"),
    ):
        variables: dict[str, Any] = {end: 2}
        found = ""
        while True:
            answer = await session.execute(request("page", **variables))
            page = answer["customers"]
            found = found + names(page) if end == "first" else names(page) + found
            await told.hear({said: found})
            if not page["pageInfo"][more]:
                break
            variables[place] = page["pageInfo"][cursor]


async def follow(told: Story) -> str:
    """Subscribe until the last change, again after each loss of the connection; return the record's id."""
    transport = WebsocketsTransport(told.url.replace("http", "ws"), init_payload=told.headers)
    since = told.since
    while True:
        try:
            async with Client(transport=transport) as session:
                async for answer in session.subscribe(request("changes", since=since)):
                    change = answer["changes"]
                    since = change["cursor"]
                    if key := change["after"].get("externalKey"):
                        await told.hear({"heard": key})
                    if key == "last":
                        return str(change["recordId"])
        except (TransportError, OSError):
            await asyncio.sleep(0.05)


async def test_gql_tells_the_same_story(told: Story) -> None:
    async with Client(transport=AIOHTTPTransport(told.url, headers=told.headers)) as session:

        async def create(**values: str) -> Any:
            return (await session.execute(request("create", input=values)))["createCustomer"]

        await told.hear({"created": (await create(name="E"))["name"]})
        await told.hear({"refused": await create(name="F", parentId="0", billingCustomerId="0")})
        await page_through(session, told)
        history = request("history", id=await follow(told))
        edges = (await session.execute(history))["changes"]["edges"]
        await told.hear({"cached": len({edge["node"]["id"] for edge in edges})})
    assert told.told | {"complained": TOLD["complained"]} == TOLD
