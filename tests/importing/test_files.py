"""Files from other systems: other columns, other formats, and all kinds of faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.importing.running import CUSTOMERS, Importer, all_of, lines
from tournee.assets.models import Asset, Meter, Reading
from tournee.customers.models import Contact, Customer, Site
from tournee.importing.command import Options, UnusableAccount, find_actor
from tournee.quality.models import Audit, AuditFinding

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_contacts_and_readings_are_imported_from_json_lines(importer: Importer) -> None:
    mapping = """
system = "building-control"
[columns."meter.at"]
parse = "time"
[columns."meter.hours"]
parse = "number"
minimum = 0
[columns.vip]
parse = "boolean"

[[record]]
entity = "Customer"
key = "{client.code}"
fields.name = "client.name"

[[record]]
entity = "Contact"
key = "{client.code}/{mail}"
when = [{ column = "mail", filled = true }]
[record.fields]
customerId = { record = "Customer" }
name = "person"
email = "mail"
consentsToMarketing = "vip"

[[record]]
entity = "Asset"
key = "{device}"
fields.customerId = { record = "Customer" }
fields.name = { template = "Pump {device}" }

[[record]]
entity = "Meter"
key = "{device}/hours"
fields.assetId = { record = "Asset" }
fields.name = { constant = "Hours" }
fields.unit = { constant = "h" }

[[record]]
entity = "Reading"
key = "{device}/{meter.at}"
fields.meterId = { record = "Meter" }
fields.value = "meter.hours"
fields.takenAt = "meter.at"
fields.source = { constant = "IMPORT" }
"""

    def line(device: str, at: str, hours: Any, **more: Any) -> str:
        client = {"code": "C1", "name": "Demo Works"}
        return orjson.dumps(
            {"device": device, "client": client, "meter": {"at": at, "hours": hours}, **more}
        ).decode()

    text = "\n".join(
        [
            line(
                "P1",
                "2026-01-05T08:00:00+01:00",
                120.5,
                person="Demo Person",
                mail="a@demo.example",
                vip=True,
            ),
            line("P1", "2026-02-05T08:00:00+01:00", 130),
            '{"device": "P1", "client"',
            line("P1", "yesterday", 140),
            line("P2", "2026-02-05T08:00:00", 7),
            line("P1", "2026-03-05T08:00:00Z", -3),
            "[1, 2]",
        ]
    )
    imported = await importer.text(text, mapping, "readings.jsonl")
    assert imported.made() == {"Customer": 1, "Contact": 1, "Asset": 2, "Meter": 2, "Reading": 2}
    readings = await all_of(importer, Reading)
    assert sorted(reading.value for reading in readings) == [120.5, 130]
    assert {reading.taken_at.isoformat() for reading in readings} == {
        "2026-01-05T07:00:00+00:00",
        "2026-02-05T07:00:00+00:00",
    }
    (contact,) = await all_of(importer, Contact)
    assert contact.consents_to_marketing is True
    assert [(one["line"], one["column"], one["done"]) for one in imported.report] == [
        (3, "", "line not imported"),
        (4, "meter.at", "imported without this field"),
        (4, "", "record not imported"),
        (5, "meter.at", "imported without this field"),
        (5, "", "record not imported"),
        (6, "meter.hours", "imported without this field"),
        (6, "", "record not imported"),
        (7, "", "line not imported"),
    ]
    before = await importer.log_length()
    await importer.text(text, mapping, "readings.jsonl")
    assert await importer.log_length() == before
    assert await importer.count(Meter) == 2


AUDITS = """
system = "inspectors"
[source]
group_by = "Audit"
delimiter = ";"
[columns.Date]
parse = "time"
formats = ["%d.%m.%Y"]
zone = "Europe/Zurich"
[columns.Grade]
choices = { minor = "MINOR", major = "MAJOR" }
[[record]]
entity = "Audit"
key = "{Audit}"
[record.fields]
title = { template = "Audit {Audit}" }
performedAt = "Date"
findings = { each_line = { grade = "Grade", description = "Found" } }
"""


async def test_the_lines_of_one_audit_become_its_findings(importer: Importer) -> None:
    rows = ("A1;03.02.2025;minor;No label", "A1;03.02.2025;major;No brake", "A2;04.02.2025;;")
    text = "\n".join(("Audit;Date;Grade;Found", *rows))
    imported = await importer.text(text, AUDITS)
    assert imported.made() == {"Audit": 2}
    audit = await importer.row(Audit, "A1", "inspectors")
    found = [one for one in await all_of(importer, AuditFinding) if one.audit_id == audit.id]
    assert {(one.grade.value, one.description) for one in found} == {
        ("MINOR", "No label"),
        ("MAJOR", "No brake"),
    }
    assert await importer.count(AuditFinding) == 2
    before = await importer.log_length()
    assert (await importer.text(text, AUDITS)).made("unchanged") == {"Audit": 2}
    assert await importer.log_length() == before


async def test_an_unreadable_finding_refuses_its_audit(importer: Importer) -> None:
    """An audit without its findings would look clean, and no corrected file could add them."""
    text = "Audit;Date;Grade;Found\nA1;03.02.2025;terrible;No label\nA2;31.02.2025;minor;No brake\n"
    imported = await importer.text(text, AUDITS)
    reasons = [(one["line"], one["column"], one["done"]) for one in imported.report]
    assert (2, "Grade", "imported without this field") in reasons
    assert (2, "Grade", "record not imported") in reasons
    assert (3, "Date", "imported without this field") in reasons
    assert (3, "", "record not imported") in reasons
    assert await importer.count(Audit) == 0
    assert (await importer.text(text.replace("terrible", "major"), AUDITS)).made() == {"Audit": 1}


async def test_an_unreadable_line_refuses_the_group_it_may_belong_to(
    importer: Importer,
) -> None:
    rows = ("A1;03.02.2025;minor;One", "A1;03.02.2025", "A2;03.02.2025;minor;Two", "A3;03.02.2025;;")
    imported = await importer.text("\n".join(("Audit;Date;Grade;Found", *rows)), AUDITS)
    assert [(one["line"], one["done"]) for one in imported.report] == [
        (2, "line not imported"),
        (3, "line not imported"),
        (4, "line not imported"),
    ]
    assert imported.made() == {"Audit": 1}


HEADER = "Audit;Date;Grade;Found\n"


async def test_an_audit_with_scattered_lines_is_refused_with_all_of_them(
    importer: Importer,
) -> None:
    """Some findings would pass for all of them, and a sorted file could not add the rest."""
    rows = ("A1;03.02.2025;minor;One", "A2;03.02.2025;;", " A1;03.02.2025;minor;One", "A3;03.02.2025;;")
    imported = await importer.text(HEADER + "\n".join(rows), AUDITS)
    assert [(one["line"], one["key"], one["done"]) for one in imported.report] == [
        (2, "A1", "line not imported"),
        (4, "A1", "line not imported"),
    ]
    assert all("line 2" in one["reason"] and "line 4" in one["reason"] for one in imported.report)
    assert imported.made() == {"Audit": 2}
    assert await importer.row(Audit, "A1", "inspectors") is None
    await importer.text(HEADER + "\n".join(sorted(row.strip() for row in rows)), AUDITS)
    assert await importer.count(AuditFinding) == 2


async def test_a_scattered_group_is_noticed_beside_an_unreadable_line(importer: Importer) -> None:
    rows = ("A1;03.02.2025;minor;One", "broken", "A2;03.02.2025;;", "A3;03.02.2025;;", "A1;03.02.2025;;")
    imported = await importer.text(HEADER + "\n".join(rows), AUDITS)
    assert [one["line"] for one in imported.report] == [2, 3, 4, 6]
    assert imported.made() == {"Audit": 1}


async def test_lines_without_a_key_belong_to_no_group(importer: Importer) -> None:
    rows = (";03.02.2025;minor;One", "A1;03.02.2025;;", ";03.02.2025;minor;Two", "A2;03.02.2025;;")
    imported = await importer.text(HEADER + "\n".join(rows), AUDITS)
    assert [(one["line"], one["done"]) for one in imported.report] == [
        (2, "record not imported"),
        (4, "record not imported"),
    ]
    assert imported.made() == {"Audit": 2}


async def test_two_differing_lines_about_one_audit_are_refused_without_grouping_too(
    importer: Importer,
) -> None:
    mapping = AUDITS.replace('group_by = "Audit"', "").replace("each_line = {", "items = [{")
    mapping = mapping.replace('"Found" } }', '"Found" }] }')
    rows = ("A1;03.02.2025;minor;One", "A2;03.02.2025;major;Two", "A1;03.02.2025;minor;Other")
    imported = await importer.text(HEADER + "\n".join((*rows, rows[1])), mapping)
    assert [(one["line"], one["key"], one["done"]) for one in imported.report] == [
        (2, "A1", "record not imported"),
        (4, "A1", "record not imported"),
    ]
    assert imported.made() == {"Audit": 1}


async def test_a_limit_never_cuts_a_group(importer: Importer) -> None:
    rows = ("A1;03.02.2025;;", "A2;03.02.2025;minor;One", "A2;03.02.2025;minor;Two", "A3;03.02.2025;;")
    imported = await importer.text(HEADER + "\n".join(rows), AUDITS, limit=2)
    assert imported.tally.lines == 3
    assert await importer.count(AuditFinding) == 2


CLEAN = AUDITS.replace('grade = "Grade"', 'grade = { constant = "MINOR" }')


@pytest.mark.parametrize("entry", ["each_line = {", "items = [{"])
async def test_a_clean_inspection_is_an_audit_without_findings(importer: Importer, entry: str) -> None:
    mapping = CLEAN.replace("each_line = {", entry)
    if "[" in entry:
        mapping = mapping.replace('"Found" } }', '"Found" }] }')
    rows = ("A1;03.02.2025;;", "A2;03.02.2025;;No label")
    imported = await importer.text(HEADER + "\n".join(rows), mapping)
    assert imported.report == []
    assert imported.made() == {"Audit": 2}
    assert await importer.count(AuditFinding) == 1


async def test_a_finding_may_have_its_own_condition(importer: Importer) -> None:
    mapping = AUDITS.replace(
        'grade = "Grade", description',
        'when = [{ column = "Grade", equals = ["minor"] }], grade = "Grade", description',
    )
    rows = ("A1;03.02.2025;none;All fine", "A2;03.02.2025;minor;No label")
    imported = await importer.text(HEADER + "\n".join(rows), mapping)
    assert imported.report == []
    assert await importer.count(AuditFinding) == 1


async def test_an_unreadable_condition_does_not_leave_its_finding_out(
    importer: Importer,
) -> None:
    mapping = AUDITS.replace(
        'grade = "Grade", description',
        'when = [{ column = "Grade", filled = true }], grade = { constant = "MINOR" }, description',
    )
    imported = await importer.text(HEADER + "A1;03.02.2025;terrible;No label\n", mapping)
    assert [(one["column"], one["done"]) for one in imported.report] == [
        ("Grade", "imported without this field")
    ]
    assert await importer.count(AuditFinding) == 1


async def test_an_unclosed_quote_is_reported_with_the_lines_it_swallowed(importer: Importer) -> None:
    text = 'No,Company,Mail,Remark\n1,Demo,,\n2,"Open,,\n3,Lost,,\n4,Lost,,\n'
    imported = await importer.text(text, CUSTOMERS)
    assert imported.made() == {"Customer": 1}
    assert [one["line"] for one in imported.report] == [3]
    assert "runs to line 5" in imported.report[0]["reason"]


async def test_a_key_may_hold_braces_and_large_numbers(importer: Importer) -> None:
    mapping = CUSTOMERS.replace('"{No}"', '"{No}/{Remark}"') + '[columns.No]\nparse = "number"\n'
    header = ("No", "Company", "Mail", "Remark")
    await importer.text(lines(header, ("1234567.0", "Demo", "", "{No}")), mapping)
    assert await importer.row(Customer, "1234567/{No}", "billing") is not None


async def test_findings_may_be_in_a_list_or_in_numbered_columns(importer: Importer) -> None:
    audit = """
system = "inspectors"
[columns.at]
parse = "time"
[[record]]
entity = "Audit"
key = "{number}"
fields.title = { template = "Audit {number}" }
fields.performedAt = "at"
"""
    listed = (
        audit + 'fields.findings = { each = "found", fields = { grade = "grade", description = "text" } }\n'
    )
    found = [{"grade": "MINOR", "text": "No label"}, {"grade": "MAJOR", "text": "No brake"}]
    text = orjson.dumps({"number": "A1", "at": "2025-01-01T00:00:00Z", "found": found}).decode()
    assert (await importer.text(text, listed, "audits.jsonl")).report == []
    numbered = audit + (
        'fields.findings.items = [{ grade = { constant = "MINOR" }, description = "first" }]\n'
    )
    rows = lines(("number", "at", "first"), ("A2", "2025-01-01T00:00:00Z", "No lamp"))
    assert (await importer.text(rows, numbered)).report == []
    assert await importer.count(AuditFinding) == 3


async def test_faults_in_a_csv_file_cost_only_their_lines(importer: Importer) -> None:
    text = (
        b"\xef\xbb\xbfNo,Company,Mail,Remark\r\n"
        b'1,"Demo, Hotel",a@demo.example,"two\r\nlines"\r\n'
        b"2,Too,few\r\n"
        b"3,One,too,many,cells\r\n"
        b"\r\n"
        b"4,Demo K\xe4se,b@demo.example,\r\n"
        b"5,Demo Nul\x00,c@demo.example,\r\n"
        b"6,Demo Inn,d@demo.example,caf\xe9\r\n"
        b"7,Demo Bar,,fine\r\n"
    )
    imported = await importer.text(text, CUSTOMERS)
    assert [(one["line"], one["column"], one["done"]) for one in imported.report] == [
        (4, "", "line not imported"),
        (5, "", "line not imported"),
        (7, "Company", "imported without this field"),
        (7, "", "record not imported"),
        (8, "Company", "imported without this field"),
        (8, "", "record not imported"),
        (9, "Remark", "imported without this field"),
    ]
    assert (await importer.row(Customer, "1", "billing")).notes == "two\r\nlines"
    assert (await importer.row(Customer, "6", "billing")).notes is None
    assert await importer.count(Customer) == 3


async def test_a_file_is_read_in_the_encoding_that_the_mapping_names(importer: Importer) -> None:
    mapping = CUSTOMERS + '[source]\nencoding = "cp1252"\n'
    await importer.text("No,Company,Mail,Remark\n1,Käserei Demo,,\n".encode("cp1252"), mapping)
    assert (await importer.row(Customer, "1", "billing")).name == "Käserei Demo"


async def test_a_text_that_is_too_long_is_left_out_or_refuses_its_record(importer: Importer) -> None:
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "x" * 201, ""), ("2", "y" * 201, "", ""))
    imported = await importer.text(text, CUSTOMERS)
    assert [(one["line"], one["column"], one["done"]) for one in imported.report] == [
        (2, "Mail", "imported without this field"),
        (3, "Company", "record not imported"),
    ]
    assert await importer.count(Customer) == 1


SITES = """
system = "billing"
[columns.lat]
parse = "number"
[columns.lon]
parse = "number"
[[record]]
entity = "Site"
key = "{Site}"
[record.fields]
customerId = { entity = "Customer", key = "{No}" }
name = "Name"
timeZone = "Zone"
"""


async def test_files_of_one_system_refer_to_each_others_records(importer: Importer) -> None:
    await importer.text(lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "", "")), CUSTOMERS)
    text = lines(
        ("Site", "No", "Name", "Zone"),
        ("S1", "1", "Harbour", "Europe/Paris"),
        ("S2", "9", "Nowhere", ""),
        ("S3", "1", "Crater", "Mars/Crater"),
        ("S4", "1", "Hill", ""),
    )
    imported = await importer.text(text, SITES)
    assert imported.made() == {"Site": 2}
    assert imported.made("refused") == {"Site": 2}
    assert [(one["line"], one["column"], one["key"]) for one in imported.report] == [
        (3, "No", "S2"),
        (4, "Zone", "S3"),
    ]
    assert await importer.count(Site) == 2


async def test_a_record_refused_by_the_database_costs_no_other(importer: Importer) -> None:
    await importer.text(lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "", "")), CUSTOMERS)
    bad = {3, 17, 18, 60}
    rows = [(f"S{n}", "9" if n in bad else "1", f"Site {n}", "") for n in range(100)]
    imported = await importer.text(lines(("Site", "No", "Name", "Zone"), *rows), SITES)
    assert await importer.count(Site) == 96
    assert [one["line"] - 2 for one in imported.report] == sorted(bad)


async def test_a_changed_file_updates_only_the_differences(importer: Importer) -> None:
    header = ("No", "Company", "Mail", "Remark")
    await importer.text(
        lines(header, ("1", "Demo", "a@demo.example", "x"), ("2", "Other", "", "")), CUSTOMERS
    )
    before = await importer.log_length()
    imported = await importer.text(
        lines(header, ("1", "Demo", "b@demo.example", ""), ("2", "Other", "", "")), CUSTOMERS
    )
    assert (imported.made("updated"), imported.made("unchanged")) == ({"Customer": 1}, {"Customer": 1})
    assert await importer.log_length() == before + 1
    customer = await importer.row(Customer, "1", "billing")
    assert (customer.email, customer.notes) == ("b@demo.example", "x")
    (*_, change) = await importer.house.changes(customer.id)
    assert (change.command, orjson.loads(change.after)) == ("updateCustomer", {"email": "b@demo.example"})


async def test_a_mapping_may_leave_existing_records_alone(importer: Importer) -> None:
    header = ("No", "Company", "Mail", "Remark")
    await importer.text(lines(header, ("1", "Demo", "", "")), CUSTOMERS)
    careful = CUSTOMERS.replace('key = "{No}"', 'key = "{No}"\nexisting = "keep"')
    await importer.text(lines(header, ("1", "Renamed", "", ""), ("2", "New", "", "")), careful)
    assert (await importer.row(Customer, "1", "billing")).name == "Demo"
    assert (await importer.row(Customer, "2", "billing")).name == "New"


async def test_a_record_deleted_here_is_not_restored(importer: Importer) -> None:
    mapping = CUSTOMERS + (
        '[[record]]\nentity = "Contact"\nkey = "{Mail}"\n'
        'fields.customerId = { record = "Customer" }\nfields.name = "Mail"\n'
    )
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "a@demo.example", ""))
    await importer.text(text, mapping)
    contact = await importer.row(Contact, "a@demo.example", "billing")
    await importer.house.run("deleteContact", contactId=contact.id)
    again = await importer.text(text, mapping)
    assert again.made("refused") == {"Contact": 1}
    assert (await importer.row(Contact, "a@demo.example", "billing")).deleted is True


async def test_an_asset_at_another_site_in_the_file_is_moved(importer: Importer) -> None:
    mapping = """
system = "register"
[[record]]
entity = "Customer"
key = "all"
fields.name = { constant = "Demo Register" }
[[record]]
entity = "Site"
key = "{House}"
fields.customerId = { record = "Customer" }
fields.name = "House"
[[record]]
entity = "Asset"
key = "{Device}"
fields.name = "Device"
fields.siteId = { record = "Site" }
"""
    await importer.text(lines(("Device", "House"), ("D1", "H1")), mapping)
    await importer.text(lines(("Device", "House"), ("D1", "H2")), mapping)
    device, house = await importer.row(Asset, "D1", "register"), await importer.row(Site, "H2", "register")
    assert device.site_id == house.id


async def test_a_mapping_may_refuse_the_line_for_a_bad_value(importer: Importer) -> None:
    mapping = CUSTOMERS + "[columns.Mail]\nmatches = '.+@.+'\non_bad = \"report-line\"\n"
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "nonsense", ""), ("2", "Other", "", ""))
    imported = await importer.text(text, mapping)
    assert [(one["line"], one["column"], one["done"]) for one in imported.report] == [
        (2, "Mail", "line not imported")
    ]
    assert imported.made() == {"Customer": 1}


async def test_the_same_key_in_two_systems_is_two_records(importer: Importer) -> None:
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "", ""))
    await importer.text(text, CUSTOMERS)
    await importer.text(text, CUSTOMERS.replace('"billing"', '"support"'))
    assert await importer.count(Customer) == 2


async def test_an_import_has_only_its_accounts_permissions(importer: Importer) -> None:
    """The commands' permissions apply to imports too: an auditor may not create customers."""
    importer.role = "AUDITOR"
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "", ""))
    imported = await importer.text(text, CUSTOMERS)
    assert imported.made("refused") == {"Customer": 1}
    assert "customers:write" in imported.report[0]["reason"]


async def test_a_named_account_must_be_active_in_the_organisation(importer: Importer, tmp_path: Path) -> None:
    house = importer.house
    email = f"{house.organisation_id}@demo.example"
    disabled = await house.account("DISPATCHER", email=email)
    options = Options(tmp_path, tmp_path, organisation=str(house.organisation_id), account=email)
    assert (await find_actor(house.database, options)).id == disabled.id
    await house.run("disableAccount", accountId=disabled.id)
    for unusable in (email, "nobody@demo.example"):
        with pytest.raises(UnusableAccount, match="no active account"):
            await find_actor(house.database, replace(options, account=unusable))


async def test_a_dry_run_reports_refusals(importer: Importer) -> None:
    importer.role = "AUDITOR"
    text = lines(("No", "Company", "Mail", "Remark"), ("1", "Demo", "", ""))
    dry = await importer.text(text, CUSTOMERS, dry_run=True)
    assert (dry.made("refused"), dry.made()) == ({"Customer": 1}, {})
    assert (dry.report, await importer.count(Customer)) == ((await importer.text(text, CUSTOMERS)).report, 0)
