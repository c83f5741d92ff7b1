"""Questions that a transaction of many commands asks once, ahead of the commands that need the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import InstrumentedAttribute

from tournee.engine.statements import Statements
from tournee.kernel.log import Record

ValueT = TypeVar("ValueT")


class Ahead:
    """Ids and values known to be free."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        self._free: set[UUID] = set()
        self._unclaimed: set[tuple[Any, Any]] = set()

    async def reserve(self, ids: Iterable[UUID]) -> set[UUID]:
        """Ask in one statement which of these ids are taken; return those."""
        asked = set(ids)
        taken: set[UUID] = set()
        for chunk in chunks(list(asked)):
            taken.update((await self.statements.pick(Record.id, chunk, Record.id)).scalars())
        self._free |= asked - taken
        return taken

    async def reserve_values(self, column: InstrumentedAttribute[ValueT], values: Iterable[ValueT]) -> None:
        """Ask in one statement which of these values no row has in this column, for `claim`."""
        asked = set(values)
        for chunk in chunks(list(asked)):
            asked.difference_update((await self.statements.pick(column, chunk, column)).scalars())
        self._unclaimed.update((column, value) for value in asked)

    def claim(self, column: InstrumentedAttribute[ValueT], value: ValueT) -> bool:
        """Return whether the value is known to be free, once: whoever asks is about to take it."""
        known = (column, value) in self._unclaimed
        self._unclaimed.discard((column, value))
        return known

    async def is_taken(self, id: UUID) -> bool:
        """Return whether a record with this id exists; asks the database only if `reserve` has not."""
        return id not in self._free and bool(await self.reserve([id]))


def chunks(values: list[ValueT]) -> Iterator[list[ValueT]]:
    """Split the values: a statement holds only so many parameters."""
    return (values[start : start + 10_000] for start in range(0, len(values), 10_000))
