"""The command that runs now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from tournee.kernel.actor import Actor
    from tournee.kernel.conflict import Conflict
    from tournee.kernel.entity import Entity


@dataclass
class Operation:
    """The command that runs now, with what a device says of it.

    `base` is the seq at which the device last saw the record, None online. `merged` tells that
    others had changed the record meanwhile, `lost` names the fields in which they prevailed.
    `overtaken_in`, of one that comes late, tells the fields of a record (by wire name) of which its device
    has spoken in what it did after this. `unmoved` are, by record, the fields it named that it left as they
    stood: the log does not tell of them.
    """

    command: str
    occurred_at: datetime
    id: UUID | None = None
    device_id: UUID | None = None
    base: int | None = None
    # Whether the device named one of a history that is lost.
    base_unknown: bool = False
    fact: bool = False
    # What it changes is the decision of a conflict.
    deciding: bool = False
    # Who lets an operation be done that was refused: it may name what they see.
    decider: Actor | None = None
    merged: bool = False
    lost: list[str] = field(default_factory=list)
    kept: bool = False
    conflict: Conflict | None = None
    overtaken_in: Callable[[Entity], Awaitable[dict[str, datetime]]] | None = None
    unmoved: dict[str, list[str]] = field(default_factory=dict)

    def left_unmoved(self, row: Entity, wire: Iterable[str]) -> None:
        self.unmoved.setdefault(str(row.id), []).extend(wire)

    @property
    def status(self) -> str:
        """How far it took effect, in the words of an outcome."""
        if self.lost and not self.kept:
            return "superseded"
        return "merged" if self.merged or self.conflict is not None else "applied"
