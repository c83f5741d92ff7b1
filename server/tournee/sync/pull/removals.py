"""Removals in two steps, for clients that pull before they push. The numbers are those of schema/sync.md,
"Removals in two steps".

When such a client removes a row, it destroys an edit that it has not sent yet. So it has two positions in the
feed. Up to the first, everything was sent, and what had to be removed was sent as archived. Up to the second,
it was removed. The second follows the first once the device has pushed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select

from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Invalid, ResyncNeeded
from tournee.sync.models import DeviceState
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.page import Page, PulledChange, text_of

MODE = "two-step"


@dataclass(frozen=True)
class _Place:
    """Sent up to `told`, removed up to `removed`; `pushes` is how often the device had pushed by then."""

    told: Cursor | None
    removed: Cursor | None
    pushes: int

    @property
    def waits(self) -> bool:
        return self.removed != self.told


@dataclass(frozen=True)
class Removals:
    """Pages whose removals come in two steps. Stateless apart from the device's count of pushes."""

    database: Database
    feed: Feed
    cursors: CursorCodec

    async def pull(
        self,
        actor: Actor,
        device_id: UUID | None,
        text: str | None,
        limit: int,
        choice: Choice | None = None,
        *,
        empty: bool,
    ) -> tuple[Page, str]:
        """Return a page and its cursor. `empty`: the device reports that its outbox is empty."""
        if device_id is None:
            raise Invalid("removals: removing in two steps needs a device.", "device")
        place = self._decode(text, actor)
        if place.waits and (empty or await self._pushes(actor, device_id) > place.pushes):
            page, after = await self._removed(actor, place, limit)
        else:
            page, after = await self._told(actor, place, limit, choice)
            # Counted after the page was read: a push under way meanwhile did not know the page.
            after = replace(after, pushes=await self._pushes(actor, device_id))
        return page, self._encode(after, actor)

    async def _told(
        self, actor: Actor, place: _Place, limit: int, choice: Choice | None
    ) -> tuple[Page, _Place]:
        """1. Send what is to be removed as an ordinary change: an archived row."""
        page = await self.feed.pull(actor, place.told, limit, choice=choice)
        changes = page.changes
        archives = any(change.document is None for change in changes)
        if archives:
            page = replace(page, text=text_of(map(_archived, changes)))
        removed = place.removed if place.waits or archives else page.cursor
        return page, _Place(page.cursor, removed or place.told, place.pushes)

    async def _removed(self, actor: Actor, place: _Place, limit: int) -> tuple[Page, _Place]:
        """2. Remove what was archived so far."""
        assert place.told is not None
        page = await self.feed.pull(actor, place.removed, limit)
        until = (place.told.seq, place.told.id)
        gone = [one for one in page.changes if one.document is None and (one.seq, one.id) <= until]
        through = not page.more or (page.cursor.seq, page.cursor.id) >= until
        removed = place.told if through else page.cursor
        return Page(text_of(gone), place.told, more=True), replace(place, removed=removed)

    async def _pushes(self, actor: Actor, device_id: UUID) -> int:
        async with self.database.reading(actor.organisation_id) as session:
            pushes = await session.scalar(
                select(DeviceState.pushes).where(
                    DeviceState.device_id == device_id,
                )
            )
            return pushes or 0

    def _encode(self, place: _Place, actor: Actor) -> str:
        assert place.told is not None
        assert place.removed is not None
        told, removed = (self.cursors.encode(cursor, actor) for cursor in (place.told, place.removed))
        return f"{told}.{removed}.{place.pushes}"

    def _decode(self, text: str | None, actor: Actor) -> _Place:
        """Read the two positions; a cursor of a plain pull stands for both."""
        if not text:
            return _Place(None, None, 0)
        parts = text.split(".")
        if len(parts) == 1:
            cursor = self.cursors.decode(text, actor)
            return _Place(cursor, cursor, 0)
        if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 17):
            raise ResyncNeeded
        told, removed = (self.cursors.decode(part, actor) for part in parts[:2])
        return _Place(told, removed, int(parts[2]))


def earlier(text: str) -> str:
    """Return the earlier of a cursor's two positions; a plain cursor unchanged."""
    told, *rest = text.split(".")
    return rest[0] if rest else told


def _archived(change: PulledChange) -> PulledChange:
    """Return an archived row in place of a removal, with nothing but its id."""
    if change.document is not None:
        return change
    return replace(change, document=f'{{"id":"{change.id}","archived":true}}')
