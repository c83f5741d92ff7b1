"""The large demo: a dozen technicians and ten weeks of work, on top of the small demo.

It is deterministic: the same day gives the same rows, with the same ids where a command takes an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from tournee.demo import clashes, crew, inspections, places, rounds
from tournee.demo.making import Operation


def operations(today: date) -> Iterator[Operation]:
    """Yield everything except the conflicts, which `clashes` plays afterwards."""
    yield from crew.operations(today)
    yield from places.operations(today)
    yield from rounds.operations(today)
    yield from inspections.operations(today)
    yield from clashes.operations(today)
