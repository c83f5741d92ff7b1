"""Numbering a transaction's changes and writing them: log, records, edges, members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text, update

from tournee.kernel.ahead import chunks
from tournee.kernel.bulk import insert_many, picked, update_many
from tournee.kernel.clocks import Clock
from tournee.kernel.database import Entity
from tournee.kernel.fields import document
from tournee.kernel.log import Change, Edge, Head, Member, Record, dump

if TYPE_CHECKING:
    from tournee.kernel.transaction import Transaction

_HEAD: Any = Head.__table__


async def publish(tx: Transaction) -> int:
    """Number the transaction's changes and write them; returns the head's new seq.

    The head row is taken last, by a statement of its own: after it only log, record, edge and
    member rows are written, so that seq order is commit order and no writer can deadlock here.
    """
    rows = {entry.row.id: entry.row for entry in tx.entries}
    known = await _known_records(tx, rows)
    open_edges = await _open_edges(tx, known)
    # While the head is held the organisation's other writers wait: what needs no number is made before.
    tx.documents = {id: dump(document(row)) for id, row in rows.items()}
    head = await tx.session.execute(
        update(_HEAD)
        .where(_HEAD.c.organisation_id == tx.organisation_id)
        .values(seq=_HEAD.c.seq + len(tx.entries))
        .returning(_HEAD.c.seq)
    )
    last = int(head.scalar_one())
    for number, entry in enumerate(tx.entries, last - len(tx.entries) + 1):
        entry.seq = number
    same = {"organisation_id": tx.organisation_id}
    await insert_many(tx.session, Change.__table__, [entry.values for entry in tx.entries], same)
    await _write_records(tx, rows, known)
    await _write_edges(tx, rows, open_edges)
    await _write_members(tx, last)
    if not tx.database.is_sqlite:
        await tx.session.execute(
            text("SELECT pg_notify('tournee', :message)"), {"message": f"{tx.organisation_id}:{last}"}
        )
    return last


async def _known_records(tx: Transaction, rows: dict[UUID, Entity]) -> dict[UUID, Clock]:
    """The clocks of the rows that exist already; their rows are locked by us, so these stand still."""
    earlier = [id for id, row in rows.items() if not tx.is_new(row)]
    await tx.clocks.load(earlier)
    return {id: tx.clocks[id] for id in earlier if id in tx.clocks}


async def _open_edges(tx: Transaction, known: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    found: dict[UUID, set[UUID]] = {}
    for chunk in chunks(list(known)):
        statement = picked(
            Edge.record_id,
            chunk,
            tx.organisation_id,
            *(Edge.record_id, Edge.scope, Edge.open),
            is_sqlite=tx.database.is_sqlite,
        )
        for record_id, scope, is_open in await tx.session.execute(statement):
            if is_open:
                found.setdefault(record_id, set()).add(scope)
    return found


async def _write_records(tx: Transaction, rows: dict[UUID, Entity], known: dict[UUID, Clock]) -> None:
    clocks: dict[UUID, Clock] = {id: known.get(id, {}) for id in rows}
    seqs: dict[UUID, int] = {}
    for entry in tx.entries:
        changed_fields = ["*"] if entry.before is None else entry.after
        clocks[entry.row.id].update(dict.fromkeys(changed_fields, entry.stamp()))
        seqs[entry.row.id] = entry.seq
    added, changed = [], []
    for id, row in rows.items():
        values = {
            "id": id,
            "seq": seqs[id],
            "deleted": row.deleted,
            "clock": dump(clocks[id]),
            "document": tx.documents[id],
        }
        if id in known:
            changed.append(values)
        else:
            added.append({"entity": type(row).__name__, **values})
    own = {"organisation_id": tx.organisation_id}
    await insert_many(tx.session, Record.__table__, added, own)
    await update_many(tx.session, Record.__table__, ("id",), changed, own)


async def _write_edges(tx: Transaction, rows: dict[UUID, Entity], open_edges: dict[UUID, set[UUID]]) -> None:
    """Open, bump and close edges as the rows themselves say."""
    seqs = {entry.row.id: entry.seq for entry in tx.entries}
    fresh: list[dict[str, Any]] = []
    bumped: list[dict[str, Any]] = []
    for id, row in rows.items():
        wanted = set() if row.deleted else {scope for scope in row.scopes() if scope is not None}
        held = open_edges.get(id, set())
        fresh += [{"scope": scope, "record_id": id, "seq": seqs[id], "open": True} for scope in wanted - held]
        bumped += [
            {"scope": scope, "record_id": id, "seq": seqs[id], "open": scope in wanted} for scope in held
        ]
    own = {"organisation_id": tx.organisation_id}
    await insert_many(tx.session, Edge.__table__, fresh, own, replacing=("seq", "open"))
    await update_many(tx.session, Edge.__table__, ("scope", "record_id"), bumped, own)


async def _write_members(tx: Transaction, seq: int) -> None:
    """Recompute who holds what for the accounts this transaction touched.

    Read after the head row was taken: every earlier writer has committed, so the roots are final.
    """
    accounts = await tx.rules.touched(tx.session, tx.organisation_id, tx.entries)
    if not accounts:
        return
    wanted = await tx.rules.held(tx.session, tx.organisation_id, accounts)
    rows = await tx.session.execute(
        select(Member.account_id, Member.scope, Member.from_seq).where(
            Member.organisation_id == tx.organisation_id,
            Member.account_id.in_(accounts),
            Member.to_seq.is_(None),
        )
    )
    held = {(account, scope): from_seq for account, scope, from_seq in rows}
    own = {"organisation_id": tx.organisation_id}
    granted = [
        {"account_id": account, "scope": scope, "from_seq": seq}
        for account, scope in sorted(wanted - held.keys())
    ]
    await insert_many(tx.session, Member.__table__, granted, own)
    lost = [
        {"account_id": account, "scope": scope, "from_seq": since, "to_seq": seq}
        for (account, scope), since in held.items()
        if (account, scope) not in wanted
    ]
    await update_many(tx.session, Member.__table__, ("account_id", "scope", "from_seq"), lost, own)
