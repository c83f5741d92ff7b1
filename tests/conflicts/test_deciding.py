"""Each decision is applied by the usual commands with the decider's permissions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clashes import Clashes
from tests.support.world import at
from tournee.assets.models import AssetStatus
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, RECORD_ON_CLOSED_PARENT, STATE_CHANGED_BY_BOTH
from tournee.kernel.errors import Blocked, Invalid
from tournee.procedures.models import ChecklistRun
from tournee.work.facts import VISIT_ON_CANCELED_APPOINTMENT, VISIT_ON_REASSIGNED_APPOINTMENT
from tournee.work.models import Appointment, Assignment, WorkOrder
from tournee.work.states import AppointmentStatus as A

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def fields(clashes: Clashes) -> tuple[Any, Any]:
    order = await clashes.read(clashes.order)
    return order.symptom, order.cause


@pytest.mark.parametrize(
    ("resolution", "more", "wanted"),
    [
        ("KEEP_THEIRS", {}, ("theirs", "theirs")),
        ("TAKE_MINE", {}, ("mine", "mine")),
        ("ACKNOWLEDGED", {}, ("mine", "mine")),
        (
            "MERGE_FIELDS",
            {
                "fields": [
                    {"name": "symptom", "take": "THEIRS"},
                    {"name": "cause", "take": "OTHER", "value": "both"},
                ]
            },
            ("theirs", "both"),
        ),
    ],
)
async def test_a_decision_sets_the_fields(
    clashes: Clashes, resolution: str, more: dict[str, Any], wanted: tuple[str, str]
) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    assert conflict.their_actor_id == clashes.house.actor("DISPATCHER").id
    decided = await clashes.resolve(conflict, resolution, **more)
    assert await fields(clashes) == wanted
    assert decided.decided == dict(zip(("symptom", "cause"), wanted, strict=True))


async def test_the_log_names_the_command_that_applied_a_decision(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    decided = await clashes.resolve(conflict, "KEEP_THEIRS")
    last = (await clashes.house.changes(clashes.order.id))[-1]
    own = (await clashes.house.changes(conflict.id))[-1]
    assert (last.command, own.command) == ("updateWorkOrder", "resolveConflict")
    assert last.actor_id == own.actor_id == clashes.house.actor("DISPATCHER").id
    assert last.operation_id == own.operation_id == decided.resolution_operation_id is not None


@pytest.mark.parametrize(
    "chosen",
    [
        [{"name": "symptom", "take": "MINE"}],
        [{"name": "symptom", "take": "MINE"}] * 2,
        [{"name": name, "take": "MINE"} for name in ("symptom", "cause", "summary")],
        [{"name": "symptom", "take": "MINE"}, {"name": "cause", "take": "OTHER", "value": 7}],
    ],
)
async def test_a_merge_needs_one_choice_per_field_and_applies_all_or_nothing(
    clashes: Clashes, chosen: Any
) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    with pytest.raises(Invalid):
        await clashes.resolve(conflict, "MERGE_FIELDS", fields=chosen)
    assert await fields(clashes) == ("mine", "mine")


async def test_a_decision_about_a_field_opens_no_new_conflict_on_the_device(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    await clashes.resolve(conflict, "KEEP_THEIRS", note="Demo: as we saw it.")
    await clashes.device.pull()
    assert clashes.on_device(clashes.order.id)["symptom"] == "theirs"
    assert clashes.on_device(conflict.id)["decided"] == {"symptom": "theirs", "cause": "theirs"}
    outcome = await clashes.device.do("updateWorkOrder", workOrderId=clashes.order.id, symptom="third")
    assert (outcome.status, outcome.conflict) == ("applied", None)


async def test_taking_a_step_works_while_the_step_is_still_possible(clashes: Clashes) -> None:
    conflict = await clashes.of(STATE_CHANGED_BY_BOTH)
    with pytest.raises(Blocked):
        await clashes.resolve(conflict, "TAKE_MINE")
    asset = await clashes.house.run(
        "createAsset", name="Pump", siteId=clashes.world.site.id, status="INSTALLED"
    )
    await clashes.device.pull()
    await clashes.office("commissionAsset", assetId=asset.id)
    await clashes.office("returnAssetToService", assetId=clashes.asset.id)
    await clashes.device.do("installAsset", assetId=clashes.asset.id)
    await clashes.device.pull()
    await clashes.office("retireAsset", assetId=asset.id)
    await clashes.device.do("takeAssetOutOfService", assetId=asset.id)
    last = (await clashes.world.conflicts())[-1]
    assert (last.kind, last.mine) == (STATE_CHANGED_BY_BOTH, {"status": "OUT_OF_SERVICE"})
    made = await clashes.resolve(last, "FOLLOW_UP", followUp={"summary": "Demo: look at the pump"})
    order = await clashes.world.read(WorkOrder, made.follow_up_id)
    assert (order.asset_id, order.summary, order.site_id) == (
        asset.id,
        "Demo: look at the pump",
        asset.site_id,
    )


async def test_a_step_that_lost_a_race_can_be_repeated(clashes: Clashes) -> None:
    await clashes.office("takeAssetOutOfService", assetId=clashes.asset.id)
    await clashes.device.pull()
    await clashes.office("returnAssetToService", assetId=clashes.asset.id)
    await clashes.device.do("commissionAsset", assetId=clashes.asset.id)
    assert await clashes.world.conflicts() == []
    planned = await clashes.house.run(
        "createAsset", name="Demo pump", siteId=clashes.world.site.id, status="PLANNED"
    )
    await clashes.device.pull()
    await clashes.office("commissionAsset", assetId=planned.id)
    await clashes.device.do("installAsset", assetId=planned.id)
    (conflict,) = await clashes.world.conflicts()
    assert conflict.standing == {"status": "ACTIVE"}
    await clashes.resolve(conflict, "KEEP_THEIRS")
    assert (await clashes.read(planned)).status is AssetStatus.ACTIVE


async def test_a_canceled_visit_that_only_began_can_be_canceled_again(clashes: Clashes) -> None:
    conflict = await clashes.of(VISIT_ON_CANCELED_APPOINTMENT)
    assert (await clashes.read(clashes.visit)).status is A.EN_ROUTE
    await clashes.resolve(conflict, "KEEP_THEIRS")
    visit = await clashes.read(clashes.visit)
    assert (visit.status, visit.cancel_reason) == (A.CANCELED, "Demo")
    await clashes.device.pull()
    assert clashes.on_device(clashes.visit.id)["status"] == "CANCELED"


async def test_a_finished_visit_can_be_kept_but_not_canceled(clashes: Clashes) -> None:
    conflict = await clashes.of(VISIT_ON_CANCELED_APPOINTMENT)
    for minute, step in enumerate(("arriveOnSite", "startWork", "completeAppointment"), 1):
        await clashes.device.do(step, appointmentId=clashes.visit.id, at=at(minute))
    conflict = await clashes.read(conflict)
    assert (conflict.standing, len(conflict.operation_ids)) == (
        {"status": "COMPLETED", "cancelReason": "Demo"},
        4,
    )
    with pytest.raises(Blocked):
        await clashes.resolve(conflict, "KEEP_THEIRS")
    await clashes.resolve(conflict, "TAKE_MINE")
    assert (await clashes.read(clashes.visit)).status is A.COMPLETED


async def test_a_finished_visit_is_reopened_by_a_manager(clashes: Clashes) -> None:
    conflict = await clashes.of(VISIT_ON_CANCELED_APPOINTMENT)
    for minute, step in enumerate(("startWork", "completeAppointment"), 1):
        await clashes.device.do(step, appointmentId=clashes.visit.id, at=at(minute))
    with pytest.raises(Blocked):
        await clashes.resolve(conflict, "REOPEN", note="Demo")
    with pytest.raises(Invalid):
        await clashes.resolve(conflict, "REOPEN", "MANAGER")
    await clashes.resolve(conflict, "REOPEN", "MANAGER", note="Demo: not done.")
    assert (await clashes.read(clashes.visit)).status is A.IN_PROGRESS


async def test_a_recalled_visit_can_be_reassigned(clashes: Clashes) -> None:
    await clashes.office("recallAppointment", appointmentId=clashes.visit.id)
    await clashes.device.do("startTravel", appointmentId=clashes.visit.id, at=at(0))
    (conflict,) = await clashes.world.conflicts()
    other = await clashes.world.technician()
    with pytest.raises(Blocked):
        await clashes.resolve(conflict, "REASSIGN", technicianId=other.id)
    await clashes.device.do("acceptAppointment", appointmentId=clashes.visit.id, at=at(1))
    await clashes.resolve(await clashes.read(conflict), "REASSIGN", technicianId=other.id)
    active = await clashes.world.house.rows(Assignment, appointment_id=clashes.visit.id, active=True)
    assert [row.technician_id for row in active] == [other.id]
    await clashes.device.pull()
    assert clashes.visit.id not in clashes.device.rows
    assert clashes.on_device(conflict.id)["resolution"] == "REASSIGN"


async def test_the_technician_who_went_becomes_the_lead_again(clashes: Clashes) -> None:
    conflict = await clashes.of(VISIT_ON_REASSIGNED_APPOINTMENT)
    assert clashes.visit.id not in clashes.device.rows
    await clashes.resolve(conflict, "TAKE_MINE")
    leads = await clashes.world.house.rows(Assignment, appointment_id=clashes.visit.id, lead=True)
    assert [row.technician_id for row in leads] == [clashes.technician.id]
    await clashes.device.pull()
    assert clashes.visit.id in clashes.device.rows


async def test_a_follow_up_is_a_visit_of_an_open_order_or_a_new_order(
    clashes: Clashes,
) -> None:
    conflict = await clashes.of(VISIT_ON_CANCELED_APPOINTMENT)
    wanted = {"summary": "Demo: the rest", "startsAt": at(300), "endsAt": at(360)}
    wanted["technicianId"] = clashes.technician.id
    decided = await clashes.resolve(conflict, "FOLLOW_UP", followUp=wanted)
    visit = await clashes.world.read(Appointment, decided.follow_up_id)
    assert (visit.work_order_id, visit.summary, visit.starts_at) == (
        clashes.order.id,
        "Demo: the rest",
        at(300),
    )
    (sent,) = await clashes.world.house.rows(Assignment, appointment_id=visit.id)
    assert sent.technician_id == clashes.technician.id
    await clashes.world.put(await clashes.read(clashes.order), status="CLOSED")
    await clashes.world.put(await clashes.read(conflict), status="OPEN")
    decided = await clashes.resolve(conflict, "FOLLOW_UP", followUp=wanted, despiteChanges=True)
    order = await clashes.world.read(WorkOrder, decided.follow_up_id)
    assert (order.parent_id, order.customer_id) == (clashes.order.id, clashes.order.customer_id)
    (visit,) = await clashes.world.house.rows(Appointment, work_order_id=order.id)
    assert visit.starts_at == at(300)


async def test_a_follow_up_order_has_a_visit_only_with_a_time_or_a_technician(
    clashes: Clashes,
) -> None:
    conflict = await clashes.of(VISIT_ON_CANCELED_APPOINTMENT)
    await clashes.world.put(await clashes.read(clashes.order), status="CLOSED")
    decided = await clashes.resolve(conflict, "FOLLOW_UP", followUp={}, despiteChanges=True)
    order = await clashes.world.read(WorkOrder, decided.follow_up_id)
    assert (order.parent_id, order.summary) == (clashes.order.id, f"Follow-up: {clashes.order.summary}")
    assert await clashes.world.house.rows(Appointment, work_order_id=order.id) == []


async def test_a_closed_checklist_can_be_reopened_for_a_late_answer(clashes: Clashes) -> None:
    conflict = await clashes.of(RECORD_ON_CLOSED_PARENT)
    await clashes.resolve(conflict, "REOPEN", note="Demo")
    assert (await clashes.world.read(ChecklistRun, conflict.record_id)).is_open


async def test_a_decision_about_an_answer_answers_the_item_again(clashes: Clashes) -> None:
    run = await clashes.checklist()
    answer = {"runId": run.id, "itemKey": "pressure", "at": at(0)}
    await clashes.office("answerChecklistItem", **answer, number=3)
    await clashes.device.pull()
    await clashes.office("answerChecklistItem", **answer, number=4)
    await clashes.device.do("answerChecklistItem", **answer, number=9)
    (conflict,) = await clashes.world.conflicts()
    assert (conflict.entity, conflict.mine, conflict.theirs) == (
        "ChecklistAnswer", {"number": 9}, {"number": 4}
    )  # fmt: skip
    await clashes.resolve(conflict, "KEEP_THEIRS")
    row = (await clashes.house.changes(conflict.record_id))[-1]
    assert row.command == "answerChecklistItem"
    assert '"number":4.0' in str(row.after)


async def test_a_moved_asset_can_be_moved_back_with_its_meters(clashes: Clashes) -> None:
    elsewhere = await clashes.house.run("createSite", customerId=clashes.world.customer.id, name="Elsewhere")
    meter = await clashes.house.run("createMeter", assetId=clashes.asset.id, name="Hours", unit="h")
    mine = await clashes.house.run("createSite", customerId=clashes.world.customer.id, name="Field")
    # The technician sees the target site through a visit there.
    other = await clashes.world.order(siteId=mine.id)
    await clashes.world.visit(clashes.technician, order=other)
    await clashes.device.pull()
    await clashes.office("moveAsset", assetId=clashes.asset.id, siteId=elsewhere.id)
    await clashes.device.do("moveAsset", assetId=clashes.asset.id, siteId=mine.id)
    (conflict,) = await clashes.world.conflicts()
    await clashes.resolve(conflict, "KEEP_THEIRS")
    found = (await clashes.read(clashes.asset)).site_id, (await clashes.read(meter)).site_id
    assert found == (elsewhere.id, elsewhere.id)


async def test_an_asset_taken_off_its_site_stays_with_its_customer(clashes: Clashes) -> None:
    customer, asset = clashes.world.customer.id, clashes.asset
    mine = await clashes.house.run("createSite", customerId=customer, name="Field")
    await clashes.world.visit(clashes.technician, order=await clashes.world.order(siteId=mine.id))
    await clashes.device.pull()
    await clashes.office("moveAsset", assetId=asset.id, customerId=customer)
    await clashes.device.do("moveAsset", assetId=asset.id, siteId=mine.id)
    (conflict,) = await clashes.world.conflicts()
    await clashes.resolve(conflict, "KEEP_THEIRS")
    moved = await clashes.read(asset)
    assert (moved.site_id, moved.customer_id) == (None, customer)
