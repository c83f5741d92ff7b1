"""Helpers to run GraphQL operations as any account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import event, insert

from tests.support.house import House
from tournee.api.context import Context
from tournee.api.schema import schema
from tournee.catalogue import ENTITIES
from tournee.kernel.actor import Actor
from tournee.kernel.log import Member
from tournee.sync.pull.feed import Feed


@dataclass
class Answer:
    """The result: data, and errors as a client receives them."""

    data: Any
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.errors]


async def answer(house: House, document: str, _as: Any = "MANAGER", /, **variables: Any) -> Answer:
    """Run one operation as a role or actor of the house."""
    actor = _as if isinstance(_as, Actor) else house.actor(_as)
    feed = Feed(house.database, tuple(ENTITIES.values()))
    result = await schema().execute(
        document, variable_values=variables, context_value=Context(house.kernel, actor, feed)
    )
    return Answer(result.data, [error.formatted for error in result.errors or ()])  # type: ignore[misc]


async def ask(house: House, document: str, _as: Any = "MANAGER", /, **variables: Any) -> Any:
    """Run an operation that must succeed and return its data."""
    found = await answer(house, document, _as, **variables)
    assert not found.errors, found.errors
    return found.data


async def give_scope(house: House, actor: Actor, scope: UUID) -> None:
    """Give an account a scope, regardless of the domains' rules."""
    async with house.writing() as session:
        await session.execute(
            insert(Member.__table__).values(  # type: ignore[arg-type]
                organisation_id=house.organisation_id, account_id=actor.id, scope=scope, from_seq=0
            )
        )
        await session.commit()


@contextmanager
def statements(house: House) -> Iterator[list[str]]:
    """Collect the SQL sent inside the block, without transaction statements."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN", "SET", "COMMIT", "ROLLBACK")):
            sent.append(statement)

    engine = house.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
