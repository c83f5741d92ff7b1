"""The operation: the command that runs now, with what a device says about it."""

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


@dataclass(frozen=True)
class Expected:
    """The version that a record must have for the command to run: the number of its last change."""

    model: type[Entity]
    id: UUID
    version: int
    # The input field that names the record.
    field: str


@dataclass
class Operation:
    """The command that runs now, with what a device says about it.

    `base` is the seq at which the device last saw the record, None online. `merged`: others had changed the
    record meanwhile. `lost` names the fields in which their value stands. `overtaken_in` finds, for a late
    operation, the fields of a record that its device set later. `unmoved` maps a record to the fields that
    were sent and did not change, which the log does not contain.
    """

    command: str
    occurred_at: datetime
    id: UUID | None = None
    device_id: UUID | None = None
    expected: Expected | None = None
    base: int | None = None
    # Whether the base belongs to a lost history.
    base_unknown: bool = False
    fact: bool = False
    # Whether it carries out the decision of a conflict.
    deciding: bool = False
    # The person who retries a refused operation: it may name records that they see.
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
        """How far it took effect, as an outcome's status."""
        if self.lost and not self.kept:
            return "superseded"
        return "merged" if self.merged or self.conflict is not None else "applied"
