"""Operations of older apps, and of devices that were offline for longer than the log is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer, Interaction
from tournee.engine.horizon import raise_floor
from tournee.kernel.entity import now
from tournee.sync.models import Receipt
from tournee.sync.push import upcasts
from tournee.sync.push.push import Answer, push
from tournee.sync.push.receipts import purge_receipts
from tournee.sync.push.request import PushRequest
from tournee.sync.push.upcasts import OPERATION_SCHEMA, STEPS, upcast

TALK = {"channel": "PHONE", "direction": "INBOUND", "subject": "Demo", "occurredAt": "2026-01-02T03:04:05Z"}


@pytest.fixture
def device(house: House) -> TestDevice:
    return TestDevice(house, "MANAGER")


async def hand_in(device: TestDevice, *operations: Any, schema: int) -> Answer:
    return await push(
        device.house.kernel, COMMANDS, device.actor, PushRequest(device.id, list(operations), schema=schema)
    )


async def count(house: House, model: Any) -> int:
    async with house.reading() as session:
        own = select(func.count()).select_from(model)
        return await session.scalar(own.where(model.organisation_id == house.organisation_id)) or 0


async def test_an_operation_of_schema_1_is_applied(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    operation = device.operation("recordInteraction", customerId=customer.id, **TALK)
    (outcome,) = (await hand_in(device, operation, schema=1)).outcomes
    assert outcome.status == "applied"
    async with house.reading() as session:
        talk = await session.get_one(Interaction, (house.organisation_id, outcome.record_id))
    assert talk.occurred_at.isoformat() == "2026-01-02T03:04:05+00:00"


async def test_a_repetition_after_a_server_upgrade_is_a_duplicate(
    house: House, device: TestDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt's hash is of the operation as sent, before any upcast."""
    customer = await house.run("createCustomer", name="Demo Hotel")
    operation = device.operation("recordInteraction", customerId=customer.id, **TALK)
    await hand_in(device, operation, schema=1)
    later = {("recordInteraction", 1): upcasts.renamed("recordInteraction", occurredAt="heldAt")}
    monkeypatch.setattr(upcasts, "STEPS", later)
    (outcome,) = (await hand_in(device, operation, schema=1)).outcomes
    assert outcome.status == "duplicate"


async def test_an_operation_parked_in_an_old_schema_is_replayed_in_it(
    house: House, device: TestDevice
) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    first = device.operation("createCustomer", name="First")
    missing = device.operation("createCustomer", name="Missing")
    talk = device.operation("recordInteraction", customerId=customer.id, **TALK)
    await hand_in(device, first, schema=1)
    await hand_in(device, talk, schema=1)
    await hand_in(device, missing, schema=OPERATION_SCHEMA)
    assert await count(house, Interaction) == 1


async def test_a_newer_schema_is_refused_without_loss(house: House, device: TestDevice) -> None:
    operation = device.operation("createCustomer", name="Demo Hotel")
    answer = await hand_in(device, operation, schema=OPERATION_SCHEMA + 1)
    assert [(one.status, one.code) for one in answer.outcomes] == [("parked", "SCHEMA_TOO_NEW")]
    assert await count(house, Customer) == 0
    (outcome,) = (await hand_in(device, operation, schema=OPERATION_SCHEMA)).outcomes
    assert outcome.status == "applied"


def test_upcasts_are_applied_in_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcasts, "OPERATION_SCHEMA", 4)
    monkeypatch.setattr(
        upcasts,
        "STEPS",
        {("a", 1): upcasts.renamed("b", x="y"), ("b", 3): upcasts.renamed("c", y="z")},
    )
    assert upcast("a", {"x": 1}, 1) == ("c", {"z": 1})
    assert upcast("b", {"y": 1}, 2) == ("c", {"z": 1})
    assert upcast("b", {"y": 1}, 4) == ("b", {"y": 1})


def test_every_upcast_leads_to_an_existing_command() -> None:
    for command, schema in STEPS:
        name, _input = upcast(command, {}, schema)
        assert COMMANDS[name].offline


async def test_work_from_before_the_horizon_is_accepted_and_merged(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel", phone="before")
    await device.pull()
    edit = device.operation("updateCustomer", customerId=customer.id, phone="device", email="a@demo.example")
    await house.run("updateCustomer", customerId=customer.id, phone="office")
    await raise_floor(house.database, house.organisation_id, now() + timedelta(days=1))
    (outcome,) = await device.push(edit)
    assert (outcome.status, outcome.code) == ("merged", None)
    assert outcome.conflict is not None


async def test_receipts_are_kept_as_long_as_operations_are_accepted(house: House, device: TestDevice) -> None:
    old, new = (device.operation("createCustomer", name=name) for name in ("Old", "New"))
    await device.push(old, new)
    async with house.database.writing(house.organisation_id) as session:
        await session.execute(
            update(Receipt)
            .where(Receipt.organisation_id == house.organisation_id, Receipt.number == 1)
            .values(received_at=now() - timedelta(days=401))
            .execution_options(synchronize_session=False)
        )
        await session.commit()
    assert await purge_receipts(house.database, house.organisation_id, now() - timedelta(days=400)) == 1
    assert [one.status for one in await device.push(new)] == ["duplicate"]
