"""What others ask of checklists."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.errors import NotFound
from tournee.kernel.state import Transition
from tournee.kernel.transaction import EntityT, Transaction
from tournee.kernel.visibility import visible
from tournee.procedures.definition import ChecklistItemInput, read, unanswered
from tournee.procedures.models import (
    RUN,
    ChecklistAnswer,
    ChecklistRun,
    ChecklistVersion,
    RunStatus,
)


def required_and_open(appointment_id: UUID) -> Select[ChecklistRun]:
    """The checklists without which a visit is not done."""
    return select(ChecklistRun).where(
        ChecklistRun.appointment_id == appointment_id,
        ChecklistRun.required.is_(True),
        ChecklistRun.status.in_([RunStatus.NEW, RunStatus.IN_PROGRESS]),
    )


async def open_required_runs(tx: Transaction, appointment_id: UUID) -> Sequence[ChecklistRun]:
    """The same inside of a command, locked: nobody completes or adds one meanwhile."""
    return await tx.all(required_and_open(appointment_id))


async def glance(tx: Transaction, model: type[EntityT], id: UUID, field: str) -> EntityT:
    """A row the actor may see, without a lock: many devices use one published version at once."""
    row = await tx.session.scalar(select(model).where(model.id == id, visible(model, tx.actor)))
    if row is None:
        raise NotFound(f"There is no such {model.__name__}.", field)
    return row


async def items_of(
    session: AsyncSession, organisation_id: UUID, version_id: UUID
) -> list[ChecklistItemInput]:
    """What a version asks; a published one never changes, so no lock is needed."""
    found = await session.scalar(
        select(ChecklistVersion.items).where(
            ChecklistVersion.organisation_id == organisation_id, ChecklistVersion.id == version_id
        )
    )
    return read(found or [])


async def run_transitions(session: AsyncSession, run: ChecklistRun) -> list[Transition]:
    """Which status may follow, and what stands against it."""
    items = await items_of(session, run.organisation_id, run.version_id)
    answers = await session.scalars(
        select(ChecklistAnswer).where(
            ChecklistAnswer.organisation_id == run.organisation_id,
            ChecklistAnswer.run_id == run.id,
            ChecklistAnswer.deleted.is_(False),
        )
    )
    open_items = unanswered(items, {answer.item_key: answer for answer in answers})
    return RUN.transitions(run.status, {RunStatus.COMPLETED: missing_sentences(open_items)})


def missing_sentences(items: Sequence[ChecklistItemInput]) -> list[str]:
    """One sentence for all the items that have no answer yet, none where there are none."""
    if not items:
        return []
    return [f"These items have no answer yet: {', '.join(item.key for item in items)}."]
