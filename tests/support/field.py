"""Checklists for tests, and technicians with devices."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity
from tournee.kernel.inputs import parse
from tournee.kernel.log import Head, Member
from tournee.kernel.visibility import visible
from tournee.procedures.commands.templates import UpdateChecklistDraft
from tournee.procedures.definition import (
    ChecklistItemInput,
)

AT = "2026-11-20T09:00:00Z"
LATER = "2026-11-20T10:00:00Z"

ITEMS: list[dict[str, Any]] = [
    {"key": "on", "prompt": "Is it on?", "kind": "CHECK", "required": True},
    {
        "key": "pressure",
        "prompt": "Pressure",
        "kind": "NUMBER",
        "minimum": 2,
        "maximum": 6,
        "required": True,
        "condition": {"itemKey": "on", "equals": "true"},
    },
    {"key": "remarks", "prompt": "Remarks", "kind": "TEXT", "allowsNotApplicable": True},
    {"key": "photos", "prompt": "Photos", "kind": "PHOTO"},
]


async def checklist(
    house: House, items: list[dict[str, Any]] | None = None, key: str = "inspection"
) -> tuple[UUID, UUID]:
    """Return the ids of a template and its published version."""
    template = await house.run("createChecklistTemplate", key=key, title="Demo checklist")
    version = await house.run("draftChecklistVersion", templateId=template.id, items=items or ITEMS)
    await house.run("publishChecklistVersion", versionId=version.id)
    return template.id, version.id


async def site(house: House) -> UUID:
    customer = await house.run("createCustomer", name="Demo Hotel")
    return (await house.run("createSite", customerId=customer.id, name="Demo Harbour")).id


async def run_at(house: House, site_id: UUID, version_id: UUID, **more: Any) -> Any:
    return await house.run("addChecklistRun", versionId=version_id, siteId=site_id, **more)


async def grant(house: House, actor: Actor, *scopes: UUID) -> None:
    """Give an account scopes, as an assignment would."""
    async with house.writing() as session:
        seq = (await session.get_one(Head, house.organisation_id)).seq
        for scope in scopes:
            values = {"account_id": actor.id, "scope": scope, "from_seq": seq}
            await session.execute(
                insert(Member.__table__).values(organisation_id=house.organisation_id, **values)
            )
        await session.commit()


async def visitor(house: House, *scopes: UUID) -> TestDevice:
    """Return the device of a technician who holds these scopes, after a pull."""
    actor = await house.account("TECHNICIAN")
    await grant(house, actor, *scopes)
    device = TestDevice(house, actor=actor)
    await device.pull()
    return device


async def sees(house: House, actor: Actor, model: type[Entity], id: UUID) -> bool:
    async with house.reading() as session:
        return await session.scalar(select(model.id).where(model.id == id, visible(model, actor))) is not None


def items(*definitions: dict[str, Any]) -> list[ChecklistItemInput]:
    payload = [{"prompt": "?", **definition} for definition in definitions]
    return parse(UpdateChecklistDraft, {"versionId": str(uuid4()), "items": payload}).items


async def two_devices(house: House) -> tuple[Any, TestDevice, TestDevice]:
    """Return a run and the devices of two technicians who have it."""
    _, version_id = await checklist(house)
    run = await run_at(house, await site(house), version_id)
    return run, await visitor(house, run.site_id), await visitor(house, run.site_id)


def answering(run: Any, key: str, **value: Any) -> dict[str, Any]:
    return {"runId": run.id, "itemKey": key, "at": AT, **value}
