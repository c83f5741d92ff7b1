"""Commands about standards."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Conflict, Invalid, TransitionNotAllowed
from tournee.kernel.plain import creates, edits
from tournee.kernel.rules import is_held_by_another, not_its_own_ancestor, obeying
from tournee.kernel.transaction import Transaction
from tournee.quality.models import QualityStandard, StandardClause
from tournee.quality.permissions import QUALITY_WRITE
from tournee.quality.states import StandardStatus


async def _one_of_its_revision(tx: Transaction, standard: QualityStandard) -> None:
    same = (QualityStandard.code == standard.code, QualityStandard.revision == standard.revision)
    if await is_held_by_another(tx, standard, *same):
        raise Conflict("This revision of the standard exists already.", "revision")


async def _one_of_its_number(tx: Transaction, clause: StandardClause) -> None:
    others = await tx.all(
        select(StandardClause).where(
            StandardClause.standard_id == clause.standard_id,
            StandardClause.number == clause.number,
            StandardClause.id != clause.id,
        )
    )
    if others:
        raise Conflict("The standard has a clause of this number already.", "number")


async def _below_a_clause_of_its_standard(tx: Transaction, clause: StandardClause) -> None:
    if clause.parent_id is None:
        return
    parents = await tx.all(select(StandardClause).where(StandardClause.id == clause.parent_id))
    if any(parent.standard_id != clause.standard_id for parent in parents):
        raise Invalid("The parent clause belongs to another standard.", "parentId")


_CLAUSE_RULES = (_below_a_clause_of_its_standard, not_its_own_ancestor)

create_quality_standard = obeying(creates(QualityStandard, QUALITY_WRITE, offline=True), _one_of_its_revision)
update_quality_standard = obeying(edits(QualityStandard, QUALITY_WRITE), _one_of_its_revision)

create_standard_clause = obeying(
    creates(StandardClause, QUALITY_WRITE, offline=True), _one_of_its_number, *_CLAUSE_RULES
)
update_standard_clause = obeying(
    edits(StandardClause, QUALITY_WRITE, without=["standard_id"]), _one_of_its_number, *_CLAUSE_RULES
)


@dataclass(frozen=True)
class WithdrawQualityStandard:
    standard_id: UUID
    """The standard that no new audit may use."""


@command(QUALITY_WRITE)
async def withdraw_quality_standard(
    tx: Transaction, actor: Actor, do: WithdrawQualityStandard
) -> QualityStandard:
    """Take a standard's revision out of force; audits against it stay."""
    standard = await tx.find(QualityStandard, do.standard_id, "standardId")
    if standard.status is StandardStatus.WITHDRAWN:
        raise TransitionNotAllowed("This standard is withdrawn already.", "standardId")
    standard.status = StandardStatus.WITHDRAWN
    return standard
