"""The helper that every state machine uses."""

from __future__ import annotations

from enum import StrEnum

import pytest

from tournee.kernel.errors import Blocked, TransitionNotAllowed
from tournee.kernel.state import Machine, Transition


class Door(StrEnum):
    OPEN = "OPEN"
    SHUT = "SHUT"
    WALLED_UP = "WALLED_UP"


MOVES = Machine({Door.OPEN: {Door.SHUT}, Door.SHUT: {Door.WALLED_UP, Door.OPEN}})


def test_a_move_that_is_not_there_is_refused_and_names_those_that_are() -> None:
    with pytest.raises(TransitionNotAllowed) as refusal:
        MOVES.require(Door.OPEN, Door.WALLED_UP)
    assert refusal.value.message == "OPEN cannot become WALLED_UP; it can become: SHUT."
    assert refusal.value.field == "status"


def test_a_status_without_moves_is_final() -> None:
    with pytest.raises(TransitionNotAllowed, match="final"):
        MOVES.require(Door.WALLED_UP, Door.OPEN)
    assert MOVES.transitions(Door.WALLED_UP) == []


def test_transitions_come_in_the_order_of_declaration_with_what_blocks_them() -> None:
    assert MOVES.transitions(Door.SHUT, {Door.WALLED_UP: ["No bricks."]}) == [
        Transition("OPEN", allowed=True),
        Transition("WALLED_UP", allowed=False, blocked_by=["No bricks."]),
    ]


def test_a_move_that_something_blocks_is_refused_with_the_reasons() -> None:
    with pytest.raises(Blocked, match=r"No bricks\. No mortar\."):
        MOVES.require(Door.SHUT, Door.WALLED_UP, ["No bricks.", "No mortar."])
    MOVES.require(Door.SHUT, Door.WALLED_UP, [])
