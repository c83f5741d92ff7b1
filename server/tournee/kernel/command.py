"""Commands: the one way to write. A command is a function and what follows from it.

    @command(WORK_WRITE, offline=True, fact=True)
    async def complete_appointment(tx, actor, do: CompleteAppointment) -> Appointment: ...

From this follow the mutation, the offline operation and the log entry of the same name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import typing
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Select, and_, exists, or_, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.questions import Question, ask, ask_in_one_message
from tournee.engine.replica import Replica
from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Conflict, NotFound
from tournee.kernel.fields import camel
from tournee.kernel.inputs import parse
from tournee.kernel.log import Change, Record
from tournee.kernel.membership import MembershipRules
from tournee.kernel.once import Once, claim, keep
from tournee.kernel.operation import Expected
from tournee.kernel.outages import DatabaseAway, OutcomeUnknown, outage_of
from tournee.kernel.registry import Plain
from tournee.kernel.transaction import Operation, Transaction
from tournee.kernel.visibility import visible

EntityT = TypeVar("EntityT", bound=Entity)
InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")

# SQLSTATEs after which the same transaction may succeed: serialization failure, deadlock.
_TRANSIENT = frozenset({"40001", "40P01"})
_ATTEMPTS = 5

# Seconds, doubled with each attempt.
_FIRST_PAUSE = 0.02


GoesOn = Callable[["Kernel", UUID, Collection[UUID]], Awaitable[None]]

# Filled as domains are imported, so that a command can run a command of any other domain.
COMMANDS_BY_NAME: dict[str, Command[Any, Any]] = {}


@dataclass(frozen=True)
class Command(Generic[InputT, EntityT]):
    """One thing that people do.

    `offline`: devices may send it. `fact`: it records what happened in the field, and is accepted even if the
    office has changed the plan since. `logged`: it changes who may do what, so the server's log records it
    with the client's address. `past`: it records what happened long ago, so an old time does not suggest a
    wrong clock. `plain`: it is the one that creates, updates or deletes such records.
    """

    name: str
    permission: str
    input: type[InputT]
    output: type[EntityT]
    function: Callable[[Transaction, Actor, InputT], Awaitable[EntityT]]
    description: str
    offline: bool = False
    fact: bool = False
    logged: bool = False
    past: bool = False
    plain: Plain | None = None

    def __post_init__(self) -> None:
        COMMANDS_BY_NAME[self.name] = self

    async def __call__(self, tx: Transaction, actor: Actor, do: InputT) -> EntityT:
        """Run inside another command, as a part of it."""
        return await self.function(tx, actor, do)

    def parse(self, payload: Any) -> InputT:
        """Read the input from JSON values; raises Invalid naming every wrong field."""
        return parse(self.input, payload)

    async def run(self, tx: Transaction, do: InputT, operation: Operation) -> EntityT:
        """Check the permission and carry out the command; the transaction notes what it changed."""
        tx.actor.require(self.permission)
        operation.fact = self.fact
        tx.begin(operation)
        try:
            if operation.expected is not None:
                await tx.require_version(operation.expected)
            made = await self.function(tx, tx.actor, do)
            tx.note()
        finally:
            tx.end()
        return made


def command(
    permission: str,
    *,
    offline: bool = False,
    fact: bool = False,
    logged: bool = False,
    past: bool = False,
    plain: Plain | None = None,
) -> Callable[[Callable[[Transaction, Actor, InputT], Awaitable[EntityT]]], Command[InputT, EntityT]]:
    """Make a command of a function `(tx, actor, do: Input) -> Entity`; its name becomes camelCase."""

    def decorate(
        function: Callable[[Transaction, Actor, InputT], Awaitable[EntityT]],
    ) -> Command[InputT, EntityT]:
        hints = typing.get_type_hints(function)
        *_, argument = (name for name in hints if name != "return")
        assert dataclasses.is_dataclass(hints[argument]), function
        return Command(
            name=camel(function.__name__),
            permission=permission,
            input=hints[argument],
            output=hints["return"],
            function=function,
            description=(function.__doc__ or "").strip(),
            offline=offline,
            fact=fact,
            logged=logged,
            past=past,
            plain=plain,
        )

    return decorate


@dataclass(frozen=True)
class Kernel:
    """Runs commands: it holds the database and the membership rules of every domain."""

    database: Database
    rules: MembershipRules
    # Called after the commit with the records that operations may have been waiting for.
    goes_on: GoesOn | None = None
    replica: Replica | None = None
    # The longest that a statement of a query may take, in seconds.
    query_seconds: float | None = None

    def reading(self, actor: Actor) -> AbstractAsyncContextManager[AsyncSession]:
        """Return a read-only session for a query, on one snapshot of the actor's organisation."""
        return self.database.reading(actor.organisation_id, seconds=self.query_seconds)

    def reading_lists(self, actor: Actor) -> AbstractAsyncContextManager[OrganisationSession]:
        """Return such a session for a query, on a read replica where that shows as much."""
        source = self.replica or self.database
        return source.reading(actor.organisation_id, seconds=self.query_seconds)

    def question(self, statement: Select[Any], names: Sequence[str]) -> Question:
        """Keep a statement for `ask`. Each execution gives values for these parameters."""
        return Question(statement, self.database.engine.dialect, names)

    async def ask(
        self, actor: Actor, questions: Sequence[Question], values: Mapping[str, Any]
    ) -> list[Sequence[Any]]:
        """Return the rows of each question, all on one snapshot, where queries are read."""
        if self.replica is None and not self.database.is_sqlite:
            engine, own = self.database.engine, actor.organisation_id
            return await ask_in_one_message(engine, own, questions, values, self.query_seconds)
        async with self.reading_lists(actor) as session:
            return await ask(session, questions, values)

    async def perform(
        self,
        actor: Actor,
        what: Command[InputT, EntityT],
        do: InputT,
        *,
        occurred_at: datetime | None = None,
        expected: Expected | None = None,
        once: Once | None = None,
    ) -> EntityT:
        """Run one command in a transaction and commit it. With `once`, a repeated request changes nothing."""

        async def work(tx: Transaction) -> EntityT:
            if once is not None and (answer := await claim(tx, once)) is not None:
                return await stored_record(tx, what.output, answer)
            operation = Operation(
                what.name, occurred_at or now(), device_id=actor.device_id, expected=expected
            )
            made = await what.run(tx, do, operation)
            if once is not None:
                await keep(tx, once, str(made.id))
            return made

        made = await self.transact(actor, work)
        if what.logged:
            by = {"organisation": str(actor.organisation_id), "account": str(actor.id)}
            structlog.get_logger().info("carried_out", command=what.name, record=str(made.id), **by)
        return made

    async def transact(self, actor: Actor, work: Callable[[Transaction], Awaitable[ResultT]]) -> ResultT:
        """Run `work` and commit. After an error that may pass, and certainly left nothing, start over."""
        for attempt in range(1, _ATTEMPTS + 1):
            tx: Transaction | None = None
            try:
                async with self.database.writing(actor.organisation_id) as session:
                    tx = Transaction(self.database, session, actor, self.rules)
                    result = await work(tx)
                    await tx.commit()
            except IntegrityError as error:
                if not is_transient(error):
                    raise Conflict("This clashes with an existing record.") from error
            except DBAPIError as error:
                _require_known(tx, error)
                if not passes(error) or attempt == _ATTEMPTS:
                    raise
                structlog.get_logger().info("transaction_retried", attempt=attempt)
                await asyncio.sleep(pause(attempt))
            else:
                if self.goes_on is not None and tx.notes.awaited:
                    await self.goes_on(self, actor.organisation_id, tx.notes.awaited)
                return result
        raise AssertionError("unreachable")


async def stored_record(tx: Transaction, model: type[EntityT], id: str) -> EntityT:
    """Return the record of a command that was carried out before. Raises NotFound if its actor does not see
    it any more and others have changed it since.
    """
    wanted = select(model).where(model.id == UUID(id))
    if not tx.actor.sees_all:
        last = and_(Change.organisation_id == Record.organisation_id, Change.seq == Record.seq)
        as_left = (
            select(1)
            .select_from(Record)
            .join(Change, last)
            .where(Record.organisation_id == model.organisation_id, Record.id == model.id)
            .where(Change.actor_id == tx.actor.id)
        )
        wanted = wanted.where(or_(visible(model, tx.actor), exists(as_left)))
    row = await tx.session.scalar(wanted)
    if row is None:
        raise NotFound("This was carried out before, and you may not see the record any more.")
    return row


def pause(attempt: int) -> float:
    """Return the seconds to wait before the next attempt: random, so that transactions which collided do not
    collide again.
    """
    return random.uniform(0, _FIRST_PAUSE * 2**attempt)  # noqa: S311 - no secret depends on it


def is_transient(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _TRANSIENT


def passes(error: DBAPIError) -> bool:
    """Return whether the same transaction may succeed when it is tried again."""
    return is_transient(error) or _is_away(error)


def _is_away(error: DBAPIError) -> bool:
    """Return whether the connection to the database was lost or could not be made."""
    return isinstance(outage_of(error), DatabaseAway)


def _require_known(tx: Transaction | None, error: DBAPIError) -> None:
    """Raise OutcomeUnknown if the connection was lost during the commit, which may have succeeded."""
    if tx is not None and tx.is_committing and _is_away(error):
        raise OutcomeUnknown from error
