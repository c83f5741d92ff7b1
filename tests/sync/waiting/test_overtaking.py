"""What waited and goes on late takes back nothing that its device did after it."""

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


class Reception:
    """A contact that a device edits, first to put it at a site that it lacks so far."""

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
        """Return those that somebody decides."""
        return [one for one in await self._inbox() if one.kind is not VALUE_SET_ASIDE]

    async def set_aside(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Return the values that a rule set aside: whose, and what stands."""
        kept = [one for one in await self._inbox() if one.kind is VALUE_SET_ASIDE]
        assert all(one.status is ConflictStatus.RESOLVED and one.resolved_by_id is None for one in kept)
        return [(str(one.id), one.mine, one.theirs) for one in kept]

    async def _inbox(self) -> list[Conflict]:
        async with self.house.reading() as session:
            own = Conflict.organisation_id == self.house.organisation_id
            return list(await session.scalars(select(Conflict).where(own)))


async def broken(device: TestDevice, *names: str, operations: Sequence[Any]) -> list[Outcome]:
    """Handed in to a server on which these commands hit a bug."""

    async def crash(*_: Any) -> Any:
        raise ZeroDivisionError

    made = {name: dataclasses.replace(COMMANDS[name], name="broken", function=crash) for name in names}
    answer = await push(
        device.house.kernel, COMMANDS | made, device.actor, PushRequest(device.id, list(operations))
    )
    return answer.outcomes


async def hand_in(device: TestDevice, work: list[dict[str, Any]], together: bool) -> None:
    """What waits first; then what was done later, with what that waits for or before it."""
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
async def test_a_child_that_goes_on_keeps_what_its_device_wrote_since(
    reception: Reception, together: bool
) -> None:
    first = reception.edit(siteId=reception.site, phone="first", email="first@demo.example")
    work = [first, reception.edit(phone="second"), reception.made()]
    await hand_in(reception.device, work, together)
    assert await reception.now() == ("second", "first@demo.example", reception.site)
    assert await reception.conflicts() == []
    (told,) = await reception.device.push(first)
    assert (told.status, list(told.fields)) == ("duplicate", ["phone"])
    assert await reception.set_aside() == [(told.conflict, {"phone": "first"}, {"phone": "second"})]


async def test_what_hit_a_bug_and_is_tried_again_comes_after_nothing_that_was_done_later(
    reception: Reception,
) -> None:
    (told,) = await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    assert told.status == "parked"
    await reception.device.push(reception.edit(phone="second"))
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_what_the_office_lets_go_on_after_a_quarantine_comes_after_nothing_that_was_done_later(
    reception: Reception,
) -> None:
    await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    await reception.hits_a_bug()
    await reception.device.push(reception.edit(phone="second"))
    (entry,) = await reception.conflicts()
    await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_what_it_did_before_is_no_hindrance(reception: Reception) -> None:
    await reception.device.push(reception.edit(phone="earlier"))
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    await reception.device.push(reception.made())
    assert await reception.now() == ("first", None, reception.site)


async def test_another_device_of_the_same_person_is_another(reception: Reception) -> None:
    """Its numbers are its own: the two have changed the same field, and somebody decides."""
    other = TestDevice(reception.house, actor=reception.device.actor)
    await other.pull()
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    other.number = 7
    await other.do("updateContact", contactId=reception.contact, phone="theirs")
    await reception.device.push(reception.made())
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "first"}, {"phone": "theirs"})


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_in_the_inbox_the_later_word_stays(reception: Reception, together: bool) -> None:
    """The office has changed the field as well, and what the device wrote last is what it wants."""
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    work = [reception.edit(siteId=reception.site, phone="first"), reception.edit(phone="second")]
    work.append(reception.made())
    await hand_in(reception.device, work, together)
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "second"}, {"phone": "office"})
    assert await reception.now() == ("second", None, reception.site)


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_what_its_device_put_back_as_it_stood_stays_so(reception: Reception, together: bool) -> None:
    """The server had seen nothing else, so the later edit changed nothing there."""
    first = reception.edit(siteId=reception.site, phone="first", email="first@demo.example")
    await hand_in(reception.device, [first, reception.edit(phone="0"), reception.made()], together)
    assert await reception.now() == ("0", "first@demo.example", reception.site)
    (told,) = await reception.device.push(first)
    assert (told.status, list(told.fields)) == ("duplicate", ["phone"])


async def test_what_the_office_decided_since_stays_where_its_device_put_back_what_it_knew(
    reception: Reception,
) -> None:
    await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    await reception.device.push(reception.edit(phone="0"))
    assert await reception.now() == ("office", "first@demo.example", None)
    assert await reception.conflicts() == []


async def test_in_the_inbox_what_its_device_said_twice_stays(reception: Reception) -> None:
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    work = [reception.edit(phone="mine"), reception.edit(siteId=reception.site, phone="first")]
    await reception.device.push(*work, reception.edit(phone="mine"))
    await reception.device.push(reception.made())
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "mine"}, {"phone": "office"})
    assert await reception.now() == ("mine", None, reception.site)


async def test_what_the_office_lets_go_on_takes_back_nothing_that_changed_nothing(
    reception: Reception,
) -> None:
    """Whatever the order in which it decides."""
    work = [reception.edit(phone="first"), reception.edit(phone="0")]
    await reception.hits_a_bug(*work)
    await reception.hits_a_bug()
    first, second = sorted(await reception.conflicts(), key=lambda one: str(one.operation_id))
    for entry in (second, first):
        await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    assert await reception.now() == ("0", None, None)


async def test_what_was_refused_and_then_let_go_on_counts_as_well(reception: Reception) -> None:
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


async def test_after_a_backup_what_waits_in_it_comes_late_all_the_same(reception: Reception) -> None:
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


async def test_a_store_that_was_restored_and_counts_anew_is_heard(reception: Reception) -> None:
    """It gives its numbers again; what it does with them is no older than what it has forgotten."""
    base, number = reception.device.base, reception.device.number
    await reception.device.push(reception.edit(phone="second"))
    await reception.device.push(reception.edit(phone="third"))
    reception.device.base, reception.device.number = base, number
    await reception.device.push(reception.edit(phone="newest"))
    assert (await reception.now())[0] == "newest"


async def test_whoever_makes_a_record_anew_says_nothing_against_what_waited_for_it(
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


async def test_a_set_keeps_what_was_added_late_and_not_what_was_taken_out_since(reception: Reception) -> None:
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


async def test_an_asset_is_moved_late_as_a_whole_or_not_at_all(reception: Reception) -> None:
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


async def test_an_answer_that_comes_late_leaves_the_later_one_whole(house: House) -> None:
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
    """An id of version 7 that sorts before every one of today."""
    return UUID(int=uuid4().int % 2**76 | 0x7 << 76 | 0b10 << 62)


@pytest.mark.parametrize("new_id_of", [uuid4, falling], ids=["of version 4", "that fall"])
async def test_a_phone_that_was_restored_loses_no_edit_whatever_its_ids(
    reception: Reception, new_id_of: Callable[[], UUID]
) -> None:
    """It gives the numbers anew that it had given since its backup."""
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


async def test_ids_of_version_4_have_no_order(reception: Reception) -> None:
    """What waited for its parent comes late by its number, whichever of the ids is greater."""
    for turn in range(4):
        site, low, high = new_id(), UUID(int=0x4 << 76 | 0b10 << 62 | turn), uuid4()
        first, second = (high, low) if turn % 2 else (low, high)
        late = reception.edit(siteId=site, phone=f"first {turn}") | {"id": str(first)}
        await reception.device.push(late, reception.edit(phone=f"second {turn}") | {"id": str(second)})
        made = {"id": site, "customerId": reception.customer, "name": "Demo House"}
        await reception.device.push(reception.device.operation("createSite", **made))
        assert await reception.now() == (f"second {turn}", None, site)


async def test_what_waited_since_before_a_phone_was_restored_is_late(reception: Reception) -> None:
    """Its number was used again after it was handed in, which proves nothing about it."""
    device, number = reception.device, reception.device.number
    await device.push(reception.edit(siteId=reception.site, phone="waits"), reception.edit(phone="second"))
    device.number = number
    restored = [reception.edit(phone="third") | {"id": str(uuid4())} for _ in range(2)]
    await device.push(*restored)
    await device.push(reception.made())
    assert await reception.now() == ("third", None, reception.site)


@pytest.mark.parametrize("new_id_of", [uuid4, falling], ids=["of version 4", "that fall"])
async def test_a_restored_phone_is_heard_where_what_had_its_number_still_waits(
    reception: Reception, new_id_of: Callable[[], UUID]
) -> None:
    """There is no receipt yet that could tell."""
    device, number = reception.device, reception.device.number
    waiting = reception.edit(siteId=reception.site, phone="first")
    await device.push(waiting, reception.edit(phone="second"))
    device.number = number
    (outcome,) = await device.push(reception.edit(phone="restored") | {"id": str(new_id_of())})
    assert (outcome.status, outcome.conflict) == ("applied", None)
    assert (await reception.now())[0] == "restored"


@pytest.mark.parametrize("phone", ["second", "0"], ids=["changed", "left as it stood"])
async def test_what_came_later_by_the_clock_and_earlier_by_its_number_is_in_the_inbox(
    reception: Reception, phone: str
) -> None:
    """Nothing proves that this phone was restored: what had the number could not be read."""
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
