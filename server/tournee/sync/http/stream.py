"""`GET /sync/stream`: the pages of a pull live, as server-sent events; each event's id is its cursor.

A subscriber costs one place in a list. A commit wakes those of its organisation, after one look at what
happened; most pages come from the tail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tournee.answers import SlowReader, patiently
from tournee.auth.tokens import TokenRefused
from tournee.engine.lanes import Lane
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Refused, ResyncNeeded
from tournee.kernel.outages import outage_of
from tournee.sync.http.door import Door, Query, Read, device_of, error_of
from tournee.sync.http.pull import RESYNC, event
from tournee.sync.http.wake import Wake
from tournee.sync.messages import SEQ_LIMIT
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.page import Page

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ],
}


@dataclass(frozen=True)
class Stream:
    """The streams of one server."""

    door: Door
    feed: Feed
    cursors: CursorCodec
    wake: Wake
    lane: Lane
    heartbeat_seconds: float = 15.0

    def routes(self) -> list[Route]:
        return [Route("/sync/stream", Read(self.answer), methods=["GET"])]

    async def answer(self, actor: Actor, query: Query, scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
        text = given.decode("latin-1") or query.get("cursor")
        device_id = device_of(query, actor)
        await self.door.enter(actor, device_id)
        async with self.lane.turn(actor.key):
            await send(_START)
            gone = asyncio.ensure_future(_disconnected(receive))
            try:
                expires = scope.get("token_expires_at")
                async for told in self.events(actor, text, device_id, expires, gone):
                    await patiently(
                        send({"type": "http.response.body", "body": told.encode(), "more_body": True})
                    )
            except SlowReader:
                return
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def events(
        self,
        actor: Actor,
        text: str | None,
        device_id: UUID | None = None,
        expires: float | None = None,
        gone: asyncio.Future[None] | None = None,
    ) -> AsyncIterator[str]:
        """Yield events until the token expires, the account or device is shut out, the server stops, or
        the client is gone.
        """
        yield ": connected\n\n"
        try:
            cursor = await self.cursors.open(text, actor) if text else None
            told, quiet_since = cursor, time.monotonic()
            heard: int | None = None
            while not self._over(gone):
                _require_time(expires)
                page = await self._page(actor, device_id, cursor, heard, gone)
                heard = None
                if page is None:
                    continue
                quiet = time.monotonic() - quiet_since >= self.heartbeat_seconds
                cursor = page.cursor
                if page.text or told is None or (quiet and cursor != told):
                    yield event(page, cursor, self.cursors, actor)
                    told, quiet_since = cursor, time.monotonic()
                elif quiet:
                    yield ": heartbeat\n\n"
                    quiet_since = time.monotonic()
                if not page.more:
                    seconds = self._patience(quiet_since, expires)
                    heard = await self.wake.wait(actor.organisation_id, cursor.seq, seconds, gone)
        except ResyncNeeded:
            yield f"event: changes\ndata: {RESYNC}\n\n"
        except (TokenRefused, Refused) as refusal:
            yield f"event: closed\ndata: {error_of(refusal)}\n\n"

    async def _page(
        self,
        actor: Actor,
        device_id: UUID | None,
        cursor: Cursor | None,
        heard: int | None,
        gone: asyncio.Future[None] | None,
    ) -> Page | None:
        """Return the next page; None after an outage has passed, with the stream still open."""
        try:
            recent = await self.door.enter(actor, device_id, heard)
            return await self.feed.pull(actor, cursor, recent=recent)
        except Exception as error:
            outage = outage_of(error)
            if outage is None:
                raise
            await self.wake.wait(actor.organisation_id, SEQ_LIMIT, outage.retry_after, gone)
            return None

    def _over(self, gone: asyncio.Future[None] | None) -> bool:
        return self.wake.closing.is_set() or (gone is not None and gone.done())

    def _patience(self, quiet_since: float, expires: float | None) -> float:
        """Return the seconds until the next heartbeat is due or the token expires."""
        seconds = quiet_since + self.heartbeat_seconds - time.monotonic()
        return max(0.0, seconds if expires is None else min(seconds, expires - time.time()))


def _require_time(expires: float | None) -> None:
    if expires is not None and time.time() >= expires:
        raise TokenRefused("TOKEN_EXPIRED", "This access token has expired; renew it.")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
