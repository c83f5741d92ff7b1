"""Search: find records by what people type, best first.

An account of the office walks ranges of terms, each no further than its limit, so a word that half of all
records have costs as much as a rare one. Everybody else sees few records, so their terms are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from tournee.assets.models import Asset
from tournee.customers.models import Contact, Customer, Site
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity
from tournee.kernel.log import Edge, Member
from tournee.kernel.membership import prepared
from tournee.kernel.phones import looks_like_number, national
from tournee.kernel.search import LONGEST, words
from tournee.kernel.search_term import SearchTerm, must_be_led
from tournee.kernel.visibility import lies_in
from tournee.stock.models import Part
from tournee.work.models import WorkOrder


class SearchKind(StrEnum):
    """A type of record that `search` finds."""

    CUSTOMER = "CUSTOMER"
    """Customers, by name, external key, e-mail and phone number."""
    CONTACT = "CONTACT"
    """People at a customer, by name, external key, e-mail, phone numbers and job title."""
    SITE = "SITE"
    """Sites, by name, external key and address."""
    ASSET = "ASSET"
    """Assets, by name, serial number, external key, registration, category, manufacturer and model."""
    WORK_ORDER = "WORK_ORDER"
    """Work orders, by number, external key and summary."""
    PART = "PART"
    """Parts, by number, name and external key."""


# Of two equally good results, the one of the earlier kind comes first.
MODELS: dict[SearchKind, type[Entity]] = {
    SearchKind.CUSTOMER: Customer,
    SearchKind.CONTACT: Contact,
    SearchKind.SITE: Site,
    SearchKind.ASSET: Asset,
    SearchKind.WORK_ORDER: WorkOrder,
    SearchKind.PART: Part,
}
MOST_RESULTS = 100
# More words of a query are left out, the shortest first.
_MOST_WORDS = 5
# Terms read of one range; several may be of one record.
_MOST_TERMS = 3 * MOST_RESULTS
# Terms of the rarest word that are compared with the other words.
_MOST_COMPARED = 1_000
# Records of one person that are searched, besides the shared ones.
_MOST_SEEN = 20_000
# Statements kept, each for some kinds and numbers of words and values.
_MOST_SHAPES = 100
# Greater than every character that begins a term.
_LAST = "\U0010ffff"


@dataclass(frozen=True)
class Found:
    """A record that a search found."""

    kind: SearchKind
    id: UUID


@dataclass(frozen=True)
class _Needle:
    """What is searched for: words that a record must have, and values that one of its own may begin with."""

    words: tuple[str, ...]
    values: tuple[str, ...]

    @classmethod
    def of(cls, query: str) -> _Needle:
        parts = words(query)
        chosen = sorted(set(parts), key=len, reverse=True)[:_MOST_WORDS]
        values = ["".join(parts)[:LONGEST]]
        if looks_like_number(query):
            values.append(national(query)[:LONGEST])
        return cls(tuple(chosen), tuple(dict.fromkeys(filter(None, values))))

    def rank(self, text: str, *, whole: bool) -> int:
        if whole and text in self.values:
            return _EXACT
        return _BEGINS if whole and text.startswith(self.values) else _WORDS

    def parameters(self, actor: Actor) -> dict[str, Any]:
        named = {f"word{n}": word for n, word in enumerate(self.words)}
        named |= {f"value{n}": value for n, value in enumerate(self.values)}
        return {**_range(named), "of_organisation": actor.organisation_id}


def _range(named: dict[str, str]) -> dict[str, Any]:
    """Return the parameters of `_begins`."""
    return named | {f"after_{name}": text + _LAST for name, text in named.items()}


class _Hit(NamedTuple):
    """A term that matches. Hits sort from the best to the worst."""

    rank: int
    text: str
    order: int
    id: UUID


_ORDER = list(MODELS)
_OF_ENTITY = {model.__name__: kind for kind, model in MODELS.items()}
_EXACT, _BEGINS, _WORDS = range(3)
_BOTH = (True, False)


async def search(
    session: AsyncSession, actor: Actor, query: str, kinds: Iterable[SearchKind], most: int
) -> list[Found]:
    """Return at most so many records that match, best first.

    Records of the shared catalogue may be invisible to the actor, so the caller looks each result up like
    any other record.
    """
    needle = _Needle.of(query)
    readable = [kind for kind in _ORDER if kind in set(kinds) and actor.may(MODELS[kind].reads)]
    everybody = [kind for kind in readable if actor.sees_all or MODELS[kind].shared]
    own = [kind for kind in readable if kind not in everybody]
    if not needle.words:
        return []
    hits = [
        *await _among_all(session, actor, needle, everybody),
        *await _among_own(session, actor, needle, own),
    ]
    found = {(hit.order, hit.id): None for hit in sorted(hits)}
    return [Found(_ORDER[order], id) for order, id in list(found)[:most]]


async def _among_all(
    session: AsyncSession, actor: Actor, needle: _Needle, kinds: Sequence[SearchKind]
) -> Iterable[_Hit]:
    if not kinds:
        return ()
    values, shape = needle.parameters(actor), (tuple(kinds), len(needle.words))
    counts = [0] * len(kinds) * len(needle.words)
    if len(needle.words) > 1:
        counts = list((await session.execute(_counting(*shape), values)).one())
    for kind, *of_words in zip(kinds, *([iter(counts)] * len(needle.words)), strict=True):
        by_count = sorted(zip(of_words, needle.words, strict=True))
        values |= _range({f"{kind}{n}": word for n, (_, word) in enumerate(by_count)})
    return _hits(needle, await session.execute(_walking(*shape, len(needle.values)), values))


async def _among_own(
    session: AsyncSession, actor: Actor, needle: _Needle, kinds: Sequence[SearchKind]
) -> Iterable[_Hit]:
    if not kinds:
        return ()
    rows = await session.execute(
        _reading(tuple(kinds), len(needle.words), len(needle.values), must_be_led(session)),
        {**needle.parameters(actor), "account": actor.id},
    )
    return _hits(needle, rows)


def _hits(needle: _Needle, rows: Iterable[Any]) -> Iterator[_Hit]:
    for kind, whole, text, id in rows:
        yield _Hit(needle.rank(text, whole=whole), text, _ORDER.index(_OF_ENTITY[kind]), id)


# -- statements, each made once for each shape of a query ----------------------------------------


@lru_cache(_MOST_SHAPES)
def _counting(kinds: tuple[SearchKind, ...], count: int) -> Any:
    """Count the terms of each kind that begin with each word, up to what is compared."""
    counts: list[Any] = []
    for kind in kinds:
        for n in range(count):
            some = (_first(kind, f"word{n}", _MOST_COMPARED, whole=whole).subquery() for whole in _BOTH)
            parts = [select(func.count()).select_from(one).scalar_subquery() for one in some]
            counts.append((parts[0] + parts[1]).label(f"n{len(counts)}"))
    return prepared(select(*counts))


@lru_cache(_MOST_SHAPES)
def _walking(kinds: tuple[SearchKind, ...], count: int, values: int) -> Any:
    """Read the first terms of each kind: whole values, and the words of records that have all words. Each
    kind has the words by its own names, the rarest first.
    """
    parts: list[Any] = []
    for kind in kinds:
        parts += [_first(kind, f"value{n}", _MOST_TERMS, whole=True) for n in range(values)]
        most = _MOST_TERMS if count == 1 else _MOST_COMPARED
        for whole in _BOTH:
            some = _first(kind, f"{kind}0", most, whole=whole).subquery()
            others = [_has(some.c, f"{kind}{n}") for n in range(1, count)]
            parts.append(select(some).where(*others).limit(_literal(_MOST_TERMS)))
    return prepared(union_all(*(select(*_columns(part.subquery().c)) for part in parts)))


@lru_cache(_MOST_SHAPES)
def _reading(kinds: tuple[SearchKind, ...], count: int, values: int, led: bool) -> Any:
    """Read the terms of what an account sees beside the shared catalogue."""
    seen = (
        select(Edge.organisation_id, Edge.record_id)
        .distinct()
        .select_from(Member)
        .join(Edge, lies_in())
        .where(Member.account_id == bindparam("account"), Member.to_seq.is_(None), Edge.open.is_(True))
        .where(Member.scope != bindparam("of_organisation"))
        .limit(_literal(_MOST_SEEN))
        .subquery()
    )
    term = SearchTerm
    others = [_has(seen.c, f"word{n}") for n in range(1, count)]
    if not led:
        same = and_(_is_own(term), term.record_id == seen.c.record_id, _is_of(*kinds))
        rows = select(*_columns(term)).join_from(seen, term, same)
        return prepared(rows.where(_matches(term, values, others)))
    # OFFSET keeps the planner from merging the two queries.
    own = select(*_columns(term)).where(_is_own(term), term.record_id == seen.c.record_id, _is_of(*kinds))
    each = own.offset(_literal(0)).lateral()
    return prepared(
        select(*_columns(each.c)).join_from(seen, each, true()).where(_matches(each.c, values, others))
    )


def _matches(term: Any, values: int, others: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return whether a term begins with a value, or with the first word where the record has the `others`."""
    begins = (and_(term.whole.is_(True), _begins(term, f"value{n}")) for n in range(values))
    return or_(*begins, and_(_begins(term, "word0"), *others))


def _columns(of: Any) -> tuple[Any, ...]:
    return of.kind, of.whole, of.text, of.record_id


def _is_own(row: Any) -> ColumnElement[bool]:
    # The session adds this to the outermost statement only, which reads from none of these tables.
    return cast(ColumnElement[bool], row.organisation_id == bindparam("of_organisation"))


def _begins(term: Any, name: str) -> ColumnElement[bool]:
    return and_(term.text >= bindparam(name), term.text < bindparam(f"after_{name}"))


def _first(kind: SearchKind, name: str, most: int, *, whole: bool) -> Any:
    """Select the first terms of a kind that begin with a parameter."""
    term = SearchTerm
    chosen = select(term.organisation_id, *_columns(term)).where(
        _is_own(term), _is_of(kind), term.whole.is_(whole), _begins(term, name)
    )
    return chosen.order_by(term.text, term.record_id).limit(_literal(most))


def _is_of(*kinds: SearchKind) -> ColumnElement[bool]:
    named: list[Any] = [literal_column(f"'{MODELS[kind].__name__}'") for kind in kinds]
    return SearchTerm.kind.in_(named) if len(named) > 1 else SearchTerm.kind == named[0]


def _has(record: Any, name: str) -> ColumnElement[bool]:
    """Return whether the record of a row also has a term that begins with this parameter."""
    other = aliased(SearchTerm)
    same = and_(_is_own(other), other.record_id == record.record_id)
    return exists(select(1).where(same, _begins(other, name)))


def _literal(number: int) -> Any:
    # PostgreSQL plans for a tenth of the table where the limit is a parameter.
    return literal_column(str(number))
