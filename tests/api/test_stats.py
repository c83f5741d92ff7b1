"""Statistics: rows counted and added up by groups, as a plain computation over the same rows has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.support.ask import answer, ask, statements
from tests.support.house import House
from tests.support.world import Technician, World
from tournee.kernel.actor import Actor

# The hours around both changes of the clocks in Berlin, and the turn of a year.
STARTS = [
    "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-10-24T21:59:59.999999Z", "2026-10-24T22:00:00Z",
    "2026-10-25T00:10:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:10:00Z", "2026-12-31T23:30:00Z", None,
]  # fmt: skip


@dataclass
class Board:
    house: House
    first: Technician
    second: Technician


@pytest_asyncio.fixture
async def board(house: House) -> Board:
    world = await World(house).settle()
    first, second = await world.technician(), await world.technician()
    order = await world.order()
    for number, start in enumerate(STARTS):
        begins = start and datetime.fromisoformat(start)
        await world.visit(
            *[(), (first,), (first, second)][number % 3 if start else 0],
            order=order,
            startsAt=begins,
            endsAt=begins and begins + timedelta(hours=1),
            durationMinutes=[None, 30, 45][number % 3],
        )
    return Board(house, first, second)


VISITS = """{ appointments { nodes {
  status startsAt durationMinutes assignments { nodes { technicianId } } } } }"""
STATS = """
query ($by: [AppointmentGroup!], $zone: String, $filter: AppointmentFilter) {
  appointmentStats(groupBy: $by, timeZone: $zone, filter: $filter) {
    key { status technicianId hour day week month year }
    count ...Parts
  }
}
fragment Parts on AppointmentStats {
  sum { durationMinutes seconds } avg { durationMinutes } min { durationMinutes startsAt } max { startsAt }
}
"""


def _local(visit: Any, zone: str) -> datetime | None:
    start = visit["startsAt"]
    return None if start is None else datetime.fromisoformat(start).astimezone(ZoneInfo(zone))


def _hour(local: datetime) -> str:
    # In whole minutes from the hour, so that the offset of an hour that comes twice stays.
    began = local.astimezone(UTC) - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return began.isoformat().replace("+00:00", "Z")


_UNITS: dict[str, Callable[[datetime], str]] = {
    "hour": _hour,
    "day": lambda local: local.date().isoformat(),
    "week": lambda local: (local.date() - timedelta(days=local.isocalendar().weekday - 1)).isoformat(),
    "month": lambda local: f"{local:%Y-%m}-01",
    "year": lambda local: f"{local:%Y}-01-01",
}


def _keys(visit: Any, by: str, zone: str) -> list[Any]:
    """Return the values of a key that a visit has."""
    if by == "status":
        return [visit["status"]]
    if by == "technicianId":
        return [one["technicianId"] for one in visit["assignments"]["nodes"]] or [None]
    local = _local(visit, zone)
    return [None if local is None else _UNITS[by](local)]


def _computed(visits: list[Any], by: list[str], zone: str) -> dict[Any, Any]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for visit in visits:
        keys: list[tuple[Any, ...]] = [()]
        for name in by:
            keys = [(*key, value) for key in keys for value in _keys(visit, name, zone)]
        for key in keys:
            groups[key].append(visit)
    found = {}
    for key, rows in groups.items():
        minutes = [row["durationMinutes"] for row in rows if row["durationMinutes"] is not None]
        starts = sorted((row["startsAt"] for row in rows if row["startsAt"]), key=datetime.fromisoformat)
        total = sum(minutes) if minutes else None
        mean = sum(minutes) / len(minutes) if minutes else None
        bounds = (starts[0], starts[-1]) if starts else (None, None)
        lengths = 3600 * sum(1 for row in rows if row["startsAt"]) or None
        found[key] = (len(rows), total, lengths, mean, min(minutes, default=None), *bounds)
    return found


async def _asked(house: House, actor: Actor, by: list[str], zone: str) -> dict[Any, Any]:
    names = {"technicianId": "TECHNICIAN"}
    wanted = [names.get(name, name.upper()) for name in by]
    with statements(house) as sent:
        rows = (await ask(house, STATS, actor, by=wanted, zone=zone))["appointmentStats"]
    assert len(sent) == 1
    found = {
        tuple(row["key"][name] for name in by): (
            row["count"],
            row["sum"]["durationMinutes"],
            row["sum"]["seconds"],
            row["avg"]["durationMinutes"],
            row["min"]["durationMinutes"],
            row["min"]["startsAt"],
            row["max"]["startsAt"],
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


@pytest.mark.slow("Nine groupings, each as two people see them.")
async def test_groups_are_those_of_a_plain_computation(board: Board) -> None:
    for actor in (board.house.actor("MANAGER"), board.second.actor):
        visits = (await ask(board.house, VISITS, actor))["appointments"]["nodes"]
        for by, zone in (
            ([], "UTC"),
            (["status"], "UTC"),
            (["technicianId"], "UTC"),
            (["hour"], "Europe/Berlin"),
            (["day"], "Europe/Berlin"),
            (["day", "technicianId", "status"], "America/St_Johns"),
            (["hour"], "Asia/Kathmandu"),
            (["week", "month"], "Europe/Berlin"),
            (["year"], "Europe/Berlin"),
        ):
            expected = _computed(visits, by, zone)
            assert await _asked(board.house, actor, by, zone) == expected, (by, zone)
    rows = (await ask(board.house, STATS, by=["STATUS", "DAY"], zone="Europe/Berlin"))["appointmentStats"]
    keys = [(row["key"]["status"], row["key"]["day"]) for row in rows]
    order = ["NONE", "SCHEDULED", "DISPATCHED"]
    assert len(keys) == 7
    assert keys == sorted(keys, key=lambda key: (order.index(key[0]), key[1] is None, key[1]))


async def test_statistics_of_no_rows_have_no_values(house: House) -> None:
    (row,) = (await ask(house, STATS))["appointmentStats"]
    assert row["count"] == 0
    assert row["sum"] == {"durationMinutes": None, "seconds": None}
    assert row["avg"] == {"durationMinutes": None}
    assert (await ask(house, STATS, by=["STATUS"]))["appointmentStats"] == []


async def test_what_statistics_may_ask_is_bounded(house: House) -> None:
    for arguments, code in (
        ('timeZone: "Nowhere/Land"', "BAD_USER_INPUT"),
        ('timeZone: "localtime"', "BAD_USER_INPUT"),
        ("first: 1001", "LIMIT_EXCEEDED"),
        ("first: -1", "LIMIT_EXCEEDED"),
        ("groupBy: [STATUS, SITE, ASSET, CUSTOMER, DAY]", "LIMIT_EXCEEDED"),
    ):
        found = await answer(house, f"{{ appointmentStats({arguments}) {{ count }} }}")
        assert found.codes == [code], arguments
    first = "{ appointmentStats(groupBy: [STATUS], first: 0) { count } }"
    assert await ask(house, first) == {"appointmentStats": []}


async def test_every_listing_with_something_to_count_has_statistics(house: House) -> None:
    for text in (
        "workOrderStats(groupBy: [PRIORITY, MONTH], time: DUE_AT) { key { priority month } max { dueAt } }",
        "assetStats(groupBy: [CRITICALITY, SITE]) { key { criticality siteId } count }",
        "timeEntryStats(groupBy: [KIND, TECHNICIAN]) { count sum { seconds } max { endsAt } }",
        "stockMovementStats(groupBy: [REASON]) { count sum { quantity } avg { quantity } }",
        "readingStats(groupBy: [METER, IS_CORRECTED]) { sum { value } avg { value } min { value } }",
        "conflictStats(groupBy: [KIND, STATUS]) { key { kind } count }",
    ):
        await ask(house, f"{{ {text} }}")


@pytest.mark.parametrize("year", [1, 9999])
async def test_times_at_the_ends_of_the_calendar_have_a_bucket(house: House, year: int) -> None:
    world = await World(house).settle()
    await world.order(dueAt=datetime(year, *((1, 1) if year == 1 else (12, 31)), 12, tzinfo=UTC))
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        for unit in ("HOUR", "DAY", "WEEK", "MONTH", "YEAR"):
            text = f'{{ workOrderStats(groupBy: [{unit}], timeZone: "{zone}") {{ key {{ year }} count }} }}'
            (row,) = (await ask(house, text))["workOrderStats"]
            assert row["count"] == 1
