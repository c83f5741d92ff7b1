"""Visibility: what a person may see, in one place. Queries, commands and pulls use these predicates.

A record lies in scopes (`Entity.scopes`, from its own row). An account holds scopes (`member`, derived from
its assignments). Office roles see their whole organisation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, false, literal, or_, select
from sqlalchemy.orm import aliased

from tournee.kernel.actor import Actor
from tournee.kernel.log import Change, Edge, Member, Record

if TYPE_CHECKING:
    from tournee.kernel.entity import Entity


def lies_in(member: Any = Member, edge: Any = Edge) -> ColumnElement[bool]:
    """The join of a membership with the edges in its scope: who holds the scope sees what lies in it."""
    return and_(member.organisation_id == edge.organisation_id, member.scope == edge.scope)


def holds(
    account_id: Any,
    *,
    since: int | None = None,
    scopes: Collection[UUID] | None = None,
    ever: bool = False,
    member: Any = Member,
) -> ColumnElement[bool]:
    """Memberships of an account: those of now, or also those that ended after `since`, or all there `ever`
    were; of these `scopes` only where they are given."""
    now = member.to_seq.is_(None)
    held = [] if ever else [now if since is None else or_(now, member.to_seq > since)]
    named = [] if scopes is None else [member.scope.in_(scopes)]
    return and_(member.account_id == account_id, *held, *named)


def sees(
    account_id: Any,
    record_id: Any,
    *,
    row: Any = None,
    since: int | None = None,
    scopes: Collection[UUID] | None = None,
    before: Any = None,
) -> ColumnElement[bool]:
    """Whether a record lies in a scope that the account holds; `row` is its class, where the id is a column.

    Both count as they are now; with `since` also what was closed or ended after it. `scopes`
    counts these scopes only, `before` only lesser ones than this.
    """
    edge, member = (Edge, Member) if before is None else (aliased(Edge), aliased(Member))
    is_open = edge.open.is_(True)
    lay = is_open if since is None else or_(is_open, edge.seq > since)
    lesser = [] if before is None else [edge.scope < before]
    same = [] if row is None else [edge.organisation_id == row.organisation_id]
    return exists(
        select(1)
        .select_from(edge)
        .join(member, lies_in(member, edge))
        .where(*same, edge.record_id == record_id, lay, *lesser)
        .where(holds(account_id, since=since, scopes=scopes, member=member))
    )


def visible(
    model: type[Entity], actor: Actor, *, entity: Any = None, account_id: Any = None
) -> ColumnElement[bool]:
    """Return the condition for rows of the model that the actor may see now.

    `entity` is an alias of the model. `account_id` is a parameter in place of the actor's id, for a
    statement that is kept for all actors of the same permissions.
    """
    own: Any = model if entity is None else entity
    if not actor.may(model.reads):
        return false()
    here: ColumnElement[bool] = own.deleted.is_(False)
    if actor.sees_all:
        return here
    return and_(here, sees(actor.id if account_id is None else account_id, own.id, row=own))


def was_visible(
    model: type[Entity], actor: Actor, base: int | None, device_id: UUID | None = None
) -> ColumnElement[bool]:
    """Return the condition for rows that the actor sees now, or saw at `base` or later: what a device could
    have held.

    A fact from the field may name such a row although the office has since moved it away or deleted it. A
    membership or edge that ended after `base` existed at `base`, or came later with a page of an unfinished
    pull. A record that the device created itself is in its outbox, whatever its copy holds.
    """
    if base is None or not actor.may(model.reads):
        return visible(model, actor)
    own: Any = model
    if actor.sees_all:
        same = and_(Record.organisation_id == own.organisation_id, Record.id == own.id)
        return or_(own.deleted.is_(False), exists(select(1).where(same, Record.seq > base)))
    return or_(sees(actor.id, own.id, row=own, since=base), _made_by(own, device_id))


def _made_by(own: Any, device_id: UUID | None) -> ColumnElement[bool]:
    """Return the condition for rows that a command of this device created."""
    if device_id is None:
        return false()
    same = and_(Change.organisation_id == own.organisation_id, Change.id == own.id)
    return exists(select(1).where(same, Change.before.is_(None), Change.device_id == device_id))


def held_at(actor: Actor, scopes: Iterable[UUID | None], base: int) -> Select[int]:
    """Select whether the actor held one of these scopes at `base`."""
    if actor.sees_all:
        return select(literal(1))
    named = Member.scope.in_([scope for scope in scopes if scope is not None])
    then = and_(Member.from_seq <= base, or_(Member.to_seq.is_(None), Member.to_seq > base))
    return select(literal(1)).select_from(Member).where(Member.account_id == actor.id, named, then).limit(1)


def ever_visible(actor: Actor, id: UUID) -> Select[int]:
    """Select whether the actor sees or has ever seen a record, of any type, deleted or not."""
    if actor.sees_all:
        return select(literal(1)).select_from(Record).where(Record.id == id)
    lay = select(literal(1)).select_from(Edge).join(Member, lies_in())
    return lay.where(Edge.record_id == id, holds(actor.id, ever=True)).limit(1)
