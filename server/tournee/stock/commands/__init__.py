"""Commands about stock."""

from tournee.stock.commands.counts import count_stock, resolve_stock_discrepancy
from tournee.stock.commands.movements import (
    receive_stock,
    return_part,
    reverse_stock_movement,
    scrap_part,
    transfer_stock,
    use_part,
)
from tournee.stock.commands.parts import (
    create_part,
    create_stock_location,
    update_part,
    update_stock_location,
)

__all__ = [
    "count_stock",
    "create_part",
    "create_stock_location",
    "receive_stock",
    "resolve_stock_discrepancy",
    "return_part",
    "reverse_stock_movement",
    "scrap_part",
    "transfer_stock",
    "update_part",
    "update_stock_location",
    "use_part",
]
