"""A device: works without a network, hands in what was done, takes in what happened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, Self, TypeVar
from uuid import UUID

import httpx2

from tournee_client.effects import Effect, derive
from tournee_client.errors import Revoked
from tournee_client.farewell import Farewell
from tournee_client.feed import Feed
from tournee_client.ids import new_id
from tournee_client.link import Link
from tournee_client.outbox import Draft, Operation, Rejection
from tournee_client.push import Push
from tournee_client.report import Report
from tournee_client.retry import Backoff
from tournee_client.store import Store
from tournee_client.verify import Repaired, Verification
from tournee_client.wire import Change, Document, Outcome, Progress, instant, plain

T = TypeVar("T")


@dataclass(frozen=True)
class Synced:
    """What a `Device.sync` brought."""

    outcomes: list[Outcome] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True)
class _Unit:
    device: Device
    id: str
    drafts: list[Draft] = field(default_factory=list)


_open: ContextVar[_Unit | None] = ContextVar("unit", default=None)


def _now() -> datetime:
    return datetime.now(UTC)


class Device:
    """A person's device; reads and `do` need no network, everything else raises `Offline` without one."""

    def __init__(
        self,
        base_url: str,
        store: Store,
        http: httpx2.AsyncClient | None = None,
        *,
        clock: Callable[[], datetime] = _now,
        name: str = "tournee-python",
        backoff: Backoff | None = None,
        app: str = "tournee-python/0.1",
        on_progress: Callable[[Progress], object] = lambda _: None,
    ) -> None:
        self.store = store
        self._clock = clock
        self._owns_http = http is None
        self._http = http or httpx2.AsyncClient(timeout=30.0)
        patience = backoff or Backoff()
        link = Link(base_url, store, self._http, name=name, clock=clock, backoff=patience)
        report = Report(app, store, link)
        self._link, self._push = link, Push(link, store, report, clock)
        self._feed = Feed(link, store, patience, report, on_progress)
        self._farewell = Farewell(link, store, self._push)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections this device opened; the store stays open."""
        if self._owns_http:
            await self._http.aclose()

    async def sign_in(self, username: str, password: str, organisation: str | UUID | None = None) -> None:
        """Sign a person in on this device, once; later calls renew themselves.

        `organisation` is the id of one, needed where the e-mail and password fit accounts of several.
        """
        signing_in = partial(self._link.sign_in, username, password, organisation)
        await self._unless_revoked(signing_in, patient=False)

    def sign_out(self) -> None:
        """Forget the tokens; rows and unsent work stay."""
        self._link.sign_out()

    def wipe(self) -> None:
        """Erase everything this device knows, unsent work included; a revoked one does it by itself."""
        self.sign_out()
        self.store.wipe()

    async def do(
        self,
        command: str,
        input: Mapping[str, Any],
        *,
        effects: Iterable[Effect] | None = None,
        unit: str | UUID | None = None,
        occurred_at: datetime | None = None,
    ) -> str:
        """Record an operation, to be handed in later, and return its id.

        Effects not given are derived for plain `createX` and `updateX`; inside `unit()` it joins that unit.
        Raises `TooLarge` for what the server could never take.
        """
        if self.store.leaving is not None:
            raise Revoked
        values = plain(dict(input))
        presumed = derive(command, values) if effects is None else tuple(map(Effect.plain, effects))
        draft = Draft(new_id(), command, values, instant(occurred_at or self._clock()), presumed)
        opened = _open.get()
        if opened is not None and opened.device is self and unit in (None, opened.id):
            opened.drafts.append(draft)
        else:
            self.store.outbox.add([draft], None if unit is None else str(unit))
        return draft.id

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[str]:
        """Group the operations done inside: kept, and later applied, all or none.

        They are recorded when the block ends: nobody can hand in one half, and an exception discards them.
        More than 1,000 operations, or 8 MB, do not fit into one request: that raises `TooLarge` at the end.
        """
        unit = _Unit(self, new_id())
        token = _open.set(unit)
        try:
            yield unit.id
        finally:
            _open.reset(token)
        self.store.outbox.add(unit.drafts, unit.id)

    async def push(self) -> list[Outcome]:
        """Hand in the outbox once, without retrying."""
        return await self._unless_revoked(lambda: self._push.run(patient=False), patient=False)

    async def pull(self) -> list[Change]:
        """Bring the local copy up to date once, without retrying; what was fetched before a failure stays."""
        return await self._unless_revoked(lambda: self._feed.pull(patient=False), patient=False)

    async def sync(self) -> Synced:
        """Push, then pull, patiently, until nothing is left to hand in."""
        return await self._unless_revoked(self._sync, patient=True)

    async def _sync(self) -> Synced:
        synced = Synced()
        wonders = False
        while True:
            synced.outcomes.extend(await self._push.run(patient=True))
            synced.changes.extend(await self._feed.pull(patient=True))
            # Once is enough: a server may not know of epochs.
            asked, wonders = wonders, self.store.wonders
            if not self.store.outbox.waiting() and (asked or not wonders):
                return synced

    async def stream(self) -> AsyncGenerator[list[Change]]:
        """Listen for changes and yield them, already stored; reconnects by itself until closed."""
        await self._go_on_leaving(patient=False)
        try:
            async with aclosing(self._feed.follow()) as heard:
                async for changes in heard:
                    yield changes
        except Revoked as revoked:
            await self._leave(revoked, patient=False)

    async def _unless_revoked(self, call: Callable[[], Awaitable[T]], patient: bool) -> T:
        await self._go_on_leaving(patient)
        try:
            return await call()
        except Revoked as revoked:
            await self._leave(revoked, patient)

    async def _go_on_leaving(self, patient: bool) -> None:
        if self.store.leaving is not None:
            raise await self._farewell.run(patient)

    async def _leave(self, revoked: Revoked, patient: bool) -> NoReturn:
        self._farewell.begin(revoked)
        raise await self._farewell.run(patient) from None

    async def verify(self) -> list[Repaired]:
        """Compare the copy with the server's, put right only what differs, and return what did."""
        check = Verification(self._link, self.store, self._feed)
        return await self._unless_revoked(check.run, patient=False)

    @property
    def clock_skew(self) -> timedelta | None:
        """By how much this device's clock is ahead of the server's, as of the last answer."""
        return self._link.clock_skew

    def get(self, entity: str, id: str | UUID) -> Document | None:
        """Return a row: what the server last said, under what this device has done since."""
        return self.store.get(entity, str(id))

    def all(self, entity: str, **equals: object) -> list[Document]:
        """Return the rows of an entity whose fields equal what is given, seen as by `get`."""
        return self.store.all(entity, **equals)

    def pending(self) -> list[Operation]:
        """Return what the server has not decided; `parked` means it knows of it and waits for something.

        `TOO_LARGE` and `UNREADABLE` mean that the server cannot take it: it will be among `rejections`.
        """
        return self.store.outbox.operations()

    def outcome(self, operation: str | UUID) -> Outcome | None:
        """Return the server's last word on an operation, None before it has said any."""
        return self.store.outbox.outcome(str(operation))

    def rejections(self) -> list[Rejection]:
        """Return every operation that was not carried out, with the reason, oldest first."""
        return self.store.outbox.rejections()
