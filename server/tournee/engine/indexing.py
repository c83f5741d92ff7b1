"""Indexing: keep the search terms in step with the records that a transaction writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Coroutine, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from tournee.engine.database import Database
from tournee.engine.pipelining import Pipeline
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import Entity, now
from tournee.kernel.log import Change, Entry, Head
from tournee.kernel.registry import BY_NAME
from tournee.kernel.search import Term
from tournee.kernel.search_term import SearchTerm

_TERM: Any = SearchTerm.__table__
# Housekeeping looks every hour at what changed within two, but at no more than so many changes.
_LATELY, _MOST_CHANGES, _PORTION = timedelta(hours=2), 20_000, 500


async def write_terms(
    session: OrganisationSession, entries: Iterable[Entry], new: Container[UUID], pipeline: Pipeline
) -> None:
    """Replace the terms of the rows whose searched fields changed; of `new` rows there are none yet.

    Their writers hold the rows' locks, so no two transactions write terms of the same record.
    """
    rows = _concerned(entries)
    earlier = [row.id for row in rows if row.id not in new]
    if earlier:
        await pipeline.send(_remove(session, earlier))
    await pipeline.send(_add(session, rows))


async def complete_terms(database: Database, organisation_id: UUID) -> None:
    """Correct the terms of records that changed lately: a server of an older version writes none."""
    for entity, ids in (await _changed_lately(database, organisation_id)).items():
        for start in range(0, len(ids), _PORTION):
            await _correct(database, organisation_id, BY_NAME[entity], ids[start : start + _PORTION])


async def _changed_lately(database: Database, organisation_id: UUID) -> dict[str, list[UUID]]:
    searched = [name for name, model in BY_NAME.items() if model.searched is not None]
    found: defaultdict[str, list[UUID]] = defaultdict(list)
    async with database.reading(organisation_id) as session:
        last = await session.scalar(select(Head.seq)) or 0
        lately = (Change.seq > last - _MOST_CHANGES, Change.recorded_at > now() - _LATELY)
        rows = select(Change.entity, Change.id).where(*lately, Change.entity.in_(searched)).distinct()
        for entity, id in await session.execute(rows):
            found[entity].append(id)
    return found


async def _correct(
    database: Database, organisation_id: UUID, model: type[Entity], ids: Sequence[UUID]
) -> None:
    async with database.reading(organisation_id) as session:
        wrong = await _wrong(session, model, ids)
    if wrong:
        async with database.writing(organisation_id) as session:
            locked = select(model).where(session.statements.among(model.id, wrong)).order_by(model.id)
            rows = list(await session.scalars(locked.with_for_update(key_share=True)))
            await _remove(session, wrong)
            await _add(session, rows)
            await session.commit()


async def _wrong(session: OrganisationSession, model: type[Entity], ids: Sequence[UUID]) -> list[UUID]:
    """Return the records whose terms are not those of their fields."""
    term, kept = SearchTerm, defaultdict[UUID, set[Term]](set)
    for id, whole, text in await session.statements.pick(
        term.record_id, ids, term.record_id, term.whole, term.text
    ):
        kept[id].add((whole, text))
    rows = await session.scalars(select(model).where(session.statements.among(model.id, ids)))
    return [row.id for row in rows if kept[row.id] != {(one["whole"], one["text"]) for one in _terms(row)}]


async def _remove(session: OrganisationSession, ids: Iterable[UUID]) -> None:
    own = delete(SearchTerm).where(session.statements.among(SearchTerm.record_id, ids))
    await session.execute(own.execution_options(synchronize_session=False))


def _add(session: OrganisationSession, rows: Iterable[Entity]) -> Coroutine[Any, Any, None]:
    return session.statements.insert_many(_TERM, [term for row in rows for term in _terms(row)])


def _concerned(entries: Iterable[Entry]) -> list[Entity]:
    found: dict[Entity, None] = {}
    for entry in entries:
        searched = type(entry.row).searched
        if searched is not None and (entry.before is None or not searched.wires.isdisjoint(entry.after)):
            found[entry.row] = None
    return list(found)


def _terms(row: Entity) -> list[dict[str, Any]]:
    searched = type(row).searched
    if searched is None or row.deleted:
        return []
    own = {"kind": type(row).__name__, "record_id": row.id}
    terms = searched.terms(vars(row).get)
    return [{**own, "whole": whole, "text": text} for whole, text in sorted(terms)]
