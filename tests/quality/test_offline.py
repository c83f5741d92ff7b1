"""Audits on offline devices."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.auditing import (
    EXCUSE,
    act,
    answer,
    answered,
    begun,
    completed,
    device,
    finding,
    now,
    planned,
)
from tests.support.field import AT, LATER
from tests.support.house import House
from tournee.kernel.conflict import Conflict
from tournee.procedures.answers import answer_id
from tournee.quality.models import AuditAnswer, AuditFinding

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_two_devices_answering_one_item_make_one_answer_and_a_conflict(house: House) -> None:
    audit = await begun(house)
    one, two = await device(house), await device(house)
    given = {"auditId": audit.id, "itemKey": "clean", "at": AT}
    first = await one.do("answerAuditItem", checked=True, **given)
    second = await two.do("answerAuditItem", checked=False, **given)
    assert (first.status, second.status) == ("applied", "merged")
    (only,) = await house.rows(AuditAnswer)
    assert (only.id, only.checked, only.points, only.result) == (
        answer_id(audit.id, "clean"),
        False,
        0.0,
        "FAIL",
    )
    (conflict,) = await house.rows(Conflict)
    assert (conflict.record_id, conflict.mine, conflict.theirs) == (
        only.id,
        {"checked": False},
        {"checked": True},
    )


async def test_two_devices_with_the_same_answer_have_no_conflict_and_count_once(house: House) -> None:
    audit = await begun(house)
    one, two = await device(house), await device(house)
    for each in (one, two):
        await each.do("answerAuditItem", auditId=audit.id, itemKey="clean", checked=True, at=AT)
    assert len(await house.rows(AuditAnswer)) == 1
    assert await house.rows(Conflict) == []
    await answer(house, audit, "safe", checked=False)
    await answer(house, audit, "why", text="Demo")
    await answer(house, audit, "photos", **EXCUSE)
    assert (await act(house, "reportAudit", audit, at=LATER)).max_score == 4.0


async def test_a_whole_audit_done_offline_arrives_in_one_push(house: House) -> None:
    audit = await planned(house)
    auditor = await device(house)
    found = uuid4()
    own = {"auditId": audit.id, "at": AT}
    outcomes = await auditor.push(
        auditor.operation("startAudit", **own),
        auditor.operation("answerAuditItem", itemKey="clean", checked=True, **own),
        auditor.operation("answerAuditItem", itemKey="safe", checked=True, **own),
        auditor.operation("answerAuditItem", itemKey="photos", **EXCUSE, **own),
        auditor.operation("addAuditFinding", id=found, grade="MINOR", description="Demo", **own),
        auditor.operation("reportAudit", **own),
        auditor.operation("completeAudit", **own),
    )
    assert [outcome.status for outcome in outcomes] == ["applied"] * 7
    done = await now(house, audit)
    assert (done.status, done.result, done.score_percent) == ("COMPLETED", "PASS", 100.0)
    assert [row.id for row in await house.rows(AuditFinding)] == [found]


async def test_an_operation_sent_twice_counts_once(house: House) -> None:
    audit = await begun(house)
    auditor = await device(house)
    sent = auditor.operation("addAuditFinding", auditId=audit.id, grade="MINOR", description="Demo", at=AT)
    assert [o.status for o in (*await auditor.push(sent), *await auditor.push(sent))] == [
        "applied",
        "duplicate",
    ]
    assert len(await house.rows(AuditFinding)) == 1


@pytest.mark.parametrize("command", ["cancelAudit", "postponeAudit"])
async def test_a_started_audit_overrides_its_cancellation_or_postponement(house: House, command: str) -> None:
    audit = await planned(house)
    auditor = await device(house)
    await act(house, command, audit, reason="Demo")
    outcome = await auditor.do("startAudit", auditId=audit.id, at=AT)
    assert outcome.status != "rejected", outcome
    assert (await now(house, audit)).status == "IN_PROGRESS"
    (conflict,) = await house.rows(Conflict)
    assert (conflict.kind, conflict.role, conflict.base) == (
        "RECORD_ON_CLOSED_PARENT",
        "AUDITOR",
        {"status": "PLANNED"},
    )
    # A device that saw the cancellation cannot start it.
    other = await planned(house)
    await act(house, "cancelAudit", other, reason="Demo")
    await auditor.pull()
    refused = await auditor.do("startAudit", auditId=other.id, at=AT)
    assert (refused.status, refused.code) == ("rejected", "TRANSITION_NOT_ALLOWED")


async def test_a_late_start_of_a_completed_audit_changes_nothing(house: House) -> None:
    audit = await planned(house)
    late = await device(house)
    for key, value in (("clean", {"checked": True}), ("safe", {"checked": True}), ("photos", EXCUSE)):
        if key == "clean":
            await act(house, "startAudit", audit, at=AT)
        await answer(house, audit, key, **value)
    await act(house, "reportAudit", audit, at=LATER)
    await act(house, "completeAudit", audit, at=LATER)
    assert (await late.do("startAudit", auditId=audit.id, at=LATER)).status == "merged"
    assert (await now(house, audit)).status == "COMPLETED"
    assert await house.rows(Conflict) == []


async def test_a_late_answer_is_kept_with_a_conflict_and_changes_the_result(house: House) -> None:
    audit = await answered(house)
    late = await device(house)
    await act(house, "reportAudit", audit, at=LATER)
    await act(house, "completeAudit", audit, at=LATER)
    assert (await now(house, audit)).result == "PASS"
    outcome = await late.do("answerAuditItem", auditId=audit.id, itemKey="safe", checked=False, at=AT)
    assert outcome.status != "rejected", outcome
    done = await now(house, audit)
    assert (done.status, done.result, done.capped_by_critical) == ("COMPLETED", "FAIL", True)
    assert "RECORD_ON_CLOSED_PARENT" in {row.kind for row in await house.rows(Conflict)}


async def test_a_late_answer_to_a_canceled_audit_is_kept_without_a_score(house: House) -> None:
    audit = await planned(house)
    late = await device(house)
    await act(house, "cancelAudit", audit, reason="Demo")
    outcome = await late.do("answerAuditItem", auditId=audit.id, itemKey="safe", checked=False, at=AT)
    assert outcome.status != "rejected", outcome
    assert len(await house.rows(AuditAnswer)) == 1
    canceled = await now(house, audit)
    assert (canceled.status, canceled.result, canceled.score) == ("CANCELED", None, None)


async def test_a_late_finding_of_a_closed_audit_is_kept_and_can_be_closed(house: House) -> None:
    audit = await answered(house)
    late = await device(house)
    for command in ("reportAudit", "completeAudit", "closeAudit"):
        await act(house, command, audit, at=LATER)
    id = uuid4()
    outcome = await late.do(
        "addAuditFinding", id=id, auditId=audit.id, grade="MINOR", description="Demo", at=AT
    )
    assert outcome.status != "rejected", outcome
    assert [row.kind for row in await house.rows(Conflict)] == ["RECORD_ON_CLOSED_PARENT"]
    await house.run("correctAuditFinding", "AUDITOR", findingId=id, correction="Demo", at=LATER)
    assert (await house.run("closeAuditFinding", "AUDITOR", findingId=id, at=LATER)).status == "CLOSED"


async def test_a_device_that_saw_the_audit_completed_is_refused(house: House) -> None:
    audit = await completed(house)
    auditor = await device(house)
    for command, input in (
        ("answerAuditItem", {"itemKey": "safe", "checked": False}),
        ("addAuditFinding", {"grade": "MINOR", "description": "Demo"}),
    ):
        refused = await auditor.do(command, auditId=audit.id, at=AT, **input)
        assert (refused.status, refused.code) == ("rejected", "TRANSITION_NOT_ALLOWED")


async def test_online_blockers_apply_offline_and_are_named(house: House) -> None:
    audit = await begun(house)
    await finding(house, audit, "MINOR")
    refused = await (await device(house)).do("reportAudit", auditId=audit.id, at=AT)
    assert (refused.status, refused.code) == ("rejected", "BLOCKED")
    assert "clean, safe, photos" in (refused.message or "")
