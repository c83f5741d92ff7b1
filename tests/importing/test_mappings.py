"""An unusable mapping or file is refused before the first line, with an explanation."""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.importing.running import ELEVATORS, SAMPLE
from tournee.importing.command import Options, import_file
from tournee.importing.mapping import load_mapping

RECORD = """
system = "billing"
[[record]]
entity = "Customer"
key = "{No}"
fields.name = "Company"
"""
FILE = "No,Company,When\n1,Demo,2025-01-01\n"


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ("system = ", ["mapping.toml", "Invalid value"]),
        (RECORD.replace("system", "sistem"), ["mapping.toml", "system", "sistem"]),
        (RECORD.replace("entity", "entitty"), ["mapping.toml: record[1].entitty"]),
        (RECORD.replace("Customer", "Cusomer"), ["'Cusomer' cannot be imported", "Customer"]),
        (
            RECORD.replace("fields.name", "fields.nam"),
            ["record 'Customer'", "no field 'nam'", "email", "name"],
        ),
        (RECORD.replace("fields.name", "fields.email"), ["'name' is required"]),
        (RECORD + 'fields.id = "No"', ["'id' follows from the key"]),
        (RECORD.replace("Company", "Firm"), ["file.csv", "'Firm' not", "Company"]),
        (RECORD.replace("{No}", "{Number}"), ["file.csv", "'Number' not"]),
        (RECORD.replace("{No}", "{No"), ["record[1].key", "not a template"]),
        (RECORD + 'fields.email = { column = "No", constant = "x" }', ["fields.email", "exactly one"]),
        (RECORD + "fields.email = { }", ["fields.email", "exactly one"]),
        (RECORD + 'fields.parentId = { record = "boss" }', ["'boss'", "names no record above 'Customer'"]),
        (RECORD + 'fields.parentId = { entity = "Boss", key = "{No}" }', ["there is no 'Boss'"]),
        (RECORD + 'together = [["name", "phone"]]', ["together", "'phone' is not a field"]),
        (RECORD + "[columns.No]\nmatches = '('", ["columns.No.matches", "not a regular expression"]),
        (RECORD + "[columns.No]\nrewrite = [['a', '\\3']]", ["columns.No.rewrite[1]"]),
        (RECORD + '[columns.No]\nparse = "money"', ["columns.No.parse"]),
        (RECORD + '[columns.When]\nparse = "date"', ["columns.When", "needs `formats`"]),
        (RECORD + '[columns.When]\nparse = "time"\nzone = "Mars/Crater"', ["columns.When.zone", "IANA"]),
        (RECORD + "[columns.No]\nminimum = 3", ["columns.No", "only numbers, dates and times"]),
        (RECORD + '[source]\nencoding = "utf-9"', ["source", "no encoding 'utf-9'"]),
        (RECORD + '[[skip]]\nreason = "x"\nwhen = [{ column = "No" }]', ["skip[1].when[1]", "one of"]),
        (RECORD + RECORD.replace('system = "billing"', ""), ["two records are called 'Customer'"]),
        (
            (
                'system = "b"\n[columns.When]\nparse = "date"\nformats = ["%Y"]\n'
                '[[record]]\nentity = "Site"\nkey = "{No}"\n'
                'fields.customerId = { entity = "Customer", key = "{No}" }\n'
                'fields.name = "No"\nfields.latitude = "When"'
            ),
            ["record 'Site'.fields.latitude", "takes a number", "'When' is read as date"],
        ),
        (
            RECORD + 'fields.kind = { constant = "FIRM" }',
            ["fields.kind", "'FIRM' is not one of", "'ORGANISATION'"],
        ),
        (RECORD + "fields.email = { constant = 5 }", ["fields.email", "5 is not a text"]),
        (
            RECORD.replace("fields.name", "fields.kind = 'No'\nfields.name")
            + "[columns.No]\nchoices = { 1 = 'FIRM' }",
            ["columns.No.choices", "record 'Customer'.fields.kind", "'FIRM' is not one of"],
        ),
        (
            RECORD.replace("Customer", "Site") + 'fields.customerId = { entity = "Customer", key = "{No}" }\n'
            'fields.timeZone = { constant = "Mars/Crater" }',
            ["record 'Site'.fields.timeZone", "'Mars/Crater'", "time zone"],
        ),
        (RECORD + 'fields.email = { items = [{ grade = "No" }] }', ["does not take a list of entries"]),
    ],
)
def test_an_unusable_mapping_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mapping: str, words: list[str]
) -> None:
    (tmp_path / "mapping.toml").write_text(mapping, "utf-8")
    (tmp_path / "file.csv").write_text(FILE, "utf-8")
    options = Options(tmp_path / "file.csv", tmp_path / "mapping.toml", create_organisation="Test")
    assert import_file(f"sqlite:///{tmp_path}/untouched.db", options) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert not (tmp_path / "untouched.db").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["the file is empty"]),
        (b"Name,Town\nDemo,Paris\n", ["'Company' not", "Town"]),
        (b"No,Company,No\n1,Demo,1\n", ["'No' twice"]),
        (b"\x1f\x8b\x08\x00broken", ["gzip"]),
        (None, ["No such file"]),
    ],
)
def test_an_unusable_file_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: list[str]
) -> None:
    (tmp_path / "mapping.toml").write_text(RECORD, "utf-8")
    if content is not None:
        (tmp_path / "file.csv").write_bytes(content)
    options = Options(tmp_path / "file.csv", tmp_path / "mapping.toml", create_organisation="Test")
    assert import_file(f"sqlite:///{tmp_path}/untouched.db", options) == 2
    said = capsys.readouterr().err
    assert "file.csv" in said
    for word in words:
        assert word in said


def test_the_mapping_of_the_elevators_fits_its_sample() -> None:
    mapping = load_mapping(ELEVATORS)
    header = SAMPLE.read_text("utf-8").splitlines()[0].split(",")
    assert mapping.used_columns() <= set(header)


async def run(
    tmp_path: Path, database_url: str, text: str, mapping: str = RECORD, **options: Any
) -> tuple[int, list[Any]]:
    """Import a text by the command line; return the exit code and the report, if any."""
    (tmp_path / "mapping.toml").write_text(mapping, "utf-8")
    (tmp_path / "file.csv").write_text(text, "utf-8")
    report = tmp_path / "report.jsonl"
    given = Options(
        tmp_path / "file.csv",
        tmp_path / "mapping.toml",
        create_organisation="Codes",
        report=report,
        **options,
    )
    code = await asyncio.to_thread(import_file, database_url, given, io.StringIO())
    lines = report.read_bytes().splitlines() if report.exists() else []
    return code, [orjson.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("text", "strict", "code", "words"),
    [
        ("No,Company\n1,Demo\n", True, 0, ""),
        ("No,Company\n", False, 1, "Nothing was imported"),
        ("No,Company\n1,\n2,Demo\n", False, 1, "1 lines or records were not imported"),
        ("No,Company\n1,Demo,more\n2,Demo\n", False, 1, "1 lines or records were not imported"),
        # The last cell swallows the rest of the file, yet the number of cells is right.
        ('No,Company\n1,Demo\n2,"Open\n3,Lost\n', False, 1, "1 lines or records were not imported"),
        ("No,Company,Mail\n1,Demo,x\n", False, 0, ""),
        ("No,Company,Mail\n1,Demo,x\n", True, 1, "--strict allows none"),
    ],
)
async def test_the_exit_code_tells_whether_the_whole_file_was_imported(
    tmp_path: Path,
    sqlite_template: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    strict: bool,
    code: int,
    words: str,
) -> None:
    shutil.copy(sqlite_template, tmp_path / "codes.db")
    mapping = RECORD
    if "Mail" in text:
        mapping += 'fields.email = "Mail"\n[columns.Mail]\nmatches = ".+@.+"\n'
    ended, report = await run(tmp_path, f"sqlite:///{tmp_path}/codes.db", text, mapping, strict=strict)
    assert (ended, words in capsys.readouterr().err) == (code, True)
    if "Open" in text:
        assert [(one["line"], "never closed, and runs to line 4" in one["reason"]) for one in report] == [
            (3, True)
        ]


async def test_a_refused_run_removes_the_earlier_report(tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").write_text('{"line": 1}\n')
    ended = await run(tmp_path, f"sqlite:///{tmp_path}/untouched.db", FILE, RECORD.replace("Company", "Firm"))
    assert ended == (2, [])


@pytest.mark.parametrize("name", ["file.csv", "mapping.toml"])
def test_the_report_never_overwrites_an_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "file.csv").write_text(FILE)
    (tmp_path / "mapping.toml").write_text(RECORD)
    before = (tmp_path / name).read_bytes()
    options = Options(tmp_path / "file.csv", tmp_path / "mapping.toml", report=tmp_path / "." / name)
    assert import_file(f"sqlite:///{tmp_path}/untouched.db", options) == 2
    assert "name another file" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 2)])
async def test_rules_for_an_unread_column_are_reported(
    tmp_path: Path, sqlite_template: Path, capsys: pytest.CaptureFixture[str], strict: bool, code: int
) -> None:
    shutil.copy(sqlite_template, tmp_path / "codes.db")
    mapping = RECORD + "[columns.Nr]\nmatches = '.'\n"
    ended, _ = await run(tmp_path, f"sqlite:///{tmp_path}/codes.db", FILE, mapping, strict=strict)
    assert ended == code
    assert "no record uses [columns.Nr]" in capsys.readouterr().err
