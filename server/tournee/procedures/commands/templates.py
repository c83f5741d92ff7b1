"""Commands for checklists in the office: define, publish, archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.entity import now
from tournee.kernel.errors import Conflict, Invalid
from tournee.kernel.inputs import UNSET, Unset
from tournee.kernel.plain import creating, edits, given
from tournee.kernel.registry import BY_TABLE, Plain
from tournee.kernel.transaction import Transaction
from tournee.procedures.definition import ChecklistItemInput, read
from tournee.procedures.models import (
    ChecklistTemplate,
    ChecklistVersion,
    TemplateStatus,
    VersionStatus,
)
from tournee.procedures.permissions import PROCEDURES_WRITE


@creating(ChecklistTemplate, PROCEDURES_WRITE)
async def create_checklist_template(tx: Transaction, actor: Actor, do: Any) -> ChecklistTemplate:
    """Add a checklist; draft what it asks next."""
    if not do.key.strip():
        raise Invalid("A checklist needs a key.", "key")
    if await tx.all(select(ChecklistTemplate).where(ChecklistTemplate.key == do.key)):
        raise Conflict("Another checklist has this key.", "key")
    return await tx.add(ChecklistTemplate(**given(do)))


update_checklist_template = edits(ChecklistTemplate, PROCEDURES_WRITE, without=["key"])


@dataclass(frozen=True)
class ArchiveChecklistTemplate:
    template_id: UUID
    """The checklist that is no longer used."""


@command(PROCEDURES_WRITE)
async def archive_checklist_template(
    tx: Transaction, actor: Actor, do: ArchiveChecklistTemplate
) -> ChecklistTemplate:
    """Take a checklist out of use; its runs stay."""
    template = await tx.find(ChecklistTemplate, do.template_id, "templateId")
    template.move(TemplateStatus.ARCHIVED)
    return template


@dataclass(frozen=True)
class RestoreChecklistTemplate:
    template_id: UUID
    """The archived checklist that is used again."""


@command(PROCEDURES_WRITE)
async def restore_checklist_template(
    tx: Transaction, actor: Actor, do: RestoreChecklistTemplate
) -> ChecklistTemplate:
    """Take an archived checklist into use again."""
    template = await tx.find(ChecklistTemplate, do.template_id, "templateId")
    template.move(TemplateStatus.ACTIVE)
    return template


@dataclass(frozen=True)
class DraftChecklistVersion:
    template_id: UUID
    """The checklist that gets a new version."""
    items: list[ChecklistItemInput] | Unset = UNSET
    """What it asks; if left out, the items of the latest version are copied."""
    id: UUID | Unset = UNSET


@command(PROCEDURES_WRITE, plain=Plain.CREATE)
async def draft_checklist_version(
    tx: Transaction, actor: Actor, do: DraftChecklistVersion
) -> ChecklistVersion:
    """Start the next version; without items it is a copy of the last one."""
    template = await tx.find(ChecklistTemplate, do.template_id, "templateId")
    template.require_active()
    versions = await tx.all(
        select(ChecklistVersion)
        .where(ChecklistVersion.template_id == template.id)
        .order_by(ChecklistVersion.number.desc())
    )
    last = versions[0] if versions else None
    if last is not None and last.status is VersionStatus.DRAFT:
        raise Conflict("There is a draft of this checklist already.", "templateId")
    items = do.items if do.items is not UNSET else read(last.items if last is not None else [])
    await _check_clauses(tx, items)
    draft = ChecklistVersion(template_id=template.id, number=last.number + 1 if last else 1)
    draft.status = VersionStatus.DRAFT
    draft.define(items)
    if do.id is not UNSET:
        draft.id = do.id
    return await tx.add(draft)


@dataclass(frozen=True)
class UpdateChecklistDraft:
    version_id: UUID
    """The draft to change."""
    items: list[ChecklistItemInput]
    """All its items from now on, in order."""


@command(PROCEDURES_WRITE)
async def update_checklist_draft(tx: Transaction, actor: Actor, do: UpdateChecklistDraft) -> ChecklistVersion:
    """Replace what a draft asks."""
    draft = await tx.find(ChecklistVersion, do.version_id, "versionId")
    await _check_clauses(tx, do.items)
    draft.define(do.items)
    return draft


@dataclass(frozen=True)
class PublishChecklistVersion:
    version_id: UUID
    """The draft that comes into use."""


@command(PROCEDURES_WRITE)
async def publish_checklist_version(
    tx: Transaction, actor: Actor, do: PublishChecklistVersion
) -> ChecklistVersion:
    """Publish a draft for good and use it for new runs; earlier runs keep their version."""
    draft = await tx.find(ChecklistVersion, do.version_id, "versionId")
    template = await tx.find(ChecklistTemplate, draft.template_id, "versionId")
    draft.publish(template, now(), actor.id)
    return draft


async def _check_clauses(tx: Transaction, items: list[ChecklistItemInput]) -> None:
    """Raise NotFound unless the actor may see every clause that an item names."""
    for number, item in enumerate(items):
        await tx.find_optional(BY_TABLE["standard_clause"], item.clause_id, f"items.{number}.clauseId")
