"""A case moves only by its table."""

from __future__ import annotations

import pytest

from tournee.kernel.entity import new_id
from tournee.kernel.errors import Invalid
from tournee.sync.messages import Outcome
from tournee.sync.models import Reason
from tournee.sync.push.case import MOVES, Case, IllegalMove, State


def case_in(state: State) -> Case:
    """Return a case that reached this state by its own moves."""
    case = Case(new_id())
    if state is State.DONE:
        case.finish(Outcome(case.id, "applied"))
    elif state is State.REFUSED:
        case.refuse(Invalid("Demo"))
    elif state is State.WAITING:
        case.wait(Reason.GAP, 7)
    elif state is State.QUARANTINED:
        case.wait(Reason.CRASHED, 7)
        case.wait(Reason.CRASHED, 7)
    assert case.state is state
    return case


@pytest.mark.parametrize("state", list(State))
def test_a_case_moves_only_as_its_table_allows(state: State) -> None:
    moves = {
        State.DONE: lambda case: case.finish(Outcome(case.id, "applied")),
        State.REFUSED: lambda case: case.refuse(Invalid("Demo")),
        State.WAITING: lambda case: case.wait(Reason.PARENT, 7, new_id()),
    }
    for target, move in moves.items():
        case = case_in(state)
        if target in MOVES[state]:
            move(case)
            assert case.state is target
        else:
            with pytest.raises(IllegalMove):
                move(case)
            assert case.state is state


def test_an_operation_decided_earlier_gets_no_second_receipt() -> None:
    case = Case(new_id())
    case.know(Outcome(case.id, "rejected", code="INVALID"))
    assert (case.state, case.is_decided_now) == (State.REFUSED, False)
    assert case_in(State.DONE).is_decided_now


def test_an_operation_that_crashes_twice_waits_for_a_manager() -> None:
    case = case_in(State.QUARANTINED)
    assert case.outcome is not None
    assert (case.attempts, case.reason, case.outcome.code) == (2, Reason.QUARANTINED, "INTERNAL")


@pytest.mark.parametrize("reason", [Reason.ELSEWHERE, Reason.NO_ROOM])
def test_an_operation_stored_elsewhere_or_without_room_is_not_stored_as_waiting(reason: Reason) -> None:
    case = Case(new_id())
    case.wait(reason, 7)
    assert not case.begins_to_wait
    assert case_in(State.WAITING).begins_to_wait
