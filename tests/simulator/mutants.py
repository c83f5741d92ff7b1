"""Deliberate breakages of the server, each for one run: ways in which sync servers have lost work.

A simulator that misses one proves nothing. A mutant replaces a piece of the server's source text, so it
fails loudly when that text is no longer there.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tournee.conflicts import operations
from tournee.engine import clocks, horizon, publishing, tail
from tournee.kernel import finding, head, merge, operation, transaction, visibility
from tournee.stock import booking
from tournee.stock.commands import movements
from tournee.sync.devices import history, restored, surrender
from tournee.sync.http import door, stream
from tournee.sync.pull import feed, moved, snapshot
from tournee.sync.push import batch, deciding, push
from tournee.sync.waiting import given_up
from tournee.work import facts


@dataclass(frozen=True)
class Mutant:
    """In `name` of `holder` (a module, or a class of `module`), `new` replaces `old`."""

    what: str
    module: Any
    name: str
    old: str
    new: str
    holder: Any = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        holder = self.holder or self.module
        source = textwrap.dedent(inspect.getsource(getattr(holder, self.name)))
        assert self.old in source, f"{self.what}: {self.name} has changed; find the new place"
        flags = __future__.annotations.compiler_flag
        code = compile(source.replace(self.old, self.new), f"<{self.what}>", "exec", flags, dont_inherit=True)
        made: dict[str, Any] = {}
        exec(code, vars(self.module), made)
        with patch.object(holder, self.name, made[self.name]):
            yield


_REUSED = """
    from sqlalchemy import delete
    for row in granted:
        known = delete(Member).where(Member.account_id == row["account_id"], Member.scope == row["scope"])
        await tx.session.execute(known.where(Member.to_seq.is_not(None)))
    await tx.statements.insert_many(Member.__table__, granted)
"""
_TOGETHER = """
    tx.last_writes.append(partial(write_receipts, tx, batch.decided, device.device_id, tx.actor.id))
    last, answer = await tx.commit_answering(partial(_answer, batch))
"""
_APART = """
    last, answer = await tx.commit_answering(partial(_answer, batch))
    from tournee.engine.pipelining import Pipeline
    async with Pipeline() as pipeline:
        await write_receipts(tx, batch.decided, device.device_id, tx.actor.id, tx.entries, pipeline)
    await tx.session.commit()
"""
_HEAD = "Cursor(cursor.epoch, cursor.seq, mark=head.mark), head.seq > cursor.seq, progress"
_GRANT = "branch(Member.from_seq, held, Edge.open.is_(True), Edge.seq <= Member.from_seq),"
_LOSS = "branch(Member.to_seq, lost, or_(Edge.open.is_(True), Edge.seq > Member.to_seq)),"
_WENT = """from sqlalchemy import exists
    from tournee.kernel.visibility import holds
    here = or_(Edge.seq == page.c.position, Member.from_seq == page.c.position)
    lies = select(1).select_from(Edge).join(Member, lies_in()).where(Edge.record_id == page.c.record_id)
    seen = exists(lies.where(holds(actor.id), Edge.open.is_(True), here))"""
_SNAPSHOT = "return await Snapshot(session, actor, entities, self.urgent).page(cursor, head, limit)"
_ACROSS = """from tournee.engine.engines import ACROSS
            async with self.database.reading(ACROSS) as everybody:
                return await Snapshot(everybody, actor, entities, self.urgent).page(cursor, head, limit)"""
_NOWHERE = "branch(Edge.seq, held, Edge.seq < 0),"

MUTANTS = (
    Mutant("receipts are ignored", batch, "load", "for receipt in found:", "for receipt in []:", batch.Batch),
    Mutant("receipts are written after the commit", push, "_commit", _TOGETHER, _APART),
    Mutant("edges never close", publishing, "_write_edges", '"open": scope in lies', '"open": True'),
    Mutant("memberships never end", publishing, "_write_members", "if (account, scope) not in wanted", "if False"),
    Mutant("a renewed membership deletes its ended one", publishing, "_write_members",
           "\n    await tx.statements.insert_many(Member.__table__, granted)\n", _REUSED),
    Mutant("newly granted records are not sent", moved, "_branches", _GRANT, _NOWHERE),
    Mutant("records of ended memberships are not removed", moved, "_branches", _LOSS, _NOWHERE),
    Mutant("a record leaving one scope is removed although another holds it", moved, "_scoped_rows",
           "seen = sees(actor.id, page.c.record_id)", _WENT),
    Mutant("a page's cursor is a bare seq", feed, "_read", "Cursor(head.epoch, *written.place(), mark=head.mark)",
           "Cursor(head.epoch, written.place()[0], mark=head.mark)", feed.Feed),
    Mutant("the snapshot is not pinned", snapshot, "page", _HEAD, "Cursor(cursor.epoch, head.seq, mark=head.mark), False, progress",
           snapshot.Snapshot),
    Mutant("a merge ignores the base", finding, "changed_since_base", "operation.base is None", "True",
           finding.Finding),
    Mutant("a late operation undoes its device's later work", merge, "_not_overtaken", "field.wire in own_later", "False"),
    Mutant("unchanged values in an edit are ignored", operation, "left_unmoved",
           "self.unmoved.setdefault(str(row.id), []).extend(wire)", "pass", operation.Operation),
    Mutant("a device conflicts with its own changes", clocks, "changed_by_others", "by != device", "True", clocks.Clocks),
    Mutant("a unit has no savepoint", deciding, "decide", "if careful else", "if False else", push),
    Mutant("an operation after a gap does not wait", push, "_in_order", "device.is_beyond(fresh[0].number)", "False"),
    Mutant("dependents of a crashed operation are refused", deciding, "_refuse", "stopped is not None", "False"),
    Mutant("a fact on a changed plan is refused", facts, "_judge", "if assigned and not changed:", "if assigned:"),
    Mutant("deletions are sent as changes", tail, "_read", "None if deleted else document", "document"),
    Mutant("changed memberships are not cached", tail, "_read", "found.regrouped[account_id] = seq", "pass"),
    Mutant("a snapshot is read across the organisations", feed, "_read", _SNAPSHOT, _ACROSS, feed.Feed),
    Mutant("a retried operation leaves no receipt", surrender, "settle",
           "tx.last_writes.append(partial(write_receipts, tx, decided, device.id, device.account_id))", "pass", operations),
    Mutant("dependents of a dismissed operation go on waiting", given_up, "give_up",
           'await tx.statements.insert_many(GivenUpRecord.__table__, rows, replacing=("given_up_at",))', "pass", operations),
    Mutant("cursors stay valid after a restore", horizon, "begin_epochs", "epoch=uuid4(), ", "", restored),
    Mutant("numbers are reused after a restore", horizon, "begin_epochs", "seq=onward", "seq=Head.seq", restored),
    Mutant("devices never learn that history was lost", history, "history_of", "request.epoch not in (None, epoch)", "False", push),
    Mutant("devices never learn of history lost within the epoch", history, "history_of", " or is_lost(request.mark, there, head)", "", push),
    Mutant("operations in a backup give no next number", push, "_in_order", "next_number is None and incoming.operations", "next_number is False"),
    Mutant("a step after a lost one is refused", head, "was_lost", "seq is None or", "True or", facts),
    Mutant("a reversal does not change the level", booking, "record", "await derive(tx, level, movement)",
           "await derive(tx, level, movement) if movement.reverses_id is None else None", movements),
    Mutant("a repeated movement is refused", booking, "told_before", "there is None or", "True or", movements),
    Mutant("a stream resumes at the head of the log", stream, "events", "await self.cursors.open(text, actor) if text",
           "Cursor.at((await self.feed.tail.now(actor.organisation_id)).head) if text", stream.Stream),
    Mutant("a stream outlives its device", door, "enter", "if self.authenticator is not None:", "if False:", door.Door),
    Mutant("a cursor into lost history stays valid", head, "is_there", "mark is None or", "True or", feed),
    Mutant("facts find only presently visible records", visibility, "was_visible", "if base is None or", "if True or", transaction),
)  # fmt: skip
