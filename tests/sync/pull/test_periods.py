"""What years of work leave stays on a technician's device for as long as the window reaches back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from tests.support.ask import ask
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.years import Past
from tournee.engine.tail import Tail
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import NotFound
from tournee.kernel.log import Edge, Member
from tournee.kernel.periods import MOST_CARRIED, WEEK, YEAR
from tournee.people.jobs import move_windows
from tournee.quality.models import Audit
from tournee.work.models import TimeEntry

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

_DATED = {"Shift", "Absence", "TimeEntry", "StockMovement", "StockCount", "Audit"}


@pytest.fixture
async def past(house: House) -> Past:
    return await Past(house).begin()


def dated(device: TestDevice) -> Counter[str]:
    return Counter(row["entity"] for row in device.rows.values() if row["entity"] in _DATED)


async def test_a_first_pull_carries_what_the_window_reaches(past: Past) -> None:
    for days in (3, 60, 400, 800):
        await past.record(days)
        await past.shift(days)
        await past.absence(days)
        await past.stock(days)
        await past.audit(days)
    device = TestDevice(past.house, actor=past.actor)
    await device.pull()
    # The count of a later time adjusts nothing: one movement each.
    found = dated(device)
    assert {name: found[name] for name in ("Shift", "TimeEntry", "Audit")} == {
        "Shift": 1,
        "TimeEntry": 1,
        "Audit": 1,
    }
    # Absences stay for about a year.
    assert 2 <= found["Absence"] <= 3
    assert 1 <= found["StockCount"] < 4
    assert 1 <= found["StockMovement"] < 4
    office = TestDevice(past.house, "MANAGER")
    await office.pull()
    assert dated(office)["TimeEntry"] == dated(office)["Shift"] == dated(office)["Audit"] == 4


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_device_that_was_behind_converges(past: Past, tail: Tail, remembers: bool) -> None:
    house = past.house
    await past.window(100)
    for days in (2, 16, 50, 90):
        await past.record(days)
        await past.shift(days)
        await past.stock(days)
        await past.audit(days)
    device = TestDevice(house, actor=past.actor, tail=tail if remembers else None)
    await device.pull()
    carried = dated(device)
    assert carried["TimeEntry"] == carried["Shift"] == carried["Audit"] == 4
    await move_windows(house.kernel, house.organisation_id)
    await past.record(1)
    await device.pull(limit=3)
    assert device.rows == await device.fresh()
    left = dated(device)
    assert left["Audit"] == 1
    assert 2 <= left["TimeEntry"] <= 3 > left["Shift"] >= 1
    await past.window(100)
    await device.pull()
    assert dated(device) == carried + Counter(TimeEntry=1)
    assert device.rows == await device.fresh()


async def test_a_correction_of_an_old_entry_is_accepted_and_stays_as_long_as_a_new_one(past: Past) -> None:
    await past.window(100)
    entry = await past.record(80)
    device = TestDevice(past.house, actor=past.actor)
    await device.pull()
    begins = now() - timedelta(days=80)
    correction = device.operation(
        "recordTimeEntry",
        id=new_id(),
        kind="TRAVEL",
        startsAt=begins,
        endsAt=begins + timedelta(hours=2),
        correctsId=entry,
    )
    await move_windows(past.house.kernel, past.house.organisation_id)
    (outcome,) = await device.push(correction)
    assert outcome.status == "applied"
    await device.pull()
    assert entry not in device.rows
    assert device.rows[UUID(correction["input"]["id"])]["correctsId"] == str(entry)
    # Having pulled that it left, the device cannot name it any more.
    late = device.operation("recordTimeEntry", **{**correction["input"], "id": new_id()})
    (outcome,) = await device.push(late)
    assert (outcome.status, outcome.code) != ("applied", None)


async def test_what_is_open_or_lies_ahead_stays_however_old(past: Past) -> None:
    asked = await past.absence(200, approved=False)
    parental = await past.absence(700, lasting=720)
    holiday = await past.absence(-200)
    planned = await past.audit(300, canceled=False)
    ended = await past.absence(900)
    device = TestDevice(past.house, actor=past.actor)
    await device.pull()
    assert {asked, parental, holiday, planned} <= device.rows.keys()
    assert ended not in device.rows


async def test_an_auditor_in_the_field_keeps_an_audit_until_the_window_has_passed_it(past: Past) -> None:
    names = {"leadAuditorId": past.actor.id, "technicianId": None}
    old = await past.audit(60, **names)
    late = await past.audit(2, **names)
    other = await past.house.account("TECHNICIAN")
    team = await past.audit(60, canceled=False, technicianId=None)
    for account in (past.actor, other):
        members = [{"accountId": account.id}]
        await past.house.run("setAuditTeam", "AUDITOR", auditId=team, members=members)
    device, theirs = TestDevice(past.house, actor=past.actor), TestDevice(past.house, actor=other)
    await device.pull()
    assert {id for id, row in device.rows.items() if row["entity"] == "Audit"} == {late}
    assert old not in device.rows
    await past.house.run("cancelAudit", "AUDITOR", auditId=team, reason="Demo")
    # Who is no technician has no window, and keeps it.
    await theirs.pull()
    assert team in theirs.rows


async def test_online_a_technician_sees_what_the_device_carries(past: Past) -> None:
    old, new = await past.record(200), await past.record(1)
    await past.audit(200)
    document = "{timeEntries {nodes {id}} audits {nodes {id}}}"
    seen = await ask(past.house, document, past.actor)
    assert seen == {"timeEntries": {"nodes": [{"id": str(new)}]}, "audits": {"nodes": []}}
    office = await ask(past.house, document, "DISPATCHER")
    assert {node["id"] for node in office["timeEntries"]["nodes"]} == {str(old), str(new)}
    with pytest.raises(NotFound):
        await past.record(200, correctsId=old)
    await past.window(250)
    seen = await ask(past.house, document, past.actor)
    assert len(seen["timeEntries"]["nodes"]) == 2
    assert len(seen["audits"]["nodes"]) == 1


async def test_why_an_old_record_is_not_on_the_device(past: Past) -> None:
    entry, audit = await past.record(200), await past.audit(200)
    document = """query ($id: ID!, $of: ID) {
        whyNotOnDevice(id: $id, accountId: $of) {visible reasons {code startsAt windowFrom}}}"""
    for id in (entry, audit):
        said = (await ask(past.house, document, "DISPATCHER", id=str(id), of=str(past.actor.id)))[
            "whyNotOnDevice"
        ]
        assert said["visible"] is False
        assert [reason["code"] for reason in said["reasons"]] == ["OUT_OF_WINDOW"]
        assert said["reasons"][0]["windowFrom"] is not None
    other = await past.house.account("TECHNICIAN")
    said = await ask(past.house, document, "DISPATCHER", id=str(entry), of=str(other.id))
    assert [reason["code"] for reason in said["whyNotOnDevice"]["reasons"]] == ["NO_SCOPE"]


async def test_a_window_of_any_length_gives_a_bounded_number_of_scopes(past: Past) -> None:
    for begins, ends in (("0001-01-02", "9999-12-30"), ("2020-01-01", "9999-12-30")):
        await past.house.run(
            "moveWindow",
            technicianId=past.technician_id,
            windowFrom=f"{begins}T00:00:00Z",
            windowTo=f"{ends}T00:00:00Z",
        )
        async with past.house.reading() as session:
            held = await session.scalars(
                select(Member.scope).where(Member.account_id == past.actor.id, Member.to_seq.is_(None))
            )
            assert len(list(held)) < 3 * MOST_CARRIED + 10


async def test_moving_a_window_by_a_day_moves_no_edge(past: Past) -> None:
    await past.record(3)
    await past.stock(3)
    async with past.house.reading() as session:
        before = set((await session.execute(select(Edge.scope, Edge.record_id, Edge.seq))).all())
    await past.window(13)
    async with past.house.reading() as session:
        after = set((await session.execute(select(Edge.scope, Edge.record_id, Edge.seq))).all())
    # The window's own record moves, and nothing else.
    assert len(before - after) <= 1


def test_periods_begin_on_mondays_in_utc() -> None:
    owner = new_id()
    sunday, monday = datetime(2026, 11, 29, 23, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
    assert WEEK.number(monday) == WEEK.number(sunday) + 1
    assert WEEK.touched(owner, sunday, monday) == WEEK.carried(owner, sunday, monday)
    assert len(set(WEEK.touched(owner, sunday, monday))) == 2
    assert WEEK.touched(owner, sunday, sunday + timedelta(weeks=5)) == [owner]
    assert YEAR.number(sunday) == WEEK.number(sunday) // 52
    assert set(YEAR.touched(owner, sunday, sunday)).isdisjoint(WEEK.touched(owner, sunday, sunday))


async def test_no_record_of_a_colleague_comes_with_the_weeks(past: Past) -> None:
    _, colleague = await past.house.technician("Demo Two")
    await past.record(2)
    await past.shift(2)
    await past.stock(2)
    device = TestDevice(past.house, actor=colleague)
    await device.pull()
    assert dated(device) == Counter()
    assert await past.house.rows(TimeEntry)
    assert not await past.house.rows(Audit)
