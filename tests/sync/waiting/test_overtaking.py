"""A late operation never undoes what its own device did afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.field import AT, LATER, answering, two_devices
from tests.support.house import House, wire
from tournee.assets.models import Asset
from tournee.catalogue import COMMANDS
from tournee.customers.models import Contact, Customer
from tournee.kernel.conflict import VALUE_SET_ASIDE, Conflict, ConflictStatus
from tournee.kernel.entity import new_id
from tournee.procedures.models import ChecklistAnswer
from tournee.sync.devices.restored import begin_anew
from tournee.sync.messages import Outcome
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


class Reception:
    """A contact that a device edits, first to put it at a site that is still missing."""

    def __init__(self, house: House, device: TestDevice, customer: UUID, contact: UUID) -> None:
        self.house = house
        self.device = device
        self.customer = customer
        self.contact = contact
        self.site = new_id()

    def edit(self, **values: Any) -> dict[str, Any]:
        return self.device.operation("updateContact", contactId=self.contact, **values)

    def made(self) -> dict[str, Any]:
        return self.device.operation("createSite", id=self.site, customerId=self.customer, name="Demo House")

    async def hits_a_bug(self, *operations: Any) -> list[Outcome]:
        names = {operation["command"] for operation in operations} or {"updateContact"}
        return await broken(self.device, *names, operations=operations)

    async def now(self) -> tuple[Any, ...]:
        async with self.house.reading() as session:
            row = await session.get_one(Contact, (self.house.organisation_id, self.contact))
            return row.phone, row.email, row.site_id

    async def conflicts(self) -> list[Conflict]:
        """Return the conflicts that wait for a person."""
        return [one for one in await self._inbox() if one.kind is not VALUE_SET_ASIDE]

    async def set_aside(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Return the superseded values with their conflict and the stored values."""
        kept = [one for one in await self._inbox() if one.kind is VALUE_SET_ASIDE]
        assert all(one.status is ConflictStatus.RESOLVED and one.resolved_by_id is None for one in kept)
        return [(str(one.id), one.mine, one.theirs) for one in kept]

    async def _inbox(self) -> list[Conflict]:
        async with self.house.reading() as session:
            own = Conflict.organisation_id == self.house.organisation_id
            return list(await session.scalars(select(Conflict).where(own)))


async def broken(device: TestDevice, *names: str, operations: Sequence[Any]) -> list[Outcome]:
    """Push to a server on which these commands hit a bug."""

    async def crash(*_: Any) -> Any:
        raise ZeroDivisionError

    made = {name: dataclasses.replace(COMMANDS[name], name="broken", function=crash) for name in names}
    answer = await push(
        device.house.kernel, COMMANDS | made, device.actor, PushRequest(device.id, list(operations))
    )
    return answer.outcomes


async def hand_in(device: TestDevice, work: list[dict[str, Any]], together: bool) -> None:
    """Push the waiting operation, then the later ones, together with its parent or before it."""
    await device.push(work[0])
    for operations in [work[1:]] if together else [[one] for one in work[1:]]:
        await device.push(*operations)


@pytest_asyncio.fixture
async def reception(house: House) -> Reception:
    customer = await house.run("createCustomer", name="Demo Hotel")
    contact = await house.run("createContact", customerId=customer.id, name="Demo Reception", phone="0")
    device = TestDevice(house, actor=await house.account("MANAGER"))
    made = Reception(house, device, customer.id, contact.id)
    await made.device.pull()
    return made


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_a_released_child_keeps_its_devices_later_edits(reception: Reception, together: bool) -> None:
    first = reception.edit(siteId=reception.site, phone="first", email="first@demo.example")
    work = [first, reception.edit(phone="second"), reception.made()]
    await hand_in(reception.device, work, together)
    assert await reception.now() == ("second", "first@demo.example", reception.site)
    assert await reception.conflicts() == []
    (told,) = await reception.device.push(first)
    assert (told.status, list(told.fields)) == ("duplicate", ["phone"])
    assert await reception.set_aside() == [(told.conflict, {"phone": "first"}, {"phone": "second"})]


async def test_a_retried_crashed_operation_never_undoes_its_devices_later_work(
    reception: Reception,
) -> None:
    (told,) = await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    assert told.status == "parked"
    await reception.device.push(reception.edit(phone="second"))
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_a_retried_quarantined_operation_never_undoes_its_devices_later_work(
    reception: Reception,
) -> None:
    await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    await reception.hits_a_bug()
    await reception.device.push(reception.edit(phone="second"))
    (entry,) = await reception.conflicts()
    await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_a_late_edit_overwrites_its_devices_earlier_edit(reception: Reception) -> None:
    await reception.device.push(reception.edit(phone="earlier"))
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    await reception.device.push(reception.made())
    assert await reception.now() == ("first", None, reception.site)


async def test_a_late_edit_conflicts_with_another_device_of_the_same_person(reception: Reception) -> None:
    """Each device has its own numbers: both changed the same field, and a person decides."""
    other = TestDevice(reception.house, actor=reception.device.actor)
    await other.pull()
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    other.number = 7
    await other.do("updateContact", contactId=reception.contact, phone="theirs")
    await reception.device.push(reception.made())
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "first"}, {"phone": "theirs"})


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_a_conflict_shows_the_devices_latest_value(reception: Reception, together: bool) -> None:
    """The office changed the field too, and the device's last value is the one it wants."""
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    work = [reception.edit(siteId=reception.site, phone="first"), reception.edit(phone="second")]
    work.append(reception.made())
    await hand_in(reception.device, work, together)
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "second"}, {"phone": "office"})
    assert await reception.now() == ("second", None, reception.site)


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_a_late_edit_keeps_a_value_that_its_device_put_back(
    reception: Reception, together: bool
) -> None:
    """The server had the old value throughout, so the later edit changed nothing there."""
    first = reception.edit(siteId=reception.site, phone="first", email="first@demo.example")
    await hand_in(reception.device, [first, reception.edit(phone="0"), reception.made()], together)
    assert await reception.now() == ("0", "first@demo.example", reception.site)
    (told,) = await reception.device.push(first)
    assert (told.status, list(told.fields)) == ("duplicate", ["phone"])


async def test_putting_back_a_known_value_keeps_the_offices_change(
    reception: Reception,
) -> None:
    await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    await reception.device.push(reception.edit(phone="0"))
    assert await reception.now() == ("office", "first@demo.example", None)
    assert await reception.conflicts() == []


async def test_a_conflict_shows_a_value_that_the_device_repeated(reception: Reception) -> None:
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    work = [reception.edit(phone="mine"), reception.edit(siteId=reception.site, phone="first")]
    await reception.device.push(*work, reception.edit(phone="mine"))
    await reception.device.push(reception.made())
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "mine"}, {"phone": "office"})
    assert await reception.now() == ("mine", None, reception.site)


async def test_a_retried_edit_keeps_a_value_put_back_by_another_retried_edit(
    reception: Reception,
) -> None:
    """This holds in any order of the decisions."""
    work = [reception.edit(phone="first"), reception.edit(phone="0")]
    await reception.hits_a_bug(*work)
    await reception.hits_a_bug()
    first, second = sorted(await reception.conflicts(), key=lambda one: str(one.operation_id))
    for entry in (second, first):
        await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    assert await reception.now() == ("0", None, None)


async def test_a_refused_then_retried_edit_counts_as_a_later_edit(reception: Reception) -> None:
    device, missing = reception.device, uuid4()
    await device.push(reception.edit(siteId=reception.site, phone="first"))
    unit = [reception.edit(phone="0"), device.operation("createSite", customerId=missing, name="Demo Annex")]
    outcomes = await device.push(*(operation | {"unit": str(missing)} for operation in unit))
    assert {one.status for one in outcomes} == {"rejected"}
    await reception.house.run("createCustomer", id=missing, name="Demo Bakery")
    (entry,) = await reception.conflicts()
    await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    await device.push(reception.made())
    assert await reception.now() == ("0", None, reception.site)


async def test_an_edit_waiting_in_a_restored_backup_is_still_late(reception: Reception) -> None:
    device = reception.device
    await device.push(reception.edit(siteId=reception.site, phone="first"), reception.edit(phone="0"))
    await begin_anew(reception.house.kernel.database)
    parent = await reception.house.run(
        "createSite", customerId=reception.customer, name="Demo", id=reception.site
    )
    assert parent.id == reception.site
    answer = await push(reception.house.kernel, COMMANDS, device.actor, PushRequest(device.id))
    assert answer.next_number is None
    assert await reception.now() == ("0", None, reception.site)


async def test_edits_of_a_restored_store_with_reused_numbers_apply(reception: Reception) -> None:
    """It reuses its numbers for work that is newer than the work it has forgotten."""
    base, number = reception.device.base, reception.device.number
    await reception.device.push(reception.edit(phone="second"))
    await reception.device.push(reception.edit(phone="third"))
    reception.device.base, reception.device.number = base, number
    await reception.device.push(reception.edit(phone="newest"))
    assert (await reception.now())[0] == "newest"


async def test_creating_a_record_keeps_the_edits_that_waited_for_it(
    reception: Reception,
) -> None:
    device, house, id = reception.device, reception.house, new_id()
    nameless = {"id": id, "customerId": reception.customer}
    (told,) = await device.push(device.operation("createContact", **nameless))
    assert told.status == "rejected"
    (told,) = await device.push(
        device.operation("updateContact", contactId=id, phone="1", email="e@demo.example")
    )
    assert told.status == "parked"
    await device.push(device.operation("createContact", **nameless, name="Demo Reception"))
    async with house.reading() as session:
        row = await session.get_one(Contact, (house.organisation_id, id))
    assert (row.phone, row.email) == ("1", "e@demo.example")


async def test_a_set_keeps_late_additions_but_no_value_removed_since(reception: Reception) -> None:
    house, device = reception.house, reception.device
    await house.run("updateCustomer", customerId=reception.customer, tags=["a", "b"])
    await device.pull()

    def tagged(*tags: str) -> dict[str, Any]:
        return device.operation("updateCustomer", customerId=reception.customer, tags=list(tags))

    await reception.hits_a_bug(tagged("a", "b", "late"))
    await device.push(tagged("b", "later"))
    async with house.reading() as session:
        row = await session.get_one(Customer, (house.organisation_id, reception.customer))
    assert sorted(row.tags) == ["b", "late", "later"]


async def test_a_late_set_that_is_combined_with_a_later_one_is_merged(reception: Reception) -> None:
    device, above = reception.device, new_id()

    def tagged(tag: str, **more: Any) -> dict[str, Any]:
        return device.operation("updateCustomer", customerId=reception.customer, tags=[tag], **more)

    waits, later = tagged("late", parentId=above), tagged("later")
    made = device.operation("createCustomer", id=above, name="Demo Group")
    outcomes = await device.push(waits, later, made)
    assert [one.status for one in outcomes] == ["merged", "applied", "applied"]


async def test_a_late_move_of_an_asset_applies_whole_or_not_at_all(reception: Reception) -> None:
    house, device = reception.house, reception.device
    other = await house.run("createCustomer", name="Demo Bakery")
    first, second = [
        (await house.run("createSite", customerId=reception.customer, name=name)).id for name in ("A", "B")
    ]
    far = (await house.run("createSite", customerId=other.id, name="C")).id
    asset = await house.run("createAsset", name="Demo Lift", siteId=first)
    await device.pull()
    await reception.hits_a_bug(device.operation("moveAsset", assetId=asset.id, siteId=far))
    await device.push(device.operation("moveAsset", assetId=asset.id, siteId=second))
    async with house.reading() as session:
        row = await session.get_one(Asset, (house.organisation_id, asset.id))
    assert (row.customer_id, row.site_id) == (reception.customer, second)


async def test_a_late_move_of_a_part_changes_nothing_once_its_whole_has_moved(reception: Reception) -> None:
    """The whole took the part to another site of the same customer, so only the part's site changed."""
    house, device = reception.house, reception.device
    other = await house.run("createCustomer", name="Demo Bakery")
    first, second, far = [
        (await house.run("createSite", customerId=owner, name="Demo")).id
        for owner in (reception.customer, reception.customer, other.id)
    ]
    lift = await house.run("createAsset", name="Demo Lift", siteId=first)
    door = await house.run("createAsset", name="Demo Door", siteId=first, parentId=lift.id)
    await device.pull()
    await reception.hits_a_bug(device.operation("moveAsset", assetId=door.id, siteId=far))
    await device.push(device.operation("moveAsset", assetId=lift.id, siteId=second))
    async with house.reading() as session:
        row = await session.get_one(Asset, (house.organisation_id, door.id))
    assert (row.customer_id, row.site_id) == (reception.customer, second)


async def test_a_late_answer_leaves_the_newer_one_unchanged(house: House) -> None:
    run, device, _ = await two_devices(house)

    def answer(key: str, at: str = AT, **values: Any) -> dict[str, Any]:
        return device.operation("answerChecklistItem", **(answering(run, key, **values) | {"at": at}))

    photos = [str(new_id()) for _ in range(2)]
    await device.push(answer("remarks", text="early"))
    late = [answer("remarks", notApplicable=True, reason="Demo"), answer("photos", files=photos[:1])]
    outcomes = await broken(device, "answerChecklistItem", operations=late)
    assert [one.status for one in outcomes] == ["parked", "parked"]
    await device.push(answer("remarks", LATER, text="final"), answer("photos", LATER, files=photos[1:]))
    remark, photo = sorted(await house.rows(ChecklistAnswer), key=lambda one: -len(one.item_key))
    assert (remark.text, remark.not_applicable, remark.reason) == ("final", False, None)
    assert wire(remark.answered_at) == LATER
    assert sorted(photo.files) == sorted(photos)


def falling() -> UUID:
    """Return a uuid7 that sorts before every present one."""
    return UUID(int=uuid4().int % 2**76 | 0x7 << 76 | 0b10 << 62)


@pytest.mark.parametrize("new_id_of", [uuid4, falling], ids=["of version 4", "that fall"])
async def test_a_restored_phone_loses_no_edit_whatever_its_ids(
    reception: Reception, new_id_of: Callable[[], UUID]
) -> None:
    """It reuses the numbers that it had used since its backup."""
    device, number = reception.device, reception.device.number
    for turn in range(12):
        (outcome,) = await device.push(reception.edit(phone=f"before {turn}") | {"id": str(uuid4())})
        assert outcome.status == "applied"
    device.number = number
    for turn in range(12):
        edit = reception.edit(phone=f"restored {turn}") | {"id": str(new_id_of())}
        (outcome,) = await device.push(edit)
        assert (outcome.status, outcome.conflict) == ("applied", None)
        assert (await reception.now())[0] == f"restored {turn}"


async def test_uuid4_ids_are_ordered_by_number_alone(reception: Reception) -> None:
    """A child that waited for its parent is late by its number, whichever id is greater."""
    for turn in range(4):
        site, low, high = new_id(), UUID(int=0x4 << 76 | 0b10 << 62 | turn), uuid4()
        first, second = (high, low) if turn % 2 else (low, high)
        late = reception.edit(siteId=site, phone=f"first {turn}") | {"id": str(first)}
        await reception.device.push(late, reception.edit(phone=f"second {turn}") | {"id": str(second)})
        made = {"id": site, "customerId": reception.customer, "name": "Demo House"}
        await reception.device.push(reception.device.operation("createSite", **made))
        assert await reception.now() == (f"second {turn}", None, site)


async def test_an_edit_waiting_since_before_a_phone_was_restored_is_late(reception: Reception) -> None:
    """Its number was reused after it was sent, which proves nothing about it."""
    device, number = reception.device, reception.device.number
    await device.push(reception.edit(siteId=reception.site, phone="waits"), reception.edit(phone="second"))
    device.number = number
    restored = [reception.edit(phone="third") | {"id": str(uuid4())} for _ in range(2)]
    await device.push(*restored)
    await device.push(reception.made())
    assert await reception.now() == ("third", None, reception.site)


@pytest.mark.parametrize("new_id_of", [uuid4, falling], ids=["of version 4", "that fall"])
async def test_a_restored_phones_edit_applies_while_its_number_still_waits(
    reception: Reception, new_id_of: Callable[[], UUID]
) -> None:
    """No receipt exists yet that could show the reuse."""
    device, number = reception.device, reception.device.number
    waiting = reception.edit(siteId=reception.site, phone="first")
    await device.push(waiting, reception.edit(phone="second"))
    device.number = number
    (outcome,) = await device.push(reception.edit(phone="restored") | {"id": str(new_id_of())})
    assert (outcome.status, outcome.conflict) == ("applied", None)
    assert (await reception.now())[0] == "restored"


@pytest.mark.parametrize("phone", ["second", "0"], ids=["changed", "unchanged"])
async def test_an_edit_later_by_id_but_earlier_by_number_is_in_the_inbox(
    reception: Reception, phone: str
) -> None:
    """Nothing proves that this phone was restored: the number's earlier operation was malformed."""
    device, number = reception.device, reception.device.number
    malformed = device.operation("addNote") | {"occurredAt": "no time"}
    await device.push(malformed, reception.edit(phone=phone))
    device.number = number
    edit = reception.edit(phone="newest", email="newest@demo.example") | {"id": str(falling())}
    (outcome,) = await device.push(edit)
    assert (outcome.status, list(outcome.fields)) == ("merged", ["phone"])
    assert await reception.now() == (phone, "newest@demo.example", None)
    conflict = next(one for one in await reception.conflicts() if str(one.id) == outcome.conflict)
    assert (conflict.kind, conflict.mine, conflict.theirs) == (
        "FIELD_CHANGED_BY_BOTH",
        {"phone": "newest"},
        {"phone": phone},
    )
    (again,) = await device.push(edit)
    assert (again.status, again.conflict) == ("duplicate", outcome.conflict)
    await reception.house.run("resolveConflict", "MANAGER", conflictId=conflict.id, resolution="TAKE_MINE")
    assert (await reception.now())[0] == "newest"
