"""Audits from draft to closed, and each thing that stands in the way."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.house import House
from tests.procedures.field import AT, LATER, checklist, rows, site
from tests.quality.audits import (
    ITEMS,
    answer,
    answer_all,
    begun,
    drafted,
    finding,
    planned,
    reported,
)
from tournee.kernel.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.quality.models import Audit, AuditAnswer, AuditFinding, AuditMember
from tournee.quality.queries import audit_transitions, score_so_far


async def moves(house: House) -> dict[str, tuple[bool, list[str]]]:
    (audit,) = await rows(house, Audit)
    async with house.reading() as session:
        return {move.to: (move.allowed, move.blocked_by) for move in await audit_transitions(session, audit)}


async def test_an_audit_runs_from_draft_to_closed_with_its_score(house: House) -> None:
    audit = await begun(house)
    await answer_all(house, audit, labels="Most")
    async with house.reading() as session:
        assert (await score_so_far(session, audit)).percent == 83.33
    assert audit.score_percent is None
    report = await house.run("reportAudit", auditId=audit.id, at=LATER, conclusion="Fine.")
    assert (report.score, report.max_score, report.score_percent, report.result) == (5.0, 6.0, 83.33, "PASS")
    assert (report.conclusion, report.capped_by_critical) == ("Fine.", False)
    await house.run("completeAudit", auditId=audit.id, at=LATER)
    closed = await house.run("closeAudit", auditId=audit.id, at=LATER)
    assert closed.status == "CLOSED"
    assert await moves(house) == {}


async def test_a_failed_critical_item_fails_the_audit(house: House) -> None:
    audit = await begun(house, passingPercent=10)
    await answer_all(house, audit, labels="All", cold=7.5)
    report = await house.run("reportAudit", auditId=audit.id, at=AT)
    assert (report.score_percent, report.result, report.capped_by_critical) == (50.0, "FAIL", True)


async def test_nobody_leads_an_audit_of_what_they_answer_for(house: House) -> None:
    account = uuid4()
    with pytest.raises(Invalid) as refusal:
        await drafted(house, leadAuditorId=account, auditeeResponsibleId=account)
    assert refusal.value.field == "auditeeResponsibleId"
    audit = await drafted(house, auditeeResponsibleId=account)
    for command in ("updateAudit", "planAudit"):
        with pytest.raises(Invalid, match="answer for"):
            await house.run(command, auditId=audit.id, leadAuditorId=account)


async def test_an_audit_is_planned_with_a_lead_auditor_and_a_date(house: House) -> None:
    audit = await drafted(house, leadAuditorId=None, plannedFrom=None)
    with pytest.raises(Blocked, match=r"lead auditor.*begin"):
        await house.run("planAudit", auditId=audit.id)
    allowed, reasons = (await moves(house))["PLANNED"]
    assert (allowed, len(reasons)) == (False, 2)
    with pytest.raises(Invalid) as refusal:
        await house.run("planAudit", auditId=audit.id, plannedFrom=LATER, plannedTo=AT, leadAuditorId=uuid4())
    assert refusal.value.field == "plannedTo"
    now = await house.run("planAudit", auditId=audit.id, plannedFrom=AT, leadAuditorId=uuid4())
    assert now.status == "PLANNED"


async def test_reporting_waits_for_every_shown_item_required_or_not(house: House) -> None:
    audit = await begun(house)
    await answer(house, audit, "records", notApplicable=True, reason="no records here")
    await answer(house, audit, "cold", number=5)
    await answer(house, audit, "labels", choices=["None"])
    with pytest.raises(Blocked, match=r"why\.$"):
        await house.run("reportAudit", auditId=audit.id, at=AT)
    allowed, reasons = (await moves(house))["REPORTING"]
    assert not allowed
    assert "why" in reasons[0]
    await answer(house, audit, "labels", choices=["All"])
    report = await house.run("reportAudit", auditId=audit.id, at=AT)
    assert (report.status, report.max_score) == ("REPORTING", 5.0)


async def test_what_does_not_apply_needs_a_reason_and_the_items_leave(house: House) -> None:
    audit = await begun(house)
    with pytest.raises(Invalid) as refusal:
        await answer(house, audit, "records", notApplicable=True)
    assert refusal.value.field == "reason"
    with pytest.raises(Invalid) as refusal:
        await answer(house, audit, "cold", notApplicable=True, reason="no store")
    assert refusal.value.field == "notApplicable"


@pytest.mark.parametrize("grade", ["MAJOR", "CRITICAL"])
@pytest.mark.parametrize("given", [{}, {"correction": "Repair"}, {"dueOn": "2026-12-01"}])
async def test_completion_waits_for_correction_and_date_of_grave_findings(
    house: House, grade: str, given: dict[str, Any]
) -> None:
    audit = await reported(house)
    found = await finding(house, audit.id, grade, **given)
    with pytest.raises(Blocked, match="correction and due date: 1"):
        await house.run("completeAudit", auditId=audit.id, at=AT)
    assert (await moves(house))["COMPLETED"][0] is False
    await house.run("updateAuditFinding", auditFindingId=found.id, correction="Repair", dueOn="2026-12-01")
    assert (await house.run("completeAudit", auditId=audit.id, at=AT)).status == "COMPLETED"


async def test_an_answer_changed_while_reporting_counts_and_may_block_completion(house: House) -> None:
    audit = await reported(house)
    await answer(house, audit, "labels", choices=["None"])
    (now,) = await rows(house, Audit)
    assert now.score_percent == 66.67
    with pytest.raises(Blocked, match="why"):
        await house.run("completeAudit", auditId=audit.id, at=AT)


async def test_closing_waits_for_every_finding(house: House) -> None:
    audit = await reported(house)
    minor = await finding(house, audit.id, "MINOR")
    assert (await finding(house, audit.id, "CONFORMITY")).status == "CLOSED"
    await house.run("completeAudit", auditId=audit.id, at=AT)
    with pytest.raises(Blocked, match="not closed yet: 1"):
        await house.run("closeAudit", auditId=audit.id, at=AT)
    assert (await moves(house))["CLOSED"][0] is False
    await house.run("correctAuditFinding", findingId=minor.id, at=AT, correction="Done")
    await house.run("closeAuditFinding", findingId=minor.id, at=AT)
    assert (await house.run("closeAudit", auditId=audit.id, at=AT)).status == "CLOSED"


STEPS = {
    "startAudit": {"at": AT},
    "reportAudit": {"at": AT},
    "completeAudit": {"at": AT},
    "closeAudit": {"at": AT},
    "planAudit": {},
    "postponeAudit": {"reason": "ill"},
    "cancelAudit": {"reason": "ill"},
}
MAKERS = {"DRAFT": drafted, "PLANNED": planned, "IN_PROGRESS": begun, "REPORTING": reported}


@pytest.mark.parametrize(
    ("status", "possible"),
    [
        ("DRAFT", {"planAudit", "cancelAudit"}),
        ("PLANNED", {"startAudit", "postponeAudit", "cancelAudit"}),
        ("IN_PROGRESS", {"startAudit", "reportAudit"}),
        ("REPORTING", {"completeAudit"}),
    ],
)
async def test_no_step_is_skipped(house: House, status: str, possible: set[str]) -> None:
    audit = await MAKERS[status](house)
    assert audit.status == status
    for step in STEPS.keys() - possible:
        with pytest.raises(TransitionNotAllowed):
            await house.run(step, auditId=audit.id, **STEPS[step])


async def test_a_postponed_audit_is_planned_anew_and_a_canceled_one_is_over(house: House) -> None:
    audit = await planned(house)
    with pytest.raises(Invalid):
        await house.run("postponeAudit", auditId=audit.id, reason=" ")
    put_off = await house.run("postponeAudit", auditId=audit.id, reason="ill")
    assert (put_off.status, put_off.reason) == ("POSTPONED", "ill")
    again = await house.run("planAudit", auditId=audit.id, plannedFrom=LATER)
    assert (again.status, again.reason) == ("PLANNED", None)
    assert (await house.run("cancelAudit", auditId=audit.id, reason="sold")).status == "CANCELED"
    for step, values in STEPS.items():
        with pytest.raises(TransitionNotAllowed):
            await house.run(step, auditId=audit.id, **values)


async def test_starting_twice_keeps_the_earlier_begin(house: House) -> None:
    audit = await begun(house)
    again = await house.run("startAudit", auditId=audit.id, at=LATER)
    assert (again.status, again.performed_at) == ("IN_PROGRESS", audit.performed_at)
    earlier = await house.run("startAudit", auditId=audit.id, at="2026-11-20T08:00:00Z")
    assert earlier.performed_at.hour == 8


async def test_answers_and_findings_come_in_only_while_the_audit_is_worked_on(house: House) -> None:
    audit = await planned(house)
    with pytest.raises(TransitionNotAllowed, match="PLANNED"):
        await answer(house, audit, "records", checked=True)
    with pytest.raises(TransitionNotAllowed):
        await finding(house, audit.id, "MINOR")
    await house.run("startAudit", auditId=audit.id, at=AT)
    await answer_all(house, audit)
    await house.run("reportAudit", auditId=audit.id, at=AT)
    await house.run("completeAudit", auditId=audit.id, at=AT)
    with pytest.raises(TransitionNotAllowed, match="COMPLETED"):
        await answer(house, audit, "records", checked=False)
    with pytest.raises(TransitionNotAllowed):
        await finding(house, audit.id, "MINOR")


async def test_an_item_answered_again_is_one_answer_with_new_points(house: House) -> None:
    audit = await begun(house)
    first = await answer(house, audit, "labels", choices=["Most"])
    assert first.points == 0.5
    await answer(house, audit, "labels", choices=["None"])
    (only,) = await rows(house, AuditAnswer)
    assert (only.id, only.points, only.result) == (first.id, 0.0, "FAIL")


async def test_the_checklist_is_pinned_while_a_newer_version_comes_out(house: House) -> None:
    template_id, version_id = await checklist(house, ITEMS)
    audit = await begun(house, versionId=version_id)
    newer = await house.run(
        "draftChecklistVersion", templateId=template_id, items=[{**ITEMS[0], "key": "other"}]
    )
    with pytest.raises(TransitionNotAllowed):
        await house.run("updateAudit", auditId=audit.id, versionId=newer.id)
    await house.run("publishChecklistVersion", versionId=newer.id)
    await answer_all(house, audit)
    assert (await house.run("reportAudit", auditId=audit.id, at=AT)).score_percent == 83.33


async def test_an_audit_takes_no_draft_as_its_checklist(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="X")
    draft = await house.run("draftChecklistVersion", templateId=template.id, items=ITEMS)
    with pytest.raises(Blocked, match="draft"):
        await drafted(house, versionId=draft.id)


async def test_what_answers_rest_upon_is_settled_when_the_audit_begins(house: House) -> None:
    audit = await begun(house)
    for field, value in (("versionId", None), ("siteId", await site(house)), ("technicianId", None)):
        with pytest.raises(TransitionNotAllowed, match="settled") as refusal:
            await house.run("updateAudit", auditId=audit.id, **{field: value})
        assert refusal.value.field == field
    assert (await house.run("updateAudit", auditId=audit.id, title="New title")).title == "New title"


async def test_an_ended_audit_is_not_edited(house: House) -> None:
    audit = await reported(house)
    await house.run("completeAudit", auditId=audit.id, at=AT)
    with pytest.raises(TransitionNotAllowed, match="COMPLETED"):
        await house.run("updateAudit", auditId=audit.id, title="New title")
    with pytest.raises(TransitionNotAllowed):
        await house.run("setAuditTeam", auditId=audit.id, members=[])


async def test_the_site_says_whose_audit_it_is(house: House) -> None:
    audit = await drafted(house)
    assert audit.customer_id is not None
    other = await house.run("createCustomer", name="Demo Baker")
    with pytest.raises(Invalid, match="another customer"):
        await drafted(house, customerId=other.id)


async def test_the_team_is_what_was_named_last(house: House) -> None:
    audit = await drafted(house)
    one, two, three = uuid4(), uuid4(), uuid4()
    members = [{"accountId": one}, {"accountId": two, "part": "OBSERVER"}]
    await house.run("setAuditTeam", auditId=audit.id, members=members)
    members = [{"accountId": two, "part": "EXPERT"}, {"accountId": three}]
    await house.run("setAuditTeam", auditId=audit.id, members=members)
    held = {(member.account_id, member.part.value) for member in await rows(house, AuditMember)}
    assert held == {(two, "EXPERT"), (three, "AUDITOR")}
    with pytest.raises(Invalid, match="once"):
        await house.run("setAuditTeam", auditId=audit.id, members=[{"accountId": two}, {"accountId": two}])
    with pytest.raises(Invalid, match="answer for"):
        await house.run(
            "setAuditTeam", auditId=audit.id, members=[{"accountId": audit.auditee_responsible_id}]
        )
    with pytest.raises(Invalid, match="answer for"):
        await house.run("updateAudit", auditId=audit.id, auditeeResponsibleId=three)


async def test_an_audit_without_a_checklist_lives_by_its_findings(house: House) -> None:
    audit = await begun(house, versionId=None)
    with pytest.raises(Invalid):
        await answer(house, audit, "records", checked=True)
    await finding(house, audit.id, "OBSERVATION")
    report = await house.run("reportAudit", auditId=audit.id, at=AT)
    assert (report.status, report.score_percent, report.result) == ("REPORTING", None, None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"passingPercent": 101}, "passingPercent"),
        ({"kind": "SURPRISE"}, "kind"),
        ({"title": "x" * 301}, "title"),
        ({"status": "CLOSED"}, "status"),
        ({"score": 100.0}, "score"),
    ],
)
async def test_bad_input_is_refused_by_its_field(house: House, values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await drafted(house, **values)
    assert refusal.value.field == field


async def test_an_audit_of_another_organisation_is_not_there(house: House) -> None:
    other = await House(house.database).found()
    foreign = await begun(other)
    answers = []
    for id in (foreign.id, uuid4()):
        with pytest.raises(NotFound) as refusal:
            await house.run("startAudit", auditId=id, at=AT)
        answers.append((refusal.value.message, refusal.value.field))
    assert answers[0] == answers[1]
    for name, id in (("siteId", foreign.site_id), ("versionId", foreign.version_id)):
        with pytest.raises(NotFound):
            await drafted(house, **{name: id})
    own = await begun(house)
    theirs = await finding(other, foreign.id, "MINOR")
    for id in (theirs.id, uuid4()):
        with pytest.raises(NotFound, match="AuditFinding"):
            await house.run("closeAuditFinding", findingId=id, at=AT)
    assert len(await rows(house, AuditFinding)) == 0
    assert own.status == "IN_PROGRESS"


async def test_only_who_writes_quality_audits(house: House) -> None:
    for role in ("TECHNICIAN", "DISPATCHER", "REPORTING", "CUSTOMER_PORTAL"):
        with pytest.raises(Forbidden):
            await house.run("createAudit", role, title="Demo")


async def test_an_external_key_names_one_audit(house: House) -> None:
    await drafted(house, externalKey="k")
    other = await drafted(house)
    with pytest.raises(Conflict):
        await drafted(house, externalKey="k")
    with pytest.raises(Conflict) as refusal:
        await house.run("updateAudit", auditId=other.id, externalKey="k")
    assert refusal.value.field == "externalKey"
