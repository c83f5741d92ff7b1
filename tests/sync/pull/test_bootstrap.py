"""A first pull sends today's work first, ends its progress at the total, and misses nothing."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import Edge, Member
from tournee.sync.pull.cursor import CursorCodec, Phase
from tournee.sync.pull.page import Progress


async def visit(house: House, technician_id: UUID, days: int) -> UUID:
    """Create a visit this many days from now at its own customer."""
    customer = await house.run("createCustomer", name="Demo Bakery")
    site = await house.run("createSite", customerId=customer.id, name="Oven")
    order = await house.run("createWorkOrder", customerId=customer.id, siteId=site.id, summary="Cold oven")
    starts = now() + timedelta(days=days, hours=1)
    appointment = await house.run(
        "createAppointment", workOrderId=order.id, startsAt=starts, endsAt=starts + timedelta(hours=1)
    )
    await house.run("assignTechnician", appointmentId=appointment.id, technicianId=technician_id)
    id: UUID = appointment.id
    return id


async def test_todays_visit_and_its_records_come_first(house: House) -> None:
    row, actor = await house.technician()
    device, me = TestDevice(house, actor=actor), row.id
    # In the order of ids or scopes, today's visit would be in the middle.
    for days in (3, 5, 7):
        await visit(house, me, days)
    today = await visit(house, me, 0)
    for days in (4, 6, 8):
        await visit(house, me, days)
    await device.pull(limit=8, pages=1)
    assert today in device.rows
    visit_ = device.rows[today]
    for hung in ("workOrderId", "customerId", "siteId"):
        assert UUID(visit_[hung]) in device.rows, hung
    assert [row["id"] for row in device.rows.values() if row["entity"] == "Appointment"] == [str(today)]
    await device.pull(limit=8)
    assert device.rows == await device.fresh()
    assert len([row for row in device.rows.values() if row["entity"] == "Appointment"]) == 7


async def test_progress_ends_at_its_total(house: House) -> None:
    row, actor = await house.technician()
    device, me = TestDevice(house, actor=actor), row.id
    for days in (0, 3, 5):
        await visit(house, me, days)
    told: list[Progress] = []
    sent = 0
    cursor = None
    codec = CursorCodec(lambda: (b"k" * 32,))
    while cursor is None or cursor.snapshot:
        page = await device.feed.pull(device.actor, cursor, 4)
        sent += len(page.changes)
        assert page.progress is not None
        told.append(page.progress)
        cursor = codec.decode(codec.encode(page.cursor, device.actor), device.actor)
        assert cursor == page.cursor
    assert len({progress.total for progress in told}) == 1
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert told[-1] == Progress(sent, sent)
    page = await device.feed.pull(device.actor, cursor, 4)
    assert page.progress is None


async def test_a_first_pull_is_complete_even_when_other_visits_become_urgent(house: House) -> None:
    """A visit is urgent for the first pages, and rescheduled or reassigned for the rest."""
    row, actor = await house.technician()
    device, me = TestDevice(house, actor=actor), row.id
    visits = [await visit(house, me, days) for days in (0, 0, 3, 5)]
    await device.pull(limit=3, pages=1)
    assert device.cursor is not None
    assert device.cursor.phase is Phase.URGENT
    later = now() + timedelta(days=9)
    await house.run(
        "scheduleAppointment", appointmentId=visits[0], startsAt=later, endsAt=later + timedelta(hours=1)
    )
    await house.run("unassignTechnician", appointmentId=visits[1], technicianId=me)
    soon = now() + timedelta(hours=2)
    await house.run(
        "scheduleAppointment", appointmentId=visits[3], startsAt=soon, endsAt=soon + timedelta(hours=1)
    )
    await device.pull(limit=3)
    assert device.rows == await device.fresh()
    assert visits[1] not in device.rows


async def test_a_row_in_several_scopes_is_sent_once(
    house: House,
) -> None:
    row, actor = await house.technician()
    device, me = TestDevice(house, actor=actor), row.id
    for days in (3, 5):
        on = {"technicianId": me, "appointmentId": await visit(house, me, days)}
        begun, ended = now() - timedelta(hours=2), now() - timedelta(hours=1)
        await house.run("recordTimeEntry", kind="TRAVEL", startsAt=begun, endsAt=ended, **on)
    places = await places_of(house, device.actor.id)
    several = {id for id in places if places.count(id) > 1}
    assert several
    sent: list[UUID] = []
    pages = 0
    cursor = None
    while cursor is None or cursor.snapshot:
        page = await device.feed.pull(device.actor, cursor, 1)
        sent += [change.id for change in page.changes]
        cursor, pages = page.cursor, pages + 1
    assert sorted(sent) == sorted(set(places))
    assert pages == len(places)


async def places_of(house: House, account_id: UUID) -> list[UUID]:
    """Return each record as often as the account has a scope that shows it."""
    async with house.database.reading(house.organisation_id) as session:
        held = select(Member.scope).where(Member.account_id == account_id, Member.to_seq.is_(None))
        lying = select(Edge.record_id).where(Edge.scope.in_(held), Edge.open.is_(True))
        return list(await session.scalars(lying))


async def test_a_page_requested_again_has_the_same_rows(house: House) -> None:
    row, actor = await house.technician()
    device, me = TestDevice(house, actor=actor), row.id
    for days in (0, 3):
        await visit(house, me, days)
    first = await device.feed.pull(device.actor, None, 4)
    once = await device.feed.pull(device.actor, first.cursor, 4)
    await house.run("createCustomer", name=f"Demo Hotel {new_id()}")
    again = await device.feed.pull(device.actor, first.cursor, 4)
    assert once.text == again.text
    assert replace(once.cursor, mark=None) == replace(again.cursor, mark=None)
