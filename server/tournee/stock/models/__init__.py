"""Parts and places, the ledger of movements and counts, and what is derived from it."""

from tournee.stock.models.discrepancy import DiscrepancyStatus, Settlement, StockDiscrepancy
from tournee.stock.models.ledger import MovementReason, StockCount, StockLevel, StockMovement
from tournee.stock.models.membership import MEMBERSHIP
from tournee.stock.models.parts import LocationKind, Part, StockLocation, Unit

__all__ = [
    "MEMBERSHIP",
    "DiscrepancyStatus",
    "LocationKind",
    "MovementReason",
    "Part",
    "Settlement",
    "StockCount",
    "StockDiscrepancy",
    "StockLevel",
    "StockLocation",
    "StockMovement",
    "Unit",
]
