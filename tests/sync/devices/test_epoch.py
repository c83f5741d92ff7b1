"""A device sends the epoch of its last push's answer, and learns when that epoch is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio

from tests.support.house import House
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now
from tournee.sync.devices.restored import begin_anew

Push = Callable[..., Awaitable[dict[str, Any]]]


@pytest_asyncio.fixture
async def push(house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]) -> Push:
    """Push one more customer from a dispatcher's device, with these fields in the body."""
    headers, device = bearer(await house.account("DISPATCHER")), str(uuid4())
    numbers = iter(range(1, 100))

    async def handed_in(**said: Any) -> dict[str, Any]:
        operation = {
            "id": str(new_id()),
            "number": next(numbers),
            "command": "createCustomer",
            "input": {"id": str(new_id()), "name": "Demo Hotel"},
            "occurredAt": now().isoformat(),
        }
        body = {"device": device, "schema": 1, "operations": [operation], **said}
        response = await client.post("/sync/push", json=body, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    return handed_in


async def test_an_epoch_is_valid_until_a_backup_is_restored(house: House, push: Push) -> None:
    first = await push()
    again = await push(epoch=first["epoch"])
    assert again["outcomes"][0]["status"] == "applied"
    assert (again["epoch"], again.get("resync")) == (first["epoch"], None)
    await begin_anew(house.database)
    lost = await push(epoch=first["epoch"])
    assert (lost["outcomes"], lost["nextNumber"], lost["resync"]) == ([], None, True)
    assert UUID(lost["epoch"]) != UUID(first["epoch"])
    third = await push(epoch=lost["epoch"])
    assert third["outcomes"][0]["status"] == "applied"
    assert third["epoch"] == lost["epoch"]


async def test_a_push_that_names_a_lost_epoch_applies_nothing(house: House, push: Push) -> None:
    await push()
    before = await house.seq()
    assert (await push(epoch=str(uuid4())))["resync"] is True
    assert await house.seq() == before


async def test_a_devices_first_push_may_name_an_old_epoch(push: Push) -> None:
    assert (await push(epoch=str(uuid4())))["resync"] is True
    assert (await push())["outcomes"][0]["status"] == "applied"


@pytest.mark.parametrize("epoch", [None, 5, "", "second", [], {}, True, "\x00"])
async def test_an_unreadable_epoch_is_ignored(push: Push, epoch: Any) -> None:
    assert (await push(epoch=epoch))["outcomes"][0]["status"] == "applied"


async def test_a_device_with_a_newer_schema_receives_the_epoch_too(push: Push) -> None:
    first = await push()
    ahead = await push(schema=99, epoch=first["epoch"])
    assert (ahead["outcomes"][0]["code"], ahead["epoch"]) == ("SCHEMA_TOO_NEW", first["epoch"])
    assert (await push(schema=99, epoch=str(uuid4())))["resync"] is True


async def test_an_operation_waiting_in_the_backup_keeps_its_place_among_resent_ones(
    house: House, push: Push
) -> None:
    customer = str(new_id())
    made = {"command": "createCustomer", "input": {"id": customer, "name": "Demo"}}
    named = [{"command": "updateCustomer", "input": {"customerId": customer, "name": name}} for name in "AB"]
    first, second, third = [
        {"id": str(new_id()), "number": number, "occurredAt": now().isoformat(), **did}
        for number, did in enumerate([made, *named], 1)
    ]
    told = await push(operations=[first])
    waits = await push(operations=[third])
    assert waits["outcomes"][0]["status"] == "parked"
    await begin_anew(house.database)
    anew = await push(operations=[first], epoch=told["epoch"])
    known = await push(operations=[first], epoch=anew["epoch"])
    assert (known["outcomes"][0]["status"], known["nextNumber"]) == ("duplicate", 2)
    again = await push(operations=[first, second, third], epoch=anew["epoch"])
    assert [outcome["status"] for outcome in again["outcomes"]] == ["duplicate", "applied", "applied"]
    assert again["outcomes"][2]["record"]["name"] == "B"
