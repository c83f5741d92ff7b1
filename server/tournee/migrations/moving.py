"""For migrations: move stored records to other scopes, and let devices learn of it.

A record's scopes follow from its row, so a new rule of scopes moves the edges of rows that exist. The records
themselves stay as they are. A portion of them gets one number in the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from tournee.migrations.steps import step
from tournee.migrations.stored import change_table, connection, take_head, write_many

_edge = sa.table(
    "edge",
    *(sa.column(name, sa.Uuid()) for name in ("organisation_id", "scope", "record_id")),
    sa.column("seq", sa.BigInteger()),
    sa.column("open", sa.Boolean()),
)
_member = sa.table(
    "member",
    *(sa.column(name, sa.Uuid()) for name in ("organisation_id", "account_id", "scope")),
    *(sa.column(name, sa.BigInteger()) for name in ("from_seq", "to_seq")),
)
_AT_ONCE = 1_000

Pairs = set[tuple[UUID, UUID]]


@dataclass(frozen=True)
class Move:
    """A record leaves these scopes and lies in those; it stays in all others."""

    record: UUID
    leaves: frozenset[UUID]
    enters: frozenset[UUID]


def move_edges(organisation_id: UUID, entity: str, moves: Sequence[Move]) -> None:
    """Close and open the edges of a portion of records, where that has not been done before."""
    lie = _lie(organisation_id, [move.record for move in moves])
    closed = {
        (scope, move.record) for move in moves for scope in (move.leaves - move.enters) & lie[move.record]
    }
    opened = {(scope, move.record) for move in moves for scope in move.enters - lie[move.record]}
    if closed or opened:
        seq = _number(organisation_id, entity, moves[0].record)
        _set(organisation_id, seq, closed, is_open=False)
        # An edge that was closed before is there already.
        _set(organisation_id, seq, opened & _known(organisation_id, opened), is_open=True)
        new = opened - _known(organisation_id, opened)
        rows = [{"scope": scope, "record_id": record, "seq": seq, "open": True} for scope, record in new]
        write_many(sa.insert(_edge), [{"organisation_id": organisation_id, **row} for row in rows])
        _regroup(organisation_id, seq, {scope for scope, _ in closed | opened}, moves[0].record)
    step()


def change_members(
    organisation_id: UUID, entity: str, id: UUID, granted: Collection[tuple[UUID, UUID]], ended: Pairs
) -> None:
    """Let accounts hold other scopes from now on, where they do not yet; both are (account, scope)."""
    scopes = {scope for _, scope in (*granted, *ended)}
    held: Pairs = set()
    for some in _portions(scopes):
        now = sa.select(_member.c.account_id, _member.c.scope).where(
            _member.c.organisation_id == organisation_id,
            _member.c.to_seq.is_(None),
            _member.c.scope.in_(some),
        )
        held |= {(account, scope) for account, scope in connection().execute(now)}
    granted, ended = set(granted) - held, (ended - set(granted)) & held
    if granted or ended:
        seq = _number(organisation_id, entity, id)
        write_many(
            sa.insert(_member),
            [_membership(organisation_id, account, scope, seq, None) for account, scope in sorted(granted)],
        )
        places = [{"a": account, "s": scope} for account, scope in ended]
        found = (_member.c.account_id == sa.bindparam("a"), _member.c.scope == sa.bindparam("s"))
        own = sa.update(_member).where(_member.c.organisation_id == organisation_id, *found)
        write_many(own.where(_member.c.to_seq.is_(None)).values(to_seq=seq), places)
    step()


def _lie(organisation_id: UUID, records: Collection[UUID]) -> dict[UUID, set[UUID]]:
    found: dict[UUID, set[UUID]] = defaultdict(set)
    own = sa.select(_edge.c.record_id, _edge.c.scope).where(
        _edge.c.organisation_id == organisation_id, _edge.c.record_id.in_(records), _edge.c.open
    )
    for record, scope in connection().execute(own):
        found[record].add(scope)
    return found


def _known(organisation_id: UUID, pairs: Pairs) -> Pairs:
    records = {record for _, record in pairs}
    own = sa.select(_edge.c.scope, _edge.c.record_id).where(
        _edge.c.organisation_id == organisation_id, _edge.c.record_id.in_(records)
    )
    return pairs & {(scope, record) for scope, record in connection().execute(own)}


def _set(organisation_id: UUID, seq: int, pairs: Pairs, *, is_open: bool) -> None:
    found = (_edge.c.scope == sa.bindparam("s"), _edge.c.record_id == sa.bindparam("r"))
    own = sa.update(_edge).where(_edge.c.organisation_id == organisation_id, *found)
    write_many(own.values(seq=seq, open=is_open), [{"s": scope, "r": record} for scope, record in pairs])


def _number(organisation_id: UUID, entity: str, id: UUID) -> int:
    """Take the next number for a change that alters no field, and log it at one of the records."""
    seq = take_head(organisation_id, 1)
    now = datetime.now(UTC)
    entry: dict[str, Any] = {"organisation_id": organisation_id, "seq": seq, "entity": entity, "id": id}
    entry |= {"command": "migrate", "fields": "[]", "before": "{}", "after": "{}"}
    write_many(sa.insert(change_table), [entry | {"occurred_at": now, "recorded_at": now}])
    return seq


def _regroup(organisation_id: UUID, seq: int, scopes: Iterable[UUID], record: UUID) -> None:
    """Mark that this number concerns everybody who holds or held these scopes.

    A running server remembers what moved lately by the records that changed, and none did. An account whose
    scopes changed asks the database instead. So it gets a scope that nothing lies in, for no time.
    """
    accounts: set[UUID] = set()
    for some in _portions(scopes):
        own = sa.select(_member.c.account_id).where(
            _member.c.organisation_id == organisation_id, _member.c.scope.in_(some)
        )
        accounts |= set(connection().scalars(own.distinct()))
    rows = [_membership(organisation_id, account, record, seq, seq) for account in sorted(accounts)]
    write_many(sa.insert(_member), rows)


def _membership(
    organisation_id: UUID, account: UUID, scope: UUID, since: int, until: int | None
) -> dict[str, Any]:
    held = {"organisation_id": organisation_id, "account_id": account, "scope": scope}
    return {**held, "from_seq": since, "to_seq": until}


def _portions(scopes: Iterable[UUID]) -> Iterable[list[UUID]]:
    every = sorted(scopes)
    return (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE))
