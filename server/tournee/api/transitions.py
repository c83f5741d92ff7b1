"""What may become of a record: the states that may follow, and why one may not yet."""

from __future__ import annotations

from typing import Any

from tournee.api.connections import add_fields, object_type
from tournee.api.mapping import make_field
from tournee.kernel.actor import Scope
from tournee.kernel.state import Transition


def _transition_type() -> type[Any]:
    kind = object_type("Transition", "A status that may follow.")
    own = Scope.ACCOUNT_SELF
    add_fields(
        kind,
        make_field("to", str, own, description="The status."),
        make_field("allowed", bool, own, description="Whether nothing stands against it."),
        make_field(
            "blockedBy",
            list[str],
            own,
            python_name="blocked_by",
            description="What has to be done first, in sentences.",
        ),
    )
    return kind


TRANSITION = _transition_type()
TRANSITIONS: Any = list[TRANSITION]  # type: ignore[valid-type]


def available_transitions(root: Any) -> list[Transition]:
    """What may become of it now, where the row itself knows."""
    transitions: list[Transition] = root.transitions()
    return transitions
