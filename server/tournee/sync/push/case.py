"""A case: one operation of a device, and how far it has come.

    NEW ──→ DONE | REFUSED | WAITING
    WAITING ──→ DONE | REFUSED | WAITING for another reason | QUARANTINED

DONE and REFUSED are final: the operation has a receipt, or gets one at the commit. A QUARANTINED operation
waits for a manager's decision; no push changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from tournee.kernel.errors import OperationReused, ParkedLimit, Refused, Unfinished
from tournee.sync.messages import Outcome, PushedOperation, read_operation, rejected, waiting
from tournee.sync.models import KEPT, ParkedOperation, Reason

if TYPE_CHECKING:
    from tournee.kernel.command import Command


class State(Enum):
    """How far an operation has come."""

    NEW = "new"
    DONE = "done"
    REFUSED = "refused"
    WAITING = "waiting"
    QUARANTINED = "quarantined"


MOVES: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.DONE, State.REFUSED, State.WAITING}),
    State.WAITING: frozenset({State.DONE, State.REFUSED, State.WAITING, State.QUARANTINED}),
    State.DONE: frozenset(),
    State.REFUSED: frozenset(),
    State.QUARANTINED: frozenset(),
}

# How often an operation may crash before a manager has to look at it.
CRASHES_ALLOWED = 2

_WAITS_FOR = {
    Reason.PARENT: "a record that it names",
    Reason.CRASHED: "the server",
    Reason.QUARANTINED: "a decision of the office: it is in the conflict inbox",
    Reason.FOLLOWS: "an earlier operation, which hit an error on our side",
    Reason.ELSEWHERE: "another device of yours, which sent it first",
    Reason.NO_ROOM: "room on the server",
}
_CODES = {
    Reason.CRASHED: Unfinished.code,
    Reason.QUARANTINED: Unfinished.code,
    Reason.NO_ROOM: ParkedLimit.code,
}


class IllegalMove(RuntimeError):
    """A bug of ours: a settled case was about to be settled again."""


@dataclass(frozen=True)
class Ready:
    """The command of an operation, and its input, which was read."""

    command: Command[Any, Any]
    do: Any


@dataclass(eq=False)
class Case:
    """One operation.

    `sent` is the operation as this push sent it, `parked` the row it waited in before. `outcome` is the
    result. Where the device reused the id of another operation, `reused` is the answer instead. `is_known`:
    an earlier push decided it. `has_moved`: this push decided it, or changed what it waits for.
    """

    id: UUID
    sent: PushedOperation | None = None
    parked: ParkedOperation | None = None
    state: State = State.NEW
    outcome: Outcome | None = None
    reused: Outcome | None = None
    reason: Reason | None = None
    waits_for: UUID | None = None
    attempts: int = 0
    is_known: bool = False
    has_moved: bool = False
    # None until the command and input are read.
    ready: Ready | Refused | None = field(default=None, repr=False)
    _stored: PushedOperation | None = field(default=None, repr=False)

    def resume(self, parked: ParkedOperation) -> None:
        """Continue from the state in which an earlier push left the operation."""
        self.parked = parked
        self.reason, self.waits_for, self.attempts = Reason(parked.reason), parked.waits_for, parked.attempts
        self.state = State.QUARANTINED if self.reason is Reason.QUARANTINED else State.WAITING
        if self.sent is not None:
            self.reused = reuse_of(self.sent, self.stored.payload_hash)

    @property
    def operation(self) -> PushedOperation:
        """The operation to carry out: the stored one if it waits, else the one just sent."""
        return self.sent if self.sent is not None and self._goes_by_what_was_sent else self.stored

    @property
    def _goes_by_what_was_sent(self) -> bool:
        waited = self.parked is not None and self.parked.reason != Reason.GAP
        return not waited and (self.parked is None or self.reused is None)

    @property
    def number(self) -> int:
        if self.sent is not None and self._goes_by_what_was_sent:
            return self.sent.number
        assert self.parked is not None
        return self.parked.number

    @property
    def unit(self) -> UUID | None:
        return self.operation.unit

    @property
    def is_fresh(self) -> bool:
        """Whether to carry it out in its place in this push: it is new, or was sent again and only waits for
        its turn.
        """
        if self.state is State.NEW:
            return True
        waits_for_its_turn = self.is_waiting_for(Reason.GAP) and not self.has_moved
        return waits_for_its_turn and self.sent is not None and self.reused is None

    @property
    def stored(self) -> PushedOperation:
        """The operation as it was stored when it began to wait."""
        assert self.parked is not None
        if self._stored is None:
            self._stored = read_parked(self.parked)
        return self._stored

    @property
    def answer(self) -> Outcome:
        found = self.reused or self.outcome
        assert found is not None, f"nothing was decided of {self.id}"
        return found

    @property
    def is_decided(self) -> bool:
        return self.state in (State.DONE, State.REFUSED)

    @property
    def is_decided_now(self) -> bool:
        """Whether this push decided the operation, so that it gets a receipt."""
        return self.is_decided and not self.is_known

    @property
    def begins_to_wait(self) -> bool:
        """Whether the commit must store it as waiting: it is new there, or its reason changed."""
        return self.has_moved and not self.is_decided and self.reason in KEPT

    def is_waiting_for(self, *reasons: Reason) -> bool:
        return self.state is State.WAITING and self.reason in reasons

    # -- the moves -------------------------------------------------------------------------------

    def know(self, outcome: Outcome) -> None:
        """Settle the case with the outcome of an earlier push."""
        self.state = State.REFUSED if outcome.status == "rejected" else State.DONE
        self.outcome, self.is_known = outcome, True

    def finish(self, outcome: Outcome) -> None:
        """Settle the case: the operation took effect."""
        self._move(State.DONE)
        self.outcome = outcome

    def refuse(self, refusal: Refused) -> None:
        self._move(State.REFUSED)
        self.outcome = rejected(str(self.id), refusal)

    def wait(self, reason: Reason, next_number: int | None, waits_for: UUID | None = None) -> None:
        """Let the operation wait. After its second crash it is quarantined."""
        self.attempts += reason is Reason.CRASHED
        if reason is Reason.CRASHED and self.attempts >= CRASHES_ALLOWED:
            self._move(State.QUARANTINED)
            reason = Reason.QUARANTINED
        else:
            self._move(State.WAITING)
        self.reason, self.waits_for = reason, waits_for
        self.tell_waiting(next_number)

    def tell_waiting(self, next_number: int | None) -> None:
        """Set the outcome that a waiting operation has, the first time and whenever the device sends it
        again.
        """
        assert self.reason is not None
        what = _WAITS_FOR.get(self.reason) or f"number {next_number}"
        self.outcome = waiting(str(self.id), what, _CODES.get(self.reason))

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise IllegalMove(f"{self.id} is {self.state.value} and cannot become {state.value}")
        self.state, self.has_moved = state, True


def reuse_of(operation: PushedOperation, payload_hash: str, *, is_own: bool = True) -> Outcome | None:
    """Return a refusal if another operation already has this id, else None."""
    if payload_hash != operation.payload_hash:
        return rejected(str(operation.id), OperationReused())
    if not is_own:
        return rejected(
            str(operation.id), OperationReused("This operation was received from another account.")
        )
    return None


def read_parked(parked: ParkedOperation) -> PushedOperation:
    """Read a stored operation. A base that was beyond the head when it arrived stays useless, however far the
    log has come since.
    """
    operation = read_operation(orjson.loads(parked.operation), parked.schema)
    return operation.unfounded() if parked.base_unknown else operation
