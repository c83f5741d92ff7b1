"""Indexing: keep the search terms in step with the records that a transaction writes."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from tournee.engine.pipelining import Pipeline
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import Entity
from tournee.kernel.log import Entry
from tournee.kernel.search_term import SearchTerm

_TERM: Any = SearchTerm.__table__


async def write_terms(
    session: OrganisationSession, entries: Iterable[Entry], new: Container[UUID], pipeline: Pipeline
) -> None:
    """Replace the terms of the rows whose searched fields changed; of `new` rows there are none yet.

    Their writers hold the rows' locks, so no two transactions write terms of the same record.
    """
    rows = _concerned(entries)
    own = session.statements
    earlier = [row.id for row in rows if row.id not in new]
    if earlier:
        ended = delete(SearchTerm).where(own.among(SearchTerm.record_id, earlier))
        await pipeline.send(session.execute(ended.execution_options(synchronize_session=False)))
    await pipeline.send(own.insert_many(_TERM, [term for row in rows for term in _terms(row)]))


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
