"""A wrong local copy is detected and repaired part by part."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.served.field import PASSWORD, Field
from tournee.sync.pull.checksums import row_sum as server_sum
from tournee_client import Device, Store
from tournee_client.verify import Repaired, row_sum

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

Open = Callable[[Store], Device]

PROTOCOL = Path(__file__).parents[3] / "schema" / "sync.md"

RECORDS: list[dict[str, Any]] = [
    {},
    {"id": "0", "name": 'Zürich \u2028 \u0001 "\\\n\t\x7f 🛗', "none": None, "yes": True},
    {"b": 1, "a": -0.0, "c": 12.5, "d": 1e-7, "e": 1e21, "f": 3.0, "g": 2**53, "h": -(2**53 - 1)},
    {"nested": [{"z": 1, "a": [1.5, []]}, {}], "é": 1, "z": 2, "Z": 3},
    {"\uff5e": 1, "\U0001f525": 2, "/": "/"},
]


@pytest.mark.parametrize("record", RECORDS)
def test_client_and_server_compute_the_same_row_sum(record: dict[str, Any]) -> None:
    assert row_sum("Asset", record) == server_sum("Asset", record)


def test_a_row_sum_equals_the_documented_value() -> None:
    record = {"id": "01a208b2-253e-7027-864a-bea8a7b23126", "name": "Lift", "load": 12.5, "stops": 7}
    assert f"{row_sum('Asset', record):016x}" == VECTOR
    assert row_sum("Asset", {**record, "stops": 8}) != row_sum("Asset", record)
    assert row_sum("Site", record) != row_sum("Asset", record)


VECTOR = "86000bab1e987f1d"


def test_the_documented_example_has_its_canonical_text_and_sum() -> None:
    """The example has unordered names and a number with a fraction, as a server may send them."""
    section = PROTOCOL.read_text("utf-8").partition("### How JSON is written")[2]
    record = section.partition("```json\n")[2].partition("```")[0]
    written = section.partition("```text\n")[2].partition("\n```")[0]
    total = re.search(r"its sum, of `(\w+)`, .* is `([0-9a-f]{16})`", section)
    assert total is not None
    assert hashlib.sha256(f"{total[1]}\n{written}".encode()).hexdigest()[:16] == total[2]
    for reckon in (row_sum, server_sum):
        assert f"{reckon(total[1], json.loads(record)):016x}" == total[2]
        assert f"{reckon(total[1], json.loads(record) | {'tags': None}):016x}" != total[2]


async def test_a_damaged_copy_is_repaired_without_a_new_copy(
    open_device: Open,
    store: Store,
    field: Field,
) -> None:
    device = open_device(store)
    await device.sign_in(field.email, PASSWORD)
    visits = [await field.visit() for _ in range(3)]
    await device.sync()
    assert await device.verify() == []
    cursor = store.cursor
    rows = store.database.execute("SELECT * FROM row ORDER BY entity, id").fetchall()
    (order,) = store.database.execute("SELECT id FROM row WHERE entity = 'WorkOrder' LIMIT 1").fetchone()
    ghost = f"{order[:-4]}0000"
    execute = store.database.execute
    execute("DELETE FROM row WHERE id = ?", (visits[0],))
    execute(
        "UPDATE row SET document = replace(document, '\"status\"', '\"state\"') WHERE id = ?", (visits[1],)
    )
    execute("INSERT INTO row VALUES ('Ghost', ?, 1, '{}')", (ghost,))
    execute("INSERT INTO row SELECT entity, ?, seq, document FROM row WHERE id = ?", (ghost, order))
    repaired = await device.verify()
    appointments = {Repaired("Appointment", visit[-1]) for visit in visits[:2]}
    expected = {*appointments, Repaired("WorkOrder", "0"), Repaired("Ghost", "0")}
    assert set(repaired) == expected
    assert store.database.execute("SELECT * FROM row ORDER BY entity, id").fetchall() == rows
    assert store.cursor == cursor
    assert await device.verify() == []


async def test_one_scope_can_be_compared_by_its_ids(
    open_device: Open,
    store: Store,
    field: Field,
) -> None:
    device = open_device(store)
    await device.sign_in(field.email, PASSWORD)
    await field.visit()
    await device.sync()
    visit = next(iter(device.all("Appointment")))
    query = {"scope": visit["siteId"], "cursor": store.cursor}
    answer = await device._link.call("GET", "/sync/checksums", False, params=query)
    assert answer["current"]
    assert visit["siteId"] in answer["entities"]["Site"]["ids"]
    for entity, told in answer["entities"].items():
        rows = {row["id"]: row for row in device.all(entity)}
        total = sum(row_sum(entity, rows[id]) for id in told["ids"]) % 2**64
        assert (told["count"], told["checksum"]) == (len(told["ids"]), f"{total:016x}")
    await field.world.house.run("createSkill", name="Lifts")
    behind = await device._link.call("GET", "/sync/checksums", False, params=query)
    assert behind == {"current": False}
