"""The database returns without its newest seconds and without a new epoch; lost numbers are used again.

A device that has seen lost history must resync.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.support.backups import SavedRows, put_back, saved
from tests.support.device import TestDevice
from tests.support.house import House
from tournee.catalogue import COMMANDS
from tournee.engine.tail import Tail
from tournee.kernel.entity import new_id
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import Mark, read_head
from tournee.sync.devices.restored import begin_anew
from tournee.sync.pull.checksums import Copy
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.position import read_position as decode
from tournee.sync.pull.position import write_position as encode
from tournee.sync.push.push import Answer, push
from tournee.sync.push.request import PushRequest

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


@dataclass
class Office:
    """Makes the same number of changes of one record in either history."""

    house: House
    customer: object
    before: SavedRows

    async def write(self, word: str, times: int = 1) -> None:
        for turn in range(times):
            await self.house.run("updateCustomer", customerId=self.customer, phone=f"{word} {turn}")

    async def lose(self) -> None:
        await put_back(self.before, self.house)


async def begun(house: House) -> Office:
    customer = await house.run("createCustomer", name="Demo Hotel")
    return Office(house, customer.id, saved(house))


async def resyncs(feed: Feed, device: TestDevice, cursor: Cursor | None) -> bool:
    try:
        await feed.pull(device.actor, cursor, 1)
    except ResyncNeeded:
        return True
    return False


# How many changes follow the loss of two: fewer, equally many, more.
LATER = [0, 1, 2, 3]


@pytest.mark.parametrize("later", LATER)
async def test_a_cursor_into_lost_history_resyncs(house: House, tail: Tail, later: int) -> None:
    """This holds whether the server cached the log's end, was restarted since, or has no cache."""
    office = await begun(house)
    remembering, forgetful = TestDevice(house, "MANAGER", tail=tail), TestDevice(house, "MANAGER")
    await remembering.pull()
    kept = remembering.cursor
    await office.write("lost", 2)
    await remembering.pull()
    await office.lose()
    await office.write("after", later)
    fresh = TestDevice(house, "MANAGER", tail=Tail(house.database, tail.heads))
    await fresh.pull()
    for feed in (fresh.feed, forgetful.feed, remembering.feed):
        assert await resyncs(feed, remembering, remembering.cursor)
        assert not await resyncs(feed, remembering, kept)
    await remembering.pull()
    assert remembering.rows == await remembering.fresh()


async def test_a_cursor_before_lost_history_receives_the_changes_since(house: House, tail: Tail) -> None:
    office = await begun(house)
    device, other = (TestDevice(house, "MANAGER", tail=tail) for _ in range(2))
    await device.pull()
    await office.write("lost", 2)
    await other.pull()
    await office.lose()
    await office.write("after", 3)
    await device.pull()
    assert device.rows == await device.fresh()


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_page_read_from_lost_history_resyncs(house: House, limit: int) -> None:
    """A pull may be under way when history is lost: it left out a row that changed and is now unchanged."""
    office = await begun(house)
    for number in range(3):
        await house.run("createCustomer", name=f"Demo Bakery {number}")
    office.before = saved(house)
    whole, part, old = (TestDevice(house, "MANAGER") for _ in range(3))
    await old.pull(limit=2, pages=1)
    await whole.pull(limit=2, pages=1)
    assert old.cursor == whole.cursor
    await office.write("lost")
    await whole.pull(limit=limit, pages=1)
    await part.pull(limit=limit, pages=1)
    behind = replace(Cursor.at(await mark(house)), seq=1, mark=None)
    page = await part.feed.pull(part.actor, behind, limit)
    assert page.more
    await office.lose()
    await office.write("after")
    for cursor in (whole.cursor, part.cursor, page.cursor):
        assert await resyncs(part.feed, part, cursor)
    assert not await resyncs(old.feed, old, old.cursor)


async def mark(house: House):  # type: ignore[no-untyped-def]
    async with house.reading() as session:
        return await read_head(session)


@dataclass
class Shop:
    """A device that pushes customers and names the mark of an answer."""

    device: TestDevice

    async def hand_in(self, *numbers: int, mark: Mark | None = None, **said: Any) -> Answer:
        operations = []
        for number in numbers:
            made = self.device.operation("createCustomer", name=f"Demo {number}")
            operations.append(made | {"number": number})
        request = PushRequest(self.device.id, operations, mark=mark, **said)
        return await push(self.device.house.kernel, COMMANDS, self.device.actor, request)


@pytest.mark.parametrize("before", [[], [1], [1, 7]], ids=["its first", "a later one", "a late one"])
@pytest.mark.parametrize("later", LATER)
async def test_a_push_after_a_lost_answer_applies_nothing(
    house: House, before: list[int], later: int
) -> None:
    """Numbers alone do not reveal it: a device may begin at any number, and a skipped one leaves no gap."""
    office = await begun(house)
    shop = Shop(TestDevice(house, "MANAGER"))
    for number in before:
        await shop.hand_in(number)
    if 7 in before:
        passed_by = PushRequest(shop.device.id, [{"number": n} for n in range(2, 7)])
        await push(house.kernel, COMMANDS, shop.device.actor, passed_by)
    office.before = saved(house)
    accepted = await shop.hand_in(2)
    assert [outcome.status for outcome in accepted.outcomes] == ["applied"]
    assert not (await shop.hand_in(mark=accepted.mark)).resync
    await office.lose()
    await office.write("after", later)
    at = (await mark(house)).seq
    for schema in (2, 99):
        told = await shop.hand_in(8, mark=accepted.mark, schema=schema)
        assert (told.resync, told.outcomes, told.next_number) == (True, [], None)
        assert told.epoch == accepted.epoch
    assert (await mark(house)).seq == at
    again = await shop.hand_in(2)
    assert [outcome.status for outcome in again.outcomes] == ["applied"]
    assert not (await shop.hand_in(mark=again.mark)).resync


async def test_a_lost_answer_is_noticed_even_when_later_history_skipped_its_number(
    house: House,
) -> None:
    """The device names no epoch. Its base counts as that of the backup, but its work is missing."""
    office = await begun(house)
    shop = Shop(TestDevice(house, "MANAGER"))
    accepted = await shop.hand_in(1)
    await office.lose()
    await begin_anew(house.database)
    anew = await shop.hand_in()
    await office.write("after")
    assert (await shop.hand_in(2, mark=accepted.mark)).resync
    assert not (await shop.hand_in(mark=anew.mark)).resync


async def test_the_answers_mark_costs_no_extra_statement(house: House) -> None:
    await begun(house)
    shop = Shop(TestDevice(house, "MANAGER"))
    told = await shop.hand_in(1)
    assert told.mark is not None
    statements: list[str] = []
    counted = []
    for number, mark in ((2, None), (3, told.mark)):
        statements.clear()
        event.listen(Engine, "before_cursor_execute", note := lambda *a: statements.append(a[2]))
        await shop.hand_in(number, mark=mark, marks={1: told.mark})
        event.remove(Engine, "before_cursor_execute", note)
        counted.append(len(statements))
    assert counted[0] == counted[1] > 0


async def test_a_copy_of_lost_history_is_not_current(house: House) -> None:
    office = await begun(house)
    device = TestDevice(house, "MANAGER")
    await office.write("lost")
    await device.pull()
    await office.lose()
    await office.write("after")
    assert device.cursor is not None
    async with house.reading() as session:
        copy = Copy(session, device.actor, device.feed.readable(device.actor))
        assert not await copy.is_current(device.cursor)
        assert await copy.is_current(Cursor.at(await mark(house)))


async def test_cursors_without_marks_are_accepted_and_get_one(house: House, tail: Tail) -> None:
    await begun(house)
    device = TestDevice(house, "MANAGER", tail=tail)
    await device.pull()
    assert device.cursor is not None
    assert device.cursor.mark is not None
    codec = CursorCodec(lambda: (b"k" * 32,))
    old = codec.decode(codec.encode(replace(device.cursor, mark=None), device.actor), device.actor)
    assert old == replace(device.cursor, mark=None)
    for feed in (device.feed, TestDevice(house, "MANAGER").feed):
        assert (await feed.pull(device.actor, old)).cursor == device.cursor
    snapshot = (await device.feed.pull(device.actor, None, 1)).cursor
    for cursor in (snapshot, replace(snapshot, mark=None), device.cursor):
        assert codec.decode(codec.encode(cursor, device.actor), device.actor) == cursor
        await device.feed.pull(device.actor, cursor)


async def test_a_subscriptions_cursor_keeps_its_mark(house: House) -> None:
    await begun(house)
    here = Cursor.at(await mark(house))
    assert decode(encode(here)) == here
    old = replace(here, mark=None)
    assert decode(encode(old)) == old


async def test_access_checked_in_lost_history_is_checked_again(house: House, tail: Tail) -> None:
    """A check at a number is void once another change has that number."""
    office = await begun(house)
    await office.write("lost", 2)
    known = (await tail.now(house.organisation_id)).head.seq
    await office.lose()
    await house.run("createSkill", name=str(new_id()))
    assert (await tail.now(house.organisation_id)).changed(new_id(), known)
    await office.write("after", 2)
    assert (await tail.now(house.organisation_id)).changed(new_id(), known - 1)
