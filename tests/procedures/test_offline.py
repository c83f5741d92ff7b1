"""Checklists on offline devices."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.support.field import (
    AT,
    ITEMS,
    LATER,
    answering,
    checklist,
    site,
    two_devices,
    visitor,
)
from tests.support.house import House
from tournee.kernel.conflict import Conflict
from tournee.procedures.answers import answer_id
from tournee.procedures.models import ChecklistAnswer, ChecklistRun

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_two_devices_answering_one_item_make_one_answer_and_a_conflict(house: House) -> None:
    run, one, two = await two_devices(house)
    first = await one.do("answerChecklistItem", **answering(run, "on", checked=True))
    second = await two.do("answerChecklistItem", **answering(run, "on", checked=False))
    assert (first.status, second.status) == ("applied", "merged")
    (answer,) = await house.rows(ChecklistAnswer)
    assert (answer.id, answer.checked) == (answer_id(run.id, "on"), False)
    (conflict,) = await house.rows(Conflict)
    assert conflict.record_id == answer.id
    assert (conflict.base, conflict.mine, conflict.theirs) == (
        {"checked": None},
        {"checked": False},
        {"checked": True},
    )


async def test_two_devices_with_the_same_answer_have_no_conflict(house: House) -> None:
    run, one, two = await two_devices(house)
    for device in (one, two):
        await device.do("answerChecklistItem", **answering(run, "on", checked=True))
    assert len(await house.rows(ChecklistAnswer)) == 1
    assert await house.rows(Conflict) == []


async def test_photos_from_both_devices_are_kept(house: House) -> None:
    run, one, two = await two_devices(house)
    photos = [uuid4(), uuid4()]
    for device, photo in zip((one, two), photos, strict=True):
        await device.do("answerChecklistItem", **answering(run, "photos", files=[photo]))
    (answer,) = await house.rows(ChecklistAnswer)
    assert answer.files == [str(photo) for photo in photos]


async def test_answering_again_or_sending_twice_makes_no_conflict(house: House) -> None:
    run, device, _ = await two_devices(house)
    first = device.operation("answerChecklistItem", **answering(run, "on", checked=True))
    again = device.operation("answerChecklistItem", **answering(run, "on", checked=False))
    assert [o.status for o in await device.push(first, again)] == ["applied", "applied"]
    assert [o.status for o in await device.push(first)] == ["duplicate"]
    (answer,) = await house.rows(ChecklistAnswer)
    assert answer.checked is False
    assert await house.rows(Conflict) == []


async def test_an_answer_to_a_run_completed_by_another_is_kept_with_a_conflict(house: House) -> None:
    run, one, two = await two_devices(house)
    await one.do("answerChecklistItem", **answering(run, "on", checked=False))
    await one.do("completeChecklistRun", runId=run.id, at=LATER)
    late = await two.do("answerChecklistItem", **answering(run, "remarks", text="leaks"))
    assert late.status in {"applied", "merged"}
    assert {answer.item_key for answer in await house.rows(ChecklistAnswer)} == {"on", "remarks"}
    (conflict,) = await house.rows(Conflict)
    assert (conflict.kind, conflict.record_id) == ("RECORD_ON_CLOSED_PARENT", run.id)
    assert (conflict.base, conflict.theirs) == ({"status": "NEW"}, {"status": "COMPLETED"})
    (now,) = await house.rows(ChecklistRun)
    assert now.status == "COMPLETED"


async def test_a_late_answer_changes_the_result_of_the_run(house: House) -> None:
    run, one, two = await two_devices(house)
    await one.do("answerChecklistItem", **answering(run, "on", checked=True))
    await one.do("answerChecklistItem", **answering(run, "pressure", number=3))
    await one.do("completeChecklistRun", runId=run.id, at=LATER)
    assert [row.result for row in await house.rows(ChecklistRun)] == ["PASS"]
    await two.do("answerChecklistItem", **answering(run, "pressure", number=9))
    assert [row.result for row in await house.rows(ChecklistRun)] == ["PARTIAL"]


async def test_a_device_cannot_answer_a_run_that_it_completed(house: House) -> None:
    run, device, _ = await two_devices(house)
    await device.do("answerChecklistItem", **answering(run, "on", checked=False))
    await device.do("completeChecklistRun", runId=run.id, at=LATER)
    again = await device.do("answerChecklistItem", **answering(run, "remarks", text="leaks"))
    assert (again.status, again.code) == ("rejected", "TRANSITION_NOT_ALLOWED")


async def test_completing_a_run_twice_keeps_the_first_time_without_a_conflict(house: House) -> None:
    run, one, two = await two_devices(house)
    await one.do("answerChecklistItem", **answering(run, "on", checked=False))
    await one.do("completeChecklistRun", runId=run.id, at=AT)
    assert (await two.do("completeChecklistRun", runId=run.id, at=LATER)).status != "rejected"
    (now,) = await house.rows(ChecklistRun)
    assert now.completed_by_id == one.actor.id
    assert await house.rows(Conflict) == []


async def test_work_done_overrides_a_dismissal_that_its_device_had_not_seen(house: House) -> None:
    run, one, _ = await two_devices(house)
    await house.run("dismissChecklistRun", runId=run.id, reason="not needed")
    await one.do("answerChecklistItem", **answering(run, "on", checked=False))
    done = await one.do("completeChecklistRun", runId=run.id, at=LATER)
    assert done.status != "rejected"
    (now,) = await house.rows(ChecklistRun)
    assert (now.status, now.result) == ("COMPLETED", "FAIL")
    assert {row.kind for row in await house.rows(Conflict)} == {"RECORD_ON_CLOSED_PARENT"}


async def test_a_device_may_use_its_version_although_a_newer_one_is_published(house: House) -> None:
    template_id, version_id = await checklist(house)
    site_id = await site(house)
    device = await visitor(house, site_id)
    draft = await house.run("draftChecklistVersion", templateId=template_id, items=ITEMS[:1])
    await house.run("publishChecklistVersion", versionId=draft.id)
    await house.run("archiveChecklistTemplate", templateId=template_id)
    run_id: UUID = uuid4()
    added = await device.do("addChecklistRun", id=run_id, versionId=version_id, siteId=site_id)
    assert added.status == "applied", added
    done = await device.do("answerChecklistItem", runId=run_id, itemKey="remarks", text="x", at=AT)
    assert done.status == "applied"
    assert [row.version_id for row in await house.rows(ChecklistRun)] == [version_id]


async def test_a_missing_answer_blocks_offline_completion_and_is_named(house: House) -> None:
    run, device, _ = await two_devices(house)
    refused = await device.do("completeChecklistRun", runId=run.id, at=AT)
    assert (refused.status, refused.code) == ("rejected", "BLOCKED")
    assert "on" in (refused.message or "")
