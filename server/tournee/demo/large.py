"""The demo as people look at it: a dozen technicians and ten weeks of work, on top of the small one.

Deterministic: the same day gives the same rows, ids included where a command takes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from tournee.demo import clashes, crew, inspections, places, rounds
from tournee.demo.making import Operation


def operations(today: date) -> Iterator[Operation]:
    """Return everything but what two people changed at the same time; `clashes` plays that afterwards."""
    yield from crew.operations(today)
    yield from places.operations(today)
    yield from rounds.operations(today)
    yield from inspections.operations(today)
    yield from clashes.operations(today)
