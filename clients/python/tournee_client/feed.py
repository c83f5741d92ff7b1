"""Receiving changes, by pulling and by listening to the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tournee_client.choice import Choice
from tournee_client.errors import Offline, ProtocolError
from tournee_client.link import Link
from tournee_client.report import Report
from tournee_client.retry import Backoff
from tournee_client.store import Store
from tournee_client.wire import Change, Page, Progress

_RESYNCS = 3


class Feed:
    """Keeps the local copy up to date."""

    def __init__(
        self,
        link: Link,
        store: Store,
        backoff: Backoff,
        report: Report,
        progress: Callable[[Progress], object],
        choice: Choice | None = None,
    ) -> None:
        self._link = link
        self._store = store
        self._backoff = backoff
        self._report = report
        self._progress = progress
        self._choice = choice
        # A page is valid only on top of the cursor it was requested with.
        self._turn = asyncio.Lock()

    async def pull(self, patient: bool) -> list[Change]:
        """Store pages until there are no more; return the changes."""
        async with self._turn:
            settled = self._store.outbox.settled()
            self._choose()
            if self._store.doubtful:
                self._store.renew()
            changes: list[Change] = []
            more = True
            while more:
                page, mark = await self._next_page(patient)
                changes += self._store.apply(page, settled, mark)
                if page.progress is not None:
                    self._progress(page.progress)
                more = page.more
            return changes

    def _choose(self) -> None:
        """Begin a new copy if the present one was fetched for another choice."""
        wanted = None if self._choice is None else self._choice.text()
        if self._store.choice == wanted:
            return
        if self._store.cursor is not None or self._store.renewing:
            self._store.renew()
        self._store.choose(wanted)

    async def _next_page(self, patient: bool) -> tuple[Page, str | None]:
        """Return the next page, and the push mark it was requested with."""
        for _ in range(_RESYNCS):
            cursor = self._store.next_cursor
            if cursor is None:
                self._store.wonder()
            query = self._report.query() | ({} if cursor is None else {"cursor": cursor})
            if self._choice is not None:
                query |= self._choice.query()
            mark = self._store.pushed_mark
            if mark is not None:
                query["mark"] = mark
            page = Page.parse(await self._link.call("GET", "/sync/pull", patient, params=query))
            if page.resync and cursor is not None:
                self._store.renew()
            elif page.cursor is None or (page.more and page.cursor == cursor):
                raise ProtocolError("the page's cursor does not move on")
            else:
                return page, mark
        raise ProtocolError("the server asks for a new copy again and again")

    async def follow(self) -> AsyncGenerator[list[Change]]:
        """Listen for ever; yield changes once they are stored."""
        attempt = 0
        while True:
            retry_after = None
            try:
                async with aclosing(self._listen()) as heard:
                    async for changes in heard:
                        attempt = 0
                        if changes:
                            yield changes
            except Offline as offline:
                retry_after = offline.retry_after
            await self._backoff.pause(attempt, retry_after)
            attempt += 1

    async def _listen(self) -> AsyncGenerator[list[Change]]:
        self._choose()
        if self._store.cursor is None or self._store.renewing:
            yield await self.pull(patient=False)
        async with aclosing(self._link.events("/sync/stream", self._store.cursor)) as pages:
            async for page in pages:
                yield await self._hear(page)
                if page.resync:
                    return

    async def _hear(self, page: Page) -> list[Change]:
        changes: list[Change] = []
        async with self._turn:
            if not page.resync:
                changes = self._store.follow(page)
            elif not self._store.renewing:
                self._store.renew()
        if page.resync or page.more:
            changes += await self.pull(patient=False)
        return changes
