"""Operations without effect are retried or dismissed."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from tests.support.clashes import Clashes
from tests.support.world import at
from tournee.assets.models import Asset
from tournee.catalogue import COMMANDS
from tournee.customers.models import Contact
from tournee.kernel.conflict import Conflict, ConflictStatus
from tournee.kernel.errors import Blocked, NotFound
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.models import ParkedOperation, Receipt
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest
from tournee.work.models import AppointmentEvent, Note

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_a_refused_operation_is_retried_as_its_author_once_nothing_blocks_it(
    clashes: Clashes,
) -> None:
    conflict = await clashes.of(OPERATION_REJECTED)
    await clashes.resolve(conflict, "RETRY")
    (asset,) = await clashes.world.house.rows(Asset, name="Demo pump found")
    (change,) = await clashes.house.changes(asset.id)
    assert (change.command, change.actor_id, change.device_id) == (
        "createAsset", clashes.device.actor.id, clashes.device.id
    )  # fmt: skip
    assert str(change.operation_id) in conflict.operation_ids
    await clashes.device.pull()
    assert asset.id in clashes.device.rows


async def test_an_operation_refused_again_stays_open(clashes: Clashes) -> None:
    outcome = await clashes.device.do("addNote", workOrderId=uuid4(), text="Demo")
    (conflict,) = await clashes.world.conflicts()
    assert (outcome.conflict, conflict.theirs["code"]) == (str(conflict.id), "NOT_FOUND")
    with pytest.raises(NotFound):
        await clashes.resolve(conflict, "RETRY")
    assert (await clashes.read(conflict)).status is ConflictStatus.OPEN
    await clashes.resolve(conflict, "DISMISS", note="Demo: a test.")
    await clashes.device.pull()
    assert clashes.on_device(conflict.id)["note"] == "Demo: a test."


async def test_an_operation_on_a_record_no_longer_visible_is_applied_for_a_decider_who_sees_it(
    clashes: Clashes,
) -> None:
    """The base that the device sends is from after the visit left its copy."""
    other = await clashes.world.technician()
    await clashes.office("reassignAppointment", appointmentId=clashes.visit.id, technicianId=other.id)
    await clashes.device.pull()
    steps = [
        await clashes.device.do("startTravel", appointmentId=clashes.visit.id, at=at(0)),
        await clashes.device.do("addNote", workOrderId=clashes.order.id, text="Demo"),
        await clashes.device.do("updateAsset", assetId=clashes.asset.id, notes="Demo"),
    ]
    assert [(outcome.status, outcome.code) for outcome in steps] == [("rejected", "NOT_FOUND")] * 3
    for conflict in await clashes.world.conflicts():
        await clashes.resolve(conflict, "RETRY")
        assert (await clashes.read(conflict)).resolution == "RETRY"
    (event,) = await clashes.world.house.rows(AppointmentEvent, to_status="EN_ROUTE")
    assert (event.appointment_id, event.accepted_as) == (clashes.visit.id, "FACT")
    (note,) = await clashes.world.house.rows(Note, text="Demo")
    assert note.work_order_id == clashes.order.id
    assert (await clashes.read(clashes.asset)).notes == "Demo"


async def quarantined(clashes: Clashes) -> tuple[Conflict, dict[str, Any]]:
    """Return an operation that crashed twice on a defect that is fixed since."""

    async def crash(*_: Any) -> Any:
        raise ZeroDivisionError

    made = await clashes.house.account("DISPATCHER")
    clashes.device.actor = made
    clashes.device.id = uuid4()
    broken = COMMANDS | {
        "createContact": dataclasses.replace(COMMANDS["createContact"], name="x", function=crash)
    }
    given = {"customerId": clashes.world.customer.id, "name": "Demo Reception"}
    operation = clashes.device.operation("createContact", **given)
    for handed_in in ([operation], []):
        await push(clashes.house.kernel, broken, made, PushRequest(clashes.device.id, handed_in))
    (conflict,) = await clashes.world.conflicts()
    assert (conflict.kind, conflict.role) == (OPERATION_QUARANTINED, "MANAGER")
    return conflict, operation


async def waiting(clashes: Clashes, model: Any) -> list[str]:
    async with clashes.house.reading() as session:
        here = model.organisation_id == clashes.house.organisation_id
        found = select(model).where(here, model.device_id == clashes.device.id)
        return [getattr(row, "status", "parked") for row in await session.scalars(found)]


async def test_a_crashed_operation_is_applied_once_the_defect_is_fixed(clashes: Clashes) -> None:
    conflict, operation = await quarantined(clashes)
    assert await waiting(clashes, ParkedOperation) == ["parked"]
    await clashes.resolve(conflict, "RETRY", "MANAGER")
    assert len(await clashes.world.house.rows(Contact, name="Demo Reception")) == 1
    assert (await waiting(clashes, ParkedOperation), await waiting(clashes, Receipt)) == ([], ["applied"])
    # It is not applied again when the device resends it.
    (outcome,) = await clashes.device.push(operation)
    assert outcome.status == "duplicate"
    assert len(await clashes.world.house.rows(Contact, name="Demo Reception")) == 1


async def test_a_crashed_operation_can_be_dismissed_without_effect(clashes: Clashes) -> None:
    conflict, operation = await quarantined(clashes)
    await clashes.resolve(conflict, "DISMISS", "MANAGER")
    assert (await waiting(clashes, ParkedOperation), await waiting(clashes, Receipt)) == ([], ["rejected"])
    (outcome,) = await clashes.device.push(operation)
    assert (outcome.status, outcome.code) == ("rejected", "DISMISSED")
    assert await clashes.world.house.rows(Contact, name="Demo Reception") == []


async def test_an_operation_too_large_to_store_cannot_be_retried(clashes: Clashes) -> None:
    await clashes.device.do("addNote", workOrderId=uuid4(), text="Demo " * 3000, more="x" * 100_000)
    (conflict,) = await clashes.world.conflicts()
    with pytest.raises(Blocked):
        await clashes.resolve(conflict, "RETRY")
