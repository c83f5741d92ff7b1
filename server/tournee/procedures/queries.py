"""Questions that other domains ask about checklists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.actor import Actor
from tournee.kernel.errors import NotFound
from tournee.kernel.reader import Reader
from tournee.kernel.state import Transition
from tournee.kernel.transaction import EntityT, Transaction
from tournee.kernel.visibility import visible
from tournee.procedures.definition import ChecklistItemInput, unanswered
from tournee.procedures.definition import read as read_items
from tournee.procedures.models import (
    RUN,
    VERSION,
    ChecklistAnswer,
    ChecklistRun,
    ChecklistTemplate,
    ChecklistVersion,
    RunStatus,
    VersionStatus,
)

_REQUIRED_AND_OPEN = and_(
    ChecklistRun.required.is_(True), ChecklistRun.status.in_([RunStatus.NEW, RunStatus.IN_PROGRESS])
)


def has_required_and_open(appointment: Any) -> ColumnElement[bool]:
    """Return the condition for visits with a required checklist that is open."""
    same = ChecklistRun.organisation_id == appointment.organisation_id
    return exists(select(1).where(same, ChecklistRun.appointment_id == appointment.id, _REQUIRED_AND_OPEN))


async def open_required_runs(tx: Transaction, appointment_id: UUID) -> Sequence[ChecklistRun]:
    """Return the required checklists of a visit that are open, locked, so that nobody completes or adds one
    meanwhile.
    """
    return await tx.all(
        select(ChecklistRun).where(ChecklistRun.appointment_id == appointment_id, _REQUIRED_AND_OPEN)
    )


async def glance(tx: Transaction, model: type[EntityT], id: UUID, field: str) -> EntityT:
    """Return a row that the actor may see, or raise NotFound. It takes no lock: many devices refer to one
    published version at once.
    """
    row = await tx.session.scalar(select(model).where(model.id == id, visible(model, tx.actor)))
    if row is None:
        raise NotFound(f"There is no such {model.__name__}.", field)
    return row


async def items_of(session: AsyncSession, version_id: UUID) -> list[ChecklistItemInput]:
    """Return what a version asks; a published version never changes, so no lock is needed."""
    return (await items_of_versions(session, [version_id])).get(version_id, [])


async def items_of_versions(
    read: Reader, version_ids: Collection[UUID]
) -> dict[UUID, list[ChecklistItemInput]]:
    """Return what each of these versions asks."""
    if not version_ids:
        return {}
    found = select(ChecklistVersion.id, ChecklistVersion.items).where(ChecklistVersion.id.in_(version_ids))
    return {id: read_items(items) for id, items in await read.execute(found)}


async def run_transitions(read: Reader, _: Actor, runs: Sequence[ChecklistRun]) -> list[list[Transition]]:
    """Return the statuses that each run can take, and what prevents each."""
    items = await items_of_versions(read, {run.version_id for run in runs})
    answers: dict[UUID, dict[str, ChecklistAnswer]] = {run.id: {} for run in runs}
    rows = await read.execute(
        select(ChecklistAnswer).where(
            ChecklistAnswer.run_id.in_(answers),
            ChecklistAnswer.deleted.is_(False),
        )
    )
    for (answer,) in rows:
        answers[answer.run_id][answer.item_key] = answer
    return [
        RUN.transitions(
            run.status,
            {RunStatus.COMPLETED: against_completion(unanswered(items[run.version_id], answers[run.id]))},
        )
        for run in runs
    ]


async def version_transitions(
    read: Reader, _: Actor, versions: Sequence[ChecklistVersion]
) -> list[list[Transition]]:
    """Return the statuses that each version can take, and what prevents each."""
    rows = await read.execute(
        select(ChecklistTemplate).where(
            ChecklistTemplate.id.in_({version.template_id for version in versions}),
        )
    )
    templates = {template.id: template for (template,) in rows}
    return [
        VERSION.transitions(
            version.status,
            {VersionStatus.PUBLISHED: version.against_publishing(templates[version.template_id])},
        )
        for version in versions
    ]


def against_completion(items: Sequence[ChecklistItemInput]) -> list[str]:
    """Return one sentence that names every unanswered item; empty if there is none."""
    if not items:
        return []
    return [f"These items have no answer yet: {', '.join(item.key for item in items)}."]
