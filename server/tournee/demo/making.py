"""What the parts of the large demo share."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

# Role, command, input.
Operation = tuple[str, str, dict[str, Any]]

TECHNICIANS = range(1, 13)
CUSTOMERS = range(1, 151)
SITES = range(1, 181)
INSTALLATIONS = range(1, 381)
# The small demo adds these first.
SMALL_TECHNICIANS, SMALL_CUSTOMERS, SMALL_SITES, SMALL_INSTALLATIONS = 3, 6, 8, 12


def id_of(name: str) -> str:
    """Return the fixed id of a demo row."""
    return str(demo_id(name))


def customer_of(site: int) -> int:
    """Return the customer of a site: each customer has one site, and a few have more."""
    if site <= SMALL_SITES:
        return 1 + (site - 1) % SMALL_CUSTOMERS
    return site - 2 if site - 2 in CUSTOMERS else 5 * (site - CUSTOMERS[-1] - 2)


def site_of(installation: int) -> int:
    """Return the site of an installation."""
    if installation <= SMALL_INSTALLATIONS:
        return 1 + (installation - 1) % SMALL_SITES
    return 1 + (installation - 1) % SITES[-1]


def at(day: date, minutes: int) -> str:
    """Return a time of that day, UTC."""
    return (datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)).isoformat()


def picked(values: tuple[Any, ...], *numbers: int) -> Any:
    """Return one of the values; the choice looks random, but is the same on every machine."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 31 + number * 2_654_435_761 + 97) % 2**32
    return values[(mixed >> 7) % len(values)]


def chance(percent: int, *numbers: int) -> bool:
    """Return whether something happens that happens in `percent` of all cases."""
    return bool(picked(tuple(range(100)), *numbers) < percent)
