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


def test_an_undeclared_move_is_refused_and_names_the_declared_ones() -> None:
    with pytest.raises(TransitionNotAllowed) as refusal:
        MOVES.require(Door.OPEN, Door.WALLED_UP)
    assert refusal.value.message == "OPEN cannot become WALLED_UP; it can become: SHUT."
    assert refusal.value.field == "status"


def test_a_status_without_moves_is_final() -> None:
    with pytest.raises(TransitionNotAllowed, match="final"):
        MOVES.require(Door.WALLED_UP, Door.OPEN)
    assert MOVES.transitions(Door.WALLED_UP) == []


def test_transitions_are_listed_in_declaration_order_with_their_blockers() -> None:
    assert MOVES.transitions(Door.SHUT, {Door.WALLED_UP: ["No bricks."]}) == [
        Transition("OPEN", allowed=True),
        Transition("WALLED_UP", allowed=False, blocked_by=["No bricks."]),
    ]


def test_a_blocked_move_is_refused_with_the_reasons() -> None:
    with pytest.raises(Blocked, match=r"No bricks\. No mortar\."):
        MOVES.require(Door.SHUT, Door.WALLED_UP, ["No bricks.", "No mortar."])
    MOVES.require(Door.SHUT, Door.WALLED_UP, [])
