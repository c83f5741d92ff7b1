"""An office device carries the types and the time that it chose, and nothing is missing of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text

from tests.support.desk import Desk
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.migrate import connected
from tests.support.world import World
from tests.support.years import Past, received
from tournee.catalogue import ENTITIES
from tournee.engine.tail import Tail
from tournee.kernel.entity import ALWAYS, new_id, now
from tournee.kernel.errors import Invalid
from tournee.kernel.log import Record
from tournee.sync.pull.choice import Choice, read_choice
from tournee.sync.pull.chosen import Chosen
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.work.models import Appointment, Assignment, WorkOrder

LAST_YEAR = (now() - timedelta(days=300)).date()
WORK = ("Appointment", "Assignment", "Note", "WorkOrder")


@pytest.fixture
async def world(house: House) -> World:
    return await World(house).settle()


async def old_visit(
    world: World, technician: Any, *, completed: bool = True, closed: bool = True
) -> Appointment:
    """Return a visit of two years ago with a note; it was completed and closed then, or is still open."""
    begins = now() - timedelta(days=700)
    ends = begins + timedelta(hours=1)
    with received(ends):
        visit = await world.visit(technician, startsAt=begins, endsAt=ends)
        await world.house.run("addNote", appointmentId=visit.id, text="Demo")
        if completed:
            on = {"appointmentId": visit.id}
            await world.house.run("startWork", technician.actor, at=begins, **on)
            await world.house.run("completeAppointment", technician.actor, at=ends, **on)
        if completed and closed:
            await world.house.run("closeWorkOrder", workOrderId=visit.work_order_id)
    return visit


async def test_a_device_carries_the_types_that_it_chose(world: World) -> None:
    await world.visit(await world.technician())
    office = TestDevice(world.house, "DISPATCHER", choice=Choice(("Customer", "Site")))
    await office.pull(limit=1)
    assert Counter(row["entity"] for row in office.rows.values()) == {"Customer": 1, "Site": 1}
    order = await world.order()
    await world.house.run("updateSite", siteId=world.site.id, name="Demo Quay")
    await office.pull()
    assert order.id not in office.rows
    assert office.rows[world.site.id]["name"] == "Demo Quay"
    await world.house.run("updateCustomer", customerId=world.customer.id, name="Demo Inn")
    await office.pull(limit=1)
    assert office.rows == await office.fresh()


@pytest.mark.parametrize("remembers", [False, True])
async def test_what_was_over_before_the_day_stays_away(world: World, tail: Tail, remembers: bool) -> None:
    technician = await world.technician()
    over, still = await old_visit(world, technician), await old_visit(world, technician, completed=False)
    new = await world.visit(technician)
    office = TestDevice(
        world.house, "DISPATCHER", choice=Choice(WORK, LAST_YEAR), tail=tail if remembers else None
    )
    await office.pull(limit=2)
    assert {new.id, still.id} == {id for id, row in office.rows.items() if row["entity"] == "Appointment"}
    assigned = {row["appointmentId"] for row in office.rows.values() if row["entity"] == "Assignment"}
    assert assigned == {str(new.id), str(still.id)}
    # What happened once is over, even on a visit that is open.
    assert not [row for row in office.rows.values() if row["entity"] == "Note"]
    assert {over.id, over.work_order_id}.isdisjoint(office.rows)
    await world.house.run("cancelAppointment", appointmentId=still.id, reason="Demo")
    await office.pull(limit=1)
    # It has just changed, so it counts from now.
    assert still.id in office.rows
    assert office.rows == await office.fresh()


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_visit_that_opens_again_comes_with_its_assignment(
    world: World, tail: Tail, remembers: bool
) -> None:
    over = await old_visit(world, await world.technician(), closed=False)
    # One page each: several records have the number of the visit.
    office = TestDevice(
        world.house, "DISPATCHER", choice=Choice(WORK, LAST_YEAR), tail=tail if remembers else None
    )
    await office.pull()
    assert over.id not in office.rows
    await world.house.run("reopenWorkOrder", workOrderId=over.work_order_id, reason="Demo")
    await world.house.run("reopenAppointment", appointmentId=over.id, reason="Demo")
    await office.pull(limit=1)
    assert over.id in office.rows
    assert [row for row in office.rows.values() if row["entity"] == "Assignment"]
    assert office.rows == await office.fresh()


async def test_deleted_records_leave_and_later_ones_come(world: World) -> None:
    choice = Choice(("Contact", "Customer"), LAST_YEAR)
    office = TestDevice(world.house, "DISPATCHER", choice=choice)
    contact = await world.house.run("createContact", customerId=world.customer.id, name="Demo")
    await office.pull()
    await world.house.run("deleteContact", contactId=contact.id)
    other = await world.house.run("createContact", customerId=world.customer.id, name="Demo Two")
    await office.pull()
    assert contact.id not in office.rows
    assert other.id in office.rows
    assert office.rows == await office.fresh()


async def test_a_change_in_the_middle_of_the_first_pull_is_not_lost(world: World) -> None:
    for number in range(6):
        await world.house.run("createContact", customerId=world.customer.id, name=f"Demo {number}")
    technician = await world.technician()
    visits = [await world.visit(technician) for _ in range(4)]
    office = TestDevice(
        world.house, "DISPATCHER", choice=Choice(("Appointment", "Contact", "Customer"), LAST_YEAR)
    )
    for visit in visits:
        await office.pull(limit=2, pages=1)
        # An open visit moves to another place of the walk.
        await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    await office.pull(limit=2)
    assert office.rows == await office.fresh()
    assert len(office.rows) == 11


async def test_another_choice_begins_a_new_copy(world: World) -> None:
    await old_visit(world, await world.technician())
    office = TestDevice(world.house, "DISPATCHER", choice=Choice(("Customer",)))
    await office.pull()
    for choice in (
        Choice(("Customer", "WorkOrder"), LAST_YEAR),
        Choice(("Customer", "WorkOrder")),
        Choice(None, LAST_YEAR),
    ):
        office.choice = choice
        await office.pull()
        assert office.rows == await TestDevice(world.house, "DISPATCHER", choice=choice).fresh()
    # A device that names no choice keeps the one in its cursor.
    office.choice = None
    await world.order()
    await office.pull()
    assert office.rows == await TestDevice(world.house, "DISPATCHER", choice=Choice(None, LAST_YEAR)).fresh()


async def test_a_cursor_keeps_the_choice_and_the_place(world: World) -> None:
    for number in range(4):
        await world.house.run("createContact", customerId=world.customer.id, name=f"Demo {number}")
    codec = CursorCodec(lambda: (b"k" * 32,))
    office = TestDevice(world.house, "DISPATCHER", choice=Choice(("Contact", "Site"), LAST_YEAR))
    rows = 0
    while office.cursor is None or office.cursor.snapshot:
        await office.pull(limit=2, pages=1)
        assert office.cursor is not None
        text = codec.encode(office.cursor, office.actor)
        # As another server reads it.
        again = CursorCodec(lambda: (b"k" * 32,)).decode(text, office.actor)
        assert again == office.cursor
        office.cursor = again
        rows = len(office.rows)
    assert rows == 5
    assert office.cursor.choice == office.choice


async def test_each_record_counts_as_long_as_its_row_says(house: House) -> None:
    past = await Past(house).begin()
    for days in (2, 400):
        await past.record(days)
        await past.shift(days)
        await past.absence(days)
        await past.stock(days)
        await past.audit(days)
    world = await World(house).settle()
    technician = await world.technician()
    await old_visit(world, technician)
    await world.visit(technician)
    planned = await past.shift(-20)
    async with house.reading() as session:
        until = dict(iter(await session.execute(select(Record.id, Record.until))))
    open_ones = 0
    for model in ENTITIES.values():
        for row in await house.rows(model):
            assert (until[row.id] == ALWAYS) == (row.ends() == ALWAYS), model
            assert until[row.id] >= row.ends()
            open_ones += until[row.id] == ALWAYS
    assert 0 < open_ones < len(until)
    assert until[planned] > now() + timedelta(days=19)
    assert {until[row.id] < ALWAYS for row in await house.rows(WorkOrder)} == {True, False}
    assert {until[row.id] < ALWAYS for row in await house.rows(Assignment)} == {True, False}


async def test_a_technician_has_no_choice(house: House) -> None:
    _, actor = await house.technician()
    device = TestDevice(house, actor=actor)
    await device.pull()
    with pytest.raises(Invalid) as refusal:
        read_choice({"since": "2026-01-01"}, actor, device.feed.readable(actor))
    assert refusal.value.field == "since"


HOSTILE = (
    ({"entities": "Customer,Nothing"}, "entities"),
    ({"entities": ""}, "entities"),
    ({"entities": ",,"}, "entities"),
    ({"entities": "customer"}, "entities"),
    ({"entities": "Customer," * 100_0}, "entities"),
    ({"entities": "Organisation"}, "entities"),
    ({"entities": "Customer'; DROP TABLE record; --"}, "entities"),
    ({"since": ""}, "since"),
    ({"since": "yesterday"}, "since"),
    ({"since": "2026-02-30"}, "since"),
    ({"since": "2026-W48-7"}, "since"),
    ({"since": "2026-11-29T00:00:00Z"}, "since"),
    ({"since": "٢٠٢٦-٠١-٠١"}, "since"),
    ({"entities": "Customer", "since": "0000-00-00"}, "since"),
)


@pytest.mark.parametrize(("query", "field"), HOSTILE)
async def test_what_cannot_be_chosen_is_refused_with_its_field(
    desk: Desk, query: dict[str, str], field: str
) -> None:
    answer = await desk.pull(**query)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("INVALID", field)
    assert len(error["message"]) < 300


@pytest.mark.parametrize("since", ["0001-01-01", "9999-12-31"])
async def test_the_first_and_the_last_day_can_be_chosen(desk: Desk, since: str) -> None:
    await desk.push(desk.operation())
    page = (await desk.pull(entities="Customer", since=since)).json()
    assert len(page["changes"]) == 1
    assert page["more"] is False
    # Nothing that is over counts so long.
    page = (await desk.pull(entities="Note,StockMovement", since=since)).json()
    assert page["changes"] == []


async def test_over_http_the_choice_is_tied_to_the_cursor(desk: Desk) -> None:
    await desk.push(*(desk.operation() for _ in range(3)))
    first = (await desk.pull(entities="Customer", limit=2)).json()
    assert (len(first["changes"]), first["more"], first["progress"]["total"]) == (2, True, 3)
    rest = (await desk.pull(entities="Customer", cursor=first["cursor"])).json()
    assert (len(rest["changes"]), rest["more"]) == (1, False)
    await desk.push(desk.operation())
    for same in ({}, {"entities": "Customer"}):
        page = (await desk.pull(cursor=rest["cursor"], **same)).json()
        assert [change["entity"] for change in page["changes"]] == ["Customer"]
    for other in ({"entities": "Customer,Site"}, {"since": str(LAST_YEAR)}):
        assert (await desk.pull(cursor=rest["cursor"], **other)).json()["resync"] is True
    plain = (await desk.pull()).json()["cursor"]
    assert (await desk.pull(cursor=plain, entities="Customer")).json()["resync"] is True


async def test_removals_in_two_steps_keep_the_choice(desk: Desk) -> None:
    (made,) = await desk.push(desk.operation())
    given = {"customerId": made["record"]["id"], "name": "Demo"}
    (contact,) = await desk.push(desk.operation(command="createContact", input=given))
    two = {"removals": "two-step", "device": desk.device}
    page = (await desk.pull(entities="Contact", **two)).json()
    assert len(page["changes"]) == 1
    id = contact["record"]["id"]
    await desk.house.run("deleteContact", contactId=id)
    page = (await desk.pull(entities="Contact", cursor=page["cursor"], **two)).json()
    assert [change["record"] for change in page["changes"] if change["id"] == id] == [
        {"id": id, "archived": True}
    ]
    assert (await desk.pull(entities="Site", cursor=page["cursor"], **two)).json()["resync"] is True


async def test_checksums_are_those_of_the_choice(world: World, desk: Desk) -> None:
    await old_visit(world, await world.technician())
    await world.visit(await world.technician())
    choice = {"entities": "Appointment,WorkOrder", "since": str(LAST_YEAR)}
    page = (await desk.pull(**choice)).json()
    sums = (
        await desk.client.get("/sync/checksums", params={"cursor": page["cursor"]}, headers=desk.headers)
    ).json()
    assert sums["current"] is True
    assert {name: one["count"] for name, one in sums["entities"].items()} == {
        "Appointment": 1,
        "WorkOrder": 1,
    }
    asked = {"cursor": page["cursor"], "entity": "WorkOrder"}
    rows = (await desk.client.get("/sync/repair", params=asked, headers=desk.headers)).json()
    assert {change["id"] for change in rows["changes"]} == {
        change["id"] for change in page["changes"] if change["entity"] == "WorkOrder"
    }
    await world.order()
    sums = (
        await desk.client.get("/sync/checksums", params={"cursor": page["cursor"]}, headers=desk.headers)
    ).json()
    assert sums == {"current": False}


YEARS_OF_NOTES = """
INSERT INTO record (organisation_id, id, entity, seq, deleted, clock, document, until)
SELECT :own, gen_random_uuid(), (ARRAY['Note', 'Reading', 'TimeEntry'])[1 + n % 3], n, false, '{}', '{}',
       now() - n * interval '2 hours'
  FROM generate_series(1, 20000) AS n
"""


async def test_a_page_of_a_choice_is_read_by_its_index(house: House) -> None:
    if house.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite explains itself in other words")
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        sent.append((statement, values))

    engine = house.database.engine.sync_engine
    async with house.reading() as session:
        event.listen(engine, "before_cursor_execute", note)
        try:
            choice = Choice(("Note",), LAST_YEAR)
            await Chosen(session, ["Note"], choice)._rows(Cursor(new_id(), 1, choice=choice), 20)
        finally:
            event.remove(engine, "before_cursor_execute", note)
    ((statement, values),) = sent
    with connected(house.database.url) as connection:
        connection.execute(text(YEARS_OF_NOTES), {"own": house.organisation_id})
        connection.execute(text("ANALYZE record"))
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
    assert "ix_record_until" in plan, plan
    assert "Sort" not in plan
    condition = plan.partition("Index Cond:")[2].partition("\n")[0]
    assert "entity" in condition
    assert "until" in condition
