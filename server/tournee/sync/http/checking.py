"""Checking a copy over HTTP: `GET /sync/checksums` and `GET /sync/repair`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import orjson
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tournee.kernel.actor import Actor
from tournee.kernel.errors import Invalid, ResyncNeeded
from tournee.sync.http.door import Door, Query, Read, device_of, limit_of, send_json
from tournee.sync.pull.checksums import BUCKETS, Copy
from tournee.sync.pull.cursor import MIN_ID, Cursor, CursorCodec
from tournee.sync.pull.feed import DEFAULT_LIMIT, GREATEST_LIMIT, Feed
from tournee.sync.pull.page import text_of
from tournee.sync.push.request import read_uuid

# Something has changed for this person since the cursor: the device pulls and asks again.
_BEHIND = b'{"current":false}'


@dataclass(frozen=True)
class Checking:
    """Both endpoints take the cursor of a completed pull: only an up-to-date copy can be compared."""

    door: Door
    feed: Feed
    cursors: CursorCodec

    def routes(self) -> list[Route]:
        return [
            Route("/sync/checksums", Read(self.checksums), methods=["GET"]),
            Route("/sync/repair", Read(self.repair), methods=["GET"]),
        ]

    async def checksums(self, actor: Actor, query: Query, _: Scope, __: Receive, send: Send) -> None:
        """4. Answer with the count and the sums of what the copy should hold, for each entity."""
        async with self._copy(actor, query) as (copy, cursor):
            if cursor is None or not await copy.is_current(cursor):
                await send_json(send, _BEHIND)
                return
            sums = await copy.sums()
        told = {entity: sums[entity].told() for entity in sorted(sums)}
        await send_json(send, orjson.dumps({"current": True, "seq": cursor.seq, "entities": told}))

    async def repair(self, actor: Actor, query: Query, _: Scope, __: Receive, send: Send) -> None:
        """5. Answer with the rows of one part of the copy; the device removes whatever else it has there."""
        entity, bucket = query.get("entity", ""), query.get("bucket")
        if entity not in self.feed.readable(actor):
            raise Invalid("entity: must be a type that you can read.", "entity")
        if bucket is not None and bucket not in tuple(BUCKETS):
            raise Invalid("bucket: must be one hexadecimal digit.", "bucket")
        after = _id(query, "after") or MIN_ID
        limit = min(limit_of(query, DEFAULT_LIMIT), GREATEST_LIMIT)
        async with self._copy(actor, query) as (copy, cursor):
            if cursor is None or not await copy.is_current(cursor):
                await send_json(send, _BEHIND)
                return
            changes, more = await copy.bucket(entity, bucket, after, limit)
        following = f'"{changes[-1].id}"' if more else "null"
        body = f'{{"current":true,"changes":[{text_of(changes)}],"after":{following}}}'
        await send_json(send, body.encode())

    @asynccontextmanager
    async def _copy(self, actor: Actor, query: Query) -> AsyncIterator[tuple[Copy, Cursor | None]]:
        await self.door.enter(actor, device_of(query, actor))
        scope = _id(query, "scope")
        try:
            cursor = await self.cursors.open(query.get("cursor", ""), actor)
        except ResyncNeeded:
            cursor = None
        async with (
            self.feed.lanes.snapshots.turn(actor.key),
            self.feed.database.reading(actor.organisation_id) as session,
        ):
            choice = None if cursor is None else cursor.choice
            yield Copy(session, actor, self.feed.carried(actor, choice), scope, choice), cursor


def _id(query: Query, name: str) -> UUID | None:
    return read_uuid(query[name], name) if query.get(name) else None
