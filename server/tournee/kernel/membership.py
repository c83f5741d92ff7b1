"""Memberships: the rules by which accounts hold scopes, and what of them a transaction concerns.

`visibility.py` says what somebody sees who holds a scope; here domains say who holds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, true
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.prepared import one_of, prepared

if TYPE_CHECKING:
    from tournee.kernel.log import Entry
    from tournee.kernel.transaction import Transaction

__all__ = ["Concerned", "Extent", "MembershipRule", "MembershipRules", "Pairs", "among", "one_of", "prepared"]

Pairs = set[tuple[UUID, UUID]]
# Whether accounts are concerned as a whole, and whether scopes are named for others.
Extent = tuple[bool, bool]


@dataclass
class Concerned:
    """The memberships that a transaction's changes may have altered: all of the accounts in `whole`, and of
    the others those in the scopes named for them.
    """

    whole: set[UUID] = field(default_factory=set)
    scopes: dict[UUID, set[UUID]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.whole or self.scopes)

    def add(self, account: UUID | None, scopes: Iterable[UUID | None]) -> None:
        """Name scopes of an account; None is nobody, or no scope."""
        if account is not None:
            self.scopes.setdefault(account, set()).update(scope for scope in scopes if scope is not None)

    @classmethod
    def together(cls, parts: Iterable[Concerned]) -> Concerned:
        """Return what any of these names."""
        found = cls()
        for one in parts:
            found.whole |= one.whole
            for account, scopes in one.scopes.items():
                found.add(account, scopes)
        return found

    def covers(self, account: UUID, scope: UUID) -> bool:
        """Return whether this membership may have changed."""
        return account in self.whole or scope in self.scopes.get(account, ())

    @property
    def extent(self) -> Extent:
        return bool(self.whole), bool(self.scopes)

    def parameters(self) -> dict[str, list[UUID]]:
        """Return the values for the conditions that `among` made."""
        named = set().union(*self.scopes.values())
        return {"whole": list(self.whole), "accounts": list(self.scopes), "scopes": list(named)}


def among(extent: Extent, account: Any, *scopes: Any) -> ColumnElement[bool]:
    """Return the condition for rows that concern memberships of this extent, whose `parameters` it takes.

    `account` is the column of the account, and `scopes` are those of the scopes that the row gives it.
    A statement with it is `prepared` once, since building it takes longer than executing it.
    """
    whole, some = extent
    gives = or_(*(one_of(scope, "scopes") for scope in scopes)) if scopes else true()
    named = and_(one_of(account, "accounts"), gives) if some else false()
    return or_(one_of(account, "whole"), named) if whole else named


# `touched` returns what a transaction's changes concern, `held` the (account, scope) pairs of that which are
# held, perhaps with others. `settle` writes what `held` reads.
Touched = Callable[[AsyncSession, "Sequence[Entry]"], Awaitable[Concerned]]
Held = Callable[[AsyncSession, Concerned], Awaitable[Pairs]]
Settle = Callable[["Transaction", "Sequence[Entry]"], Awaitable[None]]


@dataclass(frozen=True)
class MembershipRule:
    """One domain's rule of which account holds which scope.

    A scope that a rule names for an account is the rule's own: no other rule gives it. What several rules
    give, as the catalogue, changes only with the account as a whole.
    """

    touched: Touched
    held: Held
    settle: Settle | None = None


@dataclass(frozen=True)
class MembershipRules:
    """The rules of all domains together."""

    rules: tuple[MembershipRule, ...] = ()

    async def settle(self, tx: Transaction, entries: Sequence[Entry]) -> None:
        """Write what the rules read beside what the commands wrote; before the changes have numbers."""
        for rule in self.rules:
            if rule.settle is not None:
                await rule.settle(tx, entries)

    async def touched(self, session: AsyncSession, entries: Sequence[Entry]) -> list[Concerned]:
        """Return the memberships that these changes may have altered, for each rule."""
        found = [await rule.touched(session, entries) for rule in self.rules]
        whole = set().union(*(one.whole for one in found))
        return [Concerned(whole, one.scopes) for one in found]

    async def held(self, session: AsyncSession, concerned: Sequence[Concerned]) -> Pairs:
        """Return which of the memberships concerned are held."""
        found: Pairs = set()
        for rule, one in zip(self.rules, concerned, strict=True):
            if one:
                found |= {pair for pair in await rule.held(session, one) if one.covers(*pair)}
        return found

    async def held_by(self, session: AsyncSession, accounts: Iterable[UUID]) -> Pairs:
        """Return every scope that these accounts hold."""
        return await self.held(session, [Concerned(whole=set(accounts))] * len(self.rules))
