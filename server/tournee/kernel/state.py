"""State machines: which status may follow which, and what still prevents it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from tournee.kernel.errors import Blocked, TransitionNotAllowed

StateT = TypeVar("StateT", bound=StrEnum)


@dataclass(frozen=True)
class Transition:
    """A status that the record could take next, and what must be done before."""

    to: str
    allowed: bool = True
    blocked_by: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Machine(Generic[StateT]):
    """The moves of one status field. A status without an entry in `moves` is final."""

    moves: Mapping[StateT, Iterable[StateT]]

    def next(self, current: StateT) -> list[StateT]:
        """Return the statuses that may follow, in the order of their declaration."""
        following = frozenset(self.moves.get(current, ()))
        return [state for state in type(current) if state in following]

    def can(self, current: StateT, to: StateT) -> bool:
        return to in self.next(current)

    def require(
        self, current: StateT, to: StateT, blocked_by: Iterable[str] = (), field: str | None = "status"
    ) -> None:
        """Raise TransitionNotAllowed if `to` cannot follow, Blocked if something must be done first."""
        following = self.next(current)
        if to not in following:
            options = ", ".join(following) or "nothing (it is final)"
            raise TransitionNotAllowed(f"{current} cannot become {to}; it can become: {options}.", field)
        if reasons := list(blocked_by):
            raise Blocked(" ".join(reasons), field)

    def transitions(
        self, current: StateT, guards: Mapping[StateT, Iterable[str]] | None = None
    ) -> list[Transition]:
        """Return what may follow now; `guards` returns the reasons against a status, as sentences."""
        reasons = {to: list((guards or {}).get(to, ())) for to in self.next(current)}
        return [Transition(to.value, not blocked, blocked) for to, blocked in reasons.items()]
