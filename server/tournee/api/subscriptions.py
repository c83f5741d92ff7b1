"""Subscriptions: the log, live. What was missed comes first, then what happens, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from strawberry.types.field import StrawberryField

from tournee.api.changes import decode
from tournee.api.context import Context, Info
from tournee.api.load import readable
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import Nodes
from tournee.api.scalars import optional
from tournee.kernel.actor import Actor
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import is_there, read_head
from tournee.kernel.log import Change
from tournee.kernel.outages import outage_of
from tournee.kernel.registry import BY_NAME
from tournee.sync.messages import SEQ_LIMIT
from tournee.sync.permissions import CHANGES_READ
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.logged import Seen, entries_after

_PAGE = 500
_LOOK_AGAIN_SECONDS = 1.0
# How long a page may be on its way to a slow reader before the token is checked again.
CHECK_SECONDS = 1.0

EventT = TypeVar("EventT")


def subscription_fields(nodes: Nodes) -> Iterable[StrawberryField]:
    """`changes(since:, entities:)`."""
    yield make_field(
        "changes",
        AsyncIterator[nodes.types[Change]],  # type: ignore[name-defined]
        CHANGES_READ,
        resolver=_changes,
        arguments=[
            argument("since", optional(str), "The cursor of the last change you have; null starts now."),
            argument("entities", optional(list[str]), "Only changes of these types; null for all."),
        ],
        description=(
            "Changes as they are committed; with `since`, first those after that cursor. The office gets"
            " every change; everybody else gets the changes of records that they see."
        ),
        is_subscription=True,
    )


async def _changes(
    info: Info, since: str | None = None, entities: list[str] | None = None
) -> AsyncIterator[Any]:
    async with aclosing(pages(info.context, since)) as found:
        async for page in found:
            wanted = [one for one in page if entities is None or one.entity in entities]
            async for change in sent(info.context, wanted):
                yield change


async def pages(context: Context, since: str | None) -> AsyncGenerator[Sequence[Seen], None]:
    """Yield what was missed and then what happens, a page at a time, while the token is valid."""
    place = await _head(context) if since is None else decode(since)
    look = _office if context.actor.sees_all else _own
    while not context.closing:
        try:
            await context.authorise()
            seen, place, more = await look(context, place)
        except Exception as error:
            outage = outage_of(error)
            if outage is None:
                raise
            await _wait(context, SEQ_LIMIT, outage.retry_after)
            continue
        yield seen
        if not more:
            await _wait(context, place.seq)


async def sent(context: Context, events: Iterable[EventT]) -> AsyncIterator[EventT]:
    """Yield the events of a page, each with a look at the present rows."""
    checked = time.monotonic()
    for event in events:
        if time.monotonic() - checked > CHECK_SECONDS:
            # The reader is slow: who may read may have changed since the page was made.
            await context.authorise()
            checked = time.monotonic()
        await context.renew()
        yield event


async def _wait(context: Context, seq: int, seconds: float = _LOOK_AGAIN_SECONDS) -> None:
    if context.wake is None:
        await asyncio.sleep(seconds)
    else:
        await context.wake.wait(context.actor.organisation_id, seq, seconds)


async def _head(context: Context) -> Cursor:
    if context.feed.tail is not None:
        return Cursor.at(await context.feed.tail.heads.now(context.actor.organisation_id))
    async with context.kernel.database.reading(context.actor.organisation_id) as session:
        return Cursor.at(await read_head(session))


async def _office(context: Context, place: Cursor) -> tuple[Sequence[Seen], Cursor, bool]:
    """The log past the place, on one snapshot with the head: every change, in order.

    Usually memory holds it: one read of a commit serves all subscribers.
    """
    actor = context.actor
    if context.feed.logged is not None:
        shared = await context.feed.logged.after(actor.organisation_id, place)
        if shared is not None:
            entries, end = shared
            return [one for one in entries if _may_read(actor, one.entity)], end, False
    async with (
        context.feed.lanes.queries.turn(actor.key),
        context.kernel.database.reading(actor.organisation_id) as session,
    ):
        head = await read_head(session)
        if place.epoch != head.epoch or not head.floor <= place.seq <= head.seq:
            raise ResyncNeeded
        if not await is_there(session, place.mark, head):
            raise ResyncNeeded
        seen = await entries_after(session, head, place.seq, _PAGE, readable(Change, actor))
    more = len(seen) == _PAGE
    return seen, seen[-1].place if more else Cursor.at(head), more


def _may_read(actor: Actor, entity: str) -> bool:
    return entity in BY_NAME and actor.may(BY_NAME[entity].reads)


async def _own(context: Context, place: Cursor) -> tuple[Sequence[Seen], Cursor, bool]:
    """The records that moved for this person, as the sync feed gives them."""
    page = await context.feed.pull(context.actor, place, _PAGE)
    seen = [
        Seen(one.seq, one.entity, one.id, replace(page.cursor, seq=one.seq, id=one.id), one.document)
        for one in page.changes
    ]
    return seen, page.cursor, page.more
