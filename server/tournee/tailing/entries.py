"""The entries of the log as a copy holds them: their columns, and reading them in portions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.archiving import parquet
from tournee.kernel.head import Mark
from tournee.kernel.log import Change

# Entries read at a time: some two megabytes.
PORTION = 2_000


class TailFailed(Exception):
    """The log cannot be copied; the message is for the operator."""


@dataclass(frozen=True)
class Column:
    """A column of the copy. Its kind is `integer`, `text`, `id`, `time` or `json`."""

    name: str
    kind: str
    nullable: bool
    description: str


COLUMNS = (
    Column("organisation_id", "id", False, "The organisation."),
    Column("seq", "integer", False, "The number in the organisation's log, in the order of the commits."),
    Column("entity", "text", False, "The type of the record."),
    Column("id", "id", False, "The id of the record. The key of an entry is `seq`."),
    Column("command", "text", False, "The command that made the change."),
    Column("actor_id", "id", True, "The account that made it; null if the server did."),
    Column("device_id", "id", True, "The device it was made on; null if it was made online."),
    Column("operation_id", "id", True, "The device's operation; null if it was made online."),
    Column("fields", "json", False, "The names of the fields that changed; empty for a new record."),
    Column("before", "json", True, "Their values before; null for a new record."),
    Column("after", "json", True, "Their values after; all fields of a new record."),
    Column("occurred_at", "time", False, "When it happened, by the clock of the device."),
    Column("recorded_at", "time", False, "When the server received it."),
)
NAMES = tuple(column.name for column in COLUMNS)
_SEQ, _RECORDED = NAMES.index("seq"), NAMES.index("recorded_at")


class Batch:
    """The entries that go into a copy together. They are read once; then `first` and `last` are known."""

    def __init__(self, session: AsyncSession, after: int, until: int, most: int) -> None:
        self._session = session
        self._until = until
        self._most = most
        self.count = 0
        self.first = 0
        self.last = Mark(after, 0)

    async def portions(self) -> AsyncIterator[Sequence[Any]]:
        while self.count < self._most:
            later = (Change.seq > self.last.seq, Change.seq <= self._until)
            wanted = (
                select(*parquet.COLUMNS)
                .where(*later)
                .order_by(Change.seq)
                .limit(min(PORTION, self._most - self.count))
            )
            rows = (await self._session.execute(wanted)).all()
            if not rows:
                return
            self.count += len(rows)
            self.first = self.first or rows[0][_SEQ]
            self.last = Mark.of(rows[-1][_SEQ], rows[-1][_RECORDED])
            yield rows
