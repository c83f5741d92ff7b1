"""Parts, and the places where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid, refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.search import Searched
from tournee.stock.permissions import STOCK_READ

# Quantities are whole thousandths of a unit, so that sums are exact for metres and litres too.
ONE = 1000
MOST = 1_000_000 * ONE
QUANTITY = "In thousandths of the part's unit: 1500 is one and a half."


class Unit(StrEnum):
    """What a part is measured in."""

    PIECE = "PIECE"
    """Whole pieces; no fractions."""
    PACK = "PACK"
    """Packages as they are bought."""
    METRE = "METRE"
    """Length."""
    SQUARE_METRE = "SQUARE_METRE"
    """Area."""
    LITRE = "LITRE"
    """Volume."""
    KILOGRAM = "KILOGRAM"
    """Weight."""


class LocationKind(StrEnum):
    """Whether the place is fixed, or travels with a technician."""

    WAREHOUSE = "WAREHOUSE"
    """Stays where it is; every technician sees it."""
    VAN = "VAN"
    """Travels with a technician, who alone sees its stock in the field."""


class Part(Entity):
    """Something kept in stock and used at work. Its unit never changes, since sums depend on it."""

    __tablename__ = "part"
    __table_args__ = (UniqueConstraint("organisation_id", "number"),)
    reads = STOCK_READ
    decider = Role.DISPATCHER
    shared = True
    searched = Searched(("number", "name"), ("number", "name", "external_key"))

    number: Mapped[str] = column(80, description="The article number.")
    name: Mapped[str] = column(200)
    """What people search for."""
    unit: Mapped[Unit] = column(default=Unit.PIECE)
    """What quantities are counted in. It can't be changed later."""
    serialised: Mapped[bool] = column(default=False, description="Whether each piece has a serial number.")
    minimum: Mapped[int | None] = column(
        minimum=0, maximum=MOST, description=f"A place that holds less should be refilled. {QUANTITY}"
    )
    discontinued: Mapped[bool] = column(
        default=False, description="Whether it is no longer bought, and only the rest is used up."
    )
    description: Mapped[str | None] = column(4000)
    """Anything that helps to tell it from others; null if nothing."""
    external_key: Mapped[str | None] = column(
        200, merge=Merge.FIRST_WINS, description="The record's key in the system it was imported from."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)

    def check(self) -> None:
        unequal = self.serialised and self.unit is not Unit.PIECE
        refuse_wrong(
            (not self.number.strip(), "A part needs a number.", "number"),
            (unequal, "Only a part counted in pieces can have serial numbers.", "serialised"),
        )

    def check_quantity(self, quantity: int, serial_number: str | None = None) -> None:
        """Raise Invalid for half a piece, and for a serial number of anything but one."""
        if self.unit in (Unit.PIECE, Unit.PACK) and quantity % ONE:
            raise Invalid("This part comes in whole pieces; one piece is 1000 thousandths.", "quantity")
        if serial_number is not None and quantity != ONE:
            raise Invalid("A serial number needs a quantity of one piece.", "serialNumber")


class StockLocation(Entity):
    """A place where parts lie. A van belongs to the holder of the vehicle, or to the technician named."""

    __tablename__ = "stock_location"
    __table_args__ = (UniqueConstraint("organisation_id", "asset_id"),)
    reads = STOCK_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(200)
    """What people call the place."""
    kind: Mapped[LocationKind] = column()
    """Whether it stays or travels with a technician."""
    asset_id: Mapped[UUID | None] = reference("asset", description="The vehicle; its holder holds the stock.")
    technician_id: Mapped[UUID | None] = reference(
        "technician", description="The technician who holds the stock, if no vehicle does."
    )

    def scopes(self) -> Iterable[UUID | None]:
        """Everybody takes parts from a warehouse; a van belongs to its holder."""
        return (self.organisation_id if self.kind is LocationKind.WAREHOUSE else self.id,)

    def check(self) -> None:
        holders = [self.asset_id, self.technician_id]
        if self.kind is LocationKind.WAREHOUSE and any(holders):
            raise Invalid("A warehouse cannot have a holder.", "kind")
        if self.kind is LocationKind.VAN and sum(id is not None for id in holders) != 1:
            raise Invalid("A van needs a vehicle or a technician, not both.", "assetId")
