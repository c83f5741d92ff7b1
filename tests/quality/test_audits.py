"""An audit's people, site, checklist and answers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.auditing import (
    ITEMS,
    act,
    answer,
    answered,
    begun,
    drafted,
    finding,
    now,
    person,
    planned,
)
from tests.support.field import AT, LATER, checklist
from tests.support.house import House
from tournee.kernel.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.quality.models import AuditAnswer, AuditMember

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_starting_twice_keeps_the_earlier_start(house: House) -> None:
    audit = await begun(house)
    again = await act(house, "startAudit", audit, at=LATER)
    assert (again.status, again.performed_at) == ("IN_PROGRESS", audit.performed_at)
    earlier = await act(house, "startAudit", audit, at="2026-11-20T08:00:00Z")
    assert earlier.performed_at.hour == 8


async def test_answers_and_findings_are_accepted_only_while_the_audit_is_in_progress(house: House) -> None:
    audit = await planned(house)
    with pytest.raises(TransitionNotAllowed, match="PLANNED"):
        await answer(house, audit, "clean", checked=True)
    with pytest.raises(TransitionNotAllowed):
        await finding(house, audit, "MINOR")
    audit = await answered(house)
    await act(house, "reportAudit", audit, at=AT)
    await act(house, "completeAudit", audit, at=AT)
    with pytest.raises(TransitionNotAllowed, match="COMPLETED"):
        await answer(house, audit, "clean", checked=False)
    with pytest.raises(TransitionNotAllowed):
        await finding(house, audit, "MINOR")
    with pytest.raises(TransitionNotAllowed):
        await act(house, "setAuditTeam", audit, members=[])


async def test_answering_an_item_again_updates_one_answer_and_its_points(house: House) -> None:
    labels = {"key": "labels", "prompt": "Labels?", "kind": "CHOICE", "choices": ["All", "Most", "None"]}
    items = [{**labels, "choicePoints": [2, 1, 0]}]
    audit = await begun(house, versionId=(await checklist(house, items, key=str(uuid4())))[1])
    first = await answer(house, audit, "labels", choices=["Most"])
    assert first.points == 0.5
    await answer(house, audit, "labels", choices=["None"])
    (only,) = await house.rows(AuditAnswer)
    assert (only.id, only.points, only.result) == (first.id, 0.0, "FAIL")


async def test_an_audit_keeps_its_checklist_version_when_a_newer_one_is_published(house: House) -> None:
    template_id, version_id = await checklist(house, ITEMS)
    audit = await answered(house, versionId=version_id)
    newer = await house.run(
        "draftChecklistVersion", templateId=template_id, items=[{**ITEMS[0], "key": "other"}]
    )
    with pytest.raises(TransitionNotAllowed):
        await act(house, "updateAudit", audit, versionId=newer.id)
    await house.run("publishChecklistVersion", versionId=newer.id)
    assert (await act(house, "reportAudit", audit, at=AT)).score_percent == 100.0


async def test_an_audit_cannot_use_a_draft_checklist(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="X")
    draft = await house.run("draftChecklistVersion", templateId=template.id, items=ITEMS)
    with pytest.raises(Blocked, match="draft"):
        await drafted(house, versionId=draft.id)


async def test_an_audit_without_a_checklist_has_findings_but_no_score(house: House) -> None:
    audit = await begun(house, versionId=None)
    with pytest.raises(Invalid):
        await answer(house, audit, "clean", checked=True)
    await finding(house, audit, "OBSERVATION")
    report = await act(house, "reportAudit", audit, at=AT)
    assert (report.status, report.score_percent, report.result) == ("REPORTING", None, None)


async def test_an_audit_belongs_to_the_customer_of_its_site(house: House) -> None:
    audit = await drafted(house)
    assert audit.customer_id is not None
    other = await house.run("createCustomer", name="Demo Baker")
    with pytest.raises(Invalid, match="another customer"):
        await drafted(house, customerId=other.id)


async def test_setting_the_team_replaces_the_previous_one(house: House) -> None:
    audit = await drafted(house)
    one, two, three = [await person(house) for _ in range(3)]
    members = [{"accountId": one}, {"accountId": two, "part": "OBSERVER"}]
    await act(house, "setAuditTeam", audit, members=members)
    members = [{"accountId": two, "part": "EXPERT"}, {"accountId": three}]
    await act(house, "setAuditTeam", audit, members=members)
    held = {(member.account_id, member.part.value) for member in await house.rows(AuditMember)}
    assert held == {(two, "EXPERT"), (three, "AUDITOR")}
    with pytest.raises(Invalid, match="once"):
        await act(house, "setAuditTeam", audit, members=[{"accountId": two}, {"accountId": two}])


async def test_an_audits_accounts_must_be_in_the_same_organisation(house: House) -> None:
    """Another organisation's account and an unknown one get the same refusal, with the field."""
    other = await House(house.database).found()
    foreign, audit = await person(other), await drafted(house)
    member = await person(house)
    for command, field in (
        ("createAudit", "leadAuditorId"),
        ("createAudit", "auditeeResponsibleId"),
        ("updateAudit", "leadAuditorId"),
        ("updateAudit", "auditeeResponsibleId"),
        ("planAudit", "leadAuditorId"),
        ("setAuditTeam", "members.1.accountId"),
    ):
        refusals = []
        for id in (foreign, uuid4()):
            given: dict[str, Any] = {"title": "Demo"} if command == "createAudit" else {"auditId": audit.id}
            named = {"members": [{"accountId": member}, {"accountId": id}]} if "." in field else {field: id}
            with pytest.raises(NotFound) as refusal:
                await house.run(command, "AUDITOR", **given, **named)
            refusals.append((refusal.value.message, refusal.value.field))
        assert refusals == [("There is no such Account.", field)] * 2
    assert (await now(house, audit)).lead_auditor_id == audit.lead_auditor_id
    assert await house.rows(AuditMember) == []


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
async def test_bad_input_is_refused_with_its_field(house: House, values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await drafted(house, **values)
    assert refusal.value.field == field


async def test_drafting_audits_needs_the_write_permission(house: House) -> None:
    for role in ("TECHNICIAN", "DISPATCHER", "REPORTING", "CUSTOMER_PORTAL"):
        with pytest.raises(Forbidden):
            await house.run("createAudit", role, title="Demo")


async def test_an_audits_external_key_is_unique(house: House) -> None:
    await drafted(house, externalKey="k")
    other = await drafted(house)
    with pytest.raises(Conflict):
        await drafted(house, externalKey="k")
    with pytest.raises(Conflict) as refusal:
        await act(house, "updateAudit", other, externalKey="k")
    assert refusal.value.field == "externalKey"
