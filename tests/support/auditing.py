"""Audits for tests, in any status."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import update

from tests.support.device import TestDevice
from tests.support.field import AT, LATER, checklist, site
from tests.support.house import House
from tournee.quality.models import Audit

ITEMS: list[dict[str, Any]] = [
    {"key": "clean", "prompt": "Is it clean?", "kind": "CHECK", "weight": 3, "allowsNotApplicable": True},
    {"key": "safe", "prompt": "Is it safe?", "kind": "CHECK", "critical": True},
    {
        "key": "why",
        "prompt": "Why not?",
        "kind": "TEXT",
        "condition": {"itemKey": "safe", "equals": "false"},
    },
    {"key": "photos", "prompt": "Photos", "kind": "PHOTO", "allowsNotApplicable": True},
]
EXCUSE = {"notApplicable": True, "reason": "no camera on site"}


async def drafted(house: House, **more: Any) -> Any:
    """Return a draft with a lead auditor, a site and a checklist."""
    given = {"siteId": more.pop("siteId", None) or await site(house), **more}
    if "versionId" not in given:
        given["versionId"] = (await checklist(house, ITEMS, key=str(uuid4())))[1]
    if "leadAuditorId" not in given:
        given["leadAuditorId"] = await person(house)
    return await house.run("createAudit", "AUDITOR", **{"title": "Demo", **given})


async def person(house: House, role: str = "AUDITOR") -> UUID:
    """Return the id of a new account."""
    return (await house.account(role)).id


async def planned(house: House, **more: Any) -> Any:
    audit = await drafted(house, **more)
    return await act(house, "planAudit", audit, plannedFrom=AT)


async def begun(house: House, **more: Any) -> Any:
    return await act(house, "startAudit", await planned(house, **more), at=AT)


async def answered(house: House, **more: Any) -> Any:
    """Return a started audit with every shown item answered: 4 of 4 points."""
    audit = await begun(house, **more)
    await answer(house, audit, "clean", checked=True)
    await answer(house, audit, "safe", checked=True)
    await answer(house, audit, "photos", **EXCUSE)
    return audit


async def reported(house: House, **more: Any) -> Any:
    return await act(house, "reportAudit", await answered(house, **more), at=LATER)


async def completed(house: House, **more: Any) -> Any:
    return await act(house, "completeAudit", await reported(house, **more), at=LATER)


async def act(house: House, name: str, audit: Any, **input: Any) -> Any:
    return await house.run(name, "AUDITOR", auditId=audit.id, **input)


async def answer(house: House, audit: Any, key: str, **value: Any) -> Any:
    return await act(house, "answerAuditItem", audit, itemKey=key, **{"at": AT, **value})


async def finding(house: House, audit: Any, grade: str, **more: Any) -> Any:
    values = {"grade": grade, "description": "Demo finding", "at": AT, **more}
    return await act(house, "addAuditFinding", audit, **values)


async def now(house: House, audit: Any) -> Audit:
    (row,) = await house.rows(Audit, Audit.id == audit.id)
    found: Audit = row
    return found


async def put(house: House, audit: Any, **values: Any) -> None:
    """Set columns regardless of every rule, to start a test in a given state."""
    async with house.writing() as session:
        table: Any = Audit.__table__
        own = (table.c.organisation_id == house.organisation_id, table.c.id == audit.id)
        await session.execute(update(table).where(*own).values(**values))
        await session.commit()


async def device(house: House) -> TestDevice:
    """Return an auditor's device that has pulled."""
    made = TestDevice(house, actor=await house.account("AUDITOR"))
    await made.pull()
    return made


async def standard(house: House, code: str = "DEMO 1") -> tuple[UUID, UUID]:
    """Return the ids of a standard and its one clause."""
    made = await house.run("createQualityStandard", "AUDITOR", code=code, title="Demo standard")
    clause = await house.run(
        "createStandardClause", "AUDITOR", standardId=made.id, number="1", title="Demo clause"
    )
    return made.id, clause.id
