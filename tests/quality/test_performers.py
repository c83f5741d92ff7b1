"""Technicians who carry out audits, as lead or in the team, on a device that may be offline."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.auditing import EXCUSE, act, begun, now, person, planned
from tests.support.device import TestDevice
from tests.support.field import AT
from tests.support.house import House
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict
from tournee.quality.models import Audit, AuditAnswer, AuditFinding

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def taking_part(house: House, part: str) -> tuple[Any, Actor]:
    """Return a planned audit and the technician who leads it or is on its team."""
    actor = await house.account("TECHNICIAN")
    if part == "LEAD":
        return await planned(house, leadAuditorId=actor.id), actor
    audit = await planned(house)
    await act(house, "setAuditTeam", audit, members=[{"accountId": actor.id, "part": part}])
    return audit, actor


async def away(house: House, actor: Actor) -> TestDevice:
    device = TestDevice(house, actor=actor)
    await device.pull()
    return device


@pytest.mark.parametrize("part", ["LEAD", "AUDITOR"])
async def test_a_technician_carries_out_a_whole_audit_offline(house: House, part: str) -> None:
    audit, actor = await taking_part(house, part)
    device = await away(house, actor)
    assert device.rows[audit.id]["entity"] == "Audit"
    assert device.rows[audit.version_id]["items"], "The device has the checklist."
    found, own = uuid4(), {"auditId": audit.id, "at": AT}
    outcomes = await device.push(
        device.operation("startAudit", **own),
        device.operation("answerAuditItem", itemKey="clean", checked=True, **own),
        device.operation("answerAuditItem", itemKey="safe", checked=True, **own),
        device.operation("answerAuditItem", itemKey="photos", **EXCUSE, **own),
        device.operation("addAuditFinding", id=found, grade="MINOR", description="Demo", **own),
        device.operation("reportAudit", **own),
    )
    assert [outcome.status for outcome in outcomes] == ["applied"] * 6
    done = await now(house, audit)
    assert (done.status, done.score_percent) == ("REPORTING", 100.0)
    assert [row.id for row in await house.rows(AuditFinding)] == [found]
    assert await house.rows(Conflict) == []


async def test_a_technician_who_audits_can_neither_edit_standards_nor_complete_audits(house: House) -> None:
    audit, actor = await taking_part(house, "LEAD")
    device = await away(house, actor)
    for command, given in (
        ("createQualityStandard", {"code": "X", "title": "Demo"}),
        ("createAudit", {"title": "Demo"}),
        ("updateAudit", {"auditId": audit.id, "title": "Demo"}),
        ("completeAudit", {"auditId": audit.id, "at": AT}),
    ):
        outcome = await device.do(command, **given)
        assert (outcome.status, outcome.code) == ("rejected", "FORBIDDEN"), command


async def test_a_technician_cannot_answer_an_audit_that_others_carry_out(house: House) -> None:
    _, actor = await taking_part(house, "OBSERVER")
    mine = await planned(house, leadAuditorId=actor.id)
    others = await begun(house)
    device = await away(house, actor)
    assert others.id not in device.rows
    (observed,) = [id for id, row in device.rows.items() if row["entity"] == "Audit" and id != mine.id]
    codes = []
    for id in (observed, others.id):
        outcome = await device.do("answerAuditItem", auditId=id, itemKey="clean", checked=True, at=AT)
        codes.append((outcome.status, outcome.code))
    # An answer to an invisible audit waits like one to an audit not yet created.
    assert codes == [("rejected", "FORBIDDEN"), ("parked", None)]
    assert await house.rows(AuditAnswer) == []


@pytest.mark.parametrize("part", ["LEAD", "AUDITOR"])
async def test_an_answer_from_before_a_reassignment_is_kept_and_an_auditor_decides(
    house: House, part: str
) -> None:
    audit, actor = await taking_part(house, part)
    await act(house, "startAudit", audit, at=AT)
    device = await away(house, actor)
    other = await person(house)
    if part == "LEAD":
        await act(house, "updateAudit", audit, leadAuditorId=other)
    else:
        await act(house, "setAuditTeam", audit, members=[{"accountId": other}])
    given = {"auditId": audit.id, "itemKey": "clean", "at": AT}
    outcome = await device.do("answerAuditItem", checked=True, **given)
    assert (outcome.status, outcome.code) == ("merged", None)
    (answer,) = await house.rows(AuditAnswer)
    assert (answer.checked, answer.answered_by_id) == (True, actor.id)
    (conflict,) = await house.rows(Conflict)
    assert outcome.conflict == str(conflict.id)
    assert (conflict.kind, conflict.role, conflict.record_id) == (
        "RECORD_ON_REASSIGNED_PARENT",
        "AUDITOR",
        audit.id,
    )
    if part == "LEAD":
        assert (conflict.base, conflict.theirs) == (
            {"leadAuditorId": str(actor.id)},
            {"leadAuditorId": str(other)},
        )
    # A device that has pulled since is refused.
    await device.pull()
    late = await device.do("answerAuditItem", checked=False, **given)
    assert (late.status, late.code) == ("rejected", "NOT_FOUND")
    assert (await now(house, audit)).status == "IN_PROGRESS"
    assert len(await house.rows(Audit)) == 1
