"""Who holds an audit: its lead, its team and the person responsible, and the technician whose work it is
about. Once it is over, a technician's device carries it for as long as visits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, Extent, MembershipRule, Pairs, among, prepared
from tournee.people.models import Technician, TechnicianProfile, TechnicianStatus, to_profile
from tournee.quality.models.audits import Audit, AuditMember, audited_scope
from tournee.quality.states import OVER


async def _touched(session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    found = Concerned()
    audits: set[UUID] = set()
    # The audits of each technician whose work they are or were about.
    audited: dict[UUID, set[UUID]] = {}
    for entry in entries:
        row, before = entry.row, entry.before or {}
        if isinstance(row, AuditMember):
            found.add(row.account_id, [row.audit_id])
        if not isinstance(row, Audit):
            continue
        audits.add(row.id)
        named = (before.get(name) for name in ("leadAuditorId", "auditeeResponsibleId"))
        for account in (row.lead_auditor_id, row.auditee_responsible_id, *named):
            found.add(account, [row.id])
        for technician in filter(None, (row.technician_id, before.get("technicianId"))):
            audited.setdefault(technician, set()).update((row.id, audited_scope(row.id)))
    for account, audit in await _teams(session, audits):
        found.add(account, [audit])
    for account, technician in await _accounts(session, audited):
        found.add(account, audited[technician])
    return found


async def _teams(session: AsyncSession, audits: Collection[UUID]) -> Sequence[Any]:
    if not audits:
        return ()
    team = select(AuditMember.account_id, AuditMember.audit_id).where(AuditMember.audit_id.in_(audits))
    return (await session.execute(team)).all()


async def _accounts(session: AsyncSession, technicians: Collection[UUID]) -> Sequence[Any]:
    if not technicians:
        return ()
    own = select(Technician.account_id, Technician.id).where(Technician.id.in_(technicians))
    return (await session.execute(own)).all()


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the audits that each account takes part in, and those that are about their work."""
    values = concerned.parameters()
    rows = await session.execute(_parts(concerned.extent), values)
    found = {(account, audit) for account, audit in rows if account is not None}
    rows = await session.execute(_about(concerned.extent), values)
    return found | {(account, audited_scope(audit)) for account, audit in rows}


@cache
def _parts(extent: Extent) -> Any:
    """Select the audits that people lead, take part in or are responsible for."""
    member = and_(Audit.organisation_id == AuditMember.organisation_id, Audit.id == AuditMember.audit_id)
    team = select(AuditMember.account_id, Audit.id).join(Audit, member)
    ways: list[tuple[Select[*tuple[Any, ...]], Any]] = [
        (select(Audit.lead_auditor_id, Audit.id), Audit.lead_auditor_id),
        (select(Audit.auditee_responsible_id, Audit.id), Audit.auditee_responsible_id),
        (team.where(AuditMember.deleted.is_(False)), AuditMember.account_id),
    ]
    questions = [
        way.outerjoin(
            Technician,
            and_(Technician.organisation_id == Audit.organisation_id, Technician.account_id == account),
        )
        .outerjoin(TechnicianProfile, to_profile())
        .where(among(extent, account, Audit.id), _counts(TechnicianProfile.window_from))
        for way, account in ways
    ]
    return prepared(union_all(*questions))


@cache
def _about(extent: Extent) -> Select[*tuple[Any, ...]]:
    """Select the audits that are about the work of active technicians."""
    same = and_(Audit.organisation_id == Technician.organisation_id, Audit.technician_id == Technician.id)
    return prepared(
        select(Technician.account_id, Audit.id)
        .join(Audit, same)
        .outerjoin(TechnicianProfile, to_profile())
        .where(
            among(extent, Technician.account_id, Audit.id),
            Technician.status == TechnicianStatus.ACTIVE,
            Technician.deleted.is_(False),
            _counts(TechnicianProfile.window_from),
        )
    )


def _counts(window_from: Any) -> ColumnElement[bool]:
    """Return whether an audit counts for this window; who has none keeps all of them.

    It reads the audits of years, but a technician has about a dozen a year.
    """
    ended = func.coalesce(Audit.closed_at, Audit.planned_to, Audit.planned_from, Audit.created_at)
    return and_(
        Audit.deleted.is_(False),
        or_(window_from.is_(None), Audit.status.not_in(OVER), ended >= window_from),
    )


async def takes_part(session: AsyncSession, account_id: UUID, audit_id: UUID) -> bool:
    """Return whether an audit of any age is the account's, or about their work."""
    own = and_(Technician.organisation_id == Audit.organisation_id, Technician.account_id == account_id)
    team = select(AuditMember.id).where(
        AuditMember.organisation_id == Audit.organisation_id,
        AuditMember.audit_id == Audit.id,
        AuditMember.account_id == account_id,
        AuditMember.deleted.is_(False),
    )
    found = (
        select(Audit.id)
        .outerjoin(Technician, own)
        .where(
            Audit.id == audit_id,
            or_(
                Audit.lead_auditor_id == account_id,
                Audit.auditee_responsible_id == account_id,
                Audit.technician_id == Technician.id,
                team.exists(),
            ),
        )
    )
    return await session.scalar(found) is not None


MEMBERSHIP = MembershipRule(_touched, _held)
