"""Findings and the standards they refer to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.auditing import ITEMS, begun, finding, reported
from tests.support.field import AT, checklist
from tests.support.house import House
from tournee.kernel.errors import Blocked, Conflict, Invalid, NotFound, TransitionNotAllowed

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def standard(house: House, code: str = "DEMO 1") -> tuple[Any, Any]:
    """Create a standard with one clause."""
    made = await house.run("createQualityStandard", code=code, title="Demo", revision="2026")
    clause = await house.run("createStandardClause", standardId=made.id, number="7.5.1", title="Records")
    return made, clause


async def test_a_grave_finding_can_be_closed_only_after_verification(house: House) -> None:
    audit = await begun(house)
    found = await finding(house, audit, "MAJOR")
    moves = {move.to: move.allowed for move in found.transitions()}
    assert moves == {"CORRECTED": False, "CLOSED": False}
    with pytest.raises(Blocked, match="what was done"):
        await house.run("correctAuditFinding", findingId=found.id, at=AT)
    with pytest.raises(Blocked, match="verified"):
        await house.run("closeAuditFinding", findingId=found.id, at=AT)
    await house.run("correctAuditFinding", findingId=found.id, at=AT, correction="Repaired")
    with pytest.raises(Blocked, match="verified"):
        await house.run("closeAuditFinding", findingId=found.id, at=AT)
    verified = await house.run("verifyAuditFinding", "AUDITOR", findingId=found.id)
    assert verified.verified_by_id == house.actor("AUDITOR").id
    closed = await house.run("closeAuditFinding", findingId=found.id, at=AT)
    assert (closed.status, closed.transitions()) == ("CLOSED", [])


async def test_a_minor_finding_needs_a_correction_before_closing_and_an_observation_none(
    house: House,
) -> None:
    audit = await begun(house)
    minor = await finding(house, audit, "MINOR", correction="Repaired")
    with pytest.raises(Blocked, match="corrected"):
        await house.run("closeAuditFinding", findingId=minor.id, at=AT)
    await house.run("correctAuditFinding", findingId=minor.id, at=AT)
    assert (await house.run("closeAuditFinding", findingId=minor.id, at=AT)).status == "CLOSED"
    seen = await finding(house, audit, "OBSERVATION")
    with pytest.raises(TransitionNotAllowed):
        await house.run("verifyAuditFinding", findingId=seen.id)
    assert (await house.run("closeAuditFinding", findingId=seen.id, at=AT)).status == "CLOSED"


async def test_an_ineffective_correction_reopens_the_finding(house: House) -> None:
    audit = await begun(house)
    found = await finding(house, audit, "MAJOR", correction="Repaired")
    await house.run("correctAuditFinding", findingId=found.id, at=AT)
    opened = await house.run("reopenAuditFinding", findingId=found.id)
    assert (opened.status, opened.corrected_at) == ("OPEN", None)
    with pytest.raises(TransitionNotAllowed):
        await house.run("reopenAuditFinding", findingId=found.id)


async def test_findings_are_fixed_once_the_audit_is_completed(house: House) -> None:
    audit = await reported(house)
    found = await finding(house, audit, "MAJOR", correction="Repair", dueOn="2026-12-01")
    await house.run("updateAuditFinding", auditFindingId=found.id, description="Better words")
    await house.run("completeAudit", auditId=audit.id, at=AT)
    for field, value in (("grade", "MINOR"), ("description", "x"), ("clauseId", None), ("code", "1")):
        with pytest.raises(TransitionNotAllowed, match="cannot be changed") as refusal:
            await house.run("updateAuditFinding", auditFindingId=found.id, **{field: value})
        assert refusal.value.field == field
    later = await house.run("updateAuditFinding", auditFindingId=found.id, dueOn="2026-12-24")
    assert later.due_on.isoformat() == "2026-12-24"


async def test_closed_findings_and_those_of_closed_audits_cannot_be_edited(house: House) -> None:
    audit = await reported(house)
    found = await finding(house, audit, "OBSERVATION")
    await house.run("closeAuditFinding", findingId=found.id, at=AT)
    with pytest.raises(TransitionNotAllowed, match="closed"):
        await house.run("updateAuditFinding", auditFindingId=found.id, correction="x")
    await house.run("completeAudit", auditId=audit.id, at=AT)
    await house.run("closeAudit", auditId=audit.id, at=AT)
    with pytest.raises(TransitionNotAllowed, match="CLOSED"):
        await house.run("updateAuditFinding", auditFindingId=found.id, dueOn="2026-12-24")


async def test_a_finding_takes_its_clause_from_the_item_by_default(house: House) -> None:
    made, clause = await standard(house)
    other = await house.run("createStandardClause", standardId=made.id, number="8", title="Work")
    _, version_id = await checklist(house, [{**ITEMS[0], "clauseId": clause.id}])
    audit = await begun(house, versionId=version_id, standardId=made.id)
    assert (await finding(house, audit, "MINOR", itemKey="clean")).clause_id == clause.id
    named = await finding(house, audit, "MINOR", itemKey="clean", clauseId=other.id)
    assert named.clause_id == other.id


@pytest.mark.parametrize(
    ("values", "field"),
    [({"description": " "}, "description"), ({"itemKey": "nowhere"}, "itemKey"), ({"grade": "BAD"}, "grade")],
)
async def test_a_bad_finding_is_refused_with_its_field(
    house: House, values: dict[str, Any], field: str
) -> None:
    audit = await begun(house)
    with pytest.raises(Invalid) as refusal:
        await finding(house, audit, **{"grade": "MINOR", **values})
    assert refusal.value.field == field


async def test_a_findings_clause_must_be_of_the_audits_standard(house: House) -> None:
    made, _ = await standard(house)
    _, foreign = await standard(house, "DEMO 2")
    audit = await begun(house, standardId=made.id)
    with pytest.raises(Invalid, match="another standard"):
        await finding(house, audit, "MINOR", clauseId=foreign.id)
    with pytest.raises(NotFound):
        await finding(house, audit, "MINOR", clauseId=uuid4())
    found = await finding(house, audit, "MINOR")
    with pytest.raises(Invalid, match="another standard"):
        await house.run("updateAuditFinding", auditFindingId=found.id, clauseId=foreign.id)


async def test_revisions_and_clause_numbers_of_a_standard_are_unique(house: House) -> None:
    made, clause = await standard(house)
    with pytest.raises(Conflict):
        await house.run("createQualityStandard", code="DEMO 1", title="Again", revision="2026")
    await house.run("createQualityStandard", code="DEMO 1", title="Newer", revision="2027")
    with pytest.raises(Conflict) as refusal:
        await house.run("createStandardClause", standardId=made.id, number="7.5.1", title="Again")
    assert refusal.value.field == "number"
    below = await house.run(
        "createStandardClause", standardId=made.id, number="7.5.2", title="More", parentId=clause.id
    )
    with pytest.raises(Invalid) as refused:
        await house.run("updateStandardClause", standardClauseId=clause.id, parentId=below.id)
    assert refused.value.field == "parentId"


async def test_a_clauses_parent_must_be_of_the_same_standard(house: House) -> None:
    made, _ = await standard(house)
    _, foreign = await standard(house, "DEMO 2")
    with pytest.raises(Invalid, match="another standard"):
        await house.run(
            "createStandardClause", standardId=made.id, number="1", title="x", parentId=foreign.id
        )


async def test_a_standard_can_be_withdrawn_only_once(house: House) -> None:
    made, _ = await standard(house)
    assert (await house.run("withdrawQualityStandard", standardId=made.id)).status == "WITHDRAWN"
    with pytest.raises(TransitionNotAllowed):
        await house.run("withdrawQualityStandard", standardId=made.id)


async def test_raising_a_closed_findings_grade_reopens_it(house: House) -> None:
    audit = await begun(house)
    found = await finding(house, audit, "CONFORMITY")
    assert found.status == "CLOSED"
    graver = await house.run("updateAuditFinding", auditFindingId=found.id, grade="CRITICAL")
    assert (graver.status, graver.closed_at) == ("OPEN", None)


async def test_a_closed_finding_regraded_to_minor_reopens_unless_corrected(
    house: House,
) -> None:
    audit = await begun(house)
    untouched, corrected = [await finding(house, audit, "OBSERVATION") for _ in range(2)]
    await house.run("correctAuditFinding", findingId=corrected.id, at=AT, correction="Repaired")
    for found in (untouched, corrected):
        await house.run("closeAuditFinding", findingId=found.id, at=AT)
    graded = [
        await house.run("updateAuditFinding", auditFindingId=found.id, grade="MINOR")
        for found in (untouched, corrected)
    ]
    assert [(found.status, found.closed_at is None) for found in graded] == [
        ("OPEN", True),
        ("CLOSED", False),
    ]
