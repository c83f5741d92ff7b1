"""Audits to test with."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.house import House
from tests.procedures.field import AT, checklist, site

ITEMS: list[dict[str, Any]] = [
    {"key": "records", "prompt": "Records kept?", "kind": "CHECK", "allowsNotApplicable": True},
    {"key": "cold", "prompt": "Storage", "kind": "NUMBER", "maximum": 7, "weight": 3, "critical": True},
    {
        "key": "labels",
        "prompt": "Labels?",
        "kind": "CHOICE",
        "choices": ["All", "Most", "None"],
        "choicePoints": [2, 1, 0],
        "weight": 2,
    },
    {
        "key": "why",
        "prompt": "Why none?",
        "kind": "TEXT",
        "condition": {"itemKey": "labels", "equals": "None"},
    },
]


async def drafted(house: House, **more: Any) -> Any:
    """An audit of a site, with a checklist, in draft."""
    _, version_id = await checklist(house, ITEMS, key=f"audit-{uuid4()}")
    values = {
        "title": "Demo audit",
        "versionId": version_id,
        "siteId": await site(house),
        "leadAuditorId": uuid4(),
        "auditeeResponsibleId": uuid4(),
        "plannedFrom": AT,
    }
    return await house.run("createAudit", "AUDITOR", **{**values, **more})


async def planned(house: House, **more: Any) -> Any:
    audit = await drafted(house, **more)
    return await house.run("planAudit", "AUDITOR", auditId=audit.id)


async def begun(house: House, **more: Any) -> Any:
    audit = await planned(house, **more)
    return await house.run("startAudit", "AUDITOR", auditId=audit.id, at=AT)


async def answer(house: House, audit: Any, key: str, **value: Any) -> Any:
    values = {"auditId": audit.id, "itemKey": key, "at": AT, **value}
    return await house.run("answerAuditItem", "AUDITOR", **values)


async def answer_all(house: House, audit: Any, labels: str = "Most", cold: float = 5) -> None:
    await answer(house, audit, "records", checked=True)
    await answer(house, audit, "cold", number=cold)
    await answer(house, audit, "labels", choices=[labels])


async def reported(house: House, **more: Any) -> Any:
    audit = await begun(house, **more)
    await answer_all(house, audit)
    return await house.run("reportAudit", "AUDITOR", auditId=audit.id, at=AT)


async def finding(house: House, audit_id: UUID, grade: str, **more: Any) -> Any:
    values = {"auditId": audit_id, "grade": grade, "description": "Demo finding", "at": AT}
    return await house.run("addAuditFinding", "AUDITOR", **{**values, **more})
