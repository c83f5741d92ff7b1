"""Devices that page through the feed while others write, and remember every page."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from sqlalchemy.exc import DBAPIError

from tests.simulator.device import KIND
from tournee.catalogue import ENTITIES, urgent_scopes
from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.engine.lanes import Overloaded
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.kernel.errors import ResyncNeeded
from tournee.sync.pull.cursor import Cursor, CursorCodec
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.page import Page

Document = dict[str, Any]
_KEY = b"one key for all servers of a house"


class Server:
    """Answers pulls with its own connections and cache, as a process would."""

    def __init__(self, url: str, *, remembers: bool) -> None:
        self.database = Database(url, pool_size=4)
        self.heads = Heads(self.database)
        tail = Tail(self.database, self.heads) if remembers else None
        self.feed = Feed(self.database, tuple(ENTITIES.values()), tail, urgent_scopes)
        self.codec = CursorCodec(lambda: (_KEY,))

    async def close(self) -> None:
        await self.heads.close()
        await self.database.close()


_AT_LEAST = 3


@dataclass(frozen=True)
class Step:
    """One stored page, with the cursor before it."""

    before: Cursor | None
    page: Page
    asked_at: float


@dataclass(frozen=True)
class Copy:
    """A device's whole copy after a complete pull."""

    checkpoint: int
    asked_at: float
    rows: dict[str, Document]


@dataclass
class Puller:
    """A device that asks any server, may get no answer, and sometimes begins a new copy."""

    name: str
    actor: Actor
    servers: list[Server]
    dice: random.Random
    sizes: tuple[int, ...] = (1, 2, 3, 7, 30, 500)
    # How many of a hundred complete pulls start a new copy.
    anew: int = 5
    rows: dict[str, Document] = field(default_factory=dict)
    cursor: str | None = None
    # Each chain of pages starts with a new copy.
    chains: list[list[Step]] = field(default_factory=lambda: [[]])
    copies: list[Copy] = field(default_factory=list)
    lost: int = 0
    resyncs: int = 0

    async def pull_until(self, quiet: asyncio.Event) -> None:
        # Even on a slow machine each records something.
        while not quiet.is_set() or len(self.copies) < _AT_LEAST:
            await self.pull()
            if self.dice.random() * 100 < self.anew:
                self._begin_anew()
            await asyncio.sleep(self.dice.random() * 0.02)

    def _begin_anew(self) -> None:
        self.rows, self.cursor = {}, None
        self.chains.append([])

    async def pull(self) -> None:
        """Pull until there are no more pages."""
        more = True
        while more:
            server = self.dice.choice(self.servers)
            asked_at = time.monotonic()
            before = server.codec.decode(self.cursor, self.actor) if self.cursor else None
            try:
                page = await server.feed.pull(self.actor, before, self.dice.choice(self.sizes))
            except (DBAPIError, psycopg.Error, Overloaded):
                self.lost += 1
                continue
            except ResyncNeeded:
                # A server with a broken order may notice that a change is not the one it sent.
                self.resyncs += 1
                self._begin_anew()
                continue
            if self.dice.random() < 0.05:
                self.lost += 1  # The answer is lost, so the same cursor is used again.
                continue
            self._store(Step(before, page, asked_at))
            self.cursor = server.codec.encode(page.cursor, self.actor)
            more = page.more

    def _store(self, step: Step) -> None:
        self.chains[-1].append(step)
        for change in step.page.changes:
            if change.document is None:
                self.rows.pop(str(change.id), None)
            else:
                self.rows[str(change.id)] = {KIND: change.entity, **orjson.loads(change.document)}
        if not step.page.more:
            assert step.page.checkpoint is not None
            self.copies.append(Copy(step.page.checkpoint, step.asked_at, dict(self.rows)))
