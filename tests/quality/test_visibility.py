"""Who sees an audit, its answers and its findings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.auditing import act, answer, begun, drafted, finding, standard
from tests.support.device import TestDevice
from tests.support.field import AT, grant, sees, site
from tests.support.house import House
from tests.support.world import World
from tournee.kernel.errors import Forbidden, NotFound
from tournee.quality.models import (
    Audit,
    AuditAnswer,
    AuditFinding,
    AuditMember,
    QualityStandard,
    StandardClause,
)


async def family(house: House, **more: Any) -> tuple[Any, list[tuple[Any, UUID]]]:
    """Return an audit with an answer and a finding, and all three by model and id."""
    audit = await begun(house, **more)
    given = await answer(house, audit, "clean", checked=True)
    found = await finding(house, audit, "MINOR")
    return audit, [(Audit, audit.id), (AuditAnswer, given.id), (AuditFinding, found.id)]


async def seen(house: House, actor: Any, records: list[tuple[Any, UUID]]) -> set[bool]:
    return {await sees(house, actor, model, id) for model, id in records}


async def test_the_audited_technician_sees_the_audit_and_a_colleague_does_not(house: House) -> None:
    people = [await house.account("TECHNICIAN") for _ in range(2)]
    technicians = [
        await house.run("createTechnician", name=f"Demo Technician {number}", accountId=person.id)
        for number, person in enumerate(people)
    ]
    _, records = await family(house, technicianId=technicians[0].id)
    assert await seen(house, people[0], records) == {True}
    assert await seen(house, people[1], records) == {False}


async def test_a_technician_sees_the_audits_of_a_site_while_assigned_to_a_visit_there(house: House) -> None:
    world = await World(house).settle()
    visitor, colleague = await world.technician(), await world.technician()
    _, records = await family(house, siteId=world.site.id)
    assert await seen(house, visitor.actor, records) == {False}
    visit = await world.visit(visitor)
    assert await seen(house, visitor.actor, records) == {True}
    assert await seen(house, colleague.actor, records) == {False}
    await house.run("unassignTechnician", appointmentId=visit.id, technicianId=visitor.id)
    assert await seen(house, visitor.actor, records) == {False}


async def test_a_past_audit_is_visible_through_its_site(house: House) -> None:
    site_id = await site(house)
    past = await house.run(
        "recordPastAudit",
        "AUDITOR",
        externalKey="demo-1",
        title="Demo",
        performedAt=AT,
        siteId=site_id,
        findings=[{"grade": "MINOR", "description": "Demo"}],
    )
    inside, outside = await house.account("TECHNICIAN"), await house.account("TECHNICIAN")
    await grant(house, inside, site_id)
    device = TestDevice(house, actor=inside)
    await device.pull()
    assert {row["entity"] for row in device.rows.values()} >= {"Audit", "AuditFinding"}
    assert device.rows[past.id]["title"] == "Demo"
    assert not await sees(house, outside, Audit, past.id)


async def test_lead_team_and_responsible_see_an_audit_while_named(house: House) -> None:
    people = [await house.account("TECHNICIAN") for _ in range(3)]
    lead, responsible, member = people
    audit = await drafted(house, leadAuditorId=lead.id, auditeeResponsibleId=responsible.id)
    await act(house, "setAuditTeam", audit, members=[{"accountId": member.id}])
    (row,) = await house.rows(AuditMember)
    records: list[tuple[Any, UUID]] = [(Audit, audit.id), (AuditMember, row.id)]
    assert [await seen(house, person, records) for person in people] == [{True}] * 3
    other = await house.account("TECHNICIAN")
    await act(house, "updateAudit", audit, leadAuditorId=other.id, auditeeResponsibleId=None)
    await act(house, "setAuditTeam", audit, members=[])
    assert [await sees(house, person, Audit, audit.id) for person in (*people, other)] == [False] * 3 + [True]


async def test_everybody_with_the_read_permission_sees_standards(house: House) -> None:
    standard_id, clause_id = await standard(house)
    technician, portal = await house.account("TECHNICIAN"), house.actor("CUSTOMER_PORTAL")
    for model, id in ((QualityStandard, standard_id), (StandardClause, clause_id)):
        assert await sees(house, technician, model, id)
        assert not await sees(house, portal, model, id)


async def test_seeing_an_audit_does_not_allow_editing_it(house: House) -> None:
    people = [await house.account("TECHNICIAN") for _ in range(3)]
    audited, responsible, observer = people
    technician = await house.run("createTechnician", name="Demo", accountId=audited.id)
    audit = await begun(house, technicianId=technician.id, auditeeResponsibleId=responsible.id)
    await act(house, "setAuditTeam", audit, members=[{"accountId": observer.id, "part": "OBSERVER"}])
    for who in (*people, "DISPATCHER", "REPORTING", "CUSTOMER_PORTAL"):
        for command, given in STEPS:
            with pytest.raises(Forbidden):
                await house.run(command, who, auditId=audit.id, at=AT, **given)


STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("startAudit", {}),
    ("answerAuditItem", {"itemKey": "clean", "checked": True}),
    ("addAuditFinding", {"grade": "MINOR", "description": "Demo"}),
    ("reportAudit", {}),
)


async def test_no_command_finds_another_organisations_audit(house: House) -> None:
    other = await House(house.database).found()
    foreign, records = await family(other)
    standard_id, clause_id = await standard(other)
    own = await begun(house)
    assert await seen(house, house.actor("AUDITOR"), records) == {False}
    finding_id = records[2][1]
    for command, input in (
        ("updateAudit", {"auditId": foreign.id, "title": "Demo"}),
        ("setAuditTeam", {"auditId": foreign.id, "members": []}),
        ("cancelAudit", {"auditId": foreign.id, "reason": "Demo"}),
        ("startAudit", {"auditId": foreign.id, "at": AT}),
        ("answerAuditItem", {"auditId": foreign.id, "itemKey": "clean", "checked": False, "at": AT}),
        ("addAuditFinding", {"auditId": foreign.id, "grade": "MINOR", "description": "Demo", "at": AT}),
        ("reportAudit", {"auditId": foreign.id, "at": AT}),
        ("correctAuditFinding", {"findingId": finding_id, "correction": "Demo", "at": AT}),
        ("closeAuditFinding", {"findingId": finding_id, "at": AT}),
        ("updateAuditFinding", {"auditFindingId": finding_id, "code": "X"}),
        ("createAudit", {"title": "Demo", "siteId": foreign.site_id}),
        ("createAudit", {"title": "Demo", "versionId": foreign.version_id}),
        ("createAudit", {"title": "Demo", "standardId": standard_id}),
        ("withdrawQualityStandard", {"standardId": standard_id}),
        (
            "addAuditFinding",
            {"auditId": own.id, "grade": "MINOR", "description": "Demo", "at": AT, "clauseId": clause_id},
        ),
    ):
        with pytest.raises(NotFound):
            await house.run(command, "AUDITOR", **input)
