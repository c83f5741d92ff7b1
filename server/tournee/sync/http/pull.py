"""The endpoint of pull."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tournee.kernel.actor import Actor
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import Mark
from tournee.sync.devices.acknowledged import Acknowledged
from tournee.sync.devices.report import Report
from tournee.sync.http.door import Door, Query, Read, device_of, limit_of, send_json
from tournee.sync.pull.choice import read_choice
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.sync.pull.feed import DEFAULT_LIMIT, Feed
from tournee.sync.pull.page import Page
from tournee.sync.pull.removals import MODE, Removals, earlier

RESYNC = '{"changes":[],"cursor":null,"more":false,"resync":true}'

# Below it, compressing costs more than it saves.
_WORTH_COMPRESSING = 16 * 1024


@dataclass(frozen=True)
class PullEndpoint:
    """`GET /sync/pull`: one page of what changed for this person since the cursor."""

    door: Door
    feed: Feed
    cursors: CursorCodec
    acknowledged: Acknowledged

    @property
    def removals(self) -> Removals:
        return Removals(self.door.database, self.feed, self.cursors)

    def routes(self) -> list[Route]:
        return [Route("/sync/pull", Read(self.answer), methods=["GET"])]

    async def answer(self, actor: Actor, query: Query, scope: Scope, receive: Receive, send: Send) -> None:
        limit = limit_of(query, DEFAULT_LIMIT)
        text = query.get("cursor")
        device_id = device_of(query, actor)
        recent = await self.door.enter(actor, device_id)
        report = Report.of_query(query)
        choice = read_choice(query, actor, self.feed.readable(actor))
        try:
            # A plain pull resumes from the earlier of the two positions.
            cursor = await self.cursors.open(earlier(text), actor) if text else None
            if cursor is not None:
                await self.feed.require(actor, Mark.read(query.get("mark")), recent)
            if query.get("removals") == MODE:
                empty = report.queue_length == 0
                page, given = await self.removals.pull(actor, device_id, text, limit, choice, empty=empty)
            else:
                page = await self.feed.pull(actor, cursor, limit, recent, choice)
                # If nothing moved, the same cursor goes back.
                given = text if text and page.cursor is cursor else self.cursors.encode(page.cursor, actor)
        except ResyncNeeded:
            await send_json(send, RESYNC.encode())
            return
        if device_id is not None:
            held = cursor.seq if cursor is not None and not cursor.snapshot else None
            self.acknowledged.note(actor, device_id, held, report)
        body = page.body(given).encode()
        if len(body) < _WORTH_COMPRESSING or not _takes_gzip(scope):
            await send_json(send, body)
        else:
            await _send_packed(send, body)


async def _send_packed(send: Send, body: bytes) -> None:
    packed = await asyncio.to_thread(zlib.compress, body, 1, zlib.MAX_WBITS | 16)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(packed)),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": packed})


def _takes_gzip(scope: Scope) -> bool:
    return any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])


def event(page: Page, cursor: Cursor, cursors: CursorCodec, actor: Actor) -> str:
    """Return a page as an event of a stream."""
    text = cursors.encode(cursor, actor)
    return f"event: changes\nid: {text}\ndata: {page.body(text)}\n\n"
