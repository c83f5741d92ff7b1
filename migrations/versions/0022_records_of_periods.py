"""Let shifts, absences, time, stock movements and audits lie in scopes that a technician's window leaves.

They lay in the technician's own scope, or in that of a van, for ever. Stop the servers of earlier versions:
they write the old scopes.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa

from tournee.migrations.moving import Move, Pairs, change_members, move_edges
from tournee.migrations.stored import connection, pages

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_PERIODS = UUID("3f0a3c5e-5b0e-5d57-8f0c-6f1c0e8f5a21")
_AUDITED = UUID("b2b7d0f5-6d0c-5c0b-9d5b-8a1f2c7e4d33")
_MOST_TOUCHED, _MOST_CARRIED = 5, 520
_OVER = ("CLOSED", "CANCELED")

Row = Any
Scopes = Collection[UUID]


def _number(at: datetime, weeks: int) -> int:
    day = at.astimezone(UTC).date() if at.tzinfo is not None else at.date()
    return (day.toordinal() - 1) // 7 // weeks


def _scopes(owner: UUID, first: int, last: int, weeks: int) -> list[UUID]:
    return [uuid5(_PERIODS, f"{owner.hex}/{weeks}/{number}") for number in range(first, last + 1)]


def _touched(owner: UUID | None, first: datetime, last: datetime, weeks: int = 1) -> list[UUID]:
    if owner is None:
        return []
    begin, end = _number(first, weeks), _number(last, weeks)
    return [owner] if end - begin >= _MOST_TOUCHED else _scopes(owner, begin, end, weeks)


def _carried(owner: UUID, row: Row, weeks: int = 1, ahead: int = 0) -> list[UUID]:
    begin = _number(row.window_from, weeks)
    end = min(_number(row.window_to, weeks) + ahead, begin + _MOST_CARRIED - 1)
    return _scopes(owner, begin, end, weeks)


def _audited(id: UUID) -> UUID:
    return uuid5(_AUDITED, id.hex)


@dataclass(frozen=True)
class _Kind:
    """An entity with the columns from which its scopes follow, as they were and as they are."""

    entity: str
    table: str
    ids: Sequence[str]
    times: Sequence[str]
    before: Callable[[Row], Scopes]
    after: Callable[[Row], Scopes]
    others: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[UUID, list[Row]]]:
        table = _table(self.table, ("organisation_id", "id", *self.ids), self.times, self.others)
        alive = sa.select(table).where(sa.column("deleted", sa.Boolean()).is_(False))
        for page in pages(alive, table.c.organisation_id, table.c.id):
            for organisation_id, rows in groupby(page, lambda row: row["organisation_id"]):
                yield organisation_id, [_Named(row) for row in rows]


class _Named:
    """A row whose columns are attributes."""

    def __init__(self, row: Any) -> None:
        vars(self).update(row)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _table(name: str, ids: Sequence[str], times: Sequence[str], others: Sequence[str] = ()) -> sa.TableClause:
    return sa.table(
        name,
        *(sa.column(column, sa.Uuid()) for column in ids),
        *(sa.column(column, sa.DateTime(timezone=True)) for column in times),
        *(sa.column(column, sa.String()) for column in others),
    )


def _of_technician(row: Row) -> Scopes:
    return [] if row.technician_id is None else [row.technician_id]


def _at_place(row: Row) -> Scopes:
    return [row.location_id]


def _dated(row: Row, *owners: UUID | None) -> Scopes:
    return [
        scope
        for owner in owners
        for at in (row.occurred_at, row.created_at)
        for scope in _touched(owner, at, at)
    ]


def _time(row: Row) -> Scopes:
    own = row.technician_id
    return {*_touched(own, row.starts_at, row.ends_at), *_touched(own, row.created_at, row.created_at)}


def _absence(row: Row) -> Scopes:
    if row.status == "REQUESTED":
        return [row.technician_id]
    return _touched(row.technician_id, row.starts_at, row.ends_at, 52)


def _discrepancy(row: Row) -> Scopes:
    if row.resolved_at is None:
        return [row.location_id]
    return _touched(row.location_id, row.resolved_at, row.resolved_at)


def _part_of_audit(row: Row) -> Scopes:
    return [] if row.technician_id is None else [_audited(row.audit_id)]


_SPAN, _WHEN, _OF, _AT = (
    ("starts_at", "ends_at"),
    ("occurred_at", "created_at"),
    ("technician_id",),
    "location_id",
)
_PART = ("technician_id", "audit_id")
_WAYS = ("from_location_id", "to_location_id")
_KINDS = (
    _Kind(
        "Shift",
        "shift",
        _OF,
        _SPAN,
        _of_technician,
        lambda r: _touched(r.technician_id, r.starts_at, r.ends_at),
    ),
    _Kind("Absence", "absence", _OF, _SPAN, _of_technician, _absence, ["status"]),
    _Kind("TimeEntry", "time_entry", _OF, (*_SPAN, "created_at"), _of_technician, _time),
    _Kind(
        "StockMovement",
        "stock_movement",
        _WAYS,
        _WHEN,
        lambda r: [id for id in (r.from_location_id, r.to_location_id) if id is not None],
        lambda r: _dated(r, r.from_location_id, r.to_location_id),
    ),
    _Kind("StockCount", "stock_count", [_AT], _WHEN, _at_place, lambda r: _dated(r, r.location_id)),
    _Kind("StockDiscrepancy", "stock_discrepancy", [_AT], ["resolved_at"], _at_place, _discrepancy),
    _Kind(
        "Audit",
        "audit",
        _OF,
        (),
        _of_technician,
        lambda r: [] if r.technician_id is None else [_audited(r.id)],
    ),
    _Kind("AuditAnswer", "audit_answer", _PART, (), _of_technician, _part_of_audit),
    _Kind("AuditFinding", "audit_finding", _PART, (), _of_technician, _part_of_audit),
)


def upgrade() -> None:
    for organisation_id, technicians in _technicians():
        ended, about = _audits(organisation_id, technicians)
        granted = _in_windows(organisation_id, technicians) | about
        change_members(organisation_id, "Technician", technicians[0].id, granted, ended)
    for kind in _KINDS:
        for organisation_id, rows in kind.rows():
            moves = [Move(r.id, frozenset(kind.before(r)), frozenset(kind.after(r))) for r in rows]
            move_edges(organisation_id, kind.entity, moves)


def downgrade() -> None:
    for kind in _KINDS:
        for organisation_id, rows in kind.rows():
            moves = [Move(r.id, frozenset(kind.after(r)), frozenset(kind.before(r))) for r in rows]
            move_edges(organisation_id, kind.entity, moves)
    for organisation_id, technicians in _technicians():
        granted, about = _audits(organisation_id, technicians)
        ended = _in_windows(organisation_id, technicians) | about
        change_members(organisation_id, "Technician", technicians[0].id, granted, ended)


def _technicians() -> Iterator[tuple[UUID, list[Row]]]:
    """Yield the active technicians with accounts of each organisation, and their windows."""
    technician = _table("technician", ("organisation_id", "id", "account_id"), (), ["status"])
    profile = _table("technician_profile", ("organisation_id", "technician_id"), ("window_from", "window_to"))
    same = sa.and_(
        profile.c.organisation_id == technician.c.organisation_id, profile.c.technician_id == technician.c.id
    )
    active = (
        sa.select(technician, profile.c.window_from, profile.c.window_to)
        .select_from(technician.join(profile, same))
        .where(
            technician.c.status == "ACTIVE",
            technician.c.account_id.is_not(None),
            sa.literal_column("technician.deleted").is_(sa.false()),
        )
        .order_by(technician.c.organisation_id, technician.c.id)
    )
    found = connection().execute(active).mappings().all()
    for organisation_id, rows in groupby(found, lambda row: row["organisation_id"]):
        yield organisation_id, [_Named(row) for row in rows]


def _in_windows(organisation_id: UUID, technicians: Sequence[Row]) -> Pairs:
    """Return the periods that accounts hold through their windows: their own, and those of their vans."""
    own = {row.id: row for row in technicians}
    pairs = {
        (row.account_id, scope)
        for row in technicians
        for scope in (*_carried(row.id, row), *_carried(row.id, row, 52, 1))
    }
    place = _table("stock_location", ("organisation_id", "id", "technician_id", "asset_id"), (), ["kind"])
    asset = _table("asset", ("organisation_id", "id", "holder_technician_id"), ())
    vehicle = sa.and_(
        asset.c.organisation_id == place.c.organisation_id,
        asset.c.id == place.c.asset_id,
        sa.literal_column("asset.deleted").is_(sa.false()),
    )
    vans = (
        sa.select(place.c.id, place.c.technician_id, asset.c.holder_technician_id)
        .select_from(place.outerjoin(asset, vehicle))
        .where(
            place.c.organisation_id == organisation_id,
            place.c.kind == "VAN",
            sa.literal_column("stock_location.deleted").is_(sa.false()),
        )
    )
    for van, *holders in connection().execute(vans):
        for row in (own[holder] for holder in holders if holder in own):
            pairs |= {(row.account_id, scope) for scope in _carried(van, row)}
    return pairs


def _audits(organisation_id: UUID, technicians: Sequence[Row]) -> tuple[Pairs, Pairs]:
    """Return who holds audits that are out of their window, and who holds audits about their own work."""
    by_account, own = {row.account_id: row for row in technicians}, {row.id: row for row in technicians}
    names = ("organisation_id", "id", "technician_id", "lead_auditor_id", "auditee_responsible_id")
    times = ("closed_at", "planned_to", "planned_from", "created_at")
    audit = _table("audit", names, times, ["status"])
    member = _table("audit_member", ("organisation_id", "audit_id", "account_id"), ())
    alive = sa.column("deleted", sa.Boolean()).is_(False)
    audits = connection().execute(sa.select(audit).where(audit.c.organisation_id == organisation_id, alive))
    by_id = {row.id: row for row in audits}
    team = connection().execute(sa.select(member).where(member.c.organisation_id == organisation_id, alive))
    parts = [(row.account_id, by_id[row.audit_id]) for row in team if row.audit_id in by_id]
    for row in by_id.values():
        parts += [(account, row) for account in (row.lead_auditor_id, row.auditee_responsible_id)]
    outside = {
        (account, row.id)
        for account, row in parts
        if account in by_account and not _counts(row, by_account[account])
    }
    about = {
        (own[row.technician_id].account_id, _audited(row.id))
        for row in by_id.values()
        if row.technician_id in own and _counts(row, own[row.technician_id])
    }
    return outside, about


def _counts(audit: Row, technician: Row) -> bool:
    ended = audit.closed_at or audit.planned_to or audit.planned_from or audit.created_at
    return audit.status not in _OVER or ended >= technician.window_from
