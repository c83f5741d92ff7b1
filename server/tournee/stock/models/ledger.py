"""The ledger: movements, which are only ever added, counts, and the levels derived from them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.periods import Span, in_periods
from tournee.kernel.times import TimeSource
from tournee.stock.models.parts import MOST, QUANTITY, Unit
from tournee.stock.permissions import STOCK_READ

_MOST_EVER = 2**53 - 1


class MovementReason(StrEnum):
    """The kind of movement."""

    RECEIPT = "RECEIPT"
    """Delivered from outside."""
    TRANSFER = "TRANSFER"
    """Moved from one place of stock to another."""
    USED = "USED"
    """Used at work; it left the stock."""
    RETURN = "RETURN"
    """Brought back unused."""
    COUNT = "COUNT"
    """Adjusts the level to what was counted."""
    SCRAP = "SCRAP"
    """Thrown away."""


class Dated:
    """When something happened, as stated and as far as the server can tell; see `stock.order`."""

    occurred_at: Mapped[datetime] = column(
        time_source=TimeSource.DEVICE, merge=Merge.LEDGER, description="By the clock of the device."
    )
    account_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="Who recorded it.")
    device_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The device that recorded it; null if it was done online."""
    placed_at: Mapped[datetime] = column(private=True)
    stated: Mapped[bool] = column(private=True, default=False)
    base: Mapped[int | None] = column(private=True, type_=BigInteger)


class StockMovement(Dated, Entity):
    """Parts moved from one place to another. A missing place is outside: a supplier, a customer, the bin.

    It is never changed or deleted; another movement reverses a wrong one.
    """

    __tablename__ = "stock_movement"
    __table_args__ = (
        UniqueConstraint("organisation_id", "reverses_id"),
        Index("ix_stock_movement_out", "organisation_id", "part_id", "from_location_id", "quantity"),
        Index("ix_stock_movement_in", "organisation_id", "part_id", "to_location_id", "quantity"),
    )
    reads = STOCK_READ
    is_fact = True
    decider = Role.DISPATCHER

    part_id: Mapped[UUID] = reference("part", merge=Merge.LEDGER)
    """The part that moved."""
    quantity: Mapped[int] = column(merge=Merge.LEDGER, minimum=1, maximum=MOST, description=QUANTITY)
    unit: Mapped[Unit] = column(merge=Merge.SERVER_ONLY, description="The part's.")
    from_location_id: Mapped[UUID | None] = reference("stock_location", merge=Merge.LEDGER)
    """Where it was taken from; null if it came from outside."""
    to_location_id: Mapped[UUID | None] = reference("stock_location", merge=Merge.LEDGER)
    """Where it was put; null if it left the stock."""
    reason: Mapped[MovementReason] = column(merge=Merge.LEDGER)
    """What the movement was for."""
    appointment_id: Mapped[UUID | None] = reference("appointment", merge=Merge.LEDGER)
    """The visit it was used on or came back from; null if none."""
    work_order_id: Mapped[UUID | None] = reference("work_order", merge=Merge.LEDGER)
    """The order it was used for or came back from; null if none."""
    serial_number: Mapped[str | None] = column(120, merge=Merge.LEDGER)
    """The number of the one piece that moved; null for parts without."""
    note: Mapped[str | None] = column(2000, merge=Merge.LEDGER)
    """What the person who recorded it wrote; null if nothing."""
    reverses_id: Mapped[UUID | None] = reference(
        "stock_movement", merge=Merge.LEDGER, description="The movement that this one takes back."
    )
    count_id: Mapped[UUID | None] = reference(
        "stock_count", merge=Merge.SERVER_ONLY, description="The count that this one adjusts the level to."
    )

    def spans(self) -> Iterable[Span]:
        return (*_dated_at(self, self.from_location_id), *_dated_at(self, self.to_location_id))

    def scopes(self) -> Iterable[UUID | None]:
        return (*in_periods(self), self.appointment_id or self.work_order_id)

    def check(self) -> None:
        if self.from_location_id == self.to_location_id:
            raise Invalid("Parts must move from one place to another.", "toLocationId")

    def change_at(self, location_id: UUID) -> int:
        """Return what it adds to the level there."""
        return self.quantity if self.to_location_id == location_id else -self.quantity

    def concerns(self, part_id: UUID, location_id: UUID) -> bool:
        """Return whether it changes the level of this part at this place."""
        return self.part_id == part_id and location_id in (self.from_location_id, self.to_location_id)


class StockCount(Dated, Entity):
    """A count of a part at a place. The expected quantity follows the ledger: a movement from before the
    count that arrives later explains part of the difference.
    """

    __tablename__ = "stock_count"
    __table_args__ = (Index("ix_stock_count_place", "organisation_id", "location_id", "part_id"),)
    reads = STOCK_READ
    is_fact = True
    decider = Role.DISPATCHER

    part_id: Mapped[UUID] = reference("part", merge=Merge.LEDGER)
    """The part that was counted."""
    location_id: Mapped[UUID] = reference("stock_location", merge=Merge.LEDGER)
    """The place where it was counted."""
    counted: Mapped[int] = column(merge=Merge.LEDGER, minimum=0, maximum=MOST, description=QUANTITY)
    expected: Mapped[int] = column(
        merge=Merge.SERVER_ONLY,
        type_=BigInteger,
        minimum=-_MOST_EVER,
        maximum=_MOST_EVER,
        description=QUANTITY,
    )
    difference: Mapped[int] = column(
        merge=Merge.SERVER_ONLY,
        type_=BigInteger,
        minimum=-_MOST_EVER,
        maximum=_MOST_EVER,
        description="Counted less expected: the sum of its adjustments.",
    )
    unit: Mapped[Unit] = column(merge=Merge.SERVER_ONLY, description="The part's.")
    note: Mapped[str | None] = column(2000, merge=Merge.LEDGER)
    """What the person who counted wrote; null if nothing."""

    def spans(self) -> Iterable[Span]:
        return _dated_at(self, self.location_id)

    def scopes(self) -> Iterable[UUID | None]:
        return in_periods(self)

    def expect(self, change: int) -> None:
        """Take one more movement from before the count into account."""
        self.expected += change
        self.difference = self.counted - self.expected


def _dated_at(row: StockMovement | StockCount, location_id: UUID | None) -> tuple[Span, Span]:
    """Return when it counts for this place: when it happened, and when it was received."""
    return Span.at(location_id, row.occurred_at), Span.at(location_id, row.created_at)


class StockLevel(Entity):
    """How much of a part lies at a place: the sum of its movements there, derived with each of them."""

    __tablename__ = "stock_level"
    __table_args__ = (UniqueConstraint("organisation_id", "part_id", "location_id"),)
    reads = STOCK_READ
    decider = Role.DISPATCHER

    part_id: Mapped[UUID] = reference("part", merge=Merge.SERVER_ONLY)
    """The part that lies there."""
    location_id: Mapped[UUID] = reference("stock_location", merge=Merge.SERVER_ONLY)
    """The place where it lies."""
    quantity: Mapped[int] = column(
        merge=Merge.SERVER_ONLY,
        type_=BigInteger,
        minimum=-_MOST_EVER,
        maximum=_MOST_EVER,
        description=f"{QUANTITY} Below zero means that something was not recorded, or not yet.",
    )
    unit: Mapped[Unit] = column(merge=Merge.SERVER_ONLY, description="The part's unit.")
    counted_at: Mapped[datetime | None] = column(
        time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY, description="When it was last counted."
    )
    discrepancy_id: Mapped[UUID | None] = reference(
        "stock_discrepancy", merge=Merge.SERVER_ONLY, description="The open task about this level."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.location_id,)
