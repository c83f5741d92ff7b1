"""A sample of New York City's elevator register with every kind of dirt in the whole register."""

from __future__ import annotations

import csv
import gzip
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.importing.running import ELEVATORS, SAMPLE, Imported, Importer
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World
from tournee.assets.models import Asset
from tournee.customers.models import Customer, Site
from tournee.engine.database import Database
from tournee.importing.mapping import load_mapping
from tournee.importing.planning.planner import Planner
from tournee.importing.sources.opening import open_lines
from tournee.quality.models import Audit

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

Rows = list[tuple[int, dict[str, str]]]
Register = tuple[Importer, Imported]


@pytest_asyncio.fixture(scope="module")
async def register(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Import the sample once for all tests that only read it."""
    house = await House(module_database).found()
    importer = Importer(house, tmp_path_factory.mktemp("register"))
    return importer, await importer.elevators()


def sample() -> Rows:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return list(enumerate(csv.DictReader(file), 2))


def is_real(row: dict[str, str]) -> bool:
    return (
        row["STREET_NAME"] not in ("DUMMY RECORD", "TEST STREET", "BISTEST STREET")
        and row["HOUSE_NUMBER"] != "TEST"
    )


def line_of(column: str, value: str) -> tuple[int, dict[str, str]]:
    return next((line, row) for line, row in sample() if row[column] == value and is_real(row))


async def test_every_real_device_is_imported_with_its_building_and_inspection(register: Register) -> None:
    importer, imported = register
    real = [row for _, row in sample() if is_real(row)]
    buildings = {row["BIN"] for row in real if row["BIN"]}
    inspected = [row for row in real if row["DV_LASTPER_INSP_DATE"]]
    assert await importer.count(Asset) == len(real) > 400
    assert await importer.count(Site) == len(buildings)
    assert await importer.count(Audit) == len(inspected)
    assert await importer.count(Customer) == 2
    assert imported.made()["device"] == len(real)
    assert imported.made("refused") == {}
    assert (imported.tally.lines, imported.tally.skipped) == (len(sample()), len(sample()) - len(real))


async def test_a_second_run_changes_nothing(importer: Importer) -> None:
    first = await importer.elevators()
    before = await importer.log_length()
    again = await importer.elevators()
    assert await importer.log_length() == before
    assert again.made("unchanged") == first.made()
    assert not again.made()
    assert not again.made("updated")
    assert again.report == first.report


async def test_the_batch_size_makes_no_difference(importer: Importer) -> None:
    await importer.elevators(batch=7)
    other = Importer(await type(importer.house)(importer.house.database).found(), importer.folder)
    await other.elevators(batch=5000)
    assert await importer.documents() == await other.documents()


async def test_a_batch_stores_the_same_as_single_commands(importer: Importer) -> None:
    imported = await importer.elevators(limit=25)
    assert imported.made("updated") == imported.made("refused") == {}
    other = Importer(await type(importer.house)(importer.house.database).found(), importer.folder)
    house, mapping = other.house, load_mapping(ELEVATORS)
    planner = Planner(mapping, house.organisation_id)
    known: set[UUID] = set()
    with open_lines(SAMPLE, mapping) as (lines, _):
        for planned in (one for plan in planner.plans(lines, 25) for one in plan.records):
            if planned.id not in known:
                known.add(planned.id)
                await house.kernel.perform(house.actor(), planned.recipe.target.create, planned.do)
    assert len(known) == sum(imported.made().values()) > 50
    assert await importer.stored() == await other.stored()


async def test_a_dry_run_gives_the_same_report_and_writes_nothing(importer: Importer) -> None:
    dry = await importer.elevators(dry_run=True)
    assert await importer.log_length() == 0
    real = await importer.elevators()
    assert dry.report == real.report
    assert dry.made() == real.made()
    assert (await importer.elevators(dry_run=True)).made("unchanged") == real.made()


async def test_a_compressed_file_imports_the_same_records(importer: Importer) -> None:
    file = importer.folder / "sample.csv.gz"
    file.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    assert (await importer.elevators(file)).made()["device"] > 400


async def test_a_clean_line_is_imported_completely(register: Register) -> None:
    importer, _ = register
    row = next(
        row
        for _, row in sample()
        if is_real(row) and row["Device Status"] == "A" and row["DV_LASTPER_INSP_DISP"]
    )
    device = await importer.row(Asset, row["DV_DEVICE_NUMBER"])
    building = await importer.row(Site, row["BIN"])
    day = row["DV_LASTPER_INSP_DATE"].removesuffix(".0")
    inspection = await importer.row(Audit, f"{row['DV_DEVICE_NUMBER']}/{day}")
    assert (device.external_key, device.site_id) == (row["DV_DEVICE_NUMBER"], building.id)
    assert device.status == "ACTIVE"
    assert device.specification["status"] == "ACTIVE"
    assert building.city == row["Borough"]
    assert building.latitude == pytest.approx(float(row["LATITUDE"]))
    assert (inspection.asset_id, inspection.site_id) == (device.id, building.id)
    assert inspection.disposition == row["DV_LASTPER_INSP_DISP"]
    assert inspection.result is None
    # Midnight in New York on that day.
    assert inspection.performed_at.strftime("%Y%m%d") == day
    assert inspection.performed_at.hour in (4, 5)


DIRT = [
    ("ZIP_CODE", "0", "unknown ZIP"),
    ("ZIP_CODE", "99999", "unknown ZIP"),
    ("DV_APPROVAL_DATE", "********", "does not look like"),
    ("DV_STATUS_DATE", "1991012.0", "does not look like"),
    ("DV_MANUFACTURER", "**", "not a manufacturer's name"),
    ("DV_MANUFACTURER", "#1152", "not a manufacturer's name"),
    ("DV_MANUFACTURER", "PRIVATE RESIDENCE", "an owner"),
    ("Device Status", "W", "who is responsible"),
    ("DV_CAPACITY_LBS", "0.0", "is less than 20"),
]


async def test_dirt_is_reported_with_its_line_and_column(register: Register) -> None:
    importer, imported = register
    for column, value, reason in DIRT:
        line, row = line_of(column, value)
        found = [one for one in imported.report if one["line"] == line and one["column"] == column]
        assert any(reason in one["reason"] and one["value"] == value for one in found), (column, value)
        assert await importer.row(Asset, row["DV_DEVICE_NUMBER"]) is not None


SPECIFIED = {
    "HOUSE_NUMBER": None,
    "DV_TRAVEL_DISTANCE": "travel as filed",
    "DV_FLOOR_FROM": "lowest floor",
    "DV_FLOOR_TO": "highest floor",
}


async def test_a_value_that_a_spreadsheet_turned_into_a_date_is_left_out(register: Register) -> None:
    importer, imported = register
    for column, key in SPECIFIED.items():
        broken = [(line, row) for line, row in sample() if re.fullmatch(r"\d{4}-\d\d-\d\d", row[column])]
        assert len(broken) >= 3
        for line, row in broken:
            assert (column, "a spreadsheet turned it into a date") in imported.remarks(line)
            device = await importer.row(Asset, row["DV_DEVICE_NUMBER"])
            building = await importer.row(Site, row["BIN"])
            assert row[column] not in (building.street or "")
            assert key is None or key not in device.specification


async def test_distances_stay_as_written(register: Register) -> None:
    importer, _ = register
    said = {row["DV_TRAVEL_DISTANCE"] for _, row in sample() if is_real(row)}
    assert any(text.endswith("'") for text in said)
    for line, row in sample():
        written = row["DV_TRAVEL_DISTANCE"]
        if is_real(row) and re.search(r"\w", written) and not re.match(r"\d{4}-", written):
            device = await importer.row(Asset, row["DV_DEVICE_NUMBER"])
            assert device.specification["travel as filed"] == written, line


async def test_zip_codes_have_five_digits_and_zero_is_not_one(register: Register) -> None:
    importer, _ = register
    said: dict[str, list[str]] = defaultdict(list)
    for _, row in sample():
        if is_real(row) and row["BIN"]:
            said[row["BIN"]].append(row["ZIP_CODE"])
    for number, codes in said.items():
        first = next((code[:5] for code in codes if code not in ("0", "99999", "")), None)
        assert (await importer.row(Site, number)).postal_code == first


async def test_test_records_of_the_register_are_skipped_and_reported(register: Register) -> None:
    importer, imported = register
    unreal = [(line, row) for line, row in sample() if not is_real(row)]
    assert {row["STREET_NAME"] for _, row in unreal} >= {"DUMMY RECORD", "RECORD", "TEST STREET"}
    for line, row in unreal:
        assert [one["done"] for one in imported.report if one["line"] == line] == ["line skipped"]
        assert await importer.row(Asset, row["DV_DEVICE_NUMBER"]) is None


async def test_a_device_without_a_building_is_imported_without_a_site(register: Register) -> None:
    importer, imported = register
    homeless = [(line, row) for line, row in sample() if is_real(row) and not row["BIN"]]
    assert len(homeless) == 7
    for line, row in homeless:
        device = await importer.row(Asset, row["DV_DEVICE_NUMBER"])
        assert device.site_id is None
        assert ("BIN", "is empty") in imported.remarks(line)


async def test_the_first_line_about_a_building_wins_and_differing_ones_are_reported(
    register: Register,
) -> None:
    importer, imported = register
    streets: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    for line, row in sample():
        if is_real(row) and row["BIN"] and not re.match(r"\d{4}-", row["HOUSE_NUMBER"]):
            streets[row["BIN"]].append((line, row))
    disputed = {
        number: rows
        for number, rows in streets.items()
        if len({" ".join(row["STREET_NAME"].split()) for _, row in rows}) > 1
    }
    assert len(disputed) >= 2
    for number, rows in disputed.items():
        (_, first), *others = rows
        building = await importer.row(Site, number)
        assert building.street == " ".join(f"{first['HOUSE_NUMBER']} {first['STREET_NAME']}".split())
        reported = [column for line, _ in others for column, _ in imported.remarks(line)]
        assert "HOUSE_NUMBER, STREET_NAME, BIN" in reported


async def test_coordinates_outside_the_city_are_left_out(register: Register) -> None:
    importer, imported = register
    line, row = line_of("LATITUDE", "40.112386")
    assert {column for column, _ in imported.remarks(line)} >= {"LATITUDE", "LONGITUDE"}
    building = await importer.row(Site, row["BIN"])
    assert (building.latitude, building.longitude) == (None, None)


async def test_a_technician_pulls_exactly_the_records_of_their_buildings(importer: Importer) -> None:
    await importer.elevators()
    world = await World(importer.house).settle()
    mine = sorted({row["BIN"] for _, row in sample() if is_real(row) and row["BIN"]})[::7][:50]
    assert len(mine) == 50
    technician = await world.technician()
    for number in mine:
        site = await importer.row(Site, number)
        order = await world.order(customerId=site.customer_id, siteId=site.id)
        await world.visit(technician, order=order)
    device = TestDevice(importer.house, actor=technician.actor)
    await device.pull()
    here = [row for _, row in sample() if is_real(row) and row["BIN"] in mine]
    inspected = [row for row in here if row["DV_LASTPER_INSP_DATE"]]
    assert _keys(device, "Site") == set(mine)
    assert _keys(device, "Asset") == {row["DV_DEVICE_NUMBER"] for row in here}
    assert _keys(device, "Audit") == {
        f"{row['DV_DEVICE_NUMBER']}/{row['DV_LASTPER_INSP_DATE'].removesuffix('.0')}" for row in inspected
    }
    assert _keys(device, "Customer") == {"register"}


def _keys(device: TestDevice, entity: str) -> set[Any]:
    return {row["externalKey"] for row in device.rows.values() if row["entity"] == entity}


async def test_a_limit_stops_after_that_many_lines(importer: Importer) -> None:
    assert (await importer.elevators(limit=20)).tally.lines == 20


def test_the_sample_contains_every_kind_of_dirt(tmp_path: Path) -> None:
    """If someone cleans the sample, the tests above prove nothing."""
    assert 400 <= len(sample()) <= 500
