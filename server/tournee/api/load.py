"""Loading rows for one operation: on one snapshot, in batches, and always within the actor's visibility.

However many rows an operation touches, each of its fields costs one statement. Rows by id are fetched
together, and the children of many parents by a window function with a limit for each.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from strawberry.dataloader import DataLoader

from tournee.api.errors import LimitExceeded
from tournee.api.filters import where
from tournee.api.pages import MOST_COUNTED, Arguments, Page, counted
from tournee.auth.models import Account
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Forbidden
from tournee.kernel.log import Change, Head, Record
from tournee.kernel.outages import QueryTimeout, is_timeout
from tournee.kernel.question import Question, ask
from tournee.kernel.registry import BY_NAME
from tournee.kernel.visibility import visible

EntityT = TypeVar("EntityT", bound=Entity)
AnswerT = TypeVar("AnswerT")
OpenSession: TypeAlias = AbstractAsyncContextManager[AsyncSession]

# A larger result is an export; a pull is the way to get that.
MOST_ROWS = 50_000
_BATCH = 5_000


def readable(
    model: type[Any], actor: Actor, *, entity: Any = None, account_id: Any = None
) -> ColumnElement[bool]:
    """Return the condition for rows that the actor may see: of an entity, or of the log, which only
    office roles read. `entity` and `account_id` as in `visible`.
    """
    if model is not Change:
        return visible(model, actor, entity=entity, account_id=account_id)
    if not actor.sees_all:
        return false()
    names = [name for name, one in BY_NAME.items() if actor.may(one.reads)]
    log = Change if entity is None else entity
    return log.entity.in_(names)


@dataclass(frozen=True)
class Viewing:
    """The viewer of the executor's statements: their session adds the organisation."""

    actor: Actor

    def alias(self, model: Any) -> Any:
        return aliased(model)

    def visible(self, model: type[Any], entity: Any) -> ColumnElement[bool]:
        return readable(model, self.actor, entity=entity)


NAME_ALONE = "You may read only the name of this account."


@dataclass(frozen=True)
class NamedAccount:
    """An account of which the actor may read only the id and the name."""

    id: UUID
    name: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Forbidden(NAME_ALONE)


def _names(ids: list[Any]) -> Select[UUID, str]:
    return select(Account.id, Account.name).where(Account.id.in_(ids))


class OperationOver(Exception):
    """The operation has been answered."""


class Load:
    """The loaders of one operation, on the session that is opened for it; close it when the operation is
    over. No statement begins later than `seconds` after the first one.
    """

    def __init__(
        self, actor: Actor, open_session: Callable[[Actor], OpenSession], seconds: float | None = None
    ) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._ends = math.inf
        self._actor = actor
        self._viewer = Viewing(actor)
        self._open_session = open_session
        self._stack = AsyncExitStack()
        self._session: AsyncSession | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._running: set[asyncio.Task[Any]] = set()
        self._loaders: dict[Any, DataLoader[Any, Any]] = {}
        self._left = MOST_ROWS

    async def one(self, model: type[EntityT], id: UUID | None) -> EntityT | None:
        """Return the row, if the actor may see it."""
        if id is None:
            return None
        row: EntityT | None = await self._batched(("one", model), lambda ids: self._one(model, ids), id)
        return row

    async def person(self, id: UUID | None) -> Account | NamedAccount | None:
        """Return the account of somebody on a row that the actor sees; only the name, if the actor may not
        see the account.
        """
        if id is None:
            return None
        row = await self.one(Account, id) if self._actor.may(Account.reads) else None
        if row is not None:
            return row
        found = await self.related("name of an account", id, _names)
        return NamedAccount(id, found[0]) if found else None

    async def many(self, child: type[Any], column: str, parent: UUID, arguments: Arguments) -> Page:
        """Return a page of the children whose `column` names the parent."""
        key = ("many", child, column, arguments.key)
        page: Page = await self._batched(key, lambda ids: self._many(child, column, ids, arguments), parent)
        return page

    async def page(
        self, model: type[Any], arguments: Arguments, only: ColumnElement[bool] | None = None
    ) -> Page:
        """Return a page of all rows of the model, or of those that meet a condition."""
        seen = readable(model, self._actor) if only is None else and_(readable(model, self._actor), only)
        in_runs = self._actor.sees_all
        found = aliased(model, arguments.select(model, model, self._viewer, seen, in_runs=in_runs).subquery())
        beside = arguments.order.beside(found, self._viewer)
        order = arguments.clauses(found, self._viewer)
        rows = await self.values(select(found, *beside).order_by(*order), arguments.limit + 1)

        async def count(exact: bool) -> int:
            filtered = where(model, model, arguments.filter, self._viewer)
            counts = await self.values(select(counted(model, and_(seen, filtered), exact=exact)))
            return int(counts[0][0])

        return Page.of(rows, arguments, count)

    async def node(self, id: UUID | None) -> Entity | None:
        """Return the row with this id, of any type."""
        if id is None:
            return None
        found = await self.related(
            "node", id, lambda ids: select(Record.id, Record.entity).where(Record.id.in_(ids))
        )
        return await self.one(BY_NAME[found[0]], id) if found else None

    async def epoch(self) -> UUID:
        """Return the epoch of the organisation's log; a restored backup begins another."""
        organisation = self._actor.organisation_id
        found = await self.related(
            "epoch",
            organisation,
            lambda ids: select(Head.organisation_id, Head.epoch).where(Head.organisation_id.in_(ids)),
        )
        epoch: UUID = found[0]
        return epoch

    async def related(self, key: str, id: UUID | int, fetch: Callable[[list[Any]], Any]) -> list[Any]:
        """What `fetch` selects for many ids at once, each row led by its id: the rest of this id's rows.

        For computed fields. `key` names the question; an id may be a number of the log. The statement
        itself has to say which organisation's rows it means, and how much of them the actor may see.
        """

        async def batch(ids: list[UUID | int]) -> list[list[Any]]:
            found: dict[UUID | int, list[Any]] = {}
            for owner, *values in await self.values(fetch(ids)):
                found.setdefault(owner, []).append(values[0] if len(values) == 1 else tuple(values))
            return [found.get(one, []) for one in ids]

        values: list[Any] = await self._batched(("related", key), batch, id)
        return values

    async def together(
        self, function: Callable[..., Awaitable[Sequence[Any]]], context: Any, row: Any
    ) -> Any:
        """Return the value of a row by a function of many rows, called once for all rows that wait for it."""

        async def batch(rows: list[Any]) -> Sequence[Any]:
            return await function(context, rows)

        return await self._batched(("together", function), batch, row)

    # -- batches ---------------------------------------------------------------------------------

    async def _batched(self, key: Any, fetch: Callable[[list[Any]], Any], id: Any) -> Any:
        if key not in self._loaders:
            self._loaders[key] = DataLoader(fetch, max_batch_size=_BATCH)
        # Several fields may wait for one row. Where one is cancelled, because another one failed beside it,
        # the others still wait.
        return await asyncio.shield(self._loaders[key].load(id))

    async def _one(self, model: type[Any], ids: list[UUID]) -> Sequence[Any]:
        rows = await self.rows(select(model).where(readable(model, self._actor), model.id.in_(ids)))
        found = {row.id: row for row in rows}
        return [found.get(id) for id in ids]

    async def _many(
        self, child: type[Any], column: str, ids: list[UUID], arguments: Arguments
    ) -> Sequence[Page]:
        parent = getattr(child, column)
        order = arguments.clauses(child, self._viewer)
        place = func.row_number().over(partition_by=parent, order_by=order)
        condition = arguments.condition(child, child, self._viewer)
        beside = arguments.order.beside(child, self._viewer)
        ranked = (
            select(child, place.label("place"), *beside)
            .where(readable(child, self._actor), parent.in_(ids), condition)
            .subquery()
        )
        entity = aliased(child, ranked)
        selected = select(entity, *(ranked.c[one.name] for one in beside))
        rows = await self.values(
            selected.where(ranked.c.place <= arguments.limit + 1).order_by(ranked.c.place)
        )
        found: dict[UUID, list[Any]] = {id: [] for id in ids}
        for row in rows:
            found[getattr(row[0], column)].append(row)
        return [Page.of(found[id], arguments, self._counter(child, column, id, arguments)) for id in ids]

    def _counter(self, child: type[Any], column: str, id: UUID, arguments: Arguments) -> Any:
        async def count(exact: bool) -> int:
            key = ("count", child, column, arguments.key)
            found: int = await self._batched(key, lambda ids: self._count(child, column, ids, arguments), id)
            return found if exact else min(found, MOST_COUNTED + 1)

        return count

    async def _count(
        self, child: type[Any], column: str, ids: list[UUID], arguments: Arguments
    ) -> Sequence[int]:
        parent = getattr(child, column)
        condition = where(child, child, arguments.filter, self._viewer)
        rows = await self.values(
            select(parent, func.count())
            .where(readable(child, self._actor), parent.in_(ids), condition)
            .group_by(parent)
        )
        found = dict(rows)
        return [found.get(id, 0) for id in ids]

    # -- statements ------------------------------------------------------------------------------

    async def rows(self, statement: Select[Any], limit: int = MOST_ROWS) -> list[Any]:
        """Return the rows of a statement that selects one entity."""
        return [row[0] for row in await self.values(statement, limit)]

    async def execute(self, statement: Select[*tuple[Any, ...]], /) -> list[Any]:
        """Run a statement for the guards of the domains."""
        return await self.values(statement)

    async def values(self, statement: Select[Any], limit: int = MOST_ROWS) -> list[Any]:
        """Return the result of a statement. Statements run one after the other; a cancelled reader
        disturbs none.
        """
        return await self.ask(lambda session: self._execute(session, statement, limit))

    async def ask(self, work: Callable[[AsyncSession], Awaitable[AnswerT]]) -> AnswerT:
        """Return what `work` reads on the operation's session, while nothing else uses it."""
        task = asyncio.ensure_future(self._in_turn(work))
        self._running.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Mark the error as seen: the waiting field may have been cancelled after a sibling failed.
            task.exception()

    async def answers(
        self, questions: Sequence[Question], values: Mapping[str, Any], most: int
    ) -> list[Sequence[Any]]:
        """Return the rows of each question, on the operation's snapshot; they count as `most` rows."""
        self._spend(most)

        async def work(session: Any) -> list[Sequence[Any]]:
            return await ask(session, questions, values)

        return await self.ask(work)

    async def _in_turn(self, work: Callable[[AsyncSession], Awaitable[AnswerT]]) -> AnswerT:
        async with self._turn:
            if self._is_closed:
                # A field went on beside one that failed; a session opened for it would never be closed.
                raise OperationOver
            if self._session is None:
                self._session = await self._stack.enter_async_context(self._open_session(self._actor))
                self._ends = time.monotonic() + self._seconds
            if time.monotonic() > self._ends:
                raise QueryTimeout
            try:
                return await work(self._session)
            except Exception as error:
                if is_timeout(error):
                    # The transaction has failed: nothing more can be read in it.
                    self._ends = -math.inf
                raise

    async def _execute(self, session: AsyncSession, statement: Select[Any], limit: int) -> list[Any]:
        result = await session.execute(statement.limit(min(limit, self._left + 1)))
        rows = list(result.all())
        self._spend(len(rows))
        return rows

    def _spend(self, rows: int) -> None:
        self._left -= rows
        if self._left < 0:
            raise LimitExceeded(f"An operation reads at most {MOST_ROWS} rows.")

    async def abandon(self) -> None:
        """Stop what runs: nobody waits for it any more."""
        for task in self._running:
            task.cancel()
        await self.close()

    async def close(self) -> None:
        """Give the connection back once no statement runs on it. Nothing can be read afterwards."""
        self._is_closed = True
        await asyncio.gather(*self._running, return_exceptions=True)
        async with self._turn:
            await self._stack.aclose()
            self._session = None
