"""Operations that wait for a predecessor, a record or a bug fix, and end in the inbox at the latest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import update

from tests.support.device import TestDevice
from tests.support.field import checklist, site
from tests.support.house import House
from tournee.auth.models import Account
from tournee.catalogue import COMMANDS
from tournee.customers.models import Contact, Customer
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict, ConflictKind
from tournee.kernel.entity import new_id, now
from tournee.kernel.references import named_by
from tournee.procedures.models import ChecklistRun
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.messages import Outcome
from tournee.sync.models import DeviceState, ParkedOperation
from tournee.sync.push import batch
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.reviving import revive_for, revive_missed, revive_waiting


@pytest.fixture
def device(house: House) -> TestDevice:
    return TestDevice(house, "MANAGER")


async def inbox(house: House, kind: ConflictKind) -> list[Conflict]:
    return [entry for entry in await house.rows(Conflict) if entry.kind is kind]


async def states(house: House, device: TestDevice) -> list[DeviceState]:
    return [state for state in await house.rows(DeviceState) if state.device_id == device.id]


def child(device: TestDevice, customer: UUID, **more: Any) -> dict[str, Any]:
    return device.operation("createContact", customerId=customer, name="Demo Reception", **more)


async def someone(house: House) -> TestDevice:
    """Return a device whose account exists."""
    actor = await house.account("MANAGER")
    return TestDevice(house, actor=dataclasses.replace(actor, device_id=None))


async def test_a_child_waits_for_its_parent_in_a_later_push(house: House, device: TestDevice) -> None:
    customer = new_id()
    (outcome,) = await device.push(child(device, customer))
    assert (outcome.status, outcome.message) == ("parked", "Waits for a record that it names.")
    assert await house.rows(Contact) == []
    await device.push(device.operation("createCustomer", id=customer, name="Demo Hotel"))
    (contact,) = await house.rows(Contact)
    assert contact.customer_id == customer
    assert await house.rows(ParkedOperation) == []


async def test_an_operation_waiting_for_a_record_delays_nothing_else(
    house: House, device: TestDevice
) -> None:
    outcomes = await device.push(
        child(device, new_id()), device.operation("createCustomer", name="Demo Hotel")
    )
    assert [outcome.status for outcome in outcomes] == ["parked", "applied"]


@pytest.mark.parametrize("made", [new_id, uuid4], ids=["version 7", "version 4"])
async def test_a_child_before_its_parent_in_one_push_applies(
    house: House, device: TestDevice, made: Callable[[], UUID]
) -> None:
    customer, site = made(), made()
    family = [
        device.operation("createContact", customerId=customer, siteId=site, name="Demo Reception"),
        device.operation("createSite", id=site, customerId=customer, name="Demo House"),
        device.operation("createCustomer", id=customer, name="Demo Hotel"),
    ]
    outcomes = await device.push(*family)
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [("applied", None)] * 3
    assert await house.rows(ParkedOperation) == []
    assert [one.status for one in await device.push(*family)] == ["duplicate"] * 3


async def test_a_child_of_a_parent_refused_in_the_same_push_waits_for_the_decision(
    house: House, device: TestDevice
) -> None:
    customer = uuid4()
    refused = device.operation("createCustomer", id=customer, name="")
    outcomes = await device.push(child(device, customer), refused)
    assert [outcome.status for outcome in outcomes] == ["parked", "rejected"]


async def test_grandchildren_are_released_together(house: House, device: TestDevice) -> None:
    customer, site = new_id(), new_id()
    await device.push(device.operation("createContact", customerId=customer, siteId=site, name="Demo"))
    await device.push(device.operation("createSite", id=site, customerId=customer, name="Demo House"))
    await device.push(device.operation("createCustomer", id=customer, name="Demo Hotel"))
    assert len(await house.rows(Contact)) == 1


async def test_a_child_applies_once_the_office_creates_its_parent(house: House) -> None:
    device, customer = await someone(house), new_id()
    await device.push(child(device, customer))
    await house.run("createCustomer", id=customer, name="Demo Hotel")
    (contact,) = await house.rows(Contact)
    (change,) = await house.changes(contact.id)
    assert (change.actor_id, change.device_id) == (device.actor.id, device.id)


async def test_a_released_child_releases_its_own_children(house: House) -> None:
    one, other, customer, site = await someone(house), await someone(house), new_id(), new_id()
    await other.push(
        other.operation("createContact", customerId=customer, siteId=site, name="Demo Reception")
    )
    await one.push(one.operation("createSite", id=site, customerId=customer, name="Demo House"))
    await house.run("createCustomer", id=customer, name="Demo Hotel")
    assert (len(await house.rows(Contact)), await house.rows(ParkedOperation)) == (1, [])


async def test_a_parent_created_while_its_child_is_being_parked_is_not_missed(house: House) -> None:
    device, customer = await someone(house), new_id()
    answer = await device.push_all([child(device, customer)])
    # The transaction that creates it sees no waiting operation yet.
    alone = dataclasses.replace(house.kernel, goes_on=None)
    create = COMMANDS["createCustomer"]
    await alone.perform(
        house.actor("MANAGER"), create, create.parse({"id": str(customer), "name": "Demo Hotel"})
    )
    await revive_missed(house.kernel, COMMANDS, device.actor, device.id, answer)
    assert len(await house.rows(Contact)) == 1


async def test_a_mutation_releases_waiting_children(
    house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]
) -> None:
    device, customer = await someone(house), new_id()
    headers = bearer(device.actor)
    body = {"device": str(device.id), "schema": 2, "operations": [child(device, customer)]}
    pushed = await client.post("/sync/push", json=body, headers=headers)
    assert pushed.json()["outcomes"][0]["status"] == "parked"
    query = "mutation ($input: CreateCustomerInput!) { createCustomer(input: $input) { __typename } }"
    made = {"query": query, "variables": {"input": {"id": str(customer), "name": "Demo Hotel"}}}
    answer = await client.post("/graphql", json=made, headers=headers)
    assert answer.json() == {"data": {"createCustomer": {"__typename": "Customer"}}}
    assert len(await house.rows(Contact)) == 1


async def test_a_parent_from_another_device_releases_a_child(house: House) -> None:
    mine, theirs, customer = await someone(house), await someone(house), new_id()
    await mine.push(child(mine, customer))
    answer = await theirs.push_all([theirs.operation("createCustomer", id=customer, name="Demo Hotel")])
    heard = [(state.pushes, state.app, state.last_seen_at) for state in await states(house, mine)]
    await revive_for(house.kernel, COMMANDS, house.organisation_id, answer.made, theirs.id)
    (contact,) = await house.rows(Contact)
    (change,) = await house.changes(contact.id)
    assert (change.actor_id, change.device_id) == (mine.actor.id, mine.id)
    # The device itself sent nothing, so two-step removals still wait for its next push.
    assert [(state.pushes, state.app, state.last_seen_at) for state in await states(house, mine)] == heard


async def test_a_step_of_a_missing_record_waits_for_it_too(house: House) -> None:
    one, other, run = await someone(house), await someone(house), new_id()
    _, version = await checklist(house, [{"key": "clean", "prompt": "Clean", "kind": "TEXT"}])
    place = await site(house)
    (outcome,) = await one.push(one.operation("completeChecklistRun", runId=run, at=now()))
    assert (outcome.status, outcome.message) == ("parked", "Waits for a record that it names.")
    made = await other.push_all([other.operation("addChecklistRun", id=run, versionId=version, siteId=place)])
    await revive_for(house.kernel, COMMANDS, house.organisation_id, made.made, other.id)
    assert [row.status for row in await house.rows(ChecklistRun)] == ["COMPLETED"]


async def test_a_hidden_record_is_answered_like_a_missing_one(house: House) -> None:
    hidden = await house.run("createCustomer", name="Demo Hotel")
    technician = TestDevice(house, "TECHNICIAN")
    there, nowhere = new_id(), new_id()
    outcomes = await technician.push(
        *(
            technician.operation("recordInteraction", **call(id, at=now()))
            for id in (hidden.id, nowhere, there)
        )
    )
    told = [(one.status, one.code, one.message) for one in outcomes]
    assert told == [("parked", None, "Waits for a record that it names.")] * 3


def call(customer: UUID, **more: Any) -> dict[str, Any]:
    return {"customerId": customer, "channel": "PHONE", "direction": "INBOUND", "subject": "Demo", **more}


async def test_an_edit_of_a_record_that_the_device_saw_deleted_is_refused_at_once(
    house: House, device: TestDevice
) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    contact = await house.run("createContact", customerId=customer.id, name="Demo")
    await house.run("deleteContact", contactId=contact.id)
    await device.pull()
    outcome = await device.do("updateContact", contactId=contact.id, phone="1")
    assert (outcome.status, outcome.code) == ("rejected", "NOT_FOUND")


async def test_a_unit_waits_as_a_whole(house: House, device: TestDevice) -> None:
    unit, missing = uuid4(), new_id()
    outcomes = await device.push(
        device.operation("createCustomer", unit=unit, name="Demo Hotel"), child(device, missing, unit=unit)
    )
    assert [outcome.status for outcome in outcomes] == ["parked"] * 2
    assert await house.rows(Customer) == []
    await device.push(device.operation("createCustomer", id=missing, name="Demo Inn"))
    assert (len(await house.rows(Customer)), len(await house.rows(Contact))) == (2, 1)


async def test_a_child_without_a_parent_is_finally_refused_with_an_inbox_entry(house: House) -> None:
    device = await someone(house)
    operation = child(device, new_id())
    await device.push(operation)
    await revive_waiting(house.kernel, COMMANDS, house.organisation_id, now() - timedelta(days=1))
    assert len(await house.rows(ParkedOperation)) == 1
    await revive_waiting(house.kernel, COMMANDS, house.organisation_id, now() + timedelta(days=1))
    assert await house.rows(ParkedOperation) == []
    (entry,) = await inbox(house, OPERATION_REJECTED)
    assert entry.mine["operations"][0]["input"] == operation["input"]
    assert entry.theirs["code"] == "NOT_FOUND"
    assert ((await device.push(operation))[0].status, entry.role) == ("rejected", "DISPATCHER")


async def test_an_unfilled_gap_is_skipped_in_the_end(house: House) -> None:
    device = await someone(house)
    await device.do("createCustomer", name="First")
    device.number += 1
    await device.do("createCustomer", name="Third")
    assert len(await house.rows(Customer)) == 1
    await revive_waiting(house.kernel, COMMANDS, house.organisation_id, now() + timedelta(days=1))
    assert len(await house.rows(Customer)) == 2


async def test_a_parked_operation_cannot_be_replaced_under_its_id(house: House, device: TestDevice) -> None:
    first, missing, third = (device.operation("createCustomer", name=name) for name in ("1", "2", "3"))
    await device.push(first)
    await device.push(third)
    (outcome,) = await device.push(third | {"input": {"name": "Another"}})
    assert (outcome.status, outcome.code) == ("rejected", "OPERATION_REUSED")
    await device.push(missing)
    assert {row.name for row in await house.rows(Customer)} == {"1", "2", "3"}


async def test_a_number_that_cannot_be_read_leaves_no_gap(house: House, device: TestDevice) -> None:
    first, bad, third, worse, last = (device.operation("createCustomer", name=str(turn)) for turn in range(5))
    await device.push(first, bad | {"number": "two"}, third)
    await device.push(worse | {"number": None})
    (outcome,) = await device.push(last)
    assert outcome.status == "applied"
    assert len(await house.rows(Customer)) == 3


async def test_a_device_can_park_only_a_bounded_number_of_operations(
    house: House, device: TestDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_KEPT", 2)
    customer = new_id()
    children = [child(device, customer) for _ in range(3)]
    outcomes = await device.push(*children)
    assert [(one.status, one.code) for one in outcomes][1:] == [("parked", None), ("parked", "PARKED_LIMIT")]
    await device.push(device.operation("createCustomer", id=customer, name="Demo Hotel"))
    (outcome,) = await device.push(children[2])
    assert (outcome.status, len(await house.rows(Contact))) == ("applied", 3)


async def _crash(*_: Any) -> Any:
    raise ZeroDivisionError


BROKEN = COMMANDS | {
    "createContact": dataclasses.replace(COMMANDS["createContact"], name="x", function=_crash)
}


async def hand_in_broken(device: TestDevice, *operations: Any) -> list[Outcome]:
    """Push to a server on which contacts hit a defect."""
    answer = await push(device.house.kernel, BROKEN, device.actor, PushRequest(device.id, list(operations)))
    return answer.outcomes


async def test_an_operation_that_crashes_twice_is_shown_to_a_manager_and_delays_nothing(
    house: House, device: TestDevice
) -> None:
    operation = child(device, new_id())
    assert (await hand_in_broken(device, operation))[0].code == "INTERNAL"
    assert await inbox(house, OPERATION_QUARANTINED) == []
    (outcome,) = await hand_in_broken(device, device.operation("createCustomer", name="Demo Hotel"))
    assert outcome.status == "applied"
    (entry,) = await inbox(house, OPERATION_QUARANTINED)
    assert (entry.role, entry.mine["operations"][0]["id"]) == ("MANAGER", operation["id"])
    await hand_in_broken(device)
    assert len(await inbox(house, OPERATION_QUARANTINED)) == 1


async def test_housekeeping_retries_a_crashed_operation_whose_device_stays_away(house: House) -> None:
    device = await someone(house)
    customer = await house.run("createCustomer", name="Demo Hotel")
    lasting, passing = child(device, customer.id), child(device, customer.id)
    await hand_in_broken(device, lasting)
    await revive_waiting(house.kernel, BROKEN, house.organisation_id, now() - timedelta(days=30))
    (entry,) = await inbox(house, OPERATION_QUARANTINED)
    assert entry.mine["operations"][0]["id"] == lasting["id"]
    await hand_in_broken(device, passing)
    await revive_waiting(house.kernel, COMMANDS, house.organisation_id, now() - timedelta(days=30))
    assert [parked.operation_id for parked in await house.rows(ParkedOperation)] == [UUID(lasting["id"])]


async def test_a_crashed_operation_sent_again_gets_the_same_answer(house: House, device: TestDevice) -> None:
    unit = uuid4()
    operations = [child(device, new_id(), unit=unit) for _ in range(2)]
    first = await hand_in_broken(device, *operations)
    assert [(one.status, one.code, one.conflict) for one in first] == [("parked", "INTERNAL", None)] * 2
    second = await hand_in_broken(device, *operations)
    (entry,) = await inbox(house, OPERATION_QUARANTINED)
    assert [(one.status, one.code, one.conflict) for one in second] == [
        ("parked", "INTERNAL", str(entry.id))
    ] * 2
    assert await hand_in_broken(device, operations[1]) == second[1:]
    assert "inbox" in (second[0].message or "")


@pytest.mark.slow("It fills a device's places for waiting operations.")
async def test_a_waiting_operation_that_crashes_again_keeps_its_place(
    house: House, device: TestDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_KEPT", 2)
    for _ in range(2):
        await hand_in_broken(device, child(device, new_id()))
    third, fourth = await hand_in_broken(device, child(device, new_id()), child(device, new_id()))
    assert (third.code, fourth.code) == ("PARKED_LIMIT", "PARKED_LIMIT")
    assert [parked.reason for parked in await house.rows(ParkedOperation)] == ["QUARANTINED"] * 2


async def test_a_refused_unit_is_one_inbox_entry_with_all_its_operations(
    house: House, device: TestDevice
) -> None:
    unit = uuid4()
    outcomes = await device.push(
        device.operation("createCustomer", unit=unit, name="Demo Hotel"), child(device, uuid4(), unit=unit)
    )
    (entry,) = await inbox(house, OPERATION_REJECTED)
    assert entry.theirs["code"] == "NOT_FOUND"
    assert len(entry.mine["operations"]) == len(entry.operation_ids) == 2
    assert {outcome.conflict for outcome in outcomes} == {str(entry.id)}


async def test_parked_work_of_a_disabled_account_stays(house: House) -> None:
    device, customer = await someone(house), new_id()
    await device.push(child(device, customer))
    async with house.database.writing(house.organisation_id) as session:
        table: Any = Account.__table__
        own = (table.c.organisation_id == house.organisation_id, table.c.id == device.actor.id)
        connection = await session.connection()
        await connection.execute(update(table).where(*own).values(status="DISABLED"))
        await session.commit()
    await house.run("createCustomer", id=customer, name="Demo Hotel")
    await revive_waiting(house.kernel, COMMANDS, house.organisation_id, now() - timedelta(days=1))
    assert (await house.rows(Contact), len(await house.rows(ParkedOperation))) == ([], 1)


async def test_a_malformed_operation_beyond_a_gap_is_not_waited_for(house: House, device: TestDevice) -> None:
    """The device drops it once answered, and sends the operations before and after it later."""
    first, second, third, bad, fifth, sixth = (
        device.operation("createCustomer", name=str(turn)) for turn in range(1, 7)
    )
    await device.push(first)
    (outcome,) = await device.push(bad | {"occurredAt": "today"})
    assert (outcome.status, outcome.code) == ("rejected", "INVALID")
    await device.push(fifth)
    answer = await device.push_all([second, third])
    assert answer.next_number == 6
    assert (await device.push(sixth))[0].status == "applied"
    assert {row.name for row in await house.rows(Customer)} == {"1", "2", "3", "5", "6"}
    assert [state.used_numbers for state in await states(house, device)] == [None]


async def test_a_number_declared_unused_beyond_a_gap_stays_used_up(house: House, device: TestDevice) -> None:
    first, second, fourth = (device.operation("createCustomer", name=name) for name in ("1", "2", "4"))
    await device.push(first)
    await device.push(fourth | {"number": 4})
    await device.push({"number": 3})
    answer = await device.push_all([second])
    assert (answer.next_number, len(await house.rows(Customer))) == (5, 3)


async def test_a_unit_overtakes_no_missing_operation(house: House, device: TestDevice) -> None:
    unit = uuid4()
    first = device.operation("createCustomer", name="1")
    second, foreign, fourth = (
        device.operation("createCustomer", name=name) | more
        for name, more in (("2", {"unit": str(unit)}), ("3", {}), ("4", {"unit": str(unit)}))
    )
    await device.push(first)
    outcomes = await device.push(second, fourth)
    assert [outcome.status for outcome in outcomes] == ["applied", "parked"]
    await device.push(foreign)
    assert [row.name for row in await in_order(house)] == ["1", "2", "3", "4"]


async def test_parked_parts_of_a_unit_overtake_no_missing_operation(house: House, device: TestDevice) -> None:
    unit = {"unit": str(uuid4())}
    first, second = (device.operation("createCustomer", name=name) for name in ("1", "2"))
    third = device.operation("createCustomer", name="3") | unit
    fourth = device.operation("createCustomer", name="4")
    fifth = device.operation("createCustomer", name="5") | unit
    await device.push(first)
    await device.push(third, fifth)
    await device.push(second)
    assert {row.name for row in await house.rows(Customer)} == {"1", "2", "3"}
    await device.push(fourth)
    assert [row.name for row in await in_order(house)] == ["1", "2", "3", "4", "5"]


async def test_a_unit_around_a_used_up_number_is_one_unit(house: House, device: TestDevice) -> None:
    unit = uuid4()
    good = device.operation("createCustomer", unit=unit, name="Demo Hotel")
    bad = device.operation("createCustomer", name="malformed") | {"occurredAt": "today"}
    refused = device.operation("updateCustomer", unit=unit, customerId=uuid4(), name="x")
    outcomes = await device.push(good, bad, refused)
    assert [outcome.code for outcome in outcomes] == ["UNIT_REFUSED", "INVALID", "NOT_FOUND"]
    assert await house.rows(Customer) == []


async def in_order(house: House) -> list[Customer]:
    """Return the customers in the order of their creation."""
    seqs = {row.id: (await house.changes(row.id))[0].seq for row in await house.rows(Customer)}
    return sorted(await house.rows(Customer), key=lambda row: seqs[row.id])


def test_an_input_field_refers_to_its_columns_entity_first() -> None:
    named = {name: model.__tablename__ for name, model in named_by(COMMANDS["createTechnicianSkill"])}
    assert named["skill_id"] == "skill"
