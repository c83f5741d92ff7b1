"""An audit from draft to closed, and what blocks each step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.auditing import (
    EXCUSE,
    act,
    answer,
    answered,
    begun,
    completed,
    drafted,
    finding,
    now,
    person,
    planned,
    put,
    reported,
)
from tests.support.field import AT, LATER
from tests.support.house import House
from tournee.kernel.errors import Blocked, Invalid, TransitionNotAllowed
from tournee.quality.queries import audit_transitions, score_so_far
from tournee.quality.states import AuditStatus as A

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

MOVES: dict[str, tuple[A, set[A], dict[str, Any]]] = {
    "planAudit": (A.PLANNED, {A.DRAFT, A.POSTPONED}, {}),
    "postponeAudit": (A.POSTPONED, {A.PLANNED}, {"reason": "Demo"}),
    "cancelAudit": (A.CANCELED, {A.DRAFT, A.PLANNED, A.POSTPONED}, {"reason": "Demo"}),
    # Starting again is no error.
    "startAudit": (A.IN_PROGRESS, {A.PLANNED, A.IN_PROGRESS}, {"at": AT}),
    "reportAudit": (A.REPORTING, {A.IN_PROGRESS}, {"at": AT}),
    "completeAudit": (A.COMPLETED, {A.REPORTING}, {"at": AT}),
    "closeAudit": (A.CLOSED, {A.COMPLETED}, {"at": AT}),
}


@pytest.mark.parametrize("command", MOVES)
async def test_a_step_is_allowed_only_from_its_declared_states(house: House, command: str) -> None:
    to, allowed, input = MOVES[command]
    audit = await drafted(house, versionId=None, plannedFrom=AT)
    for status in A:
        await put(house, audit, status=status)
        if status in allowed:
            assert (await act(house, command, audit, **input)).status is to
            continue
        with pytest.raises(TransitionNotAllowed) as refusal:
            await act(house, command, audit, **input)
        assert refusal.value.field == "auditId"
        assert (await now(house, audit)).status is status


@pytest.mark.parametrize("status", [A.COMPLETED, A.CLOSED, A.CANCELED])
async def test_a_finished_audit_cannot_be_edited(house: House, status: A) -> None:
    audit = await drafted(house)
    await put(house, audit, status=status)
    with pytest.raises(TransitionNotAllowed) as refusal:
        await act(house, "updateAudit", audit, title="Demo again")
    assert (refusal.value.field, str(refusal.value)) == ("auditId", f"This audit is {status}.")


async def test_an_audit_goes_from_draft_to_closed(house: House) -> None:
    audit = await answered(house)
    assert audit.score_percent is None
    await act(house, "reportAudit", audit, at=LATER, conclusion="Fine.")
    await act(house, "completeAudit", audit, at=LATER)
    closed = await act(house, "closeAudit", audit, at=LATER)
    assert (closed.conclusion, closed.capped_by_critical) == ("Fine.", False)
    assert (closed.status, closed.score, closed.max_score, closed.score_percent, closed.result) == (
        "CLOSED",
        4.0,
        4.0,
        100.0,
        "PASS",
    )
    async with house.reading() as session:
        assert await audit_transitions(session, house.actor("MANAGER"), [closed]) == [[]]
    assert None not in (closed.performed_at, closed.reported_at, closed.completed_at, closed.closed_at)


async def test_a_planned_audit_needs_a_lead_auditor_and_a_date(house: House) -> None:
    audit = await drafted(house, leadAuditorId=None)
    with pytest.raises(Blocked, match=r"no lead auditor.*no begin"):
        await act(house, "planAudit", audit)
    lead = await person(house)
    with pytest.raises(Invalid) as refusal:
        await act(house, "planAudit", audit, plannedFrom=LATER, plannedTo=AT, leadAuditorId=lead)
    assert refusal.value.field == "plannedTo"
    await act(house, "planAudit", audit, leadAuditorId=lead, plannedFrom=AT)
    for gone in ({"leadAuditorId": None}, {"plannedFrom": None}):
        with pytest.raises(Blocked):
            await act(house, "updateAudit", audit, **gone)
    with pytest.raises(Invalid) as refusal:
        await act(house, "updateAudit", audit, plannedFrom=LATER, plannedTo=AT)
    assert refusal.value.field == "plannedTo"


async def test_nobody_audits_their_own_responsibility(house: House) -> None:
    both = await person(house)
    with pytest.raises(Invalid, match="Nobody may audit") as refusal:
        await drafted(house, leadAuditorId=both, auditeeResponsibleId=both)
    assert refusal.value.field == "auditeeResponsibleId"
    audit = await drafted(house, auditeeResponsibleId=both)
    for command, input in (
        ("updateAudit", {"leadAuditorId": both}),
        ("planAudit", {"leadAuditorId": both, "plannedFrom": AT}),
        ("setAuditTeam", {"members": [{"accountId": both}]}),
    ):
        with pytest.raises(Invalid, match="Nobody may audit"):
            await act(house, command, audit, **input)
    # Observing is allowed, and a member of the team cannot become the responsible person.
    await act(house, "setAuditTeam", audit, members=[{"accountId": both, "part": "OBSERVER"}])
    other = await person(house)
    await act(house, "setAuditTeam", audit, members=[{"accountId": other}])
    with pytest.raises(Invalid, match="Nobody may audit"):
        await act(house, "updateAudit", audit, auditeeResponsibleId=other)
    assert (await now(house, audit)).auditee_responsible_id == both


async def test_reporting_needs_an_answer_or_a_reason_for_every_shown_item(house: House) -> None:
    audit = await begun(house)
    with pytest.raises(Blocked, match=r"clean, safe, photos\.$"):
        await act(house, "reportAudit", audit, at=AT)
    await answer(house, audit, "clean", checked=False)
    await answer(house, audit, "photos", **EXCUSE)
    await answer(house, audit, "safe", checked=False)
    with pytest.raises(Blocked, match=r": why\.$"):
        await act(house, "reportAudit", audit, at=AT)
    await answer(house, audit, "safe", checked=True)
    assert (await act(house, "reportAudit", audit, at=AT)).score_percent == 25.0


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("clean", {"notApplicable": True}, "reason"),
        ("clean", {"notApplicable": True, "reason": "  "}, "reason"),
        ("safe", EXCUSE, "notApplicable"),
        ("clean", {"text": "yes"}, "text"),
        ("clean", {}, "checked"),
        ("nowhere", {"checked": True}, "itemKey"),
        ("clean", {"checked": True, "at": "today"}, "at"),
    ],
)
async def test_a_bad_answer_is_refused_with_its_field(
    house: House, key: str, value: dict[str, Any], field: str
) -> None:
    audit = await begun(house)
    with pytest.raises(Invalid) as refusal:
        await answer(house, audit, key, **value)
    assert refusal.value.field == field


@pytest.mark.parametrize("grade", ["MAJOR", "CRITICAL"])
async def test_a_grave_finding_needs_correction_and_due_date_before_completion(
    house: House, grade: str
) -> None:
    audit = await reported(house)
    found = await finding(house, audit, grade)
    with pytest.raises(Blocked, match=r"without correction and due date: 1\."):
        await act(house, "completeAudit", audit, at=LATER)
    for missing in ({"correction": "Demo"}, {"correction": " ", "dueOn": "2026-12-01"}):
        await house.run("updateAuditFinding", "AUDITOR", auditFindingId=found.id, **missing)
        with pytest.raises(Blocked, match=r"without correction and due date: 1\."):
            await act(house, "completeAudit", audit, at=LATER)
    await house.run("updateAuditFinding", "AUDITOR", auditFindingId=found.id, correction="Demo")
    assert (await act(house, "completeAudit", audit, at=LATER)).status == "COMPLETED"
    for name, empty in (("correction", None), ("correction", " "), ("dueOn", None)):
        with pytest.raises(Blocked) as refusal:
            await house.run("updateAuditFinding", "AUDITOR", auditFindingId=found.id, **{name: empty})
        assert refusal.value.field == name


async def test_lesser_findings_do_not_block_completion(house: House) -> None:
    audit = await reported(house)
    for grade in ("CONFORMITY", "OPPORTUNITY", "OBSERVATION", "MINOR"):
        await finding(house, audit, grade)
    assert (await act(house, "completeAudit", audit, at=LATER)).status == "COMPLETED"


async def test_an_item_that_becomes_visible_while_reporting_blocks_completion_until_answered(
    house: House,
) -> None:
    # A failed critical item fails the audit, whatever the passing mark.
    audit = await reported(house, passingPercent=10)
    await answer(house, audit, "safe", checked=False)
    failed = await now(house, audit)
    assert (failed.result, failed.score_percent, failed.capped_by_critical) == ("FAIL", 75.0, True)
    with pytest.raises(Blocked, match=r": why\.$"):
        await act(house, "completeAudit", audit, at=LATER)
    await answer(house, audit, "why", text="Demo")
    assert (await act(house, "completeAudit", audit, at=LATER)).result == "FAIL"


async def test_an_audit_can_be_closed_once_all_its_findings_are(house: House) -> None:
    audit = await reported(house)
    major = await finding(house, audit, "MAJOR", correction="Demo", dueOn="2026-12-01")
    minor = await finding(house, audit, "OBSERVATION")
    await act(house, "completeAudit", audit, at=LATER)
    async with house.reading() as session:
        ((closing,),) = await audit_transitions(session, house.actor("MANAGER"), [await now(house, audit)])
    assert (closing.to, closing.allowed) == ("CLOSED", False)
    for left, command in ((2, "closeAuditFinding"), (1, "correctAuditFinding"), (1, "verifyAuditFinding")):
        with pytest.raises(Blocked, match=rf"not closed yet: {left}\."):
            await act(house, "closeAudit", audit, at=LATER)
        done = {} if command == "verifyAuditFinding" else {"at": LATER}
        id = minor.id if command == "closeAuditFinding" else major.id
        await house.run(command, "AUDITOR", findingId=id, **done)
    await house.run("closeAuditFinding", "AUDITOR", findingId=major.id, at=LATER)
    assert (await act(house, "closeAudit", audit, at=LATER)).status == "CLOSED"


async def test_the_transitions_name_their_blockers(house: House) -> None:
    async def transitions(audit: Any) -> dict[str, list[str]]:
        async with house.reading() as session:
            (moves,) = await audit_transitions(session, house.actor("MANAGER"), [audit])
            return {move.to: move.blocked_by for move in moves}

    assert await transitions(await drafted(house, leadAuditorId=None, plannedFrom=AT)) == {
        "PLANNED": ["The audit has no lead auditor yet."],
        "CANCELED": [],
    }
    assert await transitions(await planned(house)) == {"POSTPONED": [], "IN_PROGRESS": [], "CANCELED": []}
    (against,) = (await transitions(await begun(house)))["REPORTING"]
    assert "clean, safe, photos" in against
    audit = await answered(house)
    assert await transitions(audit) == {"REPORTING": []}
    async with house.reading() as session:
        assert (await score_so_far(session, audit)).percent == 100.0
    audit = await reported(house)
    await finding(house, audit, "CRITICAL")
    (against,) = (await transitions(audit))["COMPLETED"]
    assert "due date: 1" in against


async def test_a_started_audit_keeps_its_checklist_site_technician_and_passing_mark(house: House) -> None:
    audit = await begun(house)
    for name, value in (("versionId", None), ("siteId", None), ("technicianId", None), ("passingPercent", 0)):
        with pytest.raises(TransitionNotAllowed) as refusal:
            await act(house, "updateAudit", audit, **{name: value})
        assert refusal.value.field == name
    assert (await act(house, "updateAudit", audit, conclusion="Demo")).conclusion == "Demo"
    done = await completed(house)
    with pytest.raises(TransitionNotAllowed):
        await act(house, "updateAudit", done, conclusion="Demo")


async def test_a_postponed_audit_keeps_its_reason_until_planned_again(house: House) -> None:
    audit = await planned(house)
    for command in ("postponeAudit", "cancelAudit"):
        with pytest.raises(Invalid) as refusal:
            await act(house, command, audit, reason=" ")
        assert refusal.value.field == "reason"
    assert (await act(house, "postponeAudit", audit, reason="Demo storm")).reason == "Demo storm"
    again = await act(house, "planAudit", audit, plannedFrom=LATER)
    assert (again.status, again.reason) == ("PLANNED", None)
