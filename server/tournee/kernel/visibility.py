"""What a person may see, in one place: queries, commands and pulls use these predicates.

A record lies in scopes (`Entity.scopes`, from its own row); an account holds scopes (`member`,
derived from its assignments). Who sees all sees by organisation alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, false, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.actor import Actor
from tournee.kernel.log import Edge, Member, Record

if TYPE_CHECKING:
    from tournee.kernel.entity import Entity
    from tournee.kernel.log import Entry

# Which accounts a transaction's changes concern, and the (account, scope) pairs accounts then hold.
Touched = Callable[[AsyncSession, UUID, "Sequence[Entry]"], Awaitable[set[UUID]]]
Held = Callable[[AsyncSession, UUID, Collection[UUID]], Awaitable[set[tuple[UUID, UUID]]]]


@dataclass(frozen=True)
class MembershipRule:
    """What one domain knows of who holds which scope."""

    touched: Touched
    held: Held


@dataclass(frozen=True)
class MembershipRules:
    """The rules of all domains together."""

    rules: tuple[MembershipRule, ...] = ()

    async def touched(
        self, session: AsyncSession, organisation_id: UUID, entries: Sequence[Entry]
    ) -> set[UUID]:
        found: set[UUID] = set()
        for rule in self.rules:
            found |= await rule.touched(session, organisation_id, entries)
        return found

    async def held(
        self, session: AsyncSession, organisation_id: UUID, accounts: Collection[UUID]
    ) -> set[tuple[UUID, UUID]]:
        found: set[tuple[UUID, UUID]] = set()
        for rule in self.rules:
            found |= await rule.held(session, organisation_id, accounts)
        return found


def visible(model: type[Entity], actor: Actor) -> ColumnElement[bool]:
    """Rows of the model that the actor may see now."""
    own: Any = model
    if not actor.may(model.reads):
        return false()
    here = and_(own.organisation_id == actor.organisation_id, own.deleted.is_(False))
    if actor.sees_all:
        return here
    return and_(
        here,
        exists(
            select(1)
            .select_from(Edge)
            .join(Member, and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope))
            .where(
                Edge.organisation_id == own.organisation_id,
                Edge.record_id == own.id,
                Edge.open.is_(True),
                Member.account_id == actor.id,
                Member.to_seq.is_(None),
            )
        ),
    )


def was_visible(model: type[Entity], actor: Actor, base: int | None) -> ColumnElement[bool]:
    """Rows that the actor sees now or saw at `base` or since: what a device could have had in its hands.

    A fact from the field may name such a row although the office has moved it away or deleted it
    since. An interval or edge that closed after `base` was there at `base`, or came after it with a
    page of a pull that was not finished.
    """
    if base is None or not actor.may(model.reads):
        return visible(model, actor)
    own: Any = model
    if actor.sees_all:
        deleted_since = exists(
            select(1).where(
                Record.organisation_id == own.organisation_id, Record.id == own.id, Record.seq > base
            )
        )
        return and_(own.organisation_id == actor.organisation_id, or_(own.deleted.is_(False), deleted_since))
    return and_(
        own.organisation_id == actor.organisation_id,
        exists(
            select(1)
            .select_from(Edge)
            .join(Member, and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope))
            .where(
                Edge.organisation_id == own.organisation_id,
                Edge.record_id == own.id,
                or_(Edge.open.is_(True), Edge.seq > base),
                Member.account_id == actor.id,
                or_(Member.to_seq.is_(None), Member.to_seq > base),
            )
        ),
    )


def held_at(actor: Actor, scopes: Iterable[UUID | None], base: int) -> Select[int]:
    """Asks whether the actor held one of these scopes at `base`."""
    if actor.sees_all:
        return select(literal(1))
    held = (
        exists()
        .where(Member.organisation_id == actor.organisation_id, Member.account_id == actor.id)
        .where(Member.scope.in_([scope for scope in scopes if scope is not None]))
        .where(Member.from_seq <= base, or_(Member.to_seq.is_(None), Member.to_seq > base))
    )
    return select(literal(1)).where(held)


def ever_visible(actor: Actor, id: UUID) -> Select[int]:
    """Asks whether the actor sees or has ever seen a record, of whatever type, deleted or not."""
    if actor.sees_all:
        return select(literal(1)).where(
            exists().where(Record.organisation_id == actor.organisation_id, Record.id == id)
        )
    ever = (
        exists()
        .where(Edge.organisation_id == actor.organisation_id, Edge.record_id == id)
        .where(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope)
        .where(Member.account_id == actor.id)
    )
    return select(literal(1)).where(ever)
