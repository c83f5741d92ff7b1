"""A technician's device, the real server, and a manager who works at the same time."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.clients.served.field import PASSWORD, Field, Office, Open
from tests.support.house import House, wire
from tests.support.world import World
from tournee.kernel.actor import Actor
from tournee_client import Device, Store
from tournee_client.testing import FlakyTransport, StreamingASGITransport


@pytest_asyncio.fixture
async def device(open_device: Open, store: Store, field: Field) -> Device:
    """Return the technician's device, signed in."""
    signed_in = open_device(store)
    await signed_in.sign_in(field.email, PASSWORD)
    return signed_in


@pytest_asyncio.fixture
async def ask(
    house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]
) -> Callable[..., Awaitable[Any]]:
    """Run GraphQL queries as a manager."""
    headers = bearer(await house.account("MANAGER"))

    async def answer(document: str, **variables: Any) -> Any:
        body = {"query": document, "variables": wire(variables)}
        said = (await client.post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in said, said
        return said["data"]

    return answer


@pytest.fixture
def office(ask: Callable[..., Awaitable[Any]]) -> Office:
    """Run commands as a manager through GraphQL."""

    async def do(command: str, *, refusable: bool = False, **values: Any) -> None:
        kind = f"{command[0].upper()}{command[1:]}Input"
        asked = f"mutation Do($input: {kind}!) {{ done: {command}(input: $input) {{ __typename }} }}"
        done = (await ask(asked, input=values))["done"]
        assert refusable or done["__typename"] != "Refusal"

    return do


@pytest_asyncio.fixture
async def field(house: House) -> Field:
    world = await World(house).settle()
    email = f"{uuid4()}@demo.example"
    account = await house.account("TECHNICIAN", email=email, password=PASSWORD)
    row = await house.run("createTechnician", name="Demo Technician", accountId=account.id)
    return Field(world, email, row.id)


@pytest.fixture
def network(app: Starlette) -> FlakyTransport:
    return FlakyTransport(StreamingASGITransport(app))
