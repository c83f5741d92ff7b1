"""Children of a refused parent wait only as long as a person may still retry it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.catalogue import COMMANDS
from tournee.customers.models import Contact, Interaction
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus
from tournee.kernel.entity import new_id, now
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.messages import Outcome
from tournee.sync.models import GivenUpRecord, ParkedOperation
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.given_up import purge_given_up
from tournee.sync.waiting.reviving import revive_for, revive_missed

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def undecided(house: House, kind: ConflictKind = OPERATION_REJECTED) -> list[Conflict]:
    found = await house.rows(Conflict)
    return [entry for entry in found if entry.kind is kind and entry.status is ConflictStatus.OPEN]


async def someone(house: House) -> TestDevice:
    actor = await house.account("MANAGER")
    return TestDevice(house, actor=dataclasses.replace(actor, device_id=None))


@dataclasses.dataclass
class Family:
    """A site that a device creates for a missing customer, and contacts at that site."""

    house: House
    device: TestDevice
    customer: UUID
    site: UUID
    missing: UUID
    parent: dict[str, Any]

    def child(self, device: TestDevice | None = None, **more: Any) -> dict[str, Any]:
        device = device or self.device
        named = {"customerId": self.customer, "siteId": self.site, "name": "Demo Reception"}
        return device.operation("createContact", **(named | more))

    async def refused(self) -> Outcome:
        (outcome,) = await self.device.push(self.parent)
        assert (outcome.status, outcome.code) == ("rejected", "NOT_FOUND")
        return outcome

    async def codes(self) -> list[str]:
        """Return the codes of the refused operations in the inbox, except the parent's."""
        found = [entry for entry in await undecided(self.house) if entry.command != "createSite"]
        return [entry.theirs["code"] for entry in found]

    async def decide(self, outcome: Outcome, resolution: str) -> None:
        await self.house.run("resolveConflict", conflictId=outcome.conflict, resolution=resolution)


@pytest_asyncio.fixture
async def family(house: House) -> Family:
    device, site, missing = await someone(house), new_id(), uuid4()
    customer = await house.run("createCustomer", name="Demo Hotel")
    parent = device.operation("createSite", id=site, customerId=missing, name="Demo House")
    return Family(house, device, customer.id, site, missing, parent)


async def test_children_wait_while_their_refused_parent_may_still_be_retried(
    house: House, family: Family
) -> None:
    other = await someone(house)
    parent = await family.refused()
    outcomes = [*await family.device.push(family.child()), *await other.push(family.child(other))]
    assert [outcome.status for outcome in outcomes] == ["parked", "parked"]
    await house.run("createCustomer", id=family.missing, name="Demo Inn")
    await family.decide(parent, "RETRY")
    assert (len(await house.rows(Contact)), await house.rows(ParkedOperation)) == (2, [])


async def test_a_retried_parent_releases_its_children(house: House, family: Family) -> None:
    await family.refused()
    await family.device.push(family.child())
    corrected = family.device.operation(
        "createSite", id=family.site, customerId=family.customer, name="Demo House"
    )
    await family.device.push(corrected)
    assert len(await house.rows(Contact)) == 1


async def test_a_child_of_a_dismissed_parent_is_refused_at_once_with_an_inbox_entry(
    house: House, family: Family
) -> None:
    other = await someone(house)
    parent = await family.refused()
    mine, theirs = family.child(), family.child(other)
    await family.device.push(mine)
    await other.push(theirs)
    await family.decide(parent, "DISMISS")
    assert await house.rows(ParkedOperation) == []
    entries = await undecided(house)
    assert {entry.theirs["code"] for entry in entries} == {"PARENT_REFUSED"}
    assert {entry.actor_id for entry in entries} == {family.device.actor.id, other.actor.id}
    sent = [operation["input"] for entry in entries for operation in entry.mine["operations"]]
    assert sent == [mine["input"]] * 2
    (told,) = await family.device.push(mine)
    assert (told.status, told.code, told.fields) == ("rejected", "PARENT_REFUSED", ["siteId"])


async def test_a_later_child_of_a_dismissed_parent_does_not_wait(house: House, family: Family) -> None:
    await family.decide(await family.refused(), "DISMISS")
    contact = new_id()
    outcomes = await family.device.push(
        family.child(id=contact),
        family.device.operation("recordInteraction", **talk(family, contact)),
    )
    assert [outcome.code for outcome in outcomes] == ["PARENT_REFUSED"] * 2
    (later,) = await family.device.push(family.device.operation("recordInteraction", **talk(family, contact)))
    assert later.code == "PARENT_REFUSED"
    assert await house.rows(Interaction) == []


async def test_grandchildren_of_a_dismissed_parent_are_refused_too(house: House, family: Family) -> None:
    other, contact = await someone(house), new_id()
    parent = await family.refused()
    await other.push(other.operation("recordInteraction", **talk(family, contact)))
    await family.device.push(family.child(id=contact))
    assert len(await house.rows(ParkedOperation)) == 2
    await family.decide(parent, "DISMISS")
    assert await house.rows(ParkedOperation) == []
    assert len(await undecided(house)) == 2


def talk(family: Family, contact: UUID) -> dict[str, Any]:
    named = {"customerId": family.customer, "contactId": contact, "channel": "PHONE"}
    return {**named, "direction": "INBOUND", "subject": "Demo", "at": now()}


async def test_a_record_created_after_all_is_no_longer_given_up(house: House, family: Family) -> None:
    parent = await family.refused()
    await family.device.push(family.child())
    await family.decide(parent, "DISMISS")
    (child,) = await undecided(house)
    await house.run("createSite", id=family.site, customerId=family.customer, name="Demo House")
    (outcome,) = await family.device.push(family.child())
    assert outcome.status == "applied"
    await house.run("resolveConflict", conflictId=child.id, resolution="RETRY")
    assert len(await house.rows(Contact)) == 2
    # An account that may not see it is answered as if it were missing.
    technician = TestDevice(house, "TECHNICIAN")
    (hidden,) = await technician.push(
        technician.operation("createAsset", customerId=family.customer, siteId=family.site, name="Lift")
    )
    assert (hidden.status, hidden.code) == ("parked", None)


async def test_a_dismissal_while_a_child_is_being_parked_is_not_missed(house: House, family: Family) -> None:
    parent = await family.refused()
    answer = await family.device.push_all([family.child()])
    house.kernel = dataclasses.replace(house.kernel, goes_on=None)
    await family.decide(parent, "DISMISS")
    assert len(await house.rows(ParkedOperation)) == 1
    await revive_missed(house.kernel, COMMANDS, family.device.actor, family.device.id, answer)
    assert await house.rows(ParkedOperation) == []


async def test_dismissing_a_crashed_parent_refuses_its_children(house: House, family: Family) -> None:
    async def crash(*_: Any) -> Any:
        raise ZeroDivisionError

    create = dataclasses.replace(COMMANDS["createSite"], name="broken", function=crash)
    device = family.device
    for operations in ([family.parent], []):
        await push(
            house.kernel, COMMANDS | {"createSite": create}, device.actor, PushRequest(device.id, operations)
        )
    await device.push(family.child())
    (entry,) = await undecided(house, OPERATION_QUARANTINED)
    await house.run("resolveConflict", conflictId=entry.id, resolution="DISMISS")
    (refused,) = await undecided(house)
    assert (refused.theirs["code"], await house.rows(ParkedOperation)) == ("PARENT_REFUSED", [])


async def test_dismissing_a_parent_too_large_to_show_refuses_its_children(
    house: House, family: Family
) -> None:
    (parent,) = await family.device.push(
        family.parent | {"input": family.parent["input"] | {"more": "x" * 100_000}}
    )
    await family.device.push(family.child())
    (entry,) = await undecided(house)
    assert [one["makes"] for one in entry.mine["operations"]] == [str(family.site)]
    await family.decide(parent, "DISMISS")
    assert (await family.codes(), await house.rows(ParkedOperation)) == (["PARENT_REFUSED"], [])


async def test_dismissing_a_malformed_parent_refuses_its_children(house: House, family: Family) -> None:
    other = await someone(house)
    await other.push(family.child(other))
    mine = family.child() | {"number": 1}
    await family.device.push(mine)
    malformed = family.parent | {"number": 2, "occurredAt": "today"}
    answer = await family.device.push_all([malformed, family.child()])
    assert [outcome.code for outcome in answer.outcomes] == ["INVALID", "PARENT_REFUSED"]
    # The endpoint does this once the push is committed.
    await revive_for(house.kernel, COMMANDS, house.organisation_id, answer.made, family.device.id)
    await revive_missed(house.kernel, COMMANDS, family.device.actor, family.device.id, answer)
    assert (await family.codes(), await house.rows(ParkedOperation)) == (["PARENT_REFUSED"] * 3, [])
    (later,) = await family.device.push(family.child())
    assert later.code == "PARENT_REFUSED"


async def test_a_malformed_parent_corrected_in_the_same_push_keeps_its_children(
    house: House, family: Family
) -> None:
    device = family.device
    before = family.child()
    corrected = device.operation("createSite", id=family.site, customerId=family.customer, name="Demo House")
    answer = await device.push_all([family.parent | {"occurredAt": "today"}, before, corrected])
    await revive_missed(house.kernel, COMMANDS, device.actor, device.id, answer)
    assert (len(await house.rows(Contact)), await family.codes()) == (1, [])
    (later,) = await device.push(family.child())
    assert later.status == "applied"


async def test_a_malformed_repetition_of_a_waiting_operation_refuses_no_child(
    house: House, family: Family
) -> None:
    device = family.device
    customer = new_id()
    parent = device.operation("createSite", id=family.site, customerId=customer, name="Demo House")
    await device.push(family.parent | {"input": {}}, parent, family.child(customerId=customer))
    await device.push(parent | {"occurredAt": "today"})
    assert [one.reason for one in await house.rows(ParkedOperation)] == ["PARENT", "PARENT"]
    await house.run("createCustomer", id=customer, name="Demo Hotel")
    assert (len(await house.rows(Contact)), await house.rows(GivenUpRecord)) == (1, [])


async def test_given_up_records_are_purged_in_the_end(house: House, family: Family) -> None:
    await family.decide(await family.refused(), "DISMISS")
    await purge_given_up(house.database, house.organisation_id, now() - timedelta(days=1))
    assert len(await house.rows(GivenUpRecord)) == 1
    await purge_given_up(house.database, house.organisation_id, now() + timedelta(days=1))
    assert await house.rows(GivenUpRecord) == []
