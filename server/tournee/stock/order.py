"""Which movements a count includes, and what the levels are: pure functions of the ledger.

Devices send what they did hours or weeks later, so the order of arrival is not the order of events. Clocks
may be wrong, so neither is the order of times. See docs/decisions/0009.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

# An entry whose stated time differs more than this from its time of entry was dated on purpose.
_AFTERWARDS = timedelta(minutes=1)


class Moved(Protocol):
    """A movement, as far as sums need it."""

    @property
    def part_id(self) -> UUID: ...
    @property
    def from_location_id(self) -> UUID | None: ...
    @property
    def to_location_id(self) -> UUID | None: ...
    @property
    def quantity(self) -> int: ...


def levels(movements: Iterable[Moved]) -> dict[tuple[UUID, UUID], int]:
    """Return the level of each (part, location) that parts ever came to or left."""
    found: dict[tuple[UUID, UUID], int] = defaultdict(int)
    for movement in movements:
        if movement.from_location_id is not None:
            found[movement.part_id, movement.from_location_id] -= movement.quantity
        if movement.to_location_id is not None:
            found[movement.part_id, movement.to_location_id] += movement.quantity
    return dict(found)


def is_stated(at: datetime, made_at: datetime) -> bool:
    """Return whether a person stated the time, rather than the device when the entry was made."""
    return abs(at - made_at) >= _AFTERWARDS


@dataclass(frozen=True)
class Moment:
    """When something happened, as far as that can be known.

    `at`: the time by its device's clock, but not after the server received it. `base`: how much of the log
    its device had seen. `seq`: its own place in the log, None while its transaction runs.
    """

    at: datetime
    received_at: datetime
    device_id: UUID | None = None
    stated: bool = False
    base: int | None = None
    seq: int | None = None


def precedes(event: Moment, count: Moment) -> bool:
    """Return whether the event happened before the parts were counted.

    A time that a person stated is believed. Otherwise what one device had seen of the other decides, or the
    device's own order. Clocks decide only between devices that had not seen each other.
    """
    if not event.stated:
        if event.base is not None and count.seq is not None and count.seq <= event.base:
            return False
        if not count.stated:
            if event.device_id is not None and event.device_id == count.device_id:
                return event.received_at < count.received_at
            if count.base is not None and event.seq is not None and event.seq <= count.base:
                return True
    return event.at <= count.at
