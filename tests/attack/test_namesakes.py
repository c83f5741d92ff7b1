"""Two organisations with the same account, device, customer and operation ids do not affect each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from tests.support.house import House
from tests.support.serving import served
from tests.support.sockets import change, hear, say, subscribe
from tournee.api import sockets
from tournee.kernel.entity import new_id

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

PASSWORD = "a long password"


@dataclass
class Person:
    """An account and its device at the server; the namesake has the same ids."""

    client: httpx2.AsyncClient
    address: str
    house: House
    account: UUID
    device: UUID
    customer: UUID
    email: str
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def sign_in(self) -> None:
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        answer = await self.client.post("/auth/token", data=form | {"device": str(self.device)})
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()

    async def pull(self) -> tuple[int, Any]:
        answer = await self.client.get("/sync/pull", headers=self.headers)
        return answer.status_code, answer.json()

    async def push(self, operation: UUID) -> tuple[int, Any]:
        made = {
            "id": str(operation),
            "number": 1,
            "command": "createCustomer",
            "input": {"id": str(self.customer), "name": f"Customer of {self.email}"},
            "base": 0,
            "occurredAt": "2026-11-23T09:12:00Z",
        }
        body = {"device": str(self.device), "schema": 1, "operations": [made]}
        answer = await self.client.post("/sync/push", json=body, headers=self.headers)
        return answer.status_code, answer.json()

    async def ask(self) -> tuple[int, Any]:
        answer = await self.client.post("/graphql", json={"query": "{me{id}}"}, headers=self.headers)
        return answer.status_code, answer.json()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        async with connect(f"ws://{self.address}/graphql", subprotocols=["graphql-transport-ws"]) as opened:  # type: ignore[list-item]
            await say(opened, type="connection_init", payload=self.headers)
            assert (await hear(opened))["type"] == "connection_ack"
            await subscribe(opened)
            yield opened

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[str]]:
        async with self.client.stream("GET", "/sync/stream", headers=self.headers) as answer:
            assert answer.status_code == 200
            yield answer.aiter_lines()


@pytest_asyncio.fixture
async def people(app: Starlette, house: House) -> AsyncIterator[tuple[Person, Person]]:
    """Return the person who is acted on, and the namesake who must not be affected."""
    other = await House(house.database).found()
    account, device, customer = new_id(), new_id(), new_id()
    async with served(app) as endpoint:
        address = endpoint.removesuffix("/graphql")
        async with httpx2.AsyncClient(base_url=f"http://{address}") as client:
            pair = []
            for of in (house, other):
                email = f"{of.organisation_id}@demo.example"
                await of.account("MANAGER", id=account, email=email, password=PASSWORD)
                pair.append(Person(client, address, of, account, device, customer, email))
                await pair[-1].sign_in()
            yield pair[0], pair[1]


async def test_the_same_operation_id_is_separate_in_each_organisation(people: tuple[Person, Person]) -> None:
    operation = new_id()
    for person in people:
        status, body = await person.push(operation)
        assert (status, body["outcomes"][0]["status"]) == (200, "applied")
    for person in people:
        (customer,) = [one for one in (await person.pull())[1]["changes"] if one["entity"] == "Customer"]
        assert customer["record"]["name"] == f"Customer of {person.email}"
        assert (await person.push(operation))[1]["outcomes"][0]["status"] == "duplicate"


async def test_a_device_revoked_in_one_organisation_still_works_in_the_other(
    people: tuple[Person, Person],
) -> None:
    revoked, namesake = people
    await revoked.pull()
    await revoked.house.run("revokeDevice", deviceId=revoked.device)
    for _ in range(3):
        status, body = await revoked.pull()
        assert (status, body["error"]["code"], body["error"]["wipe"]) == (403, "DEVICE_REVOKED", True)
        assert [(await namesake.pull())[0], (await namesake.ask())[0]] == [200, 200]
    assert (await namesake.push(new_id()))[0] == 200


async def test_an_account_disabled_in_one_organisation_still_works_in_the_other(
    people: tuple[Person, Person], app: Starlette
) -> None:
    disabled, namesake = people
    app.state.authenticator.believed_seconds = 0.0
    await disabled.house.run("disableAccount", accountId=disabled.account)
    for _ in range(3):
        assert (await namesake.pull())[0] == 200
        status, body = await disabled.pull()
        assert (status, body["error"]["code"]) == (401, "UNAUTHENTICATED")
        status, body = await disabled.push(new_id())
        assert (status, body["error"]["code"]) == (401, "UNAUTHENTICATED")


async def test_a_changed_role_or_password_changes_nothing_in_the_other_organisation(
    people: tuple[Person, Person], app: Starlette
) -> None:
    changed, namesake = people
    app.state.authenticator.believed_seconds = 0.0
    await changed.house.run("updateAccount", accountId=changed.account, role="DISPATCHER")
    assert (await changed.pull())[1]["error"]["code"] == "TOKEN_EXPIRED"
    await changed.house.run("setPassword", accountId=changed.account, password="quite another")
    assert (await changed.pull())[1]["error"]["code"] == "UNAUTHENTICATED"
    assert [(await namesake.pull())[0], (await namesake.push(new_id()))[0]] == [200, 200]


async def test_connections_of_one_organisation_neither_use_up_nor_close_the_others(
    people: tuple[Person, Person], app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CHECK_SECONDS", 0.05)
    app.state.lanes.streams.each = 2
    shut_out, namesake = people
    async with (
        shut_out.socket() as theirs,
        namesake.socket() as mine,
        shut_out.stream() as their_lines,
        namesake.stream() as my_lines,
        asyncio.timeout(10),
    ):
        await shut_out.house.run("revokeDevice", deviceId=shut_out.device)
        await theirs.wait_closed()
        assert (theirs.close_code, theirs.close_reason) == (4401, "DEVICE_REVOKED")
        assert "DEVICE_REVOKED" in await line(their_lines, "error")
        await namesake.push(new_id())
        assert str(namesake.customer) in await line(my_lines, str(namesake.customer))
        while (await change(mine))["entity"] != "Customer":
            pass


async def line(lines: AsyncIterator[str], holding: str) -> str:
    """Return the first line of a stream that contains this text."""
    async for one in lines:
        if holding in one:
            return one
    raise AssertionError(f"no line contains {holding}")
