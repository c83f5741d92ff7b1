"""Publishing: number a transaction's changes, and write log, records, edges and members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prometheus_client import Histogram
from sqlalchemy import bindparam, select, update

from tournee.engine.clocks import Clock
from tournee.engine.dormancy import wake
from tournee.engine.indexing import write_terms
from tournee.engine.notes import scopes_of
from tournee.engine.pipelining import Pipeline
from tournee.engine.prepared import prepared
from tournee.kernel.entity import Entity, now
from tournee.kernel.head import Mark
from tournee.kernel.log import Change, Edge, Entry, Head, Member, Record, dump
from tournee.kernel.membership import Concerned, Extent, among
from tournee.kernel.outages import OrganisationFrozen
from tournee.kernel.values import document

if TYPE_CHECKING:
    from tournee.kernel.transaction import Transaction

_HEAD: Any = Head.__table__
_CHANGE: Any = Change.__table__
_RECORD: Any = Record.__table__
_EDGE: Any = Edge.__table__
_PORTION = 250

# PostgreSQL's channels that tell other processes of a commit, and of a change of who is admitted.
CHANGES, ADMISSIONS = "tournee", "tournee_admissions"


@dataclass
class _Written:
    """A row, with its changes."""

    id: UUID
    row: Entity
    entries: list[Entry]
    document: str = ""

    @property
    def seq(self) -> int:
        return self.entries[-1].seq

    def make_document(self) -> None:
        """Make the document; for a row that was only created, the log's `after` is the same text."""
        made = self.entries[0] if len(self.entries) == 1 else None
        if made is not None and made.before is None:
            self.document = made.after_text = dump(made.after)
        else:
            self.document = dump(document(self.row))

    def values(self, clock: Clock, recorded_at: datetime) -> dict[str, Any]:
        """Return the record's new row; `clock` is updated in place."""
        for entry in self.entries:
            clock.update(dict.fromkeys(["*"] if entry.before is None else entry.after, entry.stamp()))
        return {
            "id": self.id,
            "seq": self.seq,
            "deleted": self.row.deleted,
            "clock": dump(clock),
            "document": self.document,
            "until": max(self.row.ends(), recorded_at),
        }


async def publish(tx: Transaction, pipeline: Pipeline) -> Mark:
    """Number the transaction's changes and write them, together with its last writes; return the head's new
    mark.

    The head row is locked last, by a statement of its own. After it only log, record, edge and member rows
    are written, so that the order of seq is the order of commits and no writer can deadlock here.
    """
    rows = _rows(tx.entries)
    # Make documents while the database writes the last entities and the head is not locked yet.
    for one in rows:
        one.make_document()
    tx.documents = {one.row: one.document for one in rows}
    await pipeline.arrived()
    await tx.statements.check_references()
    await tx.rules.settle(tx, tx.entries)
    await write_terms(tx.session, tx.entries, tx.notes.new, pipeline)
    await pipeline.arrived()
    # We hold the rows' locks, so their clocks cannot change.
    await tx.clocks.load([one.id for one in rows if one.id not in tx.notes.new])
    last = await _take_head(tx)
    for number, entry in enumerate(tx.entries, last - len(tx.entries) + 1):
        entry.seq = number
    # Statements that the database is slow to execute come early, those that are slow to make come late: the
    # database executes one while this process makes the next.
    await _write_edges(tx, rows, pipeline)
    await tx.write_last(pipeline)
    changes = [entry.values() for entry in tx.entries]
    recorded_at = now()
    same = {"recorded_at": recorded_at}
    await pipeline.send(tx.statements.insert_many(_CHANGE, changes, same))
    for start in range(0, len(rows), _PORTION):
        await _write_records(tx, rows[start : start + _PORTION], recorded_at, pipeline)
    await pipeline.send(_write_members(tx, last))
    await pipeline.send(tx.statements.notify(CHANGES, f"{tx.organisation_id}:{last}"))
    return Mark.of(last, recorded_at)


# Built once: building it from expressions takes as long as running it.
_TAKE_HEAD = (
    update(_HEAD)
    .where(_HEAD.c.organisation_id == bindparam("of_organisation"), _HEAD.c.frozen_at.is_(None))
    .values(seq=_HEAD.c.seq + bindparam("changes"))
    .returning(_HEAD.c.seq)
)


_waited = Histogram(
    "tournee_head_wait_seconds",
    "Seconds for which a commit waited for its organisation's head.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


async def _take_head(tx: Transaction) -> int:
    taken = {"of_organisation": tx.organisation_id, "changes": len(tx.entries)}
    with _waited.time():
        seq = (await tx.session.execute(_TAKE_HEAD, taken)).scalar_one_or_none()
    if seq is None:
        raise OrganisationFrozen
    return int(seq)


def _rows(entries: Iterable[Entry]) -> list[_Written]:
    found: dict[Entity, _Written] = {}
    for entry in entries:
        row = entry.row
        if row in found:
            found[row].entries.append(entry)
        else:
            found[row] = _Written(row.id, row, [entry])
    return list(found.values())


async def _write_records(
    tx: Transaction, rows: Sequence[_Written], recorded_at: datetime, pipeline: Pipeline
) -> None:
    clocks = [(one, tx.clocks.find(one.id)) for one in rows]
    changed = [one.values(clock, recorded_at) for one, clock in clocks if clock is not None]
    await pipeline.send(tx.statements.update_many(_RECORD, ("id",), changed))
    added = [
        {"entity": type(one.row).__name__, **one.values({}, recorded_at)}
        for one, clock in clocks
        if clock is None
    ]
    await pipeline.send(tx.statements.insert_many(_RECORD, added))


async def _write_edges(tx: Transaction, rows: Sequence[_Written], pipeline: Pipeline) -> None:
    """Open, move and close edges, as the rows' own scopes say."""
    staying: list[dict[str, Any]] = []
    opened: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for one in rows:
        lay, lies = tx.notes.lay_in(one.row), scopes_of(one.row)
        at = {"record_id": one.id, "seq": one.seq}
        if lay == lies:
            staying += [at] if lies else []
            continue
        opened += [{"scope": scope, "open": True, **at} for scope in lies if scope not in lay]
        moved += [{"scope": scope, "open": scope in lies, **at} for scope in lay]
    own = tx.statements
    await pipeline.send(own.update_many(_EDGE, ("record_id",), staying, {"open": True}))
    await pipeline.send(own.update_many(_EDGE, ("scope", "record_id"), moved))
    await pipeline.send(own.insert_many(_EDGE, opened, replacing=("seq", "open")))


async def _write_members(tx: Transaction, seq: int) -> None:
    """Work out the memberships that this transaction may have changed, and write the difference.

    It reads after the head row is locked: every earlier writer has committed, so what it reads is final.
    All other writers wait meanwhile, so nothing that it reads may grow with the organisation's history.
    """
    touched = await tx.rules.touched(tx.session, tx.entries)
    concerned = Concerned.together(touched)
    if not concerned:
        return
    wanted = await tx.rules.held(tx.session, touched)
    rows = await tx.session.execute(_members(concerned.extent), concerned.parameters())
    held = {
        (account, scope): from_seq for account, scope, from_seq in rows if concerned.covers(account, scope)
    }
    new = sorted(wanted - held.keys())
    await wake(tx.session, {scope for _, scope in new} - tx.notes.new)
    granted = [{"account_id": account, "scope": scope, "from_seq": seq} for account, scope in new]
    await tx.statements.insert_many(Member.__table__, granted)
    lost = [
        {"account_id": account, "scope": scope, "from_seq": since, "to_seq": seq}
        for (account, scope), since in held.items()
        if (account, scope) not in wanted
    ]
    await tx.statements.update_many(Member.__table__, ("account_id", "scope", "from_seq"), lost)


@cache
def _members(extent: Extent) -> Any:
    concerned = among(extent, Member.account_id, Member.scope)
    held = select(Member.account_id, Member.scope, Member.from_seq)
    return prepared(held.where(Member.to_seq.is_(None), concerned))
