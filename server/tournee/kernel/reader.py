"""Who runs the statements of a guard: a command's transaction, or one GraphQL operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Select

from tournee.kernel.actor import Actor
from tournee.kernel.state import Transition


class Reader(Protocol):
    """Runs a statement and returns its rows. A session is one; so is the loader of the API, which counts
    and limits what an operation reads."""

    def execute(self, statement: Select[*tuple[Any, ...]], /) -> Awaitable[Iterable[Any]]: ...


# Returns for each row the statuses that may follow, and what blocks each of them.
Guard: TypeAlias = Callable[[Reader, Actor, Sequence[Any]], Awaitable[Sequence[list[Transition]]]]
