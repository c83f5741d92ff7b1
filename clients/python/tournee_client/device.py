"""A device: records work without a network, sends it, and receives the changes of others."""

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

from tournee_client.choice import Choice
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
    """What `Device.sync` received: outcomes of its operations, and changed rows."""

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
    """One person's device. Reads and `do` need no network.

    Calls that need one may raise `Offline`, `SignInRefused`, `Revoked` or `ProtocolError`. An account that
    sees the whole organisation may make a `choice` of what the device carries.
    """

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
        choice: Choice | None = None,
    ) -> None:
        self.store = store
        self._clock = clock
        self._owns_http = http is None
        self._http = http or httpx2.AsyncClient(timeout=30.0)
        patience = backoff or Backoff()
        link = Link(base_url, store, self._http, name=name, clock=clock, backoff=patience)
        report = Report(app, store, link)
        self._link, self._push = link, Push(link, store, report, clock)
        self._feed = Feed(link, store, patience, report, on_progress, choice)
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
        """Sign a person in on this device, once; later calls renew their tokens.

        `organisation` is an id, needed where the e-mail and password fit accounts in several organisations.
        """
        signing_in = partial(self._link.sign_in, username, password, organisation)
        await self._unless_revoked(signing_in, patient=False)

    def sign_out(self) -> None:
        """Forget the tokens; rows and unsent work stay."""
        self._link.sign_out()

    def wipe(self) -> None:
        """Erase everything on this device, unsent work included; a revoked device does so by itself."""
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
        """Record an operation, to be sent later, and return its id.

        Without `effects`, they are derived for `createX` and `updateX`. Inside `unit()` it joins that unit.
        Raises `TooLarge` when no request could hold it, `ValueError` for NaN, infinity or a time without a
        zone, and `Revoked` once the device is being wiped.
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
        """Group the operations of the block: all of them are stored and later applied, or none.

        They are recorded when the block ends, so half a unit is never sent; an exception discards them.
        Raises `TooLarge` at the end for more than 1,000 operations or 8 MB, which no request could hold.
        """
        unit = _Unit(self, new_id())
        token = _open.set(unit)
        try:
            yield unit.id
        finally:
            _open.reset(token)
        self.store.outbox.add(unit.drafts, unit.id)

    async def push(self) -> list[Outcome]:
        """Send the outbox once, without retrying, and return the outcomes."""
        return await self._unless_revoked(lambda: self._push.run(patient=False), patient=False)

    async def pull(self) -> list[Change]:
        """Bring the local copy up to date once, without retrying; pages received before a failure stay."""
        return await self._unless_revoked(lambda: self._feed.pull(patient=False), patient=False)

    async def sync(self) -> Synced:
        """Push and pull with retries until the outbox has nothing unsent."""
        return await self._unless_revoked(self._sync, patient=True)

    async def _sync(self) -> Synced:
        synced = Synced()
        wonders = False
        while True:
            synced.outcomes.extend(await self._push.run(patient=True))
            synced.changes.extend(await self._feed.pull(patient=True))
            # One more round is enough: an old server never answers with an epoch.
            asked, wonders = wonders, self.store.wonders
            if not self.store.outbox.waiting() and (asked or not wonders):
                return synced

    async def stream(self) -> AsyncGenerator[list[Change]]:
        """Listen for changes and yield them once stored; reconnects by itself until closed."""
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
        """Compare the copy with the server's by checksums, repair the parts that differ, and return them."""
        check = Verification(self._link, self.store, self._feed)
        return await self._unless_revoked(check.run, patient=False)

    @property
    def clock_skew(self) -> timedelta | None:
        """How far this device's clock is ahead of the server's, as of the last answer; None before any."""
        return self._link.clock_skew

    def get(self, entity: str, id: str | UUID) -> Document | None:
        """Return the server's row with this device's undecided work on it; None when there is no such row."""
        return self.store.get(entity, str(id))

    def all(self, entity: str, **equals: object) -> list[Document]:
        """Return the rows of an entity whose fields equal `equals`, as `get` returns them, ordered by id."""
        return self.store.all(entity, **equals)

    def pending(self) -> list[Operation]:
        """Return the undecided operations, oldest first; a `parked` one was received but waits.

        `TOO_LARGE` and `UNREADABLE` mean that the server cannot take it: it will be among `rejections`.
        """
        return self.store.outbox.operations()

    def outcome(self, operation: str | UUID) -> Outcome | None:
        """Return the latest outcome of an operation, None before the server has answered."""
        return self.store.outbox.outcome(str(operation))

    def rejections(self) -> list[Rejection]:
        """Return every operation that the server refused, with its outcome, oldest first."""
        return self.store.outbox.rejections()
