"""Units and local times are converted when unambiguous; the rest is refused and reported."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.importing.running import Importer
from tournee.assets.models import Meter, Reading
from tournee.importing.mapping.columns import Column
from tournee.importing.planning.cells import CellReader

METERS = """
system = "energy"
[source]
delimiter = ";"
[columns.At]
parse = "time"
[columns.Value]
parse = "number"
[[record]]
entity = "Customer"
key = "all"
fields.name = { constant = "Demo Energy" }
[[record]]
entity = "Asset"
key = "{Meter}"
fields.customerId = { record = "Customer" }
fields.name = "Meter"
[[record]]
entity = "Meter"
key = "{Meter}"
fields.assetId = { record = "Asset" }
fields.name = { constant = "Energy" }
fields.unit = "Unit"
[[record]]
entity = "Reading"
key = "{Meter}/{At}"
fields.meterId = { record = "Meter" }
fields.value = "Value"
fields.takenAt = "At"
"""
HEADER = "Meter;At;Value;Unit\n"


async def values(importer: Importer) -> list[tuple[float, str]]:
    own = Reading.organisation_id == importer.house.organisation_id
    async with importer.house.reading() as session:
        rows = await session.scalars(select(Reading).where(own).order_by(Reading.taken_at))
        return [(row.value, row.unit) for row in rows]


def line(day: int, value: str, unit: str) -> str:
    return f"M1;2026-01-{day:02}T08:00:00Z;{value};{unit}\n"


async def test_a_reading_is_stored_in_the_unit_of_its_meter(importer: Importer) -> None:
    text = HEADER + line(1, "1600", "kWh") + line(2, "1.7", "MWh") + line(3, "5", "bar") + line(4, "5", "Std")
    imported = await importer.text(text, METERS)
    assert await values(importer) == [(1600, "kWh"), (1700, "kWh")]
    lost = [
        (one["line"], one["key"], one["column"]) for one in imported.report if "not imported" in one["done"]
    ]
    assert lost == [(4, "M1/2026-01-03T08:00:00Z", "Value"), (5, "M1/2026-01-04T08:00:00Z", "Value")]
    assert imported.made("refused") == {"Reading": 2}
    # This holds for later files too, and the meter keeps the unit of its readings.
    again = await importer.text(HEADER + line(2, "1.7", "MWh") + line(6, "2", "GWh"), METERS)
    assert await values(importer) == [(1600, "kWh"), (1700, "kWh"), (2_000_000, "kWh")]
    assert (await importer.row(Meter, "M1", "energy")).unit == "kWh"
    assert [one["column"] for one in again.report] == ["Unit", "Unit"]


async def test_a_column_is_converted_into_the_unit_of_its_reading(importer: Importer) -> None:
    mapping = METERS.replace('fields.unit = "Unit"', 'fields.unit = { constant = "Wh" }')
    mapping = mapping.replace(
        '[columns.Value]\nparse = "number"',
        '[columns.Value]\nparse = "number"\nunit = "kWh"\nunit_column = "Unit"',
    )
    await importer.text(HEADER + line(1, "3600", "MJ"), mapping)
    assert await values(importer) == [(1_000_000, "Wh")]


@pytest.mark.parametrize(
    ("column", "text", "unit", "value", "problem"),
    [
        ({"unit": "kg"}, "500 lb", None, 226.796185, None),
        ({"unit": "kg"}, "500", None, None, "names no unit"),
        ({"unit": "kg", "given_in": "lb"}, "500", None, 226.796185, None),
        ({"unit": "kg", "given_in": "lb"}, "500 kg", None, 500, None),
        ({"unit": "kg", "given_in": "lb"}, "500", "g", 0.5, None),
        ({"unit": "kg"}, "500 lb", "kg", None, "another unit than its column"),
        ({"unit": "kg"}, "1 ton", None, None, "not the same everywhere"),
        ({"unit": "kg"}, "1 m^9^9^9", None, None, "not a known unit"),
        ({"unit": "kg"}, "lb", None, None, "is not a number"),
        ({"unit": "°C"}, "50 °F", None, 10, None),
        ({"unit": "m", "decimal": ","}, "1,5 km", None, 1500, None),
        ({"unit": "m", "maximum": 1000}, "1.5 km", None, None, "is more than 1000"),
        ({}, "1e999", None, None, "too large"),
    ],
)
def test_the_units_declared_for_a_column_apply(
    column: dict[str, Any], text: str, unit: str | None, value: float | None, problem: str | None
) -> None:
    reader = CellReader(Column(parse="number", **column), [])
    read, wrong = reader.read(text, unit)
    assert read == pytest.approx(value) if value is not None else read is None
    assert (problem or "") in (wrong or "")
    assert (wrong is None) == (problem is None)


@pytest.mark.parametrize(
    ("text", "fold", "expected"),
    [
        ("2026-03-29T01:59:59", None, "2026-03-29T00:59:59+00:00"),
        ("2026-03-29T02:00:00", None, "never occurred"),
        ("2026-03-29T02:30:00", None, "never occurred"),
        ("2026-03-29T03:00:00", None, "2026-03-29T01:00:00+00:00"),
        ("2026-03-29T02:30:00", "earlier", "2026-03-29T00:30:00+00:00"),
        ("2026-03-29T02:30:00", "later", "2026-03-29T01:30:00+00:00"),
        ("2026-10-25T02:30:00", None, "occurred twice"),
        ("2026-10-25T02:30:00", "earlier", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30:00", "later", "2026-10-25T01:30:00+00:00"),
        ("2026-10-25T03:00:00", None, "2026-10-25T02:00:00+00:00"),
        ("2026-10-25T02:30:00+02:00", None, "2026-10-25T00:30:00+00:00"),
        ("2026-10-25", None, "2026-10-24T22:00:00+00:00"),
        ("2026-W48-6T00:00:00", None, "is not a time"),
        ("12", None, "is not a time"),
        ("0001-01-01T00:00:00", None, "outside the years"),
    ],
)
def test_an_ambiguous_or_missing_local_time_is_refused_unless_the_mapping_decides(
    text: str, fold: Any, expected: str
) -> None:
    reader = CellReader(Column(parse="time", zone="Europe/Paris", fold=fold), [])
    value, problem = reader.read(text)
    assert expected in (problem if value is None else value.isoformat())  # type: ignore[union-attr,operator]
