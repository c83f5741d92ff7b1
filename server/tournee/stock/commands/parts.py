"""Commands about parts, and the places where they lie."""

from __future__ import annotations

from tournee.assets.models import Asset, AssetKind, Ownership
from tournee.kernel.errors import Invalid
from tournee.kernel.plain import creates, edits
from tournee.kernel.rules import obeying
from tournee.kernel.transaction import Transaction
from tournee.stock.models import Part, StockLocation
from tournee.stock.permissions import STOCK_MANAGE


async def _lies_in_our_vehicle(tx: Transaction, location: StockLocation) -> None:
    vehicle = await tx.find_optional(Asset, location.asset_id, "assetId")
    if vehicle is not None and (vehicle.kind, vehicle.ownership) != (AssetKind.VEHICLE, Ownership.COMPANY):
        raise Invalid("Stock can be bound only to a vehicle of the organisation.", "assetId")


create_part = creates(Part, STOCK_MANAGE)
update_part = edits(
    Part,
    STOCK_MANAGE,
    without=["unit", "serialised"],
    description="Change a part; its unit cannot change, because all its quantities are in that unit.",
)
create_stock_location = obeying(creates(StockLocation, STOCK_MANAGE), _lies_in_our_vehicle)
update_stock_location = obeying(
    edits(
        StockLocation,
        STOCK_MANAGE,
        without=["kind"],
        description="Change a place, or who holds it. The stock in a vehicle goes with the vehicle.",
    ),
    _lies_in_our_vehicle,
)
