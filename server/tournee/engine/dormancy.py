"""Dormancy: a scope that nobody holds, and whose memberships have all been forgotten, needs no edges.

An edge with its indexes takes as much room as a small record, and most scopes are those of finished visits.
One row lists the records of such a scope. When somebody gets the scope, its edges are made again: from the
records' own rows, because some have left it since.

Both happen under the head lock, like everything else that writes edges and memberships.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select

from tournee.engine.ahead import chunks
from tournee.engine.database import Database
from tournee.engine.notes import scopes_of
from tournee.engine.prepared import one_of, prepared
from tournee.engine.statements import OrganisationSession
from tournee.kernel.dormant import DormantScope
from tournee.kernel.log import Edge, Head, Member, Record
from tournee.kernel.registry import BY_NAME

# Memberships forgotten in one transaction: all writers of the organisation wait for it.
PORTION = 100
# Scopes with more records stay as they are, since waking one would take long.
MOST = 500

_BYTES = 16


async def forget_members(database: Database, organisation_id: UUID, until: int) -> int:
    """Delete memberships that ended before this number, and let the scopes that nobody holds any more become
    dormant. Return how many memberships.
    """
    count, deleted = 0, PORTION
    while deleted == PORTION:
        async with database.writing(organisation_id) as session:
            head = await session.scalar(select(Head.seq).with_for_update()) or 0
            ended = session.statements.delete_some(Member, PORTION, Member.to_seq < until)
            forgotten = await session.scalars(
                ended.returning(Member.scope), execution_options={"synchronize_session": False}
            )
            scopes = list(forgotten)
            await _rest(session, await _unheld(session, set(scopes)), head)
            await session.commit()
        deleted = len(scopes)
        count += deleted
    return count


async def _unheld(session: OrganisationSession, scopes: set[UUID]) -> set[UUID]:
    """Return those of these scopes that no membership names."""
    if not scopes:
        return scopes
    named = session.statements.among(Member.scope, scopes)
    return scopes - set(await session.scalars(select(Member.scope).where(named).distinct()))


async def _rest(session: OrganisationSession, scopes: set[UUID], head: int) -> None:
    """Replace the edges of these scopes by lists."""
    if not scopes:
        return
    count = select(Edge.scope).where(session.statements.among(Edge.scope, scopes)).group_by(Edge.scope)
    small = set(await session.scalars(count.having(func.count() <= MOST)))
    within = session.statements.among(Edge.scope, small)
    lists = await _dormant(session, small)
    for scope, record in await session.execute(select(Edge.scope, Edge.record_id).where(within, Edge.open)):
        lists[scope].add(record)
    rows = [{"scope": scope, "seq": head, "records": _packed(ids)} for scope, ids in lists.items()]
    await session.statements.insert_many(DormantScope.__table__, rows, replacing=("seq", "records"))
    await session.execute(delete(Edge).where(within), execution_options={"synchronize_session": False})


async def wake(session: OrganisationSession, scopes: Collection[UUID]) -> None:
    """Make the edges of these scopes again, those that are dormant. Somebody is about to hold them."""
    lists = await _dormant(session, scopes)
    if not lists:
        return
    found = [
        {"scope": scope, "record_id": record, "seq": seq, "open": True}
        for record, seq, lies in await _places(session, set().union(*lists.values()))
        for scope in lies
        if record in lists.get(scope, ())
    ]
    # A record that came into the scope meanwhile has its edge.
    await session.statements.insert_many(Edge.__table__, found, replacing=("open",))
    named = session.statements.among(DormantScope.scope, lists)
    await session.execute(delete(DormantScope).where(named), execution_options={"synchronize_session": False})


async def _dormant(session: OrganisationSession, scopes: Collection[UUID]) -> dict[UUID, set[UUID]]:
    """Return the records in the lists of those of these scopes that are dormant."""
    lists: dict[UUID, set[UUID]] = defaultdict(set)
    if scopes:
        for scope, packed in await session.execute(_lists(), {"scopes": list(scopes)}):
            lists[scope] |= _unpacked(packed)
    return lists


@cache
def _lists() -> Any:
    """Return the statement that every grant of a scope executes while the head is locked."""
    lists = select(DormantScope.scope, DormantScope.records)
    return prepared(lists.where(one_of(DormantScope.scope, "scopes")))


async def _places(
    session: OrganisationSession, records: Collection[UUID]
) -> list[tuple[UUID, int, Collection[UUID]]]:
    """Return the seq of each record, and the scopes that its row lies in now."""
    by_entity: dict[str, dict[UUID, int]] = defaultdict(dict)
    for chunk in chunks(list(records)):
        rows = await session.statements.pick(Record.id, chunk, Record.id, Record.entity, Record.seq)
        for id, entity, seq in rows:
            by_entity[entity][id] = seq
    found: list[tuple[UUID, int, Collection[UUID]]] = []
    for entity, seqs in by_entity.items():
        model: Any = BY_NAME[entity]
        named = session.statements.among(model.id, seqs)
        with session.no_autoflush:
            of = await session.scalars(select(model).where(named))
            found += [(row.id, seqs[row.id], scopes_of(row)) for row in of]
    return found


def _packed(records: Collection[UUID]) -> bytes:
    return b"".join(id.bytes for id in sorted(records))


def _unpacked(packed: bytes) -> set[UUID]:
    return {UUID(bytes=packed[start : start + _BYTES]) for start in range(0, len(packed), _BYTES)}
