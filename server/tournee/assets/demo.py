"""Made-up installations, vehicles and tools, with what their meters showed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]

# Category, maker's model, unit of the meter, its value, monthly increase.
_SORTS: tuple[tuple[str, str, str, float, float], ...] = (
    ("Cold room", "DC-200", "h", 4100.0, 620.0),
    ("Boiler", "DB-35", "h", 9800.0, 410.0),
    ("Ventilation unit", "DV-8", "h", 12050.0, 700.0),
    ("Lift", "DL-630", "cycles", 50210.0, 3900.0),
)
_SITES = 8
_ASSETS = 12


def operations(today: date) -> list[Operation]:
    """Twelve installations at the demo sites, their parts, and what the technicians carry."""
    return [
        *(operation for number in range(1, _ASSETS + 1) for operation in _installation(number, today)),
        *_parts(),
        *(operation for number in (1, 2) for operation in _van(number, today)),
    ]


def _installation(number: int, today: date) -> Iterator[Operation]:
    category, model, unit, value, step = _SORTS[(number - 1) % len(_SORTS)]
    installed = today - timedelta(days=200 * number)
    asset = {
        "id": _id(f"asset/{number}"),
        "siteId": _id(f"site/{1 + (number - 1) % _SITES}"),
        "name": f"Demo {category.lower()} {number}",
        "category": category,
        "manufacturer": "Demo Works",
        "model": model,
        "serialNumber": f"DEMO-{number:04}",
        "criticality": "HIGH" if category == "Lift" else "MEDIUM",
        "installedOn": installed.isoformat(),
        "warrantyStartsOn": installed.isoformat(),
        "warrantyEndsOn": (installed + timedelta(days=730)).isoformat(),
        "specification": {"voltage": "400 V", "year": str(installed.year)},
    }
    yield "DISPATCHER", "createAsset", asset
    meter = {"id": _id(f"meter/{number}"), "assetId": asset["id"], "name": "Use", "unit": unit}
    yield "DISPATCHER", "createMeter", meter
    for month in (3, 2, 1):
        yield "DISPATCHER", "recordReading", _reading(number, month, value - month * step, today)


def _reading(number: int, month: int, value: float, today: date) -> dict[str, Any]:
    return {
        "id": _id(f"reading/{number}/{month}"),
        "meterId": _id(f"meter/{number}"),
        "value": value,
        "takenAt": _at(today - timedelta(days=30 * month)),
        "source": "IMPORT",
    }


def _parts() -> Iterator[Operation]:
    for number in (1, 2):
        part = {
            "id": _id(f"asset/{number}/part"),
            "siteId": _id(f"site/{number}"),
            "parentId": _id(f"asset/{number}"),
            "kind": "COMPONENT",
            "name": f"Demo pump of asset {number}",
            "manufacturer": "Demo Pumps",
            "serialNumber": f"DEMO-P{number}",
        }
        yield "DISPATCHER", "createAsset", part
    gauge = {
        "id": _id("meter/pressure"),
        "assetId": _id("asset/2"),
        "name": "Pressure",
        "unit": "bar",
        "kind": "GAUGE",
    }
    yield "DISPATCHER", "createMeter", gauge
    yield "DISPATCHER", "takeAssetOutOfService", {"assetId": _id("asset/11")}


def _van(number: int, today: date) -> Iterator[Operation]:
    of_company = {"ownership": "COMPANY", "holderTechnicianId": _id(f"technician/{number}")}
    van = {
        "id": _id(f"vehicle/{number}"),
        "name": f"Demo van {number}",
        "kind": "VEHICLE",
        "registration": f"DEMO-{number}",
        **of_company,
    }
    tool = {"id": _id(f"tool/{number}"), "name": f"Demo multimeter {number}", "kind": "TOOL", **of_company}
    odometer = {
        "id": _id(f"meter/vehicle/{number}"),
        "assetId": van["id"],
        "name": "Odometer",
        "unit": "km",
    }
    reading = {
        "id": _id(f"reading/vehicle/{number}"),
        "meterId": odometer["id"],
        "value": 41000.0 + number,
        "takenAt": _at(today - timedelta(days=7)),
    }
    yield "DISPATCHER", "createAsset", van
    yield "DISPATCHER", "createAsset", tool
    yield "DISPATCHER", "createMeter", odometer
    yield "DISPATCHER", "recordReading", reading


def _at(day: date) -> str:
    return datetime.combine(day, time(9), UTC).isoformat()


def _id(name: str) -> str:
    return str(demo_id(name))
