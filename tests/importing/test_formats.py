"""File formats: workbooks, JSON documents, lists within lines, encodings."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.importing import workbook
from tests.importing.running import CUSTOMERS, Importer, all_of
from tournee.customers.models import Contact, Customer, Site
from tournee.importing.mapping.columns import Column
from tournee.importing.mapping.model import Mapping
from tournee.importing.planning.cells import CellReader
from tournee.importing.sources.lines import Line, UnusableFile
from tournee.importing.sources.opening import open_lines
from tournee.people.models import Technician
from tournee.stock.models import Part
from tournee.work.models import WorkOrder


def mapping(**source: Any) -> Mapping:
    record = {"entity": "Customer", "key": "{No}", "fields": {"name": "Company"}}
    return Mapping.model_validate({"system": "x", "source": source, "record": [record]})


def read(file: Path, **source: Any) -> list[Line]:
    with open_lines(file, mapping(**source)) as (lines, _):
        return list(lines)


def refused(file: Path, **source: Any) -> str:
    with pytest.raises(UnusableFile) as problem:
        read(file, **source)
    return str(problem.value)


def test_a_workbook_is_read_with_row_numbers_dates_and_numbers(tmp_path: Path) -> None:
    rows = [["No", "Company", None, "Day"], [1, "Demo", None, date(2026, 1, 5)], [], [2.5, None, "x", None]]
    file = workbook.write(tmp_path / "a.xlsx", rows, first=3)
    assert [(line.number, line.cells) for line in read(file)] == [
        (4, {"No": 1, "Company": "Demo", "Day": date(2026, 1, 5)}),
        (6, {"No": 2.5, "Company": "", "Day": ""}),
    ]
    # The content decides, not the file's name.
    assert len(read(file.rename(tmp_path / "a.csv"))) == 2
    assert "an Excel file" in refused(tmp_path / "a.csv", format="csv")


@pytest.mark.parametrize(
    ("parse", "zone", "expected"),
    [
        ("date", None, "2026-01-05"),
        ("time", "Europe/Paris", "2026-01-04T23:00:00+00:00"),
        ("text", None, "2026-01-05"),
    ],
)
def test_a_date_in_a_workbook_needs_no_format(parse: Any, zone: str | None, expected: str) -> None:
    reader = CellReader(Column(parse=parse, zone=zone, formats=["%d.%m.%Y"]), [])
    value, problem = reader.read(date(2026, 1, 5))
    assert (value if isinstance(value, str) else value.isoformat(), problem) == (expected, None)  # type: ignore[union-attr]


def test_a_workbook_with_several_sheets_needs_a_named_sheet(tmp_path: Path) -> None:
    file = workbook.write(tmp_path / "a.xlsx", [["No", "Company"], [1, "Demo"]], sheets=("One", "Two"))
    assert "several sheets" in refused(file)
    assert "One, Two" in refused(file, sheet="Three")
    assert len(read(file, sheet="Two")) == 1


def test_rows_above_the_header_are_skipped(tmp_path: Path) -> None:
    rows = [["A report", None], ["No", "Company"], [1, "Demo"]]
    assert len(read(workbook.write(tmp_path / "a.xlsx", rows), header_line=2)) == 1
    (tmp_path / "a.csv").write_text("A report\nNo,Company\n1,Demo\n")
    assert [line.number for line in read(tmp_path / "a.csv", header_line=2)] == [3]


@pytest.mark.parametrize("sheets", [("One",), ("Two &amp; more", "One")])
async def test_a_failed_formula_is_reported_and_not_read_as_empty(
    importer: Importer, sheets: tuple[str, ...]
) -> None:
    failed = workbook.Failed
    rows = [
        # A sheet may begin anywhere.
        [None, "No", "Company", "Notes"],
        [None, 1, "Demo Bakery", failed("#N/A")],
        [None, failed("#REF!"), "Demo Mill", None],
        [None, 3, failed("#DIV/0!"), failed("#NAME?")],
        [None, 4, "Demo Forge", "#N/A"],
    ]
    file = workbook.write(importer.folder / "a.xlsx", rows, first=2, sheets=sheets)
    chosen = importer.folder / "mapping.toml"
    chosen.write_text(FORMULAS, "utf-8")
    imported = await importer.file(file, chosen)
    assert imported.made() == {"Customer": 2}
    reason = "holds a formula error instead of a value"
    assert imported.remarks(3) == [("Notes", reason)]
    assert imported.report[0]["value"] == "#N/A"
    assert imported.remarks(4) == [("No", reason), ("", "its key {No} has no value")]
    assert imported.remarks(5)[:2] == [("Company", reason), ("Notes", reason)]
    # A text that looks like a number stays a text.
    assert (await importer.row(Customer, "4", "x")).notes == "#N/A"


FORMULAS = """
system = "x"
source.sheet = "One"
[[record]]
entity = "Customer"
key = "{No}"
fields.name = "Company"
fields.notes = "Notes"
"""


def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    far = workbook.write(tmp_path / "far.xlsx", [["No", "Company"], [1, "Demo"]])
    with zipfile.ZipFile(far) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", cell)
    with zipfile.ZipFile(far, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "reaches to row 1,048,576 and column 16,384" in refused(far)
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "")
        with archive.open("xl/sharedStrings.xml", "w") as file:
            for _ in range(21):
                file.write(b" " * 10_000_000)
    assert "unpacks to more than 200 MB" in refused(bomb)
    (tmp_path / "cut.xlsx").write_bytes(far.read_bytes()[:400])
    assert "damaged" in refused(tmp_path / "cut.xlsx")


def test_a_json_array_is_read_record_by_record(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf[{"No": 1, "Company": "Demo", "at": {"city": "Paris"}}, 7, {"No": 2.50}]')
    first, second, third = read(file)
    assert (first.number, first.cells) == (1, {"No": 1, "Company": "Demo", "at.city": "Paris"})
    assert second.problem == "is not a JSON object"
    assert (third.number, str(third.cells["No"])) == (3, "2.50")


def test_a_record_of_a_document_has_its_size(tmp_path: Path) -> None:
    """The size decides where a batch ends."""
    records = [{"No": 1, "list": ["x" * 100] * 5_000}, {"No": 2}]
    (tmp_path / "a.json").write_bytes(orjson.dumps(records))
    assert sum(line.size for line in read(tmp_path / "a.json")) > 400_000


def test_a_nested_list_in_a_document_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(
        orjson.dumps({"page": 1, "data": {"items": [{"No": 1}, {"No": 2}]}}, option=orjson.OPT_INDENT_2)
    )
    assert [line.cells for line in read(file, records="data.items")] == [{"No": 1}, {"No": 2}]
    assert "say records" in refused(file)
    assert "no list at data.rows" in refused(file, records="data.rows")


def test_a_json_file_may_hold_one_object_per_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"No": 1}\n{"No": 2}\n')
    assert [line.number for line in read(tmp_path / "a.json")] == [1, 2]


def test_a_geojson_feature_has_the_coordinates_of_its_point(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [2.35, 48.85]}
    feature = {"type": "Feature", "id": 7, "properties": {"Company": "Demo"}, "geometry": point}
    (tmp_path / "a.geojson").write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [feature]}))
    (line,) = read(tmp_path / "a.geojson")
    assert (line.cells["properties.Company"], line.cells["id"]) == ("Demo", 7)
    assert [str(line.cells[f"geometry.{name}"]) for name in ("longitude", "latitude")] == ["2.35", "48.85"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"No": 1}, {"No": ', "ends within record 2"),
        (b'[{"No": 1}, {"No" 2}]', "is not JSON"),
        (b'[{"No": "' + b"x" * 3_000_000 + b'"}]', "longer than a record may be"),
        (b"[]", "or an empty one"),
    ],
)
def test_an_unreadable_document_is_explained(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert words in refused(tmp_path / "a.json")


TEXT = "No,Company\n1,Käserei Demo\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_with_a_byte_order_mark_is_recognised(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert [line.cells["Company"] for line in read(tmp_path / "a.csv")] == ["Käserei Demo"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.encode("cp1252"), 'not UTF-8; say which in the mapping, such as encoding = "cp1252"'),
        (TEXT.encode("utf-16-le"), 'encoding = "utf-16-le"'),
        (TEXT.encode("utf-16-be"), 'encoding = "utf-16-be"'),
        (b"\xd0\xcf\x11\xe0" + b"\x00" * 600, "an old Excel"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"BZh91AY&SY", "bzip2"),
        (b"No;Company\n1;Demo\n", "is the delimiter ';'?"),
    ],
)
def test_a_wrong_file_type_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert words in refused(tmp_path / "a.csv")


def test_a_zip_archive_is_not_read_as_a_workbook(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", TEXT)
    (tmp_path / "a.csv").write_bytes(packed.getvalue())
    assert "a ZIP archive: unpack it first" in refused(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("JOHN O'NEILL", "John O'Neill"),
        ("DON'T STOP", "Don't Stop"),
        ("saint-étienne", "Saint-Étienne"),
        ("", None),
    ],
)
def test_title_case_converts_names(text: str, title: str | None) -> None:
    assert CellReader(Column(clean=["title"]), []).read(text) == (title, None)


NESTED = """
system = "crm"
[[record]]
entity = "Customer"
key = "{code}"
[record.fields]
name = "name"
tags = { split = "labels", separator = ";" }

[[record]]
entity = "Site"
each = "sites"
key = "{code}/{sites.id}"
unless = [{ column = "sites.state", equals = ["closed"] }]
[record.fields]
customerId = { record = "Customer" }
name = "sites.name"
country = "country"

[[record]]
entity = "Contact"
each = "sites.people"
key = "{code}/{sites.id}/{sites.people.mail}"
[record.fields]
customerId = { record = "Customer" }
siteId = { record = "Site" }
name = "sites.people.mail"
"""


async def test_lists_in_a_line_become_records(importer: Importer) -> None:
    people = [{"mail": "a@demo.example"}, {"mail": "b@demo.example"}]
    first = {"id": 1, "name": "Harbour", "people": people}
    sites = [first, {"id": 2, "name": "Hill", "state": "closed"}, {"id": 3, "people": []}]
    customer = {"code": "C1", "name": "Demo", "country": "FR", "labels": "key; large;;key", "sites": sites}
    imported = await importer.text(orjson.dumps([customer]), NESTED, "crm.json")
    assert imported.made() == {"Customer": 1, "Site": 1, "Contact": 2}
    site = await importer.row(Site, "C1/1", "crm")
    assert (site.name, site.country) == ("Harbour", "FR")
    assert {one.site_id for one in await all_of(importer, Contact)} == {site.id}
    assert (await importer.row(Customer, "C1", "crm")).tags == ["key", "large"]
    assert [(one["record"], one["key"], one["done"]) for one in imported.report] == [
        ("Site", "C1/3", "record not imported")
    ]


async def test_tags_may_be_a_list_and_other_lists_are_refused_as_text(importer: Importer) -> None:
    mapping = CUSTOMERS + 'tags = "Tags"\n'
    line = {"No": "1", "Company": "Demo", "Mail": ["a@demo.example"], "Tags": ["key", "large"]}
    imported = await importer.text(orjson.dumps(line), mapping, "a.jsonl")
    assert (await importer.row(Customer, "1", "billing")).tags == ["key", "large"]
    assert [(one["column"], one["reason"]) for one in imported.report] == [
        ("Mail", "is a list instead of one value"),
        ("Remark", "is in no line of the file"),
    ]


async def test_technicians_parts_and_work_orders_are_imported_and_updated(importer: Importer) -> None:
    mapping = """
system = "old"
[[record]]
entity = "Technician"
key = "{Staff}"
fields.name = "Staff"
[[record]]
entity = "Part"
key = "{Part}"
fields.number = "Part"
fields.name = "Title"
[[record]]
entity = "Customer"
key = "all"
fields.name = { constant = "Demo Works" }
[[record]]
entity = "WorkOrder"
key = "{Order}"
fields.customerId = { record = "Customer" }
fields.summary = "Title"
fields.kind = { constant = "BREAKDOWN" }
"""
    header = "Staff,Part,Order,Title\n"
    imported = await importer.text(header + "Demo Person,P1,O1,Pump\n", mapping)
    assert imported.made() == {"Technician": 1, "Part": 1, "Customer": 1, "WorkOrder": 1}
    again = await importer.text(header + "Demo Person,P1,O1,Large pump\n", mapping)
    assert again.made("updated") == {"Part": 1, "WorkOrder": 1}
    assert (await importer.row(Part, "P1", "old")).name == "Large pump"
    order = await importer.row(WorkOrder, "O1", "old")
    assert (order.summary, order.external_key) == ("Large pump", "O1")
    assert (await importer.row(Technician, "Demo Person", "old")).name == "Demo Person"
    before = await importer.log_length()
    await importer.text(header + "Demo Person,P1,O1,Large pump\n", mapping)
    assert await importer.log_length() == before
