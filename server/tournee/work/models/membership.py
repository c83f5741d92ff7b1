"""Who holds which scope through work: technicians through their visits and reports, portals through their
customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models import Account
from tournee.customers.models import Site
from tournee.kernel.entity import ALWAYS, now
from tournee.kernel.log import Edge, Entry, Record
from tournee.kernel.membership import Concerned, MembershipRule, Pairs, one_of, prepared
from tournee.people.models import Technician, TechnicianProfile
from tournee.work.models.appointment import Appointment, Assignment
from tournee.work.models.holdings import GIVEN, holdings, scopes_given, to_visit
from tournee.work.models.order import WorkOrder
from tournee.work.states import ENDED, OVER

if TYPE_CHECKING:
    from tournee.kernel.transaction import Pipeline, Transaction

_OVER = frozenset(status.value for status in OVER)
_ENDED = frozenset(status.value for status in ENDED)


@dataclass
class _Changes:
    """What a transaction changed: the records whose people must be worked out."""

    concerned: Concerned = field(default_factory=Concerned)
    technicians: set[UUID] = field(default_factory=set)
    assignments: set[UUID] = field(default_factory=set)
    # Visits, with the sites that they had before.
    visits: dict[UUID, set[UUID]] = field(default_factory=dict)
    # Who reported an order, with the scopes that the order gives.
    reports: dict[UUID, set[UUID]] = field(default_factory=dict)
    # Customers, with the records that their portals hold.
    customers: dict[UUID, set[UUID]] = field(default_factory=dict)

    def note(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Assignment):
            self.assignments.add(row.id)
        elif isinstance(row, Appointment):
            self._note_visit(entry, row)
        elif isinstance(row, WorkOrder):
            self._note_order(entry, row)
        elif isinstance(row, Site):
            if _changed(entry, "customerId", "deleted"):
                self._show(row.id, *_values(entry, "customerId", row.customer_id))
        else:
            self._note_holder(entry)

    def _note_visit(self, entry: Entry, row: Appointment) -> None:
        if _changed(entry, "deleted"):
            self._show(row.id, row.customer_id)
        moved = _changed(entry, "startsAt", "endsAt", "siteId", "deleted") or _crosses(entry, _OVER)
        if entry.before is not None and moved:
            self.visits.setdefault(row.id, set()).update(_values(entry, "siteId", None))

    def _note_order(self, entry: Entry, row: WorkOrder) -> None:
        if _changed(entry, "deleted"):
            self._show(row.id, row.customer_id)
        if _changed(entry, "siteId", "deleted") or _crosses(entry, _ENDED):
            given = scopes_given(None, row.id, row.customer_id, *_values(entry, "siteId", row.site_id))
            self.reports.setdefault(row.reported_by_id, set()).update(given)

    def _note_holder(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Technician):
            if _changed(entry, "accountId", "status", "deleted"):
                self.concerned.whole |= _values(entry, "accountId", row.account_id)
        elif isinstance(row, TechnicianProfile):
            if _changed(entry, "windowFrom", "windowTo", "deleted"):
                self.technicians.add(row.technician_id)
        elif isinstance(row, Account) and _changed(entry, "customerId", "role", "status", "deleted"):
            self.concerned.whole.add(row.id)

    def _show(self, record: UUID, *customers: UUID) -> None:
        for customer in customers:
            self.customers.setdefault(customer, set()).add(record)

    async def resolve(self, session: AsyncSession) -> Concerned:
        """Find the accounts behind what was noted."""
        if self.technicians:
            owners = select(Technician.account_id).where(Technician.id.in_(self.technicians))
            self.concerned.whole |= {id for id in await session.scalars(owners) if id is not None}
        if self.assignments or self.visits:
            noted = {"assignments": list(self.assignments), "visits": list(self.visits)}
            for account, *visit in await session.execute(_crews(), noted):
                self.concerned.add(account, scopes_given(*visit) | self.visits.get(visit[0], set()))
        if self.reports:
            reporters = select(Technician.account_id).where(Technician.account_id.in_(self.reports))
            for account in self.reports.keys() & set(await session.scalars(reporters)):
                self.concerned.add(account, self.reports[account])
        if self.customers:
            portals = select(Account.customer_id, Account.id).where(Account.customer_id.in_(self.customers))
            for customer, account in await session.execute(portals):
                self.concerned.add(account, self.customers[customer] if customer else ())
        return self.concerned


@cache
def _crews() -> Select[*tuple[Any, ...]]:
    """Select who is or was assigned in these `assignments` or to these `visits`."""
    same = Technician.organisation_id == Assignment.organisation_id
    noted = or_(one_of(Assignment.id, "assignments"), one_of(Assignment.appointment_id, "visits"))
    return prepared(
        select(Technician.account_id, *GIVEN)
        .select_from(Assignment)
        .join(Technician, and_(same, Technician.id == Assignment.technician_id))
        .join(Appointment, to_visit(Assignment))
        .where(noted)
    )


def _changed(entry: Entry, *names: str) -> bool:
    return entry.before is None or not entry.after.keys().isdisjoint(names)


def _crosses(entry: Entry, statuses: frozenset[str]) -> bool:
    """Return whether the status entered or left the given ones."""
    before = (entry.before or {}).get("status")
    return "status" in entry.after and (before in statuses) != (entry.after["status"] in statuses)


def _values(entry: Entry, name: str, now: UUID | None) -> set[UUID]:
    """Return the ids that the field had before and has now."""
    before = (entry.before or {}).get(name)
    return {id for id in (now, before) if id is not None}


async def _touched(session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    changes = _Changes()
    for entry in entries:
        changes.note(entry)
    return await changes.resolve(session)


async def _settle(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Copy to its assignments until when a visit counts, where it ended or opened again."""
    visits = {entry.row: None for entry in entries if isinstance(entry.row, Appointment) and _ends(entry)}
    until = [{"appointment_id": visit.id, "until": visit.until} for visit in visits]
    await tx.statements.update_many(Assignment.__table__, ("appointment_id",), until)
    if until:
        active = select(Assignment.id, Assignment.appointment_id).where(
            Assignment.appointment_id.in_([visit.id for visit in visits]), Assignment.active.is_(True)
        )
        assigned = [(id, visit) for id, visit in await tx.session.execute(active)]
        tx.last_writes.append(partial(_count_on, tx, assigned))


async def _count_on(
    tx: Transaction, assigned: Sequence[tuple[UUID, UUID]], entries: Sequence[Entry], pipeline: Pipeline
) -> None:
    """Let the records of assignments count as long as their visit.

    A visit that ended counts on from now, so every window still has the assignment. One that opened again may
    be missing where a window begins later, so its assignments move with it in the feed.
    """
    visits = {entry.row.id: entry for entry in entries if isinstance(entry.row, Appointment)}
    ended: list[dict[str, Any]] = []
    opened: list[dict[str, Any]] = []
    for id, visit in assigned:
        entry = visits[visit]
        until = entry.row.ends()
        if until == ALWAYS:
            opened.append({"id": id, "until": until, "seq": entry.seq})
        else:
            ended.append({"id": id, "until": max(until, now())})
    own, record, edge = tx.statements, Record.__table__, Edge.__table__
    await pipeline.send(own.update_many(record, ("id",), ended))
    await pipeline.send(own.update_many(record, ("id",), opened))
    moved = [{"record_id": one["id"], "seq": one["seq"]} for one in opened]
    await pipeline.send(own.update_many(edge, ("record_id",), moved, {"open": True}))


def _ends(entry: Entry) -> bool:
    changed = entry.before is not None and _changed(entry, "endsAt", "actualEnd")
    return changed or _crosses(entry, _OVER)


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    found: Pairs = set()
    rows = await session.execute(holdings(concerned.extent), concerned.parameters())
    for account, *given in rows:
        found |= {(account, scope) for scope in scopes_given(*given)}
    return found


MEMBERSHIP = MembershipRule(_touched, _held, _settle)
