"""Made-up parts in a warehouse and two vans, and what happened to some of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]

# Name, unit, minimum, in the warehouse at first, loaded into each van; all in units.
_PARTS: tuple[tuple[str, str, int, float, float], ...] = (
    ("Demo door seal", "METRE", 5, 120, 12.5),
    ("Demo compressor relay", "PIECE", 2, 20, 3),
    ("Demo coolant R-290", "KILOGRAM", 2, 25, 2.5),
    ("Demo circulation pump", "PIECE", 0, 6, 1),
    ("Demo expansion valve", "PIECE", 2, 14, 2),
    ("Demo copper pipe 15 mm", "METRE", 10, 200, 18),
    ("Demo lubricating oil", "LITRE", 2, 60, 4.5),
    ("Demo filter mat", "SQUARE_METRE", 4, 50, 6),
    ("Demo fuse 16 A", "PACK", 1, 40, 3),
    ("Demo contactor", "PIECE", 2, 16, 2),
    ("Demo emergency light", "PIECE", 1, 12, 1),
    ("Demo burner nozzle", "PIECE", 3, 9, 0),
)
_SERIALISED = 4
_DISCONTINUED = 12


def operations(today: date) -> list[Operation]:
    """A dozen parts, bought and loaded last month; some used since, one more often than there were."""
    return [
        *_places(),
        *(operation for number in range(1, len(_PARTS) + 1) for operation in _part(number, today)),
        *_work(today),
    ]


def _places() -> Iterator[Operation]:
    warehouse = {"id": _id("stock/warehouse"), "name": "Demo warehouse", "kind": "WAREHOUSE"}
    yield "DISPATCHER", "createStockLocation", warehouse
    for number in (1, 2):
        vehicle = {"assetId": _id(f"vehicle/{number}"), "kind": "VAN"}
        van = {"id": _id(f"stock/van/{number}"), "name": f"Demo van {number}", **vehicle}
        yield "DISPATCHER", "createStockLocation", van


def _part(number: int, today: date) -> Iterator[Operation]:
    name, unit, minimum, bought, loaded = _PARTS[number - 1]
    part = {
        "id": _id(f"part/{number}"),
        "number": f"DEMO-{1000 + number}",
        "name": name,
        "unit": unit,
        "serialised": number == _SERIALISED,
        "minimum": 1000 * minimum,
        "discontinued": number == _DISCONTINUED,
    }
    yield "DISPATCHER", "createPart", part
    moved = {"partId": part["id"], "at": _at(today - timedelta(days=30))}
    receipt = {"id": _id(f"movement/{number}"), "toLocationId": _id("stock/warehouse")}
    yield "DISPATCHER", "receiveStock", {**moved, **receipt, "quantity": round(1000 * bought)}
    for van in (1, 2) if loaded else ():
        yield (
            "DISPATCHER",
            "transferStock",
            {
                **moved,
                "id": _id(f"movement/{number}/van/{van}"),
                "fromLocationId": _id("stock/warehouse"),
                "toLocationId": _id(f"stock/van/{van}"),
                "quantity": round(1000 * loaded),
            },
        )


def _work(today: date) -> Iterator[Operation]:
    """What the finished visits took, a count that found less, and a relay nobody had loaded."""
    yield "TECHNICIAN", "usePart", _use("1", part=1, van=1, visit=7, quantity=2400, day=today)
    yield "TECHNICIAN", "usePart", _use("2", part=2, van=1, visit=7, quantity=1000, day=today)
    yield "DISPATCHER", "usePart", _use("3", part=2, van=2, visit=8, quantity=4000, day=today)
    back = _use("4", part=1, van=1, visit=7, quantity=400, day=today)
    yield "TECHNICIAN", "returnPart", {"toLocationId": back.pop("fromLocationId"), **back}
    count = {"partId": _id("part/7"), "locationId": _id("stock/van/1"), "counted": 4000}
    yield "TECHNICIAN", "countStock", {**count, "id": _id("count/1"), "at": _at(today - timedelta(days=2))}
    scrapped = {"partId": _id("part/8"), "fromLocationId": _id("stock/warehouse"), "quantity": 1500}
    yield "DISPATCHER", "scrapPart", {**scrapped, "note": "Demo: got wet."}


def _use(name: str, *, part: int, van: int, visit: int, quantity: int, day: date) -> dict[str, Any]:
    return {
        "id": _id(f"movement/use/{name}"),
        "partId": _id(f"part/{part}"),
        "fromLocationId": _id(f"stock/van/{van}"),
        "appointmentId": _id(f"appointment/{visit}"),
        "quantity": quantity,
        "at": _at(day - timedelta(days=5)),
    }


def _at(day: date) -> str:
    return datetime.combine(day, time(9), UTC).isoformat()


def _id(name: str) -> str:
    return str(demo_id(name))
