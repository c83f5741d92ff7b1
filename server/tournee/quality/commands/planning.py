"""Commands that prepare an audit: draft, plan, staff, postpone, cancel."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from tournee.auth.rules import names_accounts, require_accounts
from tournee.customers.models import Site
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, command
from tournee.kernel.errors import Blocked, Conflict, Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge
from tournee.kernel.plain import creates, edits
from tournee.kernel.rules import is_held_by_another, obeying
from tournee.kernel.transaction import Transaction
from tournee.procedures.models import ChecklistVersion, VersionStatus
from tournee.quality.models import Audit, AuditMember
from tournee.quality.permissions import QUALITY_WRITE
from tournee.quality.states import AuditPart, AuditStatus


async def pins_a_published_version(tx: Transaction, audit: Audit) -> None:
    """Raise unless the checklist version is published: a draft could still change under the answers."""
    statement = select(ChecklistVersion.status).where(ChecklistVersion.id == audit.version_id)
    if audit.version_id is not None and await tx.session.scalar(statement) is not VersionStatus.PUBLISHED:
        raise Blocked("This version is a draft.", "versionId")


async def is_of_the_sites_customer(tx: Transaction, audit: Audit) -> None:
    """Raise if another customer is named than the site's."""
    if audit.site_id is None:
        return
    site = await tx.find_reference(Site, audit.site_id, "siteId")
    if audit.customer_id not in (None, site.customer_id):
        raise Invalid("This site belongs to another customer.", "siteId")
    audit.customer_id = site.customer_id


async def is_no_double(tx: Transaction, audit: Audit) -> None:
    """Raise if another audit has the same key of the system it came from."""
    if audit.external_key is None or tx.ahead.claim(Audit.external_key, audit.external_key):
        return
    if await is_held_by_another(tx, audit, Audit.external_key == audit.external_key):
        raise Conflict("An audit with this external key exists already.", "externalKey")


async def _team_is_impartial(tx: Transaction, audit: Audit) -> None:
    members = await tx.all(
        select(AuditMember).where(
            AuditMember.audit_id == audit.id, AuditMember.account_id == audit.auditee_responsible_id
        )
    )
    if any(member.part is AuditPart.AUDITOR for member in members):
        raise Invalid("Nobody may audit work that they are responsible for.", "auditeeResponsibleId")


async def _stays_planned(tx: Transaction, audit: Audit) -> None:
    """Raise if this removes something that planning required."""
    if (audit.is_working or audit.status is AuditStatus.PLANNED) and (missing := audit.against_planning()):
        raise Blocked(" ".join(missing), "auditId")


def _while_editable(plain: Command[Any, Audit]) -> Command[Any, Audit]:
    async def function(tx: Transaction, actor: Actor, do: Any) -> Audit:
        audit = await tx.find(Audit, do.audit_id, "auditId")
        audit.require_editable([name for name, value in vars(do).items() if value is not UNSET])
        return await plain(tx, actor, do)

    return dataclasses.replace(plain, function=function)


# `is_no_double` comes first, because the other rules write the row.
_RULES = (
    is_no_double,
    names_accounts("lead_auditor_id", "auditee_responsible_id"),
    pins_a_published_version,
    is_of_the_sites_customer,
)

create_audit = obeying(creates(Audit, QUALITY_WRITE, offline=True, description="Draft an audit."), *_RULES)
update_audit = obeying(
    _while_editable(edits(Audit, QUALITY_WRITE, offline=True)),
    *_RULES,
    _stays_planned,
    _team_is_impartial,
)


@dataclass(frozen=True)
class PlanAudit:
    audit_id: UUID
    """The audit that gets a date."""
    planned_from: datetime | Unset = UNSET
    planned_to: datetime | Unset | None = UNSET
    lead_auditor_id: UUID | Unset = UNSET
    """The account that leads it; if left out, the present one stays."""


@command(QUALITY_WRITE, offline=True)
async def plan_audit(tx: Transaction, actor: Actor, do: PlanAudit) -> Audit:
    """Set the date of a drafted or postponed audit; it needs a lead auditor."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    given = {name: value for name, value in vars(do).items() if value is not UNSET and name != "audit_id"}
    if given:
        audit.require_editable(given)
        await require_accounts(tx, {"leadAuditorId": given.get("lead_auditor_id")})
        await merge(tx, audit, given)
    audit.move(AuditStatus.PLANNED, audit.against_planning())
    audit.reason = None
    return audit


@dataclass(frozen=True)
class TeamMemberInput:
    account_id: UUID
    """The person who takes part."""
    part: AuditPart = AuditPart.AUDITOR
    """What the person does."""


@dataclass(frozen=True)
class SetAuditTeam:
    audit_id: UUID
    """The audit whose team is named."""
    members: list[TeamMemberInput]
    """The whole team beside the lead auditor; everybody else leaves the team."""


@command(QUALITY_WRITE)
async def set_audit_team(tx: Transaction, actor: Actor, do: SetAuditTeam) -> Audit:
    """Set who takes part beside the lead auditor; everybody else leaves the team."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    audit.require_editable(["members"])
    wanted = {member.account_id: member.part for member in do.members}
    if len(wanted) < len(do.members):
        raise Invalid("Name each account once.", "members")
    named = {f"members.{number}.accountId": one.account_id for number, one in enumerate(do.members)}
    await require_accounts(tx, named)
    for member in await tx.all(select(AuditMember).where(AuditMember.audit_id == audit.id)):
        if member.account_id in wanted:
            member.part = wanted.pop(member.account_id)
        else:
            tx.delete(member)
    for account_id, part in wanted.items():
        await tx.add(AuditMember(audit_id=audit.id, account_id=account_id, part=part))
    await _team_is_impartial(tx, audit)
    return audit


@dataclass(frozen=True)
class PostponeAudit:
    audit_id: UUID
    """The audit that takes place later."""
    reason: Annotated[str, Limits(length=1000)]
    """Why, for those who were to take part."""


@command(QUALITY_WRITE)
async def postpone_audit(tx: Transaction, actor: Actor, do: PostponeAudit) -> Audit:
    """Postpone a planned audit; it is planned again later."""
    return await _take_back(tx, do.audit_id, AuditStatus.POSTPONED, do.reason)


@dataclass(frozen=True)
class CancelAudit:
    audit_id: UUID
    """The audit that is called off."""
    reason: Annotated[str, Limits(length=1000)]
    """Why, for those who were to take part."""


@command(QUALITY_WRITE)
async def cancel_audit(tx: Transaction, actor: Actor, do: CancelAudit) -> Audit:
    """Cancel an audit that has not begun."""
    return await _take_back(tx, do.audit_id, AuditStatus.CANCELED, do.reason)


async def _take_back(tx: Transaction, audit_id: UUID, to: AuditStatus, reason: str) -> Audit:
    audit = await tx.find(Audit, audit_id, "auditId")
    if not reason.strip():
        raise Invalid("Say why.", "reason")
    audit.move(to)
    audit.reason = reason
    return audit
