"""The local copy: the server's rows, with the device's own undecided work on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from uuid import UUID

from tournee_client.database import Database
from tournee_client.effects import overlay
from tournee_client.ids import follow, new_id
from tournee_client.outbox import Operation, Outbox
from tournee_client.wire import Answer, Change, Document, Outcome, Page, dumps

_PUT = {
    "row": "INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?)",
    "fresh": "INSERT OR REPLACE INTO fresh VALUES (?, ?, ?, ?)",
}
_REMOVE = {
    "row": "DELETE FROM row WHERE entity = ? AND id = ?",
    "fresh": "DELETE FROM fresh WHERE entity = ? AND id = ?",
}
_DIFFERENCE = """
SELECT fresh.entity, fresh.id, fresh.seq, fresh.document FROM fresh LEFT JOIN row USING (entity, id)
 WHERE row.document IS NOT fresh.document
UNION ALL
SELECT row.entity, row.id, ?, NULL FROM row LEFT JOIN fresh USING (entity, id) WHERE fresh.id IS NULL
"""

_FORGET_GONE = """
DELETE FROM gone WHERE rowid <= (SELECT rowid FROM gone ORDER BY rowid DESC LIMIT 1 OFFSET ?)
"""
_MOST_GONE = 10_000


class Store:
    """One device's data in one file (or `":memory:"`)."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.database = Database(path)
        self.outbox = Outbox(self.database)
        if self.database.get("device") is None:
            self.database.put("device", new_id())
        # The server orders work by number and id, so both must rise even if the clock is set back.
        last = self.database.get("last_id")
        if last is not None:
            follow(UUID(last))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    @property
    def device(self) -> str:
        """The device's UUID: made with the store, replaced by a wipe."""
        return str(self.database.get("device"))

    @property
    def cursor(self) -> str | None:
        """The position in the feed up to which the local copy is complete."""
        return self.database.get("cursor")

    @property
    def renewing(self) -> bool:
        """Whether a new copy is being fetched, to replace the present one once complete."""
        return self.database.get("renewing") is not None

    @property
    def next_cursor(self) -> str | None:
        """The cursor to pull with: the new copy's while one is being fetched."""
        return self.database.get("fresh_cursor") if self.renewing else self.cursor

    @property
    def choice(self) -> str | None:
        """The choice for which the copy is fetched; None for everything that the person may see."""
        return self.database.get("choice")

    def _carries(self, entity: str) -> bool:
        named = json.loads(self.choice or "{}").get("entities")
        return named is None or entity in named.split(",")

    def choose(self, choice: str | None) -> None:
        """Remember the choice; the copy that is fetched from now on is for it."""
        self.database.put("choice", choice)

    @property
    def pushed_mark(self) -> str | None:
        """The mark of the last push's answer, until the copy includes what that push changed."""
        return self.database.get("pushed_mark")

    @property
    def answered_mark(self) -> str | None:
        """The mark of the last push's answer; a server that knows it has lost none of this device's work."""
        return self.database.get("answered_mark")

    @property
    def doubtful(self) -> bool:
        """Whether a new copy is needed: history was lost, or rows came only with outcomes."""
        if self.database.get("doubtful") is not None:
            return True
        return self.next_cursor is None and not self.renewing and self._has_rows()

    def _has_rows(self) -> bool:
        return self.database.execute("SELECT 1 FROM row LIMIT 1").fetchone() is not None

    def renew(self) -> None:
        """Begin a new copy from scratch; the present one stays in use."""
        with self.database.transaction():
            self.database.execute("DELETE FROM fresh")
            forget = dict.fromkeys(("fresh_cursor", "fresh_seen", "fresh_mark", "doubtful"))
            self._put({"renewing": "1", **forget})

    def apply(self, page: Page, settled: Iterable[str] = (), mark: str | None = None) -> list[Change]:
        """Store a pulled page and its cursor together; return what changed in the copy in use.

        `mark` is the `pushed_mark` that the page was requested with.
        """
        if not self.renewing:
            return self.follow(page, settled, mark)
        with self.database.transaction():
            self._write("fresh", page.changes)
            self._put({"fresh_cursor": page.cursor})
            self._see(page, "fresh_seen", "fresh_mark")
            return [] if page.more else self._swap(settled)

    def follow(self, page: Page, settled: Iterable[str] = (), mark: str | None = None) -> list[Change]:
        """Store the changes since the present copy's cursor, even while a new copy is being fetched."""
        with self.database.transaction():
            self._write("row", page.changes)
            self._put({"cursor": page.cursor, "partial": "1" if page.more else None})
            self._see(page, "seen", "seen_mark")
            if not page.more:
                if mark == self.pushed_mark:
                    self.database.put("pushed_mark", None)
                self.outbox.pulled(self.database.number("seen"), settled)
        return list(page.changes)

    def _see(self, page: Page, seen: str, mark: str) -> None:
        """Keep the greatest checkpoint, with the mark that came with it."""
        if page.checkpoint is not None and page.checkpoint >= self.database.number(seen):
            self._put({seen: str(page.checkpoint), mark: page.mark})

    def _swap(self, settled: Iterable[str]) -> list[Change]:
        seen, cursor = self.database.number("fresh_seen"), self.database.get("fresh_cursor")
        mark = self.database.get("fresh_mark")
        found = self.database.execute(_DIFFERENCE, (seen,)).fetchall()
        for _entity, id, _seq, text in found:
            self._note_gone(id, gone=text is None)
        self.database.execute("DELETE FROM row")
        self.database.execute("INSERT INTO row SELECT * FROM fresh")
        self.database.execute("DELETE FROM fresh")
        # `seen` may fall: the server may have been restored from a backup.
        forget = dict.fromkeys(("renewing", "fresh_cursor", "fresh_seen", "fresh_mark", "partial"))
        self._put({"cursor": cursor, "seen": str(seen), "seen_mark": mark, **forget})
        self.outbox.pulled(seen, settled)
        return [
            Change(seq, entity, id, None if text is None else json.loads(text))
            for entity, id, seq, text in found
        ]

    def _put(self, values: dict[str, str | None]) -> None:
        for key, value in values.items():
            self.database.put(key, value)

    def _write(self, table: str, changes: Iterable[Change]) -> None:
        for change in changes:
            key = (change.entity, change.id)
            if table == "row":
                self._note_gone(change.id, gone=change.record is None)
            if change.record is None:
                self.database.execute(_REMOVE[table], key)
            else:
                values = (*key, change.seq, dumps({"id": change.id, **change.record}))
                self.database.execute(_PUT[table], values)

    def _note_gone(self, id: str, *, gone: bool) -> None:
        """Remember when a removed row was last seen; forget that once the row is back."""
        if not gone:
            self.database.execute("DELETE FROM gone WHERE id = ?", (id,))
            return
        values = (id, self.database.number("seen"), self.database.get("seen_mark"))
        self.database.execute("INSERT OR IGNORE INTO gone VALUES (?, ?, ?)", values)
        self.database.execute(_FORGET_GONE, (_MOST_GONE,))

    @property
    def epoch(self) -> str | None:
        """The epoch of the server's history that this device last pushed to."""
        return self.database.get("epoch")

    @property
    def wonders(self) -> bool:
        """Whether the server's history may differ from the one this device last pushed to."""
        return self.epoch is not None and self.database.get("wonders") is not None

    def wonder(self) -> None:
        """Note that a copy began without a cursor: only the next push can detect a restored backup."""
        self._put({"wonders": "1", "pushed_mark": None})

    def heard(self, answer: Answer, since: str, until: str) -> bool:
        """Store the epoch; if history was lost, queue again the work recorded between the two times.

        Return whether the server lost its newest history within the epoch without saying so: it then expects
        a number that it had accepted, or knows of no number.
        """
        with self.database.transaction():
            same = answer.epoch is not None and answer.epoch == self.epoch
            # A surrendering device receives no next number.
            asked = same and not answer.resync and self.leaving is None
            lost = asked and self.outbox.knows_more(answer.next_number, since, until)
            # Within one epoch the server can detect a loss only by a mark.
            of_mark = self.answered_mark is not None
            told = answer.resync and (of_mark or answer.epoch not in (None, self.epoch))
            if told or lost:
                self.outbox.hand_in_again(since, until, 0 if told else answer.next_number)
                self.database.put("answered_mark", None)
            if same and (told or lost):
                # The copy may hold rows from the lost history.
                self.database.put("doubtful", "1")
            if answer.epoch is not None and (answer.epoch != self.epoch or self.wonders):
                self._put({"epoch": answer.epoch, "wonders": None})
        return lost

    def settle(self, batch: Sequence[Operation], answer: Answer) -> int:
        """Store the answer to a push; return how many operations of the batch it answered."""
        with self.database.transaction():
            answered = self.outbox.settle(batch, answer)
            if answer.mark is not None:
                # A copy without the accepted work belongs to another history.
                self._put({"pushed_mark": answer.mark, "answered_mark": answer.mark})
            first_sent = {operation.id for operation in batch if operation.tries == 0}
            for outcome in answer.outcomes:
                # A repeated operation's record may be older than the row pulled since, and would stay.
                if outcome.id in first_sent and outcome.status != "duplicate":
                    self._take_record(outcome, outcome.seq or answer.checkpoint)
        return answered

    def _take_record(self, outcome: Outcome, seq: int) -> None:
        """Store the record that came with an outcome, unless a pulled row is or will be newer."""
        record = dict(outcome.record or {})
        # Between two pages some rows are newer than `seen`; a removed row would come back and stay.
        is_between = self.database.get("partial") is not None
        if not record or is_between or seq <= self.database.number("seen"):
            return
        entity, id, removed = record.pop("entity"), record["id"], record.pop("removed", False)
        if not self._carries(entity):
            # No pull would keep it up to date.
            return
        self._write("row", [Change(seq, entity, id, None if removed else record)])
        self.outbox.arrived(outcome.id, entity, id)

    def get(self, entity: str, id: str) -> Document | None:
        """Return a row as the person should see it now."""
        found = self.database.execute(
            "SELECT document FROM row WHERE entity = ? AND id = ?", (entity, id)
        ).fetchone()
        return overlay(None if found is None else json.loads(found[0]), self.outbox.effects(entity, id))

    def all(self, entity: str, **equals: object) -> list[Document]:
        """Return the rows of an entity whose fields equal `equals`, ordered by id."""
        found = self.database.execute("SELECT id, document FROM row WHERE entity = ?", (entity,))
        rows: dict[str, Document | None] = {id: json.loads(document) for id, document in found}
        for effect in self.outbox.effects(entity):
            rows[effect.id] = overlay(rows.get(effect.id), [effect])
        present = (rows[id] for id in sorted(rows))
        return [row for row in present if row is not None and _matches(row, equals)]

    def server_row(self, entity: str, id: str) -> Document | None:
        """Return the server's row, without the device's own undecided work."""
        found = self.database.execute(
            "SELECT document FROM row WHERE entity = ? AND id = ?", (entity, id)
        ).fetchone()
        return None if found is None else json.loads(found[0])

    def move(self, base_url: str) -> None:
        """Record that this store's server has moved to this address."""
        self.database.put("server", base_url.rstrip("/"))

    @property
    def leaving(self) -> str | None:
        """The next step of a revoked device: `surrender`, `wipe`, or `wiped` (to confirm); None otherwise."""
        return self.database.get("leaving")

    def leave(self) -> None:
        """Erase everything but the refresh token and the fact that the wipe must be confirmed."""
        token = self.database.get("refresh_token") or ""
        self.database.erase({"leaving": "wiped", "refresh_token": token})

    def wipe(self) -> None:
        """Erase everything; what remains is the empty store of a new device."""
        self.database.erase()
        self.database.put("device", new_id())


def _matches(row: Document, equals: dict[str, object]) -> bool:
    return all(row.get(field) == value for field, value in equals.items())
