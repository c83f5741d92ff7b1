"""The scopes that people hold through their work, before and after changes, and the cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.support.ask import answer, ask
from tests.support.device import TestDevice
from tests.support.field import sees
from tests.support.world import World, at
from tournee.kernel.actor import Actor
from tournee.kernel.errors import NotFound
from tournee.kernel.membership import Concerned
from tournee.sync.pull.checksums import row_sum
from tournee.sync.pull.feed import records_now
from tournee.work.models import Appointment, AppointmentEvent, Assignment
from tournee.work.models.membership import MEMBERSHIP
from tournee.work.states import AppointmentStatus as A


async def test_an_assignment_shows_the_visit_its_order_customer_and_site(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit()
    order_id = visit.work_order_id
    around = {visit.id, order_id, world.customer.id, world.site.id}
    assert not around & await world.scopes(technician.actor)
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
    assert around <= await world.scopes(technician.actor)
    (assignment,) = await world.house.rows(Assignment)
    assert await world.sees(technician.actor, assignment)
    await world.house.run("unassignTechnician", appointmentId=visit.id, technicianId=technician.id)
    assert not around & await world.scopes(technician.actor)


async def test_a_reassigned_visit_moves_to_the_new_technicians_device(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first)
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=second.id)
    assert not await world.sees(first.actor, visit)
    assert await world.sees(second.actor, visit)
    found = await world.read(Appointment, visit.id)
    assert found.status is A.DISPATCHED


@pytest.mark.parametrize(
    ("days", "status", "held"),
    [
        (0, A.DISPATCHED, True),
        (40, A.DISPATCHED, False),
        (-40, A.DISPATCHED, True),
        (-40, A.COMPLETED, False),
        (-40, A.CANCELED, False),
        (-3, A.COMPLETED, True),
        (-3, A.CANCELED, True),
        (None, A.NONE, True),
    ],
)
async def test_the_window_limits_visits_except_unfinished_old_ones(
    world: World, days: int | None, status: A, held: bool
) -> None:
    technician = await world.technician()
    times: dict[str, Any] = {"starts_at": None, "ends_at": None}
    if days is not None:
        times = {"starts_at": at(0) + timedelta(days=days), "ends_at": at(60) + timedelta(days=days)}
    visit = await world.visit()
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
    await world.put(visit, status=status, **times)
    (assignment,) = await world.house.rows(Assignment)
    await world.put(assignment, until=(await world.read(Appointment, visit.id)).until)
    async with world.house.reading() as session:
        found = await MEMBERSHIP.held(session, Concerned(whole={technician.actor.id}))
    assert ((technician.actor.id, visit.id) in found) is held


async def test_rescheduling_into_and_out_of_the_window_shows_and_hides_the_visit(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    for days, seen in ((60, False), (1, True)):
        start = at(0) + timedelta(days=days)
        await world.house.run(
            "scheduleAppointment", appointmentId=visit.id, startsAt=start, endsAt=start + timedelta(hours=1)
        )
        assert await world.sees(technician.actor, visit) is seen


async def test_a_technician_keeps_an_order_they_reported_until_it_ends(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    reported = await world.order(technician.actor, summary="Demo second leak")
    await world.house.run("unassignTechnician", appointmentId=visit.id, technicianId=technician.id)
    assert {reported.id, world.customer.id, world.site.id} <= await world.scopes(technician.actor)
    await world.house.run("cancelWorkOrder", workOrderId=reported.id, reason="Demo")
    assert not {reported.id, world.customer.id} & await world.scopes(technician.actor)


async def test_reporting_an_order_gives_the_office_no_scopes(world: World) -> None:
    await world.order("DISPATCHER")
    assert await world.scopes(world.house.actor("DISPATCHER")) == set()


async def test_a_portal_account_sees_its_customers_records_except_internal_notes(world: World) -> None:
    portal = await world.house.account("CUSTOMER_PORTAL", customerId=world.customer.id)
    technician = await world.technician()
    visit = await world.visit(technician)
    second = await world.house.run("createSite", customerId=world.customer.id, name="Demo Annex")
    wanted = {world.customer.id, world.site.id, second.id, visit.id, visit.work_order_id}
    assert wanted <= await world.scopes(portal)
    for target in ({"appointmentId": visit.id}, {"workOrderId": visit.work_order_id}):
        plain = await world.house.run("addNote", text="Demo", **target)
        secret = await world.house.run("addNote", text="Demo secret", internal=True, **target)
        assert (await world.sees(portal, plain), await world.sees(portal, secret)) == (True, False)
        assert await world.sees(technician.actor, secret)
    other = await world.house.run("createCustomer", name="Demo Other")
    foreign = await world.order(customerId=other.id, siteId=None)
    assert foreign.id not in await world.scopes(portal)


async def test_a_portal_account_reads_no_internal_data_about_its_customer(
    world: World, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]
) -> None:
    house, own = world.house, {"customerId": world.customer.id}
    portal = await house.account("CUSTOMER_PORTAL", **own)
    await house.run("updateCustomer", notes="Demo secret", tags=["secret"], phone="1", **own)
    told = {}
    for actor in (portal, house.actor("DISPATCHER")):
        device = TestDevice(house, actor=actor)
        await device.pull()
        told[actor.role] = device.rows[world.customer.id]
    hidden = {"notes", "tags"}
    assert told["DISPATCHER"].keys() - told["CUSTOMER_PORTAL"].keys() == hidden
    assert told["CUSTOMER_PORTAL"]["phone"] == "1"
    # Later records, in outcomes and in the log.
    follower = TestDevice(house, actor=portal)
    await follower.pull()
    await house.run("updateCustomer", notes="Demo secret again", phone="2", **own)
    await follower.pull()
    assert follower.rows[world.customer.id]["phone"] == "2"
    records = await records_now(house.database, portal, [world.customer.id])
    changes = "{ changes(first: 500) { nodes { entity record fields before after } } }"
    log = await ask(house, changes, portal)
    assert "secret" not in str((follower.rows, records, log))
    assert "secret" in str(await ask(house, changes, "DISPATCHER"))
    for document in (
        "{ customers { nodes { notes } } }",
        "{ customers { nodes { tags } } }",
        '{ customers(filter: {not: {notes: {contains: "secret"}}}) { nodes { id } } }',
        "{ customers(orderBy: [{notes: ASC}]) { nodes { id } } }",
    ):
        refused = await answer(house, document, portal)
        assert refused.codes in (["FORBIDDEN"], ["BAD_USER_INPUT"]), document
        assert not (await answer(house, document, "DISPATCHER")).codes
    # A copy without them is correct, and a repair does not add them.
    headers = bearer(portal)
    page = (await client.get("/sync/pull", headers=headers)).json()
    while page["more"]:
        page = (await client.get("/sync/pull", params={"cursor": page["cursor"]}, headers=headers)).json()
    given = {"cursor": page["cursor"]}
    sums = (await client.get("/sync/checksums", params=given, headers=headers)).json()
    row = follower.rows[world.customer.id]
    expected = row_sum("Customer", {name: value for name, value in row.items() if name != "entity"})
    assert sums["entities"]["Customer"]["checksum"] == f"{expected:016x}"
    bucket = {"entity": "Customer", "bucket": str(world.customer.id)[-1]}
    repaired = await client.get("/sync/repair", params={**given, **bucket}, headers=headers)
    assert repaired.json()["changes"]
    assert "secret" not in repaired.text


async def test_a_portal_account_sees_a_visit_without_the_technicians_whereabouts(world: World) -> None:
    portal = await world.house.account("CUSTOMER_PORTAL", customerId=world.customer.id)
    technician = await world.technician()
    visit = await world.visit(technician)
    place = {"latitude": 48.85, "longitude": 2.35}
    await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0), **place)
    times = {"startsAt": at(0), "endsAt": at(20)}
    entry = await world.house.run(
        "recordTimeEntry",
        technician.actor,
        technicianId=technician.id,
        appointmentId=visit.id,
        kind="TRAVEL",
        **times,
    )
    steps = await world.house.rows(AppointmentEvent)
    assert {step.latitude for step in steps} >= {48.85}
    device = TestDevice(world.house, actor=portal)
    await device.pull()
    assert device.rows[visit.id]["status"] == "EN_ROUTE"
    assert {row["entity"] for row in device.rows.values()}.isdisjoint({"AppointmentEvent", "TimeEntry"})
    assert "48.85" not in str(device.rows)
    for row in (*steps, entry):
        people = (portal, technician.actor, world.house.actor("REPORTING"))
        assert [await sees(world.house, one, type(row), row.id) for one in people] == [False, True, True]
    told = await ask(world.house, "{ changes(first: 500) { nodes { entity after } } }", portal)
    assert "48.85" not in str(told)
    for field in ("events { nodes { latitude } }", "timeEntries { nodes { startsAt } }"):
        refused = await answer(
            world.house,
            f"query Q($id: ID!) {{ appointment(id: $id) {{ {field} }} }}",
            portal,
            id=str(visit.id),
        )
        assert refused.codes == ["FORBIDDEN"]


async def test_only_the_end_of_a_visit_recomputes_scopes(
    world: World,
) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    asked: list[set[Any]] = []
    touched = MEMBERSHIP.touched

    async def spy(session: Any, entries: Any) -> Concerned:
        found = await touched(session, entries)
        asked.append(found.whole | found.scopes.keys())
        return found

    rules = world.house.kernel.rules.rules
    object.__setattr__(
        world.house.kernel.rules,
        "rules",
        tuple(replace(rule, touched=spy) if rule is MEMBERSHIP else rule for rule in rules),
    )
    try:
        for name in (
            "acceptAppointment",
            "startTravel",
            "arriveOnSite",
            "startWork",
            "pauseWork",
            "resumeWork",
        ):
            await world.house.run(name, technician.actor, appointmentId=visit.id, at=at(0))
        assert asked == [set()] * 6
        await world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(0))
        assert asked[-1] == {technician.actor.id}
    finally:
        object.__setattr__(world.house.kernel.rules, "rules", rules)


async def test_a_moved_window_changes_the_held_scopes(world: World) -> None:
    technician = await world.technician()
    start = at(0) + timedelta(days=60)
    visit = await world.visit(technician, startsAt=start, endsAt=start + timedelta(hours=1))
    assert not await world.sees(technician.actor, visit)
    await world.house.run("moveWindow", technicianId=technician.id, windowFrom=start - timedelta(days=1))
    assert await world.sees(technician.actor, visit)


async def test_another_organisation_sees_and_reaches_nothing(world: World) -> None:
    from tests.support.house import House

    visit = await world.visit(await world.technician())
    other = await House(world.house.database).found()
    for name, payload in (
        ("scheduleAppointment", {"appointmentId": visit.id, "startsAt": at(0), "endsAt": at(9)}),
        ("startTravel", {"appointmentId": visit.id, "at": at(0)}),
        ("createAppointment", {"workOrderId": visit.work_order_id}),
        ("cancelWorkOrder", {"workOrderId": visit.work_order_id, "reason": "Demo"}),
        ("createWorkOrder", {"customerId": world.customer.id, "summary": "Demo"}),
        ("addNote", {"appointmentId": visit.id, "text": "Demo"}),
    ):
        with pytest.raises(NotFound):
            await other.run(name, **payload)
