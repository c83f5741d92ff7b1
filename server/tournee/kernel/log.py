"""The change log and what is written beside it: head, change, record, edge, member.

Nothing else may be written between taking the head row and the commit; see `publish`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NewType
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, Boolean, Index, String, Text, Uuid, bindparam, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.database import Base, Entity, UTCDateTime, now
from tournee.kernel.fields import document

if TYPE_CHECKING:
    from tournee.kernel.transaction import Transaction

# A number of the log, where it stands beside others.
Seq = NewType("Seq", int)


def _where(condition: Any) -> dict[str, Any]:
    return {"postgresql_where": condition, "sqlite_where": condition}


class Head(Base):
    """One row an organisation: the number of its last committed change. The last row to be locked."""

    __tablename__ = "head"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    epoch: Mapped[UUID] = mapped_column(Uuid)
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    floor: Mapped[int] = mapped_column(BigInteger, default=0)


class Change(Base):
    """One change of one record: feed, audit trail and merge history in one. Append-only."""

    __tablename__ = "change"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    entity: Mapped[str] = mapped_column(String(60))
    id: Mapped[UUID] = mapped_column(Uuid)
    command: Mapped[str] = mapped_column(String(80))
    actor_id: Mapped[UUID | None] = mapped_column(Uuid)
    device_id: Mapped[UUID | None] = mapped_column(Uuid)
    operation_id: Mapped[UUID | None] = mapped_column(Uuid)
    fields: Mapped[str] = mapped_column(Text)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UTCDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UTCDateTime)

    __table_args__ = (Index("ix_change_record", "organisation_id", "id", "seq"),)


class Record(Base):
    """The present wire form of a row, with the clock of its fields.

    The clock maps a field to [seq, device, actor] of its last change, and `*` to those of the
    creation, which stand for every field not named.
    """

    __tablename__ = "record"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    entity: Mapped[str] = mapped_column(String(60))
    seq: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    clock: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_record_feed", "organisation_id", "seq"),)


class Edge(Base):
    """A record lies in a scope. Closed edges stay as tombstones; `seq` is the last bump or the close."""

    __tablename__ = "edge"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    record_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    open: Mapped[bool] = mapped_column(Boolean)

    __table_args__ = (
        Index("ix_edge_feed", "organisation_id", "scope", "seq", "record_id", "open"),
        Index("ix_edge_record", "organisation_id", "record_id"),
        # For those past the horizon, which are few among the many that are open.
        Index("ix_edge_closed", "organisation_id", "seq", **_where(text("NOT open"))),
    )


class Member(Base):
    """An account holds a scope from one seq to another; never overwritten, `to_seq` null while held."""

    __tablename__ = "member"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    from_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    to_seq: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_member_scope", "organisation_id", "scope", "to_seq"),
        Index("ix_member_from", "organisation_id", "from_seq"),
        Index("ix_member_to", "organisation_id", "to_seq", **_where(text("to_seq IS NOT NULL"))),
    )


@dataclass
class Entry:
    """A change before it has a number."""

    row: Entity
    command: str
    actor_id: UUID | None
    device_id: UUID | None
    operation_id: UUID | None
    occurred_at: datetime
    before: dict[str, Any] | None
    after: dict[str, Any]
    seq: int = 0
    recorded_at: datetime = field(default_factory=now)

    @property
    def values(self) -> dict[str, Any]:
        return {
            "organisation_id": self.row.organisation_id,
            "seq": self.seq,
            "entity": type(self.row).__name__,
            "id": self.row.id,
            "command": self.command,
            "actor_id": self.actor_id,
            "device_id": self.device_id,
            "operation_id": self.operation_id,
            "fields": dump(list(self.after)),
            "before": None if self.before is None else dump(self.before),
            "after": dump(self.after),
            "occurred_at": self.occurred_at,
            "recorded_at": self.recorded_at,
        }

    def stamp(self) -> list[Any]:
        return [self.seq, str(self.device_id) if self.device_id else None, str(self.actor_id)]


def dump(value: Any) -> str:
    return orjson.dumps(value).decode()


async def publish(tx: Transaction) -> int:
    """Number the transaction's changes and write them; returns the head's new seq.

    The head row is taken last, by a statement of its own: after it only log, record, edge and
    member rows are written, so that seq order is commit order and no writer can deadlock here.
    """
    rows = {entry.row.id: entry.row for entry in tx.entries}
    known = await _known_records(tx, rows)
    open_edges = await _open_edges(tx, known)
    head = await tx.session.execute(
        update(Head)
        .where(Head.organisation_id == tx.organisation_id)
        .values(seq=Head.seq + len(tx.entries))
        .returning(Head.seq)
    )
    last = head.scalar_one()
    for number, entry in enumerate(tx.entries, last - len(tx.entries) + 1):
        entry.seq = number
    await tx.session.execute(insert(Change.__table__), [entry.values for entry in tx.entries])  # type: ignore[arg-type]
    await _write_records(tx, rows, known)
    await _write_edges(tx, rows, open_edges)
    await _write_members(tx, last)
    if not tx.database.is_sqlite:
        await tx.session.execute(
            text("SELECT pg_notify('tournee', :message)"), {"message": f"{tx.organisation_id}:{last}"}
        )
    return int(last)


async def _known_records(tx: Transaction, rows: dict[UUID, Entity]) -> dict[UUID, dict[str, Any]]:
    """The clocks of the rows that exist already; their rows are locked by us, so these stand still."""
    missing = [id for id, row in rows.items() if not tx.is_new(row) and id not in tx.clocks]
    if missing:
        await tx.load_clocks(missing)
    return {id: tx.clocks[id] for id, row in rows.items() if not tx.is_new(row) and id in tx.clocks}


async def _open_edges(tx: Transaction, known: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    found: dict[UUID, set[UUID]] = {}
    ids = list(known)
    for start in range(0, len(ids), 10_000):
        statement = select(Edge.record_id, Edge.scope).where(
            Edge.organisation_id == tx.organisation_id,
            Edge.record_id.in_(ids[start : start + 10_000]),
            Edge.open.is_(True),
        )
        for record_id, scope in await tx.session.execute(statement):
            found.setdefault(record_id, set()).add(scope)
    return found


async def _write_records(
    tx: Transaction, rows: dict[UUID, Entity], known: dict[UUID, dict[str, Any]]
) -> None:
    clocks = {id: dict(known.get(id, {})) for id in rows}
    seqs: dict[UUID, int] = {}
    for entry in tx.entries:
        changed_fields = ["*"] if entry.before is None else entry.after
        clocks[entry.row.id].update(dict.fromkeys(changed_fields, entry.stamp()))
        seqs[entry.row.id] = entry.seq
    added, changed = [], []
    for id, row in rows.items():
        values = {
            "seq": seqs[id],
            "deleted": row.deleted,
            "clock": dump(clocks[id]),
            "document": dump(document(row)),
        }
        if id in known:
            changed.append({"b_org": tx.organisation_id, "b_id": id, **values})
        else:
            added.append(
                {"organisation_id": tx.organisation_id, "id": id, "entity": type(row).__name__, **values}
            )
        tx.clocks[id] = clocks[id]
    if added:
        await tx.session.execute(insert(Record.__table__), added)  # type: ignore[arg-type]
    if changed:
        table = Record.__table__
        await tx.core(
            update(table)  # type: ignore[arg-type]
            .where(table.c.organisation_id == bindparam("b_org"), table.c.id == bindparam("b_id"))
            .values({name: bindparam(name) for name in ("seq", "deleted", "clock", "document")}),
            changed,
        )


async def _write_edges(tx: Transaction, rows: dict[UUID, Entity], open_edges: dict[UUID, set[UUID]]) -> None:
    """Open, bump and close edges as the rows themselves say."""
    seqs = {entry.row.id: entry.seq for entry in tx.entries}
    fresh: list[tuple[UUID, UUID, int]] = []
    bumped: list[dict[str, Any]] = []
    for id, row in rows.items():
        wanted = set() if row.deleted else {scope for scope in row.scopes() if scope is not None}
        held = open_edges.get(id, set())
        fresh += [(scope, id, seqs[id]) for scope in wanted - held]
        bumped += [
            {
                "b_org": tx.organisation_id,
                "b_scope": scope,
                "b_id": id,
                "seq": seqs[id],
                "open": scope in wanted,
            }
            for scope in held
        ]
    if fresh:
        await tx.core(
            text(
                "INSERT INTO edge (organisation_id, scope, record_id, seq, open)"
                " VALUES (:organisation_id, :scope, :record_id, :seq, :open)"
                " ON CONFLICT (organisation_id, scope, record_id)"
                " DO UPDATE SET seq = excluded.seq, open = excluded.open"
            ).bindparams(
                bindparam("organisation_id", type_=Uuid),
                bindparam("scope", type_=Uuid),
                bindparam("record_id", type_=Uuid),
                bindparam("open", type_=Boolean),
            ),
            [
                {
                    "organisation_id": tx.organisation_id,
                    "scope": scope,
                    "record_id": id,
                    "seq": seq,
                    "open": True,
                }
                for scope, id, seq in fresh
            ],
        )
    if bumped:
        table = Edge.__table__
        await tx.core(
            update(table)  # type: ignore[arg-type]
            .where(
                table.c.organisation_id == bindparam("b_org"),
                table.c.scope == bindparam("b_scope"),
                table.c.record_id == bindparam("b_id"),
            )
            .values(seq=bindparam("seq"), open=bindparam("open")),
            bumped,
        )


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
    granted = wanted - held.keys()
    table = Member.__table__
    if granted:
        await tx.session.execute(
            insert(table),  # type: ignore[arg-type]
            [
                {
                    "organisation_id": tx.organisation_id,
                    "account_id": account,
                    "scope": scope,
                    "from_seq": seq,
                }
                for account, scope in sorted(granted)
            ],
        )
    lost = [key for key in held if key not in wanted]
    if lost:
        await tx.core(
            update(table)  # type: ignore[arg-type]
            .where(
                table.c.organisation_id == bindparam("b_org"),
                table.c.account_id == bindparam("b_account"),
                table.c.scope == bindparam("b_scope"),
                table.c.to_seq.is_(None),
            )
            .values(to_seq=bindparam("b_seq")),
            [
                {"b_org": tx.organisation_id, "b_account": account, "b_scope": scope, "b_seq": seq}
                for account, scope in lost
            ],
        )
