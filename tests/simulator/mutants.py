"""Deliberate breakages of the server, each put in for one run: ways in which sync servers have lost
somebody's work. A simulator that lets one pass proves nothing.

A mutant is a place in the server's own text and what stands there instead, so it fails loudly when
that place has gone.
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
    """In `name` of `holder` (a module, or a class of `module`), `new` stands for `old`."""

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
        assert self.old in source, f"{self.what}: {self.name} has changed; find the place anew"
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
    Mutant("receipts are not looked at", batch, "load", "for receipt in found:", "for receipt in []:", batch.Batch),
    Mutant("receipts are written after the commit", push, "_commit", _TOGETHER, _APART),
    Mutant("edges stay open", publishing, "_write_edges", '"open": scope in lies', '"open": True'),
    Mutant("memberships are not ended", publishing, "_write_members", "if (account, scope) not in wanted", "if False"),
    Mutant("an ended membership is forgotten when it begins again", publishing, "_write_members",
           "\n    await tx.statements.insert_many(Member.__table__, granted)\n", _REUSED),
    Mutant("what was granted does not come", moved, "_branches", _GRANT, _NOWHERE),
    Mutant("what was lost does not go", moved, "_branches", _LOSS, _NOWHERE),
    Mutant("what went from one scope goes though another holds it", moved, "_scoped_rows",
           "seen = sees(actor.id, page.c.record_id)", _WENT),
    Mutant("a page ends at a bare seq", feed, "_read", "Cursor(head.epoch, *written.place(), mark=head.mark)",
           "Cursor(head.epoch, written.place()[0], mark=head.mark)", feed.Feed),
    Mutant("the snapshot is not pinned", snapshot, "page", _HEAD, "Cursor(cursor.epoch, head.seq, mark=head.mark), False, progress",
           snapshot.Snapshot),
    Mutant("a merge does not look at the base", finding, "changed_since_base", "operation.base is None", "True",
           finding.Finding),
    Mutant("what waited takes back what was done after it", merge, "_not_overtaken", "field.wire in own_later", "False"),
    Mutant("what an edit leaves as it stood was never said", operation, "left_unmoved",
           "self.unmoved.setdefault(str(row.id), []).extend(wire)", "pass", operation.Operation),
    Mutant("one's own change is another's", clocks, "changed_by_others", "by != device", "True", clocks.Clocks),
    Mutant("a unit has no savepoint", deciding, "decide", "if careful else", "if False else", push),
    Mutant("a gap does not wait", push, "_in_order", "device.is_beyond(fresh[0].number)", "False"),
    Mutant("what follows a bug of ours is refused", deciding, "_refuse", "stopped is not None", "False"),
    Mutant("a fact on a plan that changed is refused", facts, "_judge", "if assigned and not changed:", "if assigned:"),
    Mutant("deletions are told as changes", tail, "_read", "None if deleted else document", "document"),
    Mutant("nobody remembers whose scopes changed", tail, "_read", "found.regrouped[account_id] = seq", "pass"),
    Mutant("a snapshot is read across the organisations", feed, "_read", _SNAPSHOT, _ACROSS, feed.Feed),
    Mutant("what is retried leaves no receipt", surrender, "settle",
           "tx.last_writes.append(partial(write_receipts, tx, decided, device.id, device.account_id))", "pass", operations),
    Mutant("what is dismissed is not given up", given_up, "give_up",
           'await tx.statements.insert_many(GivenUpRecord.__table__, rows, replacing=("given_up_at",))', "pass", operations),
    Mutant("after a restored backup cursors hold on", horizon, "begin_epochs", "epoch=uuid4(), ", "", restored),
    Mutant("after a restored backup numbers go on from there", horizon, "begin_epochs", "seq=onward", "seq=Head.seq", restored),
    Mutant("no device is told that its history is lost", history, "history_of", "request.epoch not in (None, epoch)", "False", push),
    Mutant("a device is not told what was lost within the epoch", history, "history_of", " or is_lost(request.mark, there, head)", "", push),
    Mutant("what a backup knows tells no number", push, "_in_order", "next_number is None and incoming.operations", "next_number is False"),
    Mutant("a step that follows a lost one is refused", head, "was_lost", "seq is not None and", "False and", facts),
    Mutant("a reversal leaves the level as it is", booking, "record", "await derive(tx, level, movement)",
           "await derive(tx, level, movement) if movement.reverses_id is None else None", movements),
    Mutant("a movement that is told again is refused", booking, "told_before", "there is None or", "True or", movements),
    Mutant("a stream goes on where the log is now", stream, "events", "cursor = self.cursors.decode(text, actor) if text else None",
           "cursor = (await self.feed.pull(actor, None)).cursor if text else None", stream.Stream),
    Mutant("a stream outlives its device", door, "enter", "if self.authenticator is not None:", "if False:", door.Door),
    Mutant("a cursor holds though what it showed is lost", head, "is_there", "mark is None or", "True or", feed),
    Mutant("facts are found only where one sees now", visibility, "was_visible", "if base is None or", "if True or", transaction),
)  # fmt: skip
