"""The outbox: operations that the server may not have accepted, and the outcomes of all operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice, pairwise
from operator import itemgetter
from typing import Any

from tournee_client.database import Database
from tournee_client.effects import Effect
from tournee_client.errors import TooLarge
from tournee_client.wire import SCHEMA, Answer, Document, Outcome, dumps

_READ = "SELECT number, id, unit, command, input, base, occurred_at, tries, schema, state, mark FROM outbox "
_ALL = _READ + "ORDER BY number"
_BATCH = _READ + "WHERE state = ? AND number > ? ORDER BY number LIMIT ?"
_UNIT = _READ + "WHERE state = ? AND unit = ? ORDER BY number"
_SAME_UNIT = _READ + "WHERE unit = ?"
_ASIDE = _READ + "WHERE state NOT IN ('pending', 'parked') ORDER BY number LIMIT ?"
_ADD = """
INSERT INTO outbox (number, id, unit, command, input, base, mark, occurred_at, schema)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REMEMBER = """
INSERT OR REPLACE INTO outcome
    (id, number, unit, command, input, base, occurred_at, tries, schema, mark,
     status, seq, code, message, fields, conflict)
SELECT id, number, unit, command, input, base, occurred_at, tries, schema, mark, ?, ?, ?, ?, ?, ?
  FROM outbox WHERE id = ?
"""
# The operations that the server may have lost, whole units only.
_AGAIN = """
WITH newest AS (
    SELECT number, unit FROM outcome
     WHERE code IS NULL AND status <> 'parked' AND occurred_at BETWEEN ? AND ?
       AND number >= ?
     ORDER BY number DESC LIMIT ?)
INSERT OR IGNORE INTO outbox (number, id, unit, command, input, base, occurred_at, tries, schema, mark)
SELECT number, id, unit, command, input, base, occurred_at, tries, schema, mark FROM outcome
 WHERE number IN (SELECT number FROM newest)
   AND (unit IS NULL OR unit NOT IN (
        SELECT unit FROM outcome WHERE unit IS NOT NULL AND number NOT IN (SELECT number FROM newest)))
"""
# Operations whose acceptance this device received and that are not queued again.
_DECIDED = """
SELECT 1 FROM outcome
 WHERE number BETWEEN ? AND ? AND code IS NULL AND status NOT IN ('parked', 'surrendered')
   AND occurred_at BETWEEN ? AND ? AND id NOT IN (SELECT id FROM outbox) LIMIT 1
"""
# The oldest checkpoint with a record that the input names and the copy no longer has.
_BEFORE = """
SELECT base, mark FROM gone WHERE id IN (SELECT value FROM json_tree(?) WHERE type = 'text')
 ORDER BY base LIMIT 1
"""
_MOST_AGAIN = 5000
_LAST = 2**53
# The most that one request can hold. The server's limit is 8 MiB; the rest of the body needs some of it.
UNIT = 1000
UNIT_BYTES = 8_000_000
_SAID = "SELECT id, status, seq, code, message, fields, conflict FROM outcome WHERE id = ?"
_REFUSED = """
SELECT number, id, unit, command, input, base, occurred_at, tries, schema, status, mark,
       id, status, seq, code, message, fields, conflict
  FROM outcome WHERE status <> 'applied' ORDER BY number
"""


@dataclass(frozen=True)
class Draft:
    """An operation that has no number yet."""

    id: str
    command: str
    input: Document
    occurred_at: str
    effects: tuple[Effect, ...] = field(default=())


@dataclass(frozen=True)
class Operation:
    """An operation in the outbox."""

    number: int
    id: str
    unit: str | None
    command: str
    input: Document
    base: int
    occurred_at: str
    tries: int
    schema: int = SCHEMA
    state: str = "pending"
    mark: str | None = None

    def wire(self) -> Document:
        """Return the operation as an entry of a push."""
        document: Document = {
            "id": self.id,
            "number": self.number,
            "command": self.command,
            "input": self.input,
        }
        if self.unit is not None:
            document["unit"] = self.unit
        return document | {"base": self.base, "occurredAt": self.occurred_at}

    @property
    def size(self) -> int:
        """The number of bytes it takes in a push."""
        return len(dumps(self.wire()).encode()) + 1


@dataclass(frozen=True)
class Rejection:
    """An operation that the server refused, and its outcome."""

    operation: Operation
    outcome: Outcome


class Outbox:
    """Operations in the order they were recorded; each leaves only with a final outcome."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._execute = database.execute

    def add(self, drafts: Iterable[Draft], unit: str | None) -> None:
        """Number and store the drafts, all or none; raise TooLarge when no request could hold them."""
        with self._database.transaction():
            first = self._database.number("next_number") or 1
            together = [] if unit is None else self._select(_SAME_UNIT, unit)
            for number, draft in enumerate(drafts, first):
                did = self._numbered(number, draft, unit)
                self._add(did)
                together.append(did)
                self._add_effects(number, draft)
                self._database.put("next_number", str(number + 1))
                self._database.put("last_id", max(draft.id, self._database.get("last_id") or ""))
            _check_size(together)

    def _numbered(self, number: int, draft: Draft, unit: str | None) -> Operation:
        base, mark = self._base(dumps(draft.input))
        said = (draft.command, draft.input, base, draft.occurred_at)
        return Operation(number, draft.id, unit, *said, tries=0, mark=mark)

    def _add(self, did: Operation) -> None:
        what = (did.number, did.id, did.unit, did.command, dumps(did.input))
        self._execute(_ADD, (*what, did.base, did.mark, did.occurred_at, SCHEMA))

    def _base(self, values: str) -> tuple[int, str | None]:
        """Return the checkpoint, and its mark, at which this device last saw the records that an input names.

        A row may have left the copy while a person had it on the screen.
        """
        seen = self._database.number("seen"), self._database.get("seen_mark")
        before = self._execute(_BEFORE, (values,)).fetchone()
        return min(seen, before, key=itemgetter(0)) if before else seen

    def _add_effects(self, number: int, draft: Draft) -> None:
        for position, effect in enumerate(draft.effects):
            patch = None if effect.patch is None else dumps(effect.patch)
            values = (number, position, draft.id, effect.entity, effect.id, patch, effect.creates)
            self._execute("INSERT INTO effect VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", values)

    def operations(self) -> list[Operation]:
        """Return every operation that the server has not decided."""
        return self._select(_ALL)

    def missing(self, expected: int, limit: int) -> list[int]:
        """Return the gaps from `expected` on: numbers without an operation, below a number with one."""
        if not expected:
            return []
        kept = [
            row[0]
            for row in self._execute(
                "SELECT number FROM outbox WHERE number >= ? ORDER BY number", (expected,)
            )
        ]
        gaps = (range(before + 1, after) for before, after in pairwise([expected - 1, *kept]))
        return list(islice(chain.from_iterable(gaps), limit))

    def waiting(self) -> int:
        """Return how many operations the server may not have seen."""
        (count,) = self._execute("SELECT count(*) FROM outbox WHERE state = 'pending'").fetchone()
        return int(count)

    def queue(self) -> Document:
        """Return the number of unsent operations and when the oldest was recorded."""
        count, oldest = self._execute(
            "SELECT count(*), min(occurred_at) FROM outbox WHERE state = 'pending'"
        ).fetchone()
        return {"length": count} if oldest is None else {"length": count, "oldestAt": oldest}

    def batch(self, state: str, limit: int, most: int, after: int = 0) -> list[Operation]:
        """Return the next operations to send: one schema, whole units, at most `limit` and `most` bytes."""
        batch: list[Operation] = []
        size = 0
        for operation in self._each(_BATCH, state, after, limit + 1):
            size += operation.size
            # A push has one schema, so another app version's operations go separately.
            if batch and operation.schema != batch[0].schema:
                return batch
            if batch and (len(batch) == limit or size > most):
                return self._without_a_part(batch, operation)
            batch.append(operation)
        return batch

    def _without_a_part(self, batch: list[Operation], following: Operation) -> list[Operation]:
        if following.unit is None or following.unit != batch[-1].unit:
            return batch
        whole = [operation for operation in batch if operation.unit != following.unit]
        return whole or self._select(_UNIT, following.state, following.unit)

    def aside(self, limit: int) -> list[Operation]:
        """Return operations set aside whose numbers the server does not know yet."""
        return self._select(_ASIDE, limit)

    def set_aside(self, operations: Sequence[Operation], code: str) -> None:
        """Mark operations as set aside: the server cannot take them, for the reason in `code`."""
        with self._database.transaction():
            for operation in operations:
                self._execute("UPDATE outbox SET state = ? WHERE id = ?", (code, operation.id))

    def _select(self, statement: str, *values: object) -> list[Operation]:
        return list(self._each(statement, *values))

    def _each(self, statement: str, *values: object) -> Iterator[Operation]:
        return map(_operation, self._execute(statement, values))

    def tried(self, batch: Sequence[Operation]) -> None:
        """Count an attempt to send these operations."""
        ids = dumps([operation.id for operation in batch])
        self._execute(
            "UPDATE outbox SET tries = tries + 1 WHERE id IN (SELECT value FROM json_each(?))", (ids,)
        )

    def settle(self, batch: Sequence[Operation], answer: Answer) -> int:
        """Store the outcomes, remove decided operations; return how many of the batch were answered."""
        sent = {operation.id for operation in batch}
        answered = [outcome for outcome in answer.outcomes if outcome.id in sent]
        for outcome in answered:
            self._remember(outcome)
            if outcome.final:
                self._close(outcome, outcome.seq or answer.checkpoint)
            else:
                waits = "UPDATE outbox SET state = 'parked' WHERE id = ? AND state = 'pending'"
                self._execute(waits, (outcome.id,))
        # A store restored from a backup continues from the server's number, not from the backup's.
        if answer.next_number > self._database.number("next_number"):
            self._database.put("next_number", str(answer.next_number))
        return len(answered)

    def knows_more(self, expected: int, since: str, until: str) -> bool:
        """Return whether the server expects a number (0: any) that it had already accepted."""
        last = expected or _LAST
        return self._execute(_DECIDED, (expected, last, since, until)).fetchone() is not None

    def hand_in_again(self, since: str, until: str, first: int = 0) -> None:
        """Queue again, before new work, the operations that the server had accepted.

        Takes those recorded between the two times, from number `first` on; the newest 5,000 at most.
        """
        with self._database.transaction():
            self._execute("UPDATE outbox SET state = 'pending'")
            self._execute(_AGAIN, (since, until, first, _MOST_AGAIN))

    def _remember(self, outcome: Outcome) -> None:
        conflict = None if outcome.conflict is None else dumps(outcome.conflict)
        said = (outcome.status, outcome.seq, outcome.code, outcome.message, dumps(outcome.fields), conflict)
        self._execute(_REMEMBER, (*said, outcome.id))

    def _close(self, outcome: Outcome, seq: int) -> None:
        self._execute("DELETE FROM outbox WHERE id = ?", (outcome.id,))
        if outcome.stands:
            # Its other rows are not pulled yet; without the effects the person would see their work undone.
            self._execute("UPDATE effect SET settled = ? WHERE operation = ?", (seq, outcome.id))
        else:
            self._execute("DELETE FROM effect WHERE operation = ?", (outcome.id,))

    def effects(self, entity: str, id: str | None = None) -> list[Effect]:
        """Return the effects on an entity or one of its rows, in order."""
        found = self._execute(
            "SELECT entity, id, patch, creates FROM effect WHERE entity = ?1 AND (?2 IS NULL OR id = ?2)"
            " ORDER BY number, position",
            (entity, id),
        )
        return [
            Effect(row[0], row[1], None if row[2] is None else json.loads(row[2]), bool(row[3]))
            for row in found
        ]

    def settled(self) -> list[str]:
        """Return the ids of operations that were applied but whose rows are not all pulled yet."""
        found = self._execute("SELECT DISTINCT operation FROM effect WHERE settled IS NOT NULL")
        return [row[0] for row in found]

    def pulled(self, seq: int, operations: Iterable[str] = ()) -> None:
        """Forget the effects of operations whose rows have arrived: all up to `seq`, and these."""
        self._execute("DELETE FROM effect WHERE settled <= ?", (seq,))
        self._database.executemany("DELETE FROM effect WHERE operation = ?", [(id,) for id in operations])

    def arrived(self, operation: str, entity: str, id: str) -> None:
        """Forget an operation's effect on a row that came with its outcome."""
        self._execute(
            "DELETE FROM effect WHERE operation = ? AND entity = ? AND id = ?", (operation, entity, id)
        )

    def outcome(self, id: str) -> Outcome | None:
        """Return the latest outcome of an operation, None when there is none."""
        found = self._execute(_SAID, (id,)).fetchone()
        return None if found is None else _outcome(found)

    def rejections(self) -> list[Rejection]:
        """Return every refused operation, oldest first."""
        read = [Rejection(_operation(row), _outcome(row[11:])) for row in self._execute(_REFUSED)]
        return [rejection for rejection in read if rejection.outcome.refused]


def units(batch: Sequence[Operation]) -> list[list[Operation]]:
    """Split a batch into its units; an operation without one stands alone."""
    return [
        list(together) for _, together in groupby(batch, key=lambda operation: operation.unit or operation.id)
    ]


def _check_size(together: Sequence[Operation]) -> None:
    size = sum(operation.size for operation in together)
    if len(together) > UNIT or size > UNIT_BYTES:
        raise TooLarge(
            f"{len(together)} operations of {size} bytes do not fit into one request, which takes {UNIT} and"
            f" {UNIT_BYTES} bytes; split them into smaller units"
        )


def _operation(row: Sequence[Any]) -> Operation:
    number, id, unit, command, values, base, occurred_at, tries, schema, state, mark = row[:11]
    return Operation(
        number, id, unit, command, json.loads(values), base, occurred_at, tries, schema, state, mark
    )


def _outcome(row: Sequence[Any]) -> Outcome:
    id, status, seq, code, message, fields, conflict = row
    return Outcome(
        id,
        status,
        seq,
        code,
        message,
        tuple(json.loads(fields)),
        None if conflict is None else json.loads(conflict),
    )
