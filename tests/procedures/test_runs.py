"""Answering a checklist online."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.field import AT, LATER, checklist, grant, run_at, sees, site, visitor
from tests.support.house import House
from tournee.kernel.errors import Blocked, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.procedures.models import ChecklistAnswer, ChecklistRun, ChecklistTemplate, ChecklistVersion
from tournee.procedures.queries import run_transitions

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def begun(house: House, **more: Any) -> Any:
    _, version_id = await checklist(house)
    return await run_at(house, await site(house), version_id, **more)


async def answer(house: House, run: Any, key: str, **value: Any) -> Any:
    return await house.run("answerChecklistItem", runId=run.id, itemKey=key, **{"at": AT, **value})


async def test_the_first_answer_starts_a_run_and_a_number_beyond_its_limit_fails(house: House) -> None:
    run = await begun(house)
    assert (await answer(house, run, "on", checked=True)).result == "PASS"
    assert (await answer(house, run, "pressure", number=6.5)).result == "FAIL"
    (now,) = await house.rows(ChecklistRun)
    assert (now.status, now.started_at.isoformat()) == ("IN_PROGRESS", "2026-11-20T09:00:00+00:00")


async def test_a_run_cannot_be_completed_while_a_shown_required_item_is_open(house: House) -> None:
    run = await begun(house)
    with pytest.raises(Blocked, match=r"on\.$"):
        await house.run("completeChecklistRun", runId=run.id, at=AT)
    await answer(house, run, "on", checked=True)
    with pytest.raises(Blocked, match=r"pressure\.$"):
        await house.run("completeChecklistRun", runId=run.id, at=AT)
    async with house.reading() as session:
        (now,) = await house.rows(ChecklistRun)
        (following,) = await run_transitions(session, house.actor("MANAGER"), [now])
        moves = {move.to: move for move in following}
    assert (moves["COMPLETED"].allowed, moves["NOT_APPLICABLE"].allowed) == (False, True)
    assert "pressure" in moves["COMPLETED"].blocked_by[0]
    await answer(house, run, "on", checked=False)
    done = await house.run("completeChecklistRun", runId=run.id, at=LATER)
    assert (done.status, done.result) == ("COMPLETED", "FAIL")


async def test_a_closed_run_accepts_answers_only_after_it_was_reopened(house: House) -> None:
    run = await begun(house)
    await answer(house, run, "on", checked=False)
    await house.run("completeChecklistRun", runId=run.id, at=AT)
    for again in ("answerChecklistItem", "completeChecklistRun", "startChecklistRun"):
        values = {"itemKey": "on", "checked": True} if again == "answerChecklistItem" else {}
        with pytest.raises(TransitionNotAllowed, match="reopened"):
            await house.run(again, runId=run.id, at=LATER, **values)
    with pytest.raises(Forbidden):
        await house.run("reopenChecklistRun", "TECHNICIAN", runId=run.id, reason="mistake")
    with pytest.raises(Invalid):
        await house.run("reopenChecklistRun", "DISPATCHER", runId=run.id, reason=" ")
    opened = await house.run("reopenChecklistRun", "DISPATCHER", runId=run.id, reason="mistake")
    assert (opened.status, opened.result, opened.completed_at) == ("IN_PROGRESS", None, None)
    with pytest.raises(TransitionNotAllowed, match="open"):
        await house.run("reopenChecklistRun", "DISPATCHER", runId=run.id, reason="mistake")
    await answer(house, run, "on", checked=True)
    await answer(house, run, "pressure", number=3)
    assert (await house.run("completeChecklistRun", runId=run.id, at=LATER)).result == "PASS"


async def test_a_dismissed_run_needs_a_reason(house: House) -> None:
    run = await begun(house)
    with pytest.raises(Invalid):
        await house.run("dismissChecklistRun", runId=run.id, reason=" ")
    gone = await house.run("dismissChecklistRun", runId=run.id, reason="unit removed")
    assert (gone.status, gone.result, gone.reason) == ("NOT_APPLICABLE", "NA", "unit removed")
    with pytest.raises(TransitionNotAllowed):
        await house.run("dismissChecklistRun", runId=run.id, reason="again")


async def test_answering_an_item_again_updates_one_row_and_the_log_keeps_both(house: House) -> None:
    run = await begun(house)
    first = await answer(house, run, "on", checked=True)
    second = await answer(house, run, "on", checked=False, at=LATER)
    assert first.id == second.id
    (only,) = await house.rows(ChecklistAnswer)
    assert (only.checked, only.result) == (False, "FAIL")
    assert [change.before is None for change in await house.changes(only.id)] == [True, False]


async def test_an_answer_changed_to_not_applicable_loses_its_value(house: House) -> None:
    run = await begun(house)
    await answer(house, run, "remarks", text="leaks")
    now = await answer(house, run, "remarks", notApplicable=True, reason="nothing to say")
    assert (now.text, now.not_applicable, now.reason) == (None, True, "nothing to say")
    now = await answer(house, run, "remarks", text="leaks after all")
    assert (now.text, now.not_applicable, now.reason) == ("leaks after all", False, None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"itemKey": "on", "text": "yes"}, "text"),
        ({"itemKey": "on", "checked": "yes"}, "checked"),
        ({"itemKey": "on", "checked": True, "at": "yesterday"}, "at"),
        ({"itemKey": "nowhere", "checked": True}, "itemKey"),
        ({"itemKey": "photos", "files": ["photo.jpg"]}, "files.0"),
    ],
)
async def test_a_bad_answer_is_refused_with_its_field(
    house: House, values: dict[str, Any], field: str
) -> None:
    run = await begun(house)
    with pytest.raises(Invalid) as refusal:
        await house.run("answerChecklistItem", runId=run.id, **{"at": AT, **values})
    assert refusal.value.field == field
    assert await house.rows(ChecklistAnswer) == []


async def test_everybody_sees_published_checklists_and_only_the_office_drafts(house: House) -> None:
    template_id, version_id = await checklist(house)
    draft = await house.run("draftChecklistVersion", templateId=template_id)
    actor = await house.account("TECHNICIAN")
    assert await sees(house, actor, ChecklistTemplate, template_id)
    assert await sees(house, actor, ChecklistVersion, version_id)
    assert not await sees(house, actor, ChecklistVersion, draft.id)
    assert await sees(house, house.actor("AUDITOR"), ChecklistVersion, draft.id)
    await house.run("publishChecklistVersion", versionId=draft.id)
    assert await sees(house, actor, ChecklistVersion, draft.id)


async def test_a_run_at_an_invisible_site_can_be_neither_seen_nor_answered(house: House) -> None:
    run = await begun(house)
    given = await answer(house, run, "on", checked=True)
    inside, outside = await house.account("TECHNICIAN"), await house.account("TECHNICIAN")
    await grant(house, inside, run.site_id)
    for model, id in ((ChecklistRun, run.id), (ChecklistAnswer, given.id)):
        assert await sees(house, inside, model, id)
        assert not await sees(house, outside, model, id)
    values = {"itemKey": "on", "checked": False, "at": AT}
    assert await house.run("answerChecklistItem", inside, runId=run.id, **values)
    with pytest.raises(NotFound):
        await house.run("answerChecklistItem", outside, runId=run.id, **values)
    with pytest.raises(Forbidden):
        await house.run("answerChecklistItem", "CUSTOMER_PORTAL", runId=run.id, **values)


async def test_another_organisations_run_is_not_found(house: House) -> None:
    other = await House(house.database).found()
    foreign = await begun(other)
    here = await site(house)
    answers = []
    for id in (foreign.id, uuid4()):
        with pytest.raises(NotFound) as refusal:
            await house.run("startChecklistRun", runId=id, at=AT)
        answers.append((refusal.value.message, refusal.value.field))
    assert answers[0] == answers[1]
    for names in ({"versionId": foreign.version_id}, {"templateId": foreign.template_id}):
        with pytest.raises(NotFound):
            await house.run("addChecklistRun", siteId=here, **names)
    with pytest.raises(NotFound):
        await run_at(house, foreign.site_id, (await checklist(house))[1])


async def test_a_technicians_device_receives_the_runs_and_answers_of_its_sites(house: House) -> None:
    run = await begun(house)
    given = await answer(house, run, "on", checked=True)
    device = await visitor(house, run.site_id)
    assert device.rows[run.id]["status"] == "IN_PROGRESS"
    assert device.rows[given.id]["checked"] is True
    assert device.rows == await device.fresh()
