"""Checksums: whether a device's copy is what it should be. The numbers are those of schema/sync.md,
"Checking".

A copy is compared by sums that do not depend on order, one for each entity and sixteenth of it. Only what
differs is sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Text, and_, cast, exists, select

from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.head import is_there, read_head
from tournee.kernel.log import Edge, Record
from tournee.kernel.visibility import sees
from tournee.kernel.withheld import without
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.cursor import MAX_ID, MIN_ID, Cursor
from tournee.sync.pull.moved import moved_rows
from tournee.sync.pull.page import PulledChange, Rows, write

BUCKETS = "0123456789abcdef"
_AT_ONCE = 1_000
_EXACT = 2**53


def row_sum(entity: str, record: dict[str, Any]) -> int:
    """1. The first 64 bits of the SHA-256 of the entity's name, a line feed and the canonical record."""
    text = orjson.dumps(_canonical(record), option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.sha256(entity.encode() + b"\n" + text).digest()[:8])


def _canonical(value: Any) -> Any:
    """2. Write numbers that not every reader keeps exactly as the text of their 64 bits."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value == int(value) and abs(value) < _EXACT:
        return int(value)
    return "~" + struct.pack(">d", value).hex()


@dataclass
class Sums:
    """The number of rows of one entity, and their sum for each last digit of the id.

    For one scope also the ids, since a device does not know what lies in a scope.
    """

    count: int = 0
    ids: list[str] | None = None
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))

    def add(self, id: UUID, row: int) -> None:
        self.count += 1
        if self.ids is not None:
            self.ids.append(str(id))
        bucket = id.int & 15
        self.buckets[bucket] = (self.buckets[bucket] + row) % 2**64

    def told(self) -> dict[str, Any]:
        buckets = [f"{bucket:016x}" for bucket in self.buckets]
        told = {"count": self.count, "checksum": f"{sum(self.buckets) % 2**64:016x}", "buckets": buckets}
        return told if self.ids is None else {**told, "ids": self.ids}


class Copy:
    """What an actor's device should hold, on one database snapshot; of one scope only, if one is given."""

    def __init__(
        self,
        session: OrganisationSession,
        actor: Actor,
        entities: list[str],
        scope: UUID | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.session = session
        self.actor = actor
        self.entities = entities
        self.scope = scope
        self.choice = choice

    async def is_current(self, cursor: Cursor) -> bool:
        """3. Return whether nothing moved for the actor after this cursor; otherwise the device pulls
        first.
        """
        head = await read_head(self.session)
        if cursor.snapshot or cursor.epoch != head.epoch or not head.floor <= cursor.seq <= head.seq:
            return False
        if not await is_there(self.session, cursor.mark, head):
            return False
        if (cursor.seq, cursor.id) == (head.seq, MAX_ID):
            return True
        moved = moved_rows(self.actor, self.entities, cursor, 1, self.choice)
        return await write(self.session, moved, 1) is None

    async def sums(self) -> dict[str, Sums]:
        found: dict[str, Sums] = {}
        async for _, entity, id, document in self._rows():
            sums = found.setdefault(entity, Sums(ids=None if self.scope is None else []))
            sums.add(id, row_sum(entity, without(self.actor, entity, orjson.loads(document))))
        return found

    async def bucket(
        self, entity: str, bucket: str | None, after: UUID, limit: int
    ) -> tuple[list[PulledChange], bool]:
        """Return the next rows of one sixteenth of an entity, by id, and whether there are more."""
        rows = self._visible([entity], bucket).where(Record.id > after).order_by(Record.id)
        found = (await self.session.execute(rows.limit(limit + 1))).all()
        changes = [PulledChange(*row).shown_to(self.actor) for row in found[:limit]]
        return changes, len(found) > limit

    async def _rows(self) -> AsyncIterator[Any]:
        after, more = MIN_ID, True
        while more:
            rows = self._visible(self.entities, None).where(Record.id > after).order_by(Record.id)
            found = (await self.session.execute(rows.limit(_AT_ONCE))).all()
            for row in found:
                yield row
            more = len(found) == _AT_ONCE
            after = found[-1].id if found else after
            # Let other requests run in between.
            await asyncio.sleep(0)

    def _visible(self, entities: list[str], bucket: str | None) -> Rows:
        rows = select(Record.seq, Record.entity, Record.id, Record.document).where(
            Record.deleted.is_(False),
            Record.entity.in_(entities),
        )
        if bucket is not None:
            rows = rows.where(cast(Record.id, Text).like(f"%{bucket}"))
        if self.choice is not None:
            rows = rows.where(self.choice.carries())
        if self.scope is None and self.actor.sees_all:
            return rows
        scopes = None if self.scope is None else [self.scope]
        if not self.actor.sees_all:
            return rows.where(sees(self.actor.id, Record.id, row=Record, scopes=scopes))
        lies = and_(Edge.organisation_id == Record.organisation_id, Edge.record_id == Record.id)
        return rows.where(exists(select(1).where(lies, Edge.open.is_(True), Edge.scope == self.scope)))
