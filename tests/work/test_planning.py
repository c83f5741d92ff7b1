"""Orders and appointments through the office's commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.ask import ask
from tests.support.device import TestDevice
from tests.support.world import Technician, World, at
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Blocked, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.work.commands import orders
from tournee.work.guards import visit_transitions
from tournee.work.models import Appointment, Assignment, WorkOrder
from tournee.work.states import AppointmentStatus as A
from tournee.work.states import WorkOrderStatus as W

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_orders_are_numbered_within_their_organisation(world: World) -> None:
    from tests.support.house import House

    assert [(await world.order()).number for _ in range(3)] == ["WO-1001", "WO-1002", "WO-1003"]
    other = await World(await House(world.house.database).found()).settle()
    assert (await other.order()).number == "WO-1001"


async def test_a_refused_order_uses_no_number(world: World) -> None:
    with pytest.raises(Invalid) as refusal:
        await world.order(summary="  ")
    assert refusal.value.field == "summary"
    assert (await world.order()).number == "WO-1001"


async def test_accepted_orders_of_a_push_are_numbered_in_sequence(
    world: World,
) -> None:
    device = TestDevice(world.house, "DISPATCHER")
    given = {"customerId": world.customer.id}
    made = [
        device.operation("createWorkOrder", id=new_id(), summary=summary, **given)
        for summary in ("First", " ", "Second")
    ]
    outcomes = await device.push(*made)
    assert [outcome.status for outcome in outcomes] == ["applied", "rejected", "applied"]
    await device.pull()
    numbers = {row["summary"]: row["number"] for row in device.rows.values() if "summary" in row}
    assert numbers == {"First": "WO-1001", "Second": "WO-1002"}
    assert (await world.order()).number == "WO-1003"


async def test_a_site_of_another_customer_is_refused(world: World) -> None:
    other = await world.house.run("createCustomer", name="Demo Other")
    with pytest.raises(Invalid, match="another customer") as refusal:
        await world.order(customerId=other.id)
    assert refusal.value.field == "siteId"


@pytest.mark.parametrize("place", ["contactId", "assetId"])
async def test_a_contact_or_an_asset_of_another_customer_is_refused(world: World, place: str) -> None:
    other = await world.house.run("createCustomer", name="Demo Other")
    named = {
        "contactId": await world.house.run("createContact", customerId=other.id, name="Demo Porter"),
        "assetId": await world.house.run("createAsset", customerId=other.id, name="Demo lift"),
    }
    with pytest.raises(Invalid, match="another customer") as refusal:
        await world.order(**{place: named[place].id})
    assert refusal.value.field == place
    order = await world.order()
    with pytest.raises(Invalid, match="another customer") as refusal:
        await world.house.run("updateWorkOrder", workOrderId=order.id, **{place: named[place].id})
    assert refusal.value.field == place


async def test_a_place_that_was_the_customers_at_the_devices_base_is_accepted(world: World) -> None:
    """A later change of an asset's owner does not refuse an order reported about it."""
    office = world.house.actor("DISPATCHER", device_id=uuid4())
    asset = await world.house.run("createAsset", siteId=world.site.id, name="Demo lift")
    base = await world.house.seq()
    other = await world.house.run("createCustomer", name="Demo Other")
    elsewhere = await world.house.run("createSite", customerId=other.id, name="Demo Annex")
    await world.house.run("moveAsset", assetId=asset.id, siteId=elsewhere.id)
    report = {"customerId": world.customer.id, "assetId": asset.id, "summary": "Demo noise"}
    await world.offline(office, base, ("createWorkOrder", report))
    assert "Demo noise" in {order.summary for order in await world.house.rows(WorkOrder)}
    after = await world.house.seq()
    with pytest.raises(Invalid, match="another customer"):
        await world.offline(office, after, ("createWorkOrder", report))


@pytest.mark.parametrize(
    "fields",
    [
        {"summary": "x" * 201},
        {"priority": "HOPELESS"},
        {"dueAt": "tomorrow"},
        {"status": "CLOSED"},
        {"number": "WO-1"},
        {"summary": None},
        {"requiredSkillIds": ["no-id"]},
    ],
)
async def test_an_order_with_bad_input_is_refused(world: World, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await world.order(**fields)


async def test_an_unknown_skill_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="Skill"):
        await world.order(requiredSkillIds=[uuid4()])


async def test_a_visit_has_both_times_or_none_and_ends_after_it_starts(world: World) -> None:
    order = await world.order()
    for times in (
        {"startsAt": at(0)},
        {"endsAt": at(0)},
        {"startsAt": at(10), "endsAt": at(10)},
        {"arrivalWindowStart": at(10), "arrivalWindowEnd": at(0)},
    ):
        with pytest.raises(Invalid):
            await world.house.run("createAppointment", workOrderId=order.id, **times)


async def test_a_visit_copies_site_and_customer_from_its_order_and_follows_changes(world: World) -> None:
    order = await world.order()
    visit = await world.house.run("createAppointment", workOrderId=order.id)
    assert (visit.summary, visit.status, visit.site_id) == (order.summary, A.NONE, world.site.id)
    assert (visit.travel_minutes, visit.work_minutes, visit.break_minutes) == (0, 0, 0)
    annex = await world.house.run("createSite", customerId=world.customer.id, name="Demo Annex")
    await world.house.run("updateWorkOrder", workOrderId=order.id, siteId=annex.id)
    assert (await world.read(Appointment, visit.id)).site_id == annex.id


@pytest.mark.parametrize("status", [W.DRAFT, W.COMPLETED, W.CANNOT_COMPLETE, W.CLOSED, W.CANCELED])
async def test_an_order_that_is_not_open_accepts_no_visit(world: World, status: W) -> None:
    order = await world.order()
    await world.put(order, status=status)
    with pytest.raises(TransitionNotAllowed):
        await world.house.run("createAppointment", workOrderId=order.id)


async def offered(world: World, visit: Appointment) -> dict[str, list[str]]:
    async with world.house.reading() as session:
        row = await session.get_one(Appointment, (visit.organisation_id, visit.id))
        (moves,) = await visit_transitions(session, world.house.actor("MANAGER"), [row])
        return {move.to: move.blocked_by for move in moves}


async def test_a_visit_without_a_technician_names_the_blocker_of_its_dispatch(world: World) -> None:
    visit = await world.visit()
    assert (await offered(world, visit))["DISPATCHED"] == ["No technician is assigned."]
    with pytest.raises(Blocked, match="No technician"):
        await world.house.run("dispatchAppointment", appointmentId=visit.id)
    technician = await world.technician()
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
    assert await offered(world, visit) == {"NONE": [], "DISPATCHED": [], "CANCELED": []}


async def test_an_order_on_hold_blocks_the_dispatch_of_its_visits(world: World) -> None:
    order = await world.order()
    visit = await world.visit(order=order)
    technician = await world.technician()
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
    await world.house.run("holdWorkOrder", workOrderId=order.id, reason="Demo parts")
    assert (await offered(world, visit))["DISPATCHED"] == ["The work order is on hold."]
    with pytest.raises(Blocked, match="on hold"):
        await world.house.run("dispatchAppointment", appointmentId=visit.id)


async def test_an_order_begun_before_its_hold_can_be_canceled_only_by_managers(world: World) -> None:
    technician = await world.technician()
    untouched, begun = await world.order(), await world.order()
    visit = await world.visit(technician, order=begun)
    await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
    for order in (untouched, begun):
        await world.house.run("holdWorkOrder", workOrderId=order.id, reason="Demo parts")
    with pytest.raises(Forbidden, match="Work has begun"):
        await world.house.run("cancelWorkOrder", "DISPATCHER", workOrderId=begun.id, reason="Demo")
    await world.house.run("cancelWorkOrder", "DISPATCHER", workOrderId=untouched.id, reason="Demo")
    await world.house.run("cancelWorkOrder", workOrderId=begun.id, reason="Demo")


@pytest.mark.parametrize("status", [A.COMPLETED, A.CANNOT_COMPLETE, A.CANCELED])
async def test_a_finished_visit_accepts_no_technician(world: World, status: A) -> None:
    visit, technician = await world.visit(), await world.technician()
    await world.put(visit, status=status)
    for command in ("assignTechnician", "reassignAppointment"):
        with pytest.raises(TransitionNotAllowed) as refusal:
            await world.house.run(command, appointmentId=visit.id, technicianId=technician.id)
        assert refusal.value.field == "appointmentId"


async def test_a_skill_missing_or_expired_at_the_visit_blocks_the_dispatch(world: World) -> None:
    skill = await world.house.run("createSkill", name="Demo gas", expires=True)
    technician = await world.technician()
    order = await world.order(requiredSkillIds=[skill.id])
    visit = await world.visit(order=order)
    assign = {"appointmentId": visit.id, "technicianId": technician.id}
    with pytest.raises(Blocked, match="Demo gas is missing or expired"):
        await world.house.run("assignTechnician", "DISPATCHER", **assign)
    with pytest.raises(Forbidden):
        await world.house.run("assignTechnician", "DISPATCHER", **assign, force=True)
    await world.house.run(
        "createTechnicianSkill",
        technicianId=technician.id,
        skillId=skill.id,
        validTo=now().date() + timedelta(days=3),
    )
    await world.house.run("assignTechnician", "DISPATCHER", **assign)
    later = at(0) + timedelta(days=10)
    await world.house.run(
        "scheduleAppointment", appointmentId=visit.id, startsAt=later, endsAt=later + timedelta(hours=1)
    )
    with pytest.raises(Blocked, match="Demo gas"):
        await world.house.run("dispatchAppointment", appointmentId=visit.id)


async def test_a_manager_may_override_missing_skills(world: World) -> None:
    skill = await world.house.run("createSkill", name="Demo gas")
    technician = await world.technician()
    visit = await world.visit(order=await world.order(requiredSkillIds=[skill.id]))
    assign = {"appointmentId": visit.id, "technicianId": technician.id, "force": True}
    await world.house.run("assignTechnician", "MANAGER", **assign)
    assert len(await world.house.rows(Assignment)) == 1
    with pytest.raises(Blocked, match="Demo gas"):
        await world.house.run("dispatchAppointment", appointmentId=visit.id)
    with pytest.raises(Forbidden):
        await world.house.run("dispatchAppointment", "DISPATCHER", appointmentId=visit.id, force=True)
    sent = await world.house.run("dispatchAppointment", "MANAGER", appointmentId=visit.id, force=True)
    assert sent.status is A.DISPATCHED


async def test_overriding_skills_overrides_nothing_else(world: World) -> None:
    visit = await world.visit()
    with pytest.raises(Blocked, match="No technician"):
        await world.house.run("dispatchAppointment", "MANAGER", appointmentId=visit.id, force=True)


@pytest.mark.parametrize(
    ("zone", "starts", "valid"),
    [
        ("Pacific/Auckland", "2026-11-23T19:00:00Z", False),
        ("Pacific/Auckland", "2026-11-23T10:00:00Z", True),
        ("America/Los_Angeles", "2026-11-24T07:00:00Z", True),
        ("America/Los_Angeles", "2026-11-24T09:00:00Z", False),
        ("Pacific/Auckland", "9999-12-31T22:00:00Z", False),
    ],
)
async def test_a_skills_validity_is_judged_by_the_date_at_the_site(
    world: World, zone: str, starts: str, valid: bool
) -> None:
    house, technician = world.house, await world.technician()
    skill = await house.run("createSkill", name="Demo gas")
    await house.run(
        "createTechnicianSkill", technicianId=technician.id, skillId=skill.id, validTo="2026-11-23"
    )
    site = await house.run("createSite", customerId=world.customer.id, name="Demo", timeZone=zone)
    order = await world.order(siteId=site.id, requiredSkillIds=[skill.id])
    ends = starts.replace(":00:00Z", ":30:00Z")
    visit = await world.visit(order=order, startsAt=starts, endsAt=ends)
    assign = {"appointmentId": visit.id, "technicianId": technician.id, "force": True}
    await house.run("assignTechnician", "MANAGER", **assign)
    document = "query ($id: ID!) {appointment(id: $id) {availableTransitions {to allowed}}}"
    told = (await ask(house, document, id=str(visit.id)))["appointment"]["availableTransitions"]
    assert {"to": "DISPATCHED", "allowed": valid} in told
    if valid:
        await house.run("dispatchAppointment", appointmentId=visit.id)
    else:
        with pytest.raises(Blocked, match="Demo gas"):
            await house.run("dispatchAppointment", appointmentId=visit.id)


async def test_an_inactive_technician_cannot_be_assigned(world: World) -> None:
    technician = await world.technician()
    await world.put(await world.read_technician(technician.id), status="INACTIVE")
    visit = await world.visit()
    with pytest.raises(Blocked, match="not active"):
        await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)


async def test_unassigning_the_last_technician_recalls_the_visit(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first, second)
    after = await world.house.run("unassignTechnician", appointmentId=visit.id, technicianId=first.id)
    assert after.status is A.DISPATCHED
    assert [(row.active, row.lead) for row in await world.house.rows(Assignment)] == [
        (False, False),
        (True, True),
    ]
    after = await world.house.run("unassignTechnician", appointmentId=visit.id, technicianId=second.id)
    assert after.status is A.SCHEDULED
    with pytest.raises(NotFound):
        await world.house.run("unassignTechnician", appointmentId=visit.id, technicianId=second.id)


async def test_a_visit_always_has_one_lead(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first, second)

    async def assigned(technician: Technician, *, lead: bool) -> list[bool]:
        fields = {"appointmentId": visit.id, "technicianId": technician.id, "lead": lead}
        await world.house.run("assignTechnician", **fields)
        rows = {row.technician_id: row.lead for row in await world.house.rows(Assignment)}
        return [rows[first.id], rows[second.id]]

    assert await assigned(first, lead=False) == [True, False]
    assert await assigned(second, lead=True) == [False, True]
    assert await assigned(first, lead=False) == [False, True]


async def test_canceling_a_visit_needs_a_reason(world: World) -> None:
    visit = await world.visit()
    with pytest.raises(Invalid):
        await world.house.run("cancelAppointment", appointmentId=visit.id, reason=" ")


async def test_a_visit_under_way_cannot_be_reassigned(world: World) -> None:
    technician, other = await world.technician(), await world.technician()
    visit = await world.visit(technician)
    await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
    for name, who in (("reassignAppointment", other), ("unassignTechnician", technician)):
        with pytest.raises(TransitionNotAllowed):
            await world.house.run(name, appointmentId=visit.id, technicianId=who.id)


async def test_a_technician_who_rejects_a_visit_is_unassigned(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    step = {"appointmentId": visit.id, "at": at(0), "reason": "Demo ill"}
    after = await world.house.run("rejectAppointment", technician.actor, **step)
    assert after.status is A.SCHEDULED
    assert [row.active for row in await world.house.rows(Assignment)] == [False]
    assert (await world.events(visit))[-1].note == "Demo ill"
    assert not await world.sees(technician.actor, visit)


async def test_only_a_manager_reopens_a_visit_and_its_order_follows(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    for name in ("startWork", "completeAppointment"):
        await world.house.run(name, technician.actor, appointmentId=visit.id, at=at(0))
    with pytest.raises(Forbidden):
        await world.house.run("reopenAppointment", "DISPATCHER", appointmentId=visit.id, reason="Demo")
    after = await world.house.run("reopenAppointment", "MANAGER", appointmentId=visit.id, reason="Demo")
    assert (after.status, after.actual_end) == (A.IN_PROGRESS, None)
    assert (await world.read(WorkOrder, visit.work_order_id)).status is W.IN_PROGRESS
    with pytest.raises(TransitionNotAllowed):
        await world.house.run("reopenAppointment", "MANAGER", appointmentId=visit.id, reason="Demo")


async def test_a_visit_that_could_not_be_completed_reopens_in_its_previous_status(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
    ended = {"appointmentId": visit.id, "at": at(9), "reason": "Demo road closed"}
    await world.house.run("cannotCompleteAppointment", technician.actor, **ended)
    after = await world.house.run("reopenAppointment", appointmentId=visit.id, reason="Demo")
    assert after.status is A.EN_ROUTE


async def test_after_travel_starts_only_managers_cancel_an_order_and_nobody_during_work_on_site(
    world: World,
) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    cancel = {"workOrderId": visit.work_order_id, "reason": "Demo"}
    await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
    with pytest.raises(Forbidden):
        await world.house.run("cancelWorkOrder", "DISPATCHER", **cancel)
    await world.house.run("arriveOnSite", technician.actor, appointmentId=visit.id, at=at(5))
    with pytest.raises(Blocked, match="on site"):
        await world.house.run("cancelWorkOrder", "MANAGER", **cancel)


async def test_a_technician_edits_only_the_findings_of_an_order(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    change = {"workOrderId": visit.work_order_id}
    changed = await world.house.run("updateWorkOrder", technician.actor, **change, cause="Demo worn seal")
    assert changed.cause == "Demo worn seal"
    with pytest.raises(Forbidden, match="priority"):
        await world.house.run("updateWorkOrder", technician.actor, **change, priority="LOW")
    for name in ("holdWorkOrder", "cancelWorkOrder"):
        with pytest.raises(Forbidden):
            await world.house.run(name, technician.actor, **change, reason="Demo")


async def test_findings_on_a_reassigned_visit_are_kept(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first)
    base = await world.house.seq()
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=second.id)
    cause = {"workOrderId": visit.work_order_id, "cause": "Demo worn seal"}
    await world.offline(first.actor, base, ("updateWorkOrder", cause))
    assert (await world.read(WorkOrder, visit.work_order_id)).cause == "Demo worn seal"


async def test_a_technician_creates_orders_only_for_visible_customers(world: World) -> None:
    technician = await world.technician()
    with pytest.raises(NotFound):
        await world.order(technician.actor)


async def test_the_reporter_edits_an_order_until_it_is_planned(world: World) -> None:
    reporter, other = await world.technician(), await world.technician()
    await world.visit(reporter)
    order = await world.order(reporter.actor)
    change = {"workOrderId": order.id, "priority": "LOW"}
    assert (await world.house.run("updateWorkOrder", reporter.actor, **change)).priority == "LOW"
    visit = await world.house.run("createAppointment", workOrderId=order.id, startsAt=at(0), endsAt=at(60))
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=other.id)
    for technician in (reporter, other):
        with pytest.raises(Forbidden, match="priority"):
            await world.house.run("updateWorkOrder", technician.actor, **change)


async def test_only_the_office_sets_a_field_of_its_own_even_in_a_new_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "_OFFICE_ALONE", frozenset({"due_at"}))
    reporter = await world.technician()
    await world.visit(reporter)
    with pytest.raises(Forbidden, match="dueAt"):
        await world.order(reporter.actor, dueAt=at(0))
    order = await world.order(reporter.actor)
    due = {"workOrderId": order.id, "dueAt": at(0)}
    with pytest.raises(Forbidden, match="dueAt"):
        await world.house.run("updateWorkOrder", reporter.actor, **due)
    assert (await world.house.run("updateWorkOrder", "DISPATCHER", **due)).due_at == at(0)


async def test_an_empty_change_and_an_empty_reason_are_refused(world: World) -> None:
    order = await world.order()
    with pytest.raises(Invalid):
        await world.house.run("updateWorkOrder", workOrderId=order.id)
    with pytest.raises(Invalid, match="why"):
        await world.house.run("cancelWorkOrder", workOrderId=order.id, reason=" ")


async def closed_order(world: World, technician: Technician) -> Appointment:
    """Return the visit of a completed, reviewed and closed order."""
    visit = await world.visit(technician)
    await world.house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    await world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(60))
    await world.house.run("closeWorkOrder", workOrderId=visit.work_order_id)
    return visit


async def test_the_office_cannot_edit_a_closed_order(world: World) -> None:
    visit = await closed_order(world, await world.technician())
    edit = {"workOrderId": visit.work_order_id, "summary": "Demo other"}
    base = await world.house.seq()
    for role in ("DISPATCHER", "MANAGER"):
        with pytest.raises(TransitionNotAllowed, match="closed") as refusal:
            await world.house.run("updateWorkOrder", role, **edit)
        assert refusal.value.field == "workOrderId"
        with pytest.raises(TransitionNotAllowed):
            await world.offline(world.house.actor(role, device_id=uuid4()), base, ("updateWorkOrder", edit))


async def test_an_edit_from_before_an_order_was_closed_is_kept_with_a_conflict(world: World) -> None:
    technician = await world.technician()
    visit = await closed_order(world, technician)
    manager = world.house.actor("MANAGER", device_id=uuid4())
    before = await world.house.seq() - 1
    edit = {"workOrderId": visit.work_order_id, "description": "Demo meant before"}
    (operation,) = await world.offline(manager, before, ("updateWorkOrder", edit))
    assert operation.conflict is not None
    assert (operation.conflict.kind, operation.conflict.role) == ("RECORD_ON_CLOSED_PARENT", "DISPATCHER")
    assert (await world.read(WorkOrder, visit.work_order_id)).description == "Demo meant before"
    # Findings are kept whatever the device knew, in one inbox entry.
    for known, found in ((before, "cause"), (await world.house.seq(), "resolution")):
        given = {"workOrderId": visit.work_order_id, found: "Demo"}
        (operation,) = await world.offline(technician.actor, known, ("updateWorkOrder", given))
        assert operation.conflict is not None
    mine = [conflict.mine for conflict in await world.conflicts() if conflict.actor_id == technician.actor.id]
    assert mine == [{"cause": "Demo", "resolution": "Demo"}]


async def test_a_conflict_on_an_order_that_was_closed_since_can_be_decided(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    edit = {"workOrderId": visit.work_order_id, "cause": "Demo office"}
    await world.house.run("updateWorkOrder", **edit)
    (operation,) = await world.offline(
        technician.actor, base, ("updateWorkOrder", edit | {"cause": "Demo field"})
    )
    await world.house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    await world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(60))
    await world.house.run("closeWorkOrder", workOrderId=visit.work_order_id)
    assert operation.conflict is not None
    await world.house.run(
        "resolveConflict", "DISPATCHER", conflictId=operation.conflict.id, resolution="KEEP_THEIRS"
    )
    assert (await world.read(WorkOrder, visit.work_order_id)).cause == "Demo office"
    assert len(await world.conflicts()) == 1
